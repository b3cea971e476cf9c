//! What an author or an operator reads when a plugin is wrong: each typical mistake, made as people make it, and the
//! whole text that the command line then prints.
//!
//! `mistakes.txt` is that text, and `docs/resolver-guide.md` shows it. `REJOIN_BLESS=1` writes down what is said now in
//! both; read the difference before you commit it.
//!
//! Invariant: every text says whose fault it is.

use super::stage::{PATIENCE, Stage, plugin_bytes, rejoin_binary};
use super::written_plugins::{LOOP, PICK_TENTH, TRAP, mute, of_contract, resolver, without_role};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use tokio::time::timeout;

const TABLE: &str = "tests/cluster/mistakes.txt";
const GUIDE: &str = "docs/resolver-guide.md";
/// Where a line of the table ends.
const COLUMNS: usize = 110;
const AT_FAULT: [&str; 4] = ["author", "operator", "wrong file", "not the plugin's fault"];

/// The rest of a row: a folder with plugins, and `rejoin` in it.
struct Desk {
    folder: tempfile::TempDir,
    table: String,
}

impl Desk {
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), bytes).expect("a writable folder");
    }

    async fn rejoin(&self, server: &str, arguments: &[&str]) -> (bool, String) {
        let mut rejoin = Command::new(rejoin_binary());
        rejoin
            .args(arguments)
            .args(["--timeout-ms", "8000", "--server", server])
            .current_dir(self.folder.path())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, rejoin.output()).await;
        let output = output.expect("it ends").expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    }

    async fn done(&self, server: &str, arguments: &[&str]) {
        let (succeeded, said) = self.rejoin(server, arguments).await;
        assert!(succeeded, "{arguments:?}: {said}");
    }

    /// One row: what was done, the command, and the line of standard error that says what is wrong.
    async fn row(&mut self, mistake: &str, server: &str, arguments: &[&str]) {
        let (_, said) = self.rejoin(server, arguments).await;
        let line = said.lines().next().unwrap_or("nothing was said");
        let line = without_digests(line);
        assert!(
            AT_FAULT.iter().any(|fault| line.contains(fault)),
            "{mistake}: nobody is at fault in {line}"
        );
        let command = without_digests(&arguments.join(" "));
        write!(
            self.table,
            "# {mistake}\n$ rejoin {command}\n{}\n",
            wrapped(&line)
        )
        .expect("a text grows");
    }
}

/// Digests change with the compilers of the plugins.
fn without_digests(text: &str) -> String {
    let mut shown = String::new();
    let mut digits = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_hexdigit() {
            digits.push(letter);
            continue;
        }
        match digits.len() {
            64 => shown.push_str("DIGEST"),
            _ => shown.push_str(&digits),
        }
        digits.clear();
        shown.push(letter);
    }
    shown.trim_end().to_owned()
}

fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("one line at least");
        if !last.is_empty() && last.len() + 1 + word.len() > COLUMNS {
            lines.push(format!("  {word}"));
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines.join("\n")
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The guide before its copy of the table, the copy, and the guide after it.
fn guide_in_parts(guide: &str) -> (&str, &str, &str) {
    let (before, rest) = guide
        .split_once("<!-- mistakes -->\n```\n")
        .expect("the guide has a place for the table");
    let (copy, after) = rest.split_once("```\n").expect("the copy has an end");
    (before, copy, after)
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is a module")
}

/// What a compiler for WASI leaves of a `main`.
const PROGRAM: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")))"#;
const ADDER: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
  (i32.add (local.get 0) (local.get 1))))"#;
const DICE: &str = r#"(component (import "wasi:random/random@0.2.0"
  (instance (export "get-random-bytes" (func)))))"#;

fn write_plugins(desk: &Desk) {
    desk.write("resolver.rs", "pub fn resolve() {}\n");
    desk.write("program.wasm", wat(PROGRAM));
    desk.write("adder.wasm", wat(ADDER));
    desk.write("dice.wasm", wat(DICE));
    desk.write("without-resolve.wasm", without_role());
    desk.write("newer.wasm", of_contract("2"));
    desk.write("mute.wasm", mute());
    let corpus = |name: &str| plugin_bytes(&format!("../corpus/bin/{name}.wasm"));
    desk.write("average.wasm", corpus("average"));
    desk.write("trap-on-sample.wasm", corpus("trap-on-sample"));
    desk.write("cart-validator.wasm", plugin_bytes("cart-validator.wasm"));
    let large = [&wat("(component)")[..], &[0; 2 << 20]].concat();
    desk.write("large.wasm", large);
    for (name, body) in [("traps", TRAP), ("loops", LOOP), ("tenth", PICK_TENTH)] {
        desk.write(&format!("{name}.wasm"), resolver(name, body));
    }
}

/// What a node says before it takes a plugin in.
async fn refused_uploads(desk: &mut Desk, server: &str) {
    for (mistake, file) in [
        (
            "The source, or WAT, in place of what was built from it",
            "resolver.rs",
        ),
        ("A program for wasm32-wasip1", "program.wasm"),
        ("A core module of another shape", "adder.wasm"),
        (
            "Rust for wasm32-wasip2, C with a libc, JavaScript or Python with WASI",
            "dice.wasm",
        ),
        ("No function of a role is exported", "without-resolve.wasm"),
        ("A newer contract than the cluster's", "newer.wasm"),
        (
            "JavaScript, Go or Python on nodes with the default limit",
            "large.wasm",
        ),
        ("`describe` traps, as with a clock in Python", "mute.wasm"),
        ("A sample of its own traps", "trap-on-sample.wasm"),
    ] {
        desk.row(mistake, server, &["plugin", "push", file]).await;
    }
}

/// What a bucket says that is not to be bound.
async fn refused_bindings(desk: &mut Desk, server: &str) {
    for file in ["average.wasm", "cart-validator.wasm"] {
        desk.done(server, &["plugin", "push", file]).await;
    }
    for (mistake, plugin) in [
        (
            "A resolver that breaks a law is to merge what is stored",
            "average",
        ),
        (
            "A validator is bound where a resolver belongs",
            "cart-validator",
        ),
    ] {
        let create = ["bucket", "create", "prices", "--resolver", plugin];
        let create = [&create[..], &["--merge-on-put", "true"]].concat();
        desk.row(mistake, server, &create).await;
    }
}

/// What a reader is told who gets the siblings because the resolver failed.
async fn failing_calls(desk: &mut Desk, stage: &Stage) {
    let servers = [stage.cluster.url(0), stage.cluster.url(1)];
    for (mistake, plugin, more) in [
        ("It traps", "traps", &[][..]),
        ("It picks a sibling that is not there", "tenth", &[]),
        (
            "Too slow for the bucket's fuel",
            "loops",
            &["--resolver-fuel", "100000"],
        ),
        (
            "Too slow for the bucket's time",
            "loops",
            &[
                "--resolver-fuel",
                "10000000000",
                "--resolver-limit",
                "wall_ms=100",
            ],
        ),
    ] {
        if !more.contains(&"--resolver-limit") {
            let file = format!("{plugin}.wasm");
            desk.done(&servers[0], &["plugin", "push", &file]).await;
        }
        let create = [
            "bucket",
            "create",
            plugin,
            "--replace",
            "--resolver",
            plugin,
        ];
        let create = [&create[..], &["--merge-on-put", "false"], more].concat();
        desk.done(&servers[0], &create).await;
        for (server, value) in servers.iter().zip(["apple", "pear"]) {
            desk.done(server, &["put", plugin, "fruit", value, "--w", "3"])
                .await;
        }
        let get = ["get", plugin, "fruit", "--r", "3"];
        desk.row(mistake, &servers[0], &get).await;
    }
}

/// A node whose plugins are gone, and that can ask nobody.
async fn a_node_without_the_plugin(desk: &mut Desk, stage: &mut Stage) {
    stage.kill(2).await;
    let plugins = stage.cluster.folder(2).join("plugins");
    fs::remove_dir_all(plugins).expect("the node had plugins");
    stage.cluster.isolate(2);
    stage.restart(2).await;
    let get = ["get", "traps", "fruit", "--r", "1"];
    let server = stage.cluster.url(2);
    desk.row("The node that is asked does not have it", &server, &get)
        .await;
    stage.cluster.rejoin(2);
}

#[tokio::test]
async fn each_mistake_is_told_with_whose_fault_it_is_and_the_fix() {
    let mut stage = Stage::of(3).await;
    let mut desk = Desk {
        folder: tempfile::tempdir().expect("a temporary folder"),
        table: String::new(),
    };
    write_plugins(&desk);
    let server = stage.cluster.url(0);
    refused_uploads(&mut desk, &server).await;
    refused_bindings(&mut desk, &server).await;
    failing_calls(&mut desk, &stage).await;
    a_node_without_the_plugin(&mut desk, &mut stage).await;
    stage.end().await;
    if std::env::var_os("REJOIN_BLESS").is_some() {
        let guide = read(GUIDE);
        let (before, _, after) = guide_in_parts(&guide);
        let shown = format!("{before}<!-- mistakes -->\n```\n{}```\n{after}", desk.table);
        fs::write(path(GUIDE), shown).expect("writable");
        fs::write(path(TABLE), &desk.table).expect("writable");
    }
    let wanted = read(TABLE);
    for (wanted, said) in wanted.lines().zip(desk.table.lines()) {
        assert_eq!(wanted, said, "REJOIN_BLESS=1 writes down what is said now");
    }
    assert_eq!(wanted, desk.table);
}

#[test]
fn the_guide_shows_what_is_said_and_nothing_else() {
    let guide = read(GUIDE);
    let (before, copy, after) = guide_in_parts(&guide);
    assert_eq!(copy, read(TABLE));
    let is_code = |word: &str| {
        let digits = word.strip_prefix(['P', 'R']);
        digits.is_some_and(|d| d.len() == 3 && d.bytes().all(|b| b.is_ascii_digit()))
    };
    for text in [before, after] {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        let quoted: Vec<&str> = words.filter(|word| is_code(word)).collect();
        assert!(quoted.is_empty(), "outside of the table: {quoted:?}");
    }
}
