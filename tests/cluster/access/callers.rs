//! One node with an access file, and one caller of each kind.

use super::super::stage::{Node, putting, rejoin_binary, until};
use rejoin::cli::local::{LocalCluster, Plan, Wiring};
use rejoin::client::Token as Shown;
use rejoin::config::StorageEngine;
use rejoin::security::tokens::Token;
use rejoin::wire::proto::v1 as proto;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Anonymous,
    WrongToken,
    Expired,
    /// Known, and nothing else.
    Nothing,
    /// `read` in the buckets whose names begin with `mine`, as the next two have one role each.
    Reader,
    Writer,
    Author,
    /// All roles in the bucket `other`.
    Elsewhere,
    Admin,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Anonymous,
        Self::WrongToken,
        Self::Expired,
        Self::Nothing,
        Self::Reader,
        Self::Writer,
        Self::Author,
        Self::Elsewhere,
        Self::Admin,
    ];
}

/// What stands in the access file.
pub struct File {
    pub reader_tokens: Vec<String>,
    tokens: BTreeMap<Kind, String>,
}

/// The node.
pub struct Gate {
    cluster: LocalCluster,
    file: Mutex<File>,
    /// Every token that there ever was.
    drawn: Mutex<Vec<String>>,
    folder: TempDir,
}

/// The text of a new token.
pub fn drawn() -> String {
    Token::draw().expect("dice").text().to_owned()
}

/// Properties of a bucket with one copy of each key.
pub fn of_one_node() -> proto::Properties {
    proto::Properties {
        n: Some(1),
        r: Some(1),
        w: Some(1),
        ..proto::Properties::default()
    }
}

impl File {
    fn new() -> Self {
        let tokens = Kind::ALL.map(|kind| (kind, drawn()));
        let tokens = BTreeMap::from(tokens);
        Self {
            reader_tokens: vec![tokens[&Kind::Reader].clone()],
            tokens,
        }
    }

    fn text(&self) -> String {
        let hash =
            |token: &str| rejoin::security::tokens::TokenHash::of(token.as_bytes()).to_string();
        let mut text = String::new();
        let mut add = |name: &str, tokens: &[String], expires: &str, rest: &str| {
            let tokens = tokens.iter();
            let tokens: Vec<String> = tokens
                .map(|token| format!("{{ sha256 = \"{}\"{expires} }}", hash(token)))
                .collect();
            let tokens = tokens.join(", ");
            writeln!(text, "[callers.{name}]\ntokens = [{tokens}]\n{rest}\n").expect("a text");
        };
        let one = |kind| [self.tokens[&kind].clone()];
        let grant = |bucket: &str, roles: &str| {
            format!("grants = [{{ bucket = \"{bucket}\", may = [{roles}] }}]")
        };
        add(
            "expired",
            &one(Kind::Expired),
            ", expires = 2020-01-01T00:00:00Z",
            "admin = true",
        );
        add(
            "nothing",
            &one(Kind::Nothing),
            ", expires = 2999-01-01T00:00:00Z",
            "",
        );
        add(
            "reader",
            &self.reader_tokens,
            "",
            &grant("mine*", "\"read\""),
        );
        add(
            "writer",
            &one(Kind::Writer),
            "",
            &grant("mine*", "\"write\""),
        );
        add(
            "author",
            &one(Kind::Author),
            "",
            &grant("mine*", "\"plugin\""),
        );
        add(
            "elsewhere",
            &one(Kind::Elsewhere),
            "",
            &grant("other", "\"read\", \"write\", \"plugin\""),
        );
        add("admin", &one(Kind::Admin), "", "admin = true");
        text
    }
}

impl Gate {
    /// Starts the node.
    pub async fn open(settings: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("rejoin-test-").tempdir();
        let folder = folder.expect("a temporary folder");
        let file = File::new();
        let path = folder.path().join("access.toml");
        std::fs::write(&path, file.text()).expect("written");
        let path = path.display().to_string();
        let always = [
            ("REJOIN_FOREGROUND_P99_MS", "3000"),
            ("REJOIN_METRICS", "127.0.0.1:0"),
            ("REJOIN_ACCESS_FILE", path.as_str()),
        ];
        let settings = always.into_iter().chain(settings.iter().copied());
        let plan = Plan {
            binary: rejoin_binary(),
            folder: folder.path().to_owned(),
            nodes: 1,
            spares: 0,
            wiring: Wiring::Links,
            storage: StorageEngine::Sled,
            settings: settings
                .map(|(name, value)| (name, value.to_owned()))
                .collect(),
            certificates: Vec::new(),
        };
        let cluster = LocalCluster::start(plan).await.expect("the node starts");
        Self {
            cluster,
            drawn: Mutex::new(file.tokens.values().cloned().collect()),
            file: Mutex::new(file),
            folder,
        }
    }

    pub async fn end(mut self) {
        let stopped = self.cluster.stop_node(0).await;
        assert!(
            stopped.expect("it can be stopped"),
            "the node did not stop well"
        );
        let last = self.audit().pop().expect("a line");
        assert_eq!(last["event"], "stopped");
    }

    pub fn url(&self) -> String {
        self.cluster.url(0)
    }

    pub fn config_file(&self) -> PathBuf {
        self.cluster.config_file(0)
    }

    /// The access file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("access.toml")
    }

    pub fn file_text(&self) -> String {
        std::fs::read_to_string(self.file()).expect("a file")
    }

    /// Replaces the access file, as careful editors do.
    pub fn write(&self, text: &str) {
        let next = self.file().with_extension("next");
        std::fs::write(&next, text).expect("written");
        std::fs::rename(next, self.file()).expect("renamed");
    }

    pub async fn edit(&self, edit: impl FnOnce(&mut File)) {
        let text = {
            let mut file = self.file.lock().expect("nobody panicked");
            edit(&mut file);
            let mut drawn = self.drawn.lock().expect("nobody panicked");
            drawn.extend(file.reader_tokens.iter().cloned());
            file.text()
        };
        self.write(&text);
    }

    /// Tells the process that a file has changed.
    pub fn hang_up(&self) {
        let process = self.cluster.process(0).expect("it runs");
        let process = Pid::from_raw(process as i32).expect("a process");
        kill_process(process, Signal::HUP).expect("told");
    }

    /// The token that a kind of caller was given at first; of one that is not known, a good-looking one.
    pub fn token(&self, kind: Kind) -> String {
        self.file.lock().expect("nobody panicked").tokens[&kind].clone()
    }

    pub fn names(&self) -> Vec<String> {
        let text = self.file_text();
        let names = text
            .lines()
            .filter_map(|line| line.strip_prefix("[callers."));
        // `nothing` and `expired` are words of messages too.
        let names = names.map(|name| name.trim_end_matches(']').to_owned());
        names
            .filter(|name| !["nothing", "expired"].contains(&name.as_str()))
            .collect()
    }

    /// What a kind of caller sends.
    pub fn header(&self, kind: Kind) -> Option<String> {
        (kind != Kind::Anonymous).then(|| format!("Bearer {}", self.token(kind)))
    }

    pub async fn node(&self, kind: Kind) -> Node {
        match kind {
            Kind::Anonymous => Node::at(&self.url()).await,
            _ => self.node_with(&self.token(kind)).await,
        }
    }

    pub async fn node_with(&self, token: &str) -> Node {
        let node = Node::at(&self.url()).await;
        let token = Shown::new(token).expect("a token");
        Node {
            connection: node.connection.showing(token),
        }
    }

    /// Makes a bucket with a key in it.
    pub async fn fill(&self, bucket: &str) {
        let admin = self.node(Kind::Admin).await;
        let asked = || proto::CreateBucketRequest {
            bucket: bucket.to_owned(),
            properties: Some(of_one_node()),
            replace: true,
        };
        until("the node has its cluster", async || {
            admin.try_create(asked()).await.is_ok()
        })
        .await;
        until("it takes values", async || {
            admin.try_put(putting(bucket, "k", "v")).await.is_ok()
        })
        .await;
    }

    pub fn audit_file(&self) -> PathBuf {
        self.cluster.folder(0).join("audit.log")
    }

    /// The lines of the audit log.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.audit_file()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Neither the audit log nor what the node said has a token or one of these words.
    pub fn holds_no_secret(&self, words: &[&str]) {
        let drawn = self.drawn.lock().expect("nobody panicked").clone();
        for file in [self.audit_file(), self.cluster.log_file(0)] {
            let text = std::fs::read_to_string(&file).expect("a log");
            let secrets = drawn
                .iter()
                .map(|token| token.trim_start_matches("rejoin-"));
            for secret in secrets.chain(words.iter().copied()) {
                assert!(!text.contains(secret), "{} has {secret}", file.display());
            }
        }
    }

    /// A sample of the metrics, by its name and labels.
    pub async fn metric(&self, series: &str) -> f64 {
        let address = self.cluster.metrics(0).expect("it shows its metrics");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let asked = b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
        stream.write_all(asked).await.expect("sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("a page");
        let samples = page.lines().filter_map(|line| line.rsplit_once(' '));
        let sample = samples.into_iter().find(|(name, _)| *name == series);
        let (_, value) = sample.unwrap_or_else(|| panic!("no {series} in {page}"));
        value.parse().expect("a number")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.cluster.log_file(0));
            println!("--- the node said:\n{}", log.unwrap_or_default());
        }
    }
}
