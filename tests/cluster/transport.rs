//! Certificates on real clusters: who gets in, who does not and is told why, and how they are replaced.
//!
//! All of them come from `rejoin cert`, as users have them.

#[path = "transport/revocation.rs"]
mod revocation;

use super::stage::{Node, PATIENCE, bound, plugin_bytes, putting, rejoin_binary, texts, until};
use rejoin::cli::connection::Connection;
use rejoin::cli::local::{LocalCluster, Plan, Wiring};
use rejoin::client::{Client, Found, Tls};
use rejoin::config::{StorageEngine, TlsConfig};
use rejoin::security::names::PEER_HOST;
use rejoin::wire::proto::peer as peer_proto;
use rejoin::wire::proto::peer::peer_client::PeerClient;
use rejoin::wire::proto::v1 as proto;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
const HOST: &str = "127.0.0.1";

/// Authorities, and what they have signed.
struct Registry {
    folder: TempDir,
}

impl Registry {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Self { folder };
        registry.found("authority").await;
        registry
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    async fn found(&self, name: &str) {
        let out = self.path(name).display().to_string();
        succeeds(&["cert", "authority", "--out", &out]).await;
    }

    /// The certificates of a node, in a folder of their own, and the table that `rejoin cert` says to configure.
    async fn node(&self, name: &str, authority: &str, out: &str) -> TlsConfig {
        let (authority, out) = (self.path(authority), self.path(out));
        let (authority, out) = (authority.display().to_string(), out.display().to_string());
        let arguments = [
            "cert",
            "node",
            name,
            "--host",
            HOST,
            "--host",
            "localhost",
            "--authority",
            &authority,
            "--out",
            &out,
            "--json",
        ];
        let output = succeeds(&arguments).await;
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        serde_json::from_value(said["tls"].clone()).expect("the fields of the table")
    }

    async fn client(&self, name: &str, out: &str) {
        let (authority, out) = (self.path("authority"), self.path(out));
        let (authority, out) = (authority.display().to_string(), out.display().to_string());
        let arguments = [
            "cert",
            "client",
            name,
            "--authority",
            &authority,
            "--out",
            &out,
        ];
        succeeds(&arguments).await;
    }

    fn tls(&self) -> Tls {
        Tls::trusting(self.text("authority/client-ca.crt")).expect("an authority")
    }

    /// What a client shows whose certificate was made into this folder.
    fn shown_by(&self, name: &str, folder: &str) -> Tls {
        let [certificate, key] =
            ["crt", "key"].map(|end| self.text(&format!("{folder}/{name}.{end}")));
        self.tls().showing(certificate, key)
    }

    /// A peer's certificate and key.
    fn identity(&self, pair: &str) -> Identity {
        let certificate = self.text(&format!("{pair}.crt"));
        Identity::from_pem(certificate, self.text(&format!("{pair}.key")))
    }
}

async fn run(arguments: &[&str]) -> Output {
    let output = Command::new(rejoin_binary()).args(arguments).output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    output.expect("it ends").expect("it runs")
}

async fn succeeds(arguments: &[&str]) -> Output {
    let output = run(arguments).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    output
}

async fn fails(arguments: &[&str]) -> String {
    let output = run(arguments).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A cluster whose nodes have certificates.
struct Secured {
    registry: Registry,
    cluster: LocalCluster,
    count: usize,
    /// What the test itself shows to the nodes.
    tls: Tls,
}

impl Secured {
    async fn of(count: usize, spares: usize) -> Self {
        let registry = Registry::new().await;
        let tls = registry.tls();
        Self::with(registry, (count, spares), tls, Vec::new()).await
    }

    /// Nodes that ask who comes: the operator may do everything, anna writes notes, and the test is the operator.
    async fn asking() -> Self {
        let registry = Registry::new().await;
        registry.client("operator", "operator").await;
        let book = registry.path("access.toml");
        let text = "[callers.operator]\nadmin = true\n[callers.anna]\n\
                    grants = [{ bucket = \"notes\", may = [\"read\", \"write\"] }]\n";
        std::fs::write(&book, text).expect("written");
        std::fs::set_permissions(&book, std::fs::Permissions::from_mode(0o600)).expect("set");
        let asks = vec![("REJOIN_ACCESS_FILE", book.display().to_string())];
        let tls = registry.shown_by("operator", "operator");
        Self::with(registry, (3, 0), tls, asks).await
    }

    async fn with(
        registry: Registry,
        (count, spares): (usize, usize),
        tls: Tls,
        more: Vec<(&'static str, String)>,
    ) -> Self {
        let mut certificates = Vec::new();
        for number in 1..=count + spares {
            let name = format!("n{number}");
            certificates.push(registry.node(&name, "authority", &name).await);
        }
        let settings = [
            ("REJOIN_FOREGROUND_P99_MS", "3000"),
            ("REJOIN_PROBE_MS", "250"),
        ];
        let plan = Plan {
            binary: rejoin_binary(),
            folder: registry.path("cluster"),
            nodes: count,
            spares,
            wiring: Wiring::Links,
            storage: StorageEngine::Sled,
            settings: settings
                .map(|(name, value)| (name, value.to_owned()))
                .into_iter()
                .chain(more)
                .collect(),
            certificates,
        };
        let cluster = LocalCluster::start(plan).await.expect("the cluster starts");
        let secured = Self {
            registry,
            cluster,
            count,
            tls,
        };
        secured.all_connected().await;
        secured
    }

    async fn all_connected(&self) {
        for node in self.nodes().await {
            node.reaches(self.count - 1).await;
        }
    }

    async fn node(&self, place: usize) -> Node {
        self.node_for(place, &self.tls).await
    }

    /// As somebody else sees it.
    async fn node_for(&self, place: usize, tls: &Tls) -> Node {
        let url = self.cluster.url(place);
        let connection = Connection::secured(&url, REQUEST_TIMEOUT, Some(tls)).await;
        Node {
            connection: connection.expect("the node takes connections"),
        }
    }

    async fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for place in 0..self.count {
            nodes.push(self.node(place).await);
        }
        nodes
    }

    async fn client(&self) -> Client {
        let options = rejoin::client::Options {
            tls: Some(self.registry.tls()),
            ..Default::default()
        };
        let client = Client::with_options([self.cluster.url(0)], options).await;
        client.expect("the ring")
    }

    /// Where a node listens for others.
    async fn peer_address(&self, place: usize) -> String {
        let name = format!("n{}", place + 1);
        let mut address = String::new();
        until("the node is known", async || {
            let members = self.node(place).await.members().await.nodes;
            let mut found = members.into_iter().filter(|node| node.node == name);
            address = found
                .next()
                .map(|node| node.peer_address)
                .unwrap_or_default();
            !address.is_empty()
        })
        .await;
        address
    }

    fn log(&self, place: usize) -> String {
        std::fs::read_to_string(self.cluster.log_file(place)).expect("a log")
    }

    async fn logs(&self, place: usize, text: &str) {
        until(&format!("the log says {text:?}"), async || {
            self.log(place).contains(text)
        })
        .await;
    }

    fn hang_up(&self, place: usize) {
        let process = self.cluster.process(place).expect("it runs") as i32;
        kill_process(Pid::from_raw(process).expect("a process"), Signal::HUP).expect("it runs");
    }

    async fn end(self) {
        let failed = self.cluster.stop().await.expect("they can be stopped");
        assert!(failed.is_empty(), "{failed:?} did not stop well");
    }
}

impl Drop for Registry {
    /// The folder goes with a failed test, what the nodes said must not.
    fn drop(&mut self) {
        let cluster = self.path("cluster");
        if !std::thread::panicking() || !cluster.exists() {
            return;
        }
        for file in std::fs::read_dir(cluster).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|end| end == "log") {
                let text = std::fs::read_to_string(file.path()).unwrap_or_default();
                println!("--- {}:\n{text}", file.path().display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_with_certificates_store_and_merge_and_their_clients_find_all_of_them() {
    let stage = Secured::of(3, 0).await;
    let nodes = stage.nodes().await;
    let pushed = nodes[0].push(plugin_bytes("shopping-cart.wasm")).await;
    let plugin = pushed.plugin.expect("a description").digest;
    let properties = proto::Properties {
        resolver: Some(bound(&plugin)),
        ..proto::Properties::default()
    };
    nodes[0].create("carts", properties).await;
    nodes[0]
        .put("carts", "anna", r#"{"items":{"milk":1}}"#)
        .await;
    nodes[1]
        .put("carts", "anna", r#"{"items":{"bread":2}}"#)
        .await;
    until("the carts are merged everywhere", async || {
        texts(&nodes[2].get("carts", "anna").await) == [r#"{"items":{"bread":2,"milk":1}}"#]
    })
    .await;
    // The client is told of one node, and asks the owners of each key: all three, by the addresses of their ring.
    let client = stage.client().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let notes = client.bucket("notes");
    for number in 0..30 {
        let (key, value) = (format!("key-{number}"), format!("value-{number}"));
        notes.put(&key, value.clone()).await.expect("the put");
        let read = notes.get(&key).await.expect("the get");
        let Found::One(found) = read.found else {
            panic!("{:?}", read.found)
        };
        assert_eq!(found.bytes, value);
    }
    for node in &nodes {
        assert!(node.counter("gets").await > 0, "every node was asked");
    }
    command_line(&stage).await;
    stage.end().await;
}

/// The commands, with and without what they need.
async fn command_line(stage: &Secured) {
    stage.registry.client("anna", "anna").await;
    let file = |name: &str| stage.registry.path(name).display().to_string();
    let (url, ca) = (stage.cluster.url(1), file("anna/client-ca.crt"));
    let (certificate, key) = (file("anna/anna.crt"), file("anna/anna.key"));
    let get = ["get", "notes", "key-7", "--server", &url];
    let output = succeeds(&[&get[..], &["--ca", &ca]].concat()).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("value-7"));
    let shown = ["--ca", &ca, "--cert", &certificate, "--key", &key];
    succeeds(&[&get[..], &shown].concat()).await;
    let backup = file("all.backup");
    let create = [
        "backup", "create", "--out", &backup, "--server", &url, "--ca", &ca,
    ];
    succeeds(&create).await;
    let refused = fails(&get).await;
    assert!(refused.contains("--ca"), "{refused}");
    let peer_ca = file("authority/peer-ca.crt");
    let refused = fails(&[&get[..], &["--ca", &peer_ca]].concat()).await;
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let refused = fails(&[&get[..], &["--ca", &ca, "--cert", &certificate]].concat()).await;
    assert!(
        refused.contains("--cert and --key go together"),
        "{refused}"
    );
    // A node's certificate is no client's.
    let (certificate, key) = (file("n1/n1.crt"), file("n1/n1.key"));
    let shown = ["--ca", &ca, "--cert", &certificate, "--key", &key];
    fails(&[&get[..], &shown].concat()).await;
    stage.logs(1, "client-refused").await;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("set");
    let refused = fails(&[&get[..], &shown].concat()).await;
    assert!(refused.contains("chmod 600"), "{refused}");
}

/// What came of introducing oneself to a node as another one.
async fn introduced(
    address: &str,
    tls: Option<ClientTlsConfig>,
    name: &str,
) -> Result<peer_proto::Frame, Status> {
    let mut client = dialled(address, tls).await?;
    let hello = peer_proto::Hello {
        cluster: "dev".to_owned(),
        node: name.to_owned(),
        version: 3,
        partitions: 256,
        version_min: 1,
        version_max: 1_000,
        capabilities: Vec::new(),
    };
    let hello = peer_proto::Frame {
        hello: Some(hello),
        ..Default::default()
    };
    let outgoing = tokio_stream::StreamExt::chain(
        tokio_stream::once(hello),
        tokio_stream::pending::<peer_proto::Frame>(),
    );
    let mut incoming = client.link(Request::new(outgoing)).await?.into_inner();
    let answer = incoming.message().await?;
    answer.ok_or_else(|| Status::aborted("the stream ended"))
}

async fn dialled(
    address: &str,
    tls: Option<ClientTlsConfig>,
) -> Result<PeerClient<tonic::transport::Channel>, Status> {
    let broken = |error: tonic::transport::Error| Status::unavailable(format!("{error:?}"));
    let endpoint = match tls {
        None => Endpoint::from_shared(format!("http://{address}")).map_err(broken)?,
        Some(tls) => {
            let endpoint = Endpoint::from_shared(format!("https://{address}"));
            let endpoint = endpoint.map_err(broken)?;
            endpoint.tls_config(tls).map_err(broken)?
        }
    };
    let channel = endpoint.connect().await.map_err(broken)?;
    Ok(PeerClient::new(channel))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_gets_in_only_as_the_node_that_its_certificate_names() {
    let stage = Secured::of(3, 0).await;
    let registry = &stage.registry;
    registry.client("anna", "anna").await;
    registry.found("strange").await;
    registry.node("n2", "strange", "strange-n2").await;
    registry.node("n9", "authority", "n9").await;
    let address = stage.peer_address(0).await;
    let believing = || {
        let authority = Certificate::from_pem(registry.text("authority/peer-ca.crt"));
        ClientTlsConfig::new()
            .domain_name(PEER_HOST)
            .ca_certificate(authority)
    };
    let showing = |pair: &str| Some(believing().identity(registry.identity(pair)));
    let cases: [(&str, Option<ClientTlsConfig>, &str); 5] = [
        ("plain text", None, "it speaks plain text"),
        (
            "no certificate",
            Some(believing()),
            "it showed no certificate",
        ),
        (
            "another authority's",
            showing("strange-n2/n2.peer"),
            "not signed by an authority of this listener",
        ),
        (
            "a client's",
            showing("anna/anna"),
            "not signed by an authority",
        ),
        (
            "the node's for clients",
            showing("n2/n2"),
            "does not allow extended key usage for client authentication",
        ),
    ];
    // Again until it is told: of strangers only some lines are written in a second.
    for (case, tls, logged) in cases {
        let before = stage.log(0).matches(logged).count();
        until(&format!("{case} is logged"), async || {
            let refused = introduced(&address, tls.clone(), "n2").await;
            assert!(refused.is_err(), "{case} came through");
            let log = stage.log(0);
            log.matches(logged).count() > before && log.contains("peer-refused")
        })
        .await;
    }
    let text = "says that it is node n3, and its certificate names node n2";
    until("the false name is logged", async || {
        let refused = introduced(&address, showing("n2/n2.peer"), "n3").await;
        let refused = refused.expect_err("n2 is not n3");
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        assert!(refused.message().contains(text), "{refused}");
        stage.log(0).contains(text)
    })
    .await;
    let answer = introduced(&address, showing("n2/n2.peer"), "n2").await;
    assert_eq!(answer.expect("n2 is n2").hello.expect("a hello").node, "n1");
    // A certificate is no membership: who has one and is nobody's member reads and changes nothing.
    let mut stranger = dialled(&address, showing("n9/n9.peer"))
        .await
        .expect("a handshake");
    let asked = peer_proto::ListOwnRequest {
        bucket: "notes".to_owned(),
        ..Default::default()
    };
    let refused = stranger.list_own(asked).await.expect_err("a stranger");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let asked = peer_proto::UnmergeRequest::default();
    let refused = stranger.unmerge(asked).await.expect_err("a stranger");
    assert!(refused.message().contains("node n9 is not in this cluster"));
    stage.all_connected().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_with_a_certificate_of_the_clusters_authority_and_with_no_other() {
    let mut stage = Secured::of(1, 1).await;
    let registry = &stage.registry;
    registry.found("strange").await;
    registry.node("n2", "strange", "strange-n2").await;
    let (real, strange) = (registry.path("n2"), registry.path("strange-n2"));
    let swap = |aside: &str| {
        std::fs::rename(&real, registry.path(aside)).expect("moved");
    };
    swap("real-n2");
    std::fs::rename(&strange, &real).expect("moved");
    // It believes the cluster's nodes and its own authority; they do not believe it.
    let both = registry.text("authority/peer-ca.crt") + &registry.text("strange/peer-ca.crt");
    std::fs::write(real.join("peer-ca.crt"), both).expect("written");
    stage.cluster.start_node(1).await.expect("it starts");
    stage
        .logs(0, "not signed by an authority of this listener")
        .await;
    let is_known = async || {
        let members = stage.node(0).await.members().await.nodes;
        members.iter().any(|node| node.node == "n2")
    };
    assert!(!is_known().await, "it asked to join and was heard");
    stage.cluster.stop_node(1).await.expect("it stops");
    std::fs::rename(stage.registry.path("n2"), stage.registry.path("gone")).expect("moved");
    std::fs::rename(stage.registry.path("real-n2"), stage.registry.path("n2")).expect("moved");
    stage.cluster.start_node(1).await.expect("it starts");
    until("it asks to join", async || {
        let members = stage.node(0).await.members().await.nodes;
        members.iter().any(|node| node.node == "n2")
    })
    .await;
    stage.end().await;
}

/// The certificate that a listener shows to clients.
async fn shown(stage: &Secured, place: usize) -> Vec<u8> {
    let mut roots = rustls::RootCertStore::empty();
    for name in ["authority/client-ca.crt", "second/client-ca.crt"] {
        let file = stage.registry.path(name);
        if file.exists() {
            let certificate = CertificateDer::from_pem_file(&file).expect("a certificate");
            roots.add(certificate).expect("an authority");
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config
        .with_safe_default_protocol_versions()
        .expect("versions");
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let address = stage.cluster.url(place).replace("https://", "");
    let stream = TcpStream::connect(&address).await.expect("it listens");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(HOST).expect("an address");
    let stream = connector.connect(name, stream).await.expect("a handshake");
    let (_, session) = stream.get_ref();
    assert_eq!(
        session.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
    session.peer_certificates().expect("one")[0].to_vec()
}

/// Clients that write and read without a pause, over connections that they keep.
struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn on(stage: &Secured) -> Self {
        let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let nodes = stage.nodes().await;
        nodes[0].create("notes", proto::Properties::default()).await;
        let work = |(place, node): (usize, Node)| {
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            tokio::spawn(async move {
                for turn in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let (key, value) = (format!("{place}-{turn}"), turn.to_string());
                    let put = node.try_put(putting("notes", &key, &value)).await;
                    put.expect("the put is taken");
                    let found = node.get("notes", &key).await;
                    assert_eq!(texts(&found), [value]);
                    answered.fetch_add(2, Ordering::Relaxed);
                }
            })
        };
        let clients = nodes.into_iter().enumerate().map(work).collect();
        Self {
            is_over,
            answered,
            clients,
        }
    }

    async fn more(&self, requests: usize) {
        let end = self.answered.load(Ordering::Relaxed) + requests;
        until("the load goes on", async || {
            self.answered.load(Ordering::Relaxed) >= end || self.has_failed()
        })
        .await;
    }

    fn has_failed(&self) -> bool {
        self.clients.iter().any(|client| client.is_finished())
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no request failed");
        }
    }
}

fn replace(file: &Path, with: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, with).expect("written");
    let secret = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&new, secret).expect("set");
    std::fs::rename(&new, file).expect("renamed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_and_certificates_are_replaced_under_load_without_a_failed_request() {
    let mut stage = Secured::of(3, 0).await;
    let load = Load::on(&stage).await;
    let registry = &stage.registry;
    registry.found("second").await;
    let old = shown(&stage, 0).await;
    let peer_cas = ["authority/peer-ca.crt", "second/peer-ca.crt"].map(|name| registry.text(name));
    let lists = ["authority/peer-ca.crl", "second/peer-ca.crl"].map(|name| registry.text(name));
    // Everybody believes both authorities, and has the lists of both, before anybody shows what the second one has signed.
    for place in 0..3 {
        let file = registry.path(&format!("n{}/peer-ca.crt", place + 1));
        replace(&file, &peer_cas.concat());
        replace(&file.with_extension("crl"), &lists.concat());
        stage.hang_up(place);
        stage
            .logs(place, "new certificates are used for new connections")
            .await;
    }
    load.more(20).await;
    for place in 0..3 {
        let name = format!("n{}", place + 1);
        registry.node(&name, "second", &format!("new-{name}")).await;
        for file in ["key", "crt", "peer.key", "peer.crt"] {
            let text = registry.text(&format!("new-{name}/{name}.{file}"));
            replace(&registry.path(&format!("{name}/{name}.{file}")), &text);
        }
        // Nobody tells this node: it looks by itself.
        let new = registry.path(&format!("{name}/{name}.crt"));
        let new = CertificateDer::from_pem_file(new).expect("a certificate");
        until("a new connection sees the new certificate", async || {
            shown(&stage, place).await == new.to_vec()
        })
        .await;
    }
    assert_ne!(shown(&stage, 0).await, old);
    load.more(20).await;
    for place in 0..3 {
        let file = registry.path(&format!("n{}/peer-ca.crt", place + 1));
        let before = stage.log(place).matches("new certificates").count();
        replace(&file, &peer_cas[1]);
        stage.hang_up(place);
        until("the first authority is forgotten", async || {
            stage.log(place).matches("new certificates").count() > before
        })
        .await;
    }
    load.more(20).await;
    load.end().await;
    // A node that starts now has nothing but what is new, and dials and is dialled all the same.
    stage.cluster.stop_node(2).await.expect("it stops");
    stage.cluster.start_node(2).await.expect("it starts");
    let tls = Tls::trusting(stage.registry.text("second/client-ca.crt")).expect("an authority");
    for place in 0..3 {
        let url = stage.cluster.url(place);
        let connection = Connection::secured(&url, REQUEST_TIMEOUT, Some(&tls)).await;
        let connection = connection.expect("the second authority's certificates");
        Node { connection }.reaches(2).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_new_certificate_leaves_the_old_one_in_use() {
    let stage = Secured::of(1, 0).await;
    let old = shown(&stage, 0).await;
    let file = stage.registry.path("n1/n1.crt");
    let good = stage.registry.text("n1/n1.crt");
    stage.registry.node("n1", "authority", "other-n1").await;
    let of_another_key = stage.registry.text("other-n1/n1.crt");
    for (number, broken) in ["no certificate", &of_another_key].into_iter().enumerate() {
        replace(&file, broken);
        stage.hang_up(0);
        until("the error is logged", async || {
            let log = stage.log(0);
            log.matches("the changed files of certificates are not used")
                .count()
                > number
        })
        .await;
        assert_eq!(shown(&stage, 0).await, old);
    }
    replace(&file, &good);
    stage.hang_up(0);
    stage.logs(0, "new certificates are used").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_on_a_port_with_certificates_is_told_at_once() {
    let stage = Secured::of(1, 0).await;
    let url = stage.cluster.url(0).replace("https://", "http://");
    let asked = async || {
        let connection = Connection::to(&url, REQUEST_TIMEOUT).await?;
        let request = connection.request(proto::StatusRequest {});
        connection.cluster().status(request).await?;
        anyhow::Ok(())
    };
    let refused = asked().await.expect_err("the node speaks TLS");
    assert!(
        !format!("{refused:#}").contains("DeadlineExceeded"),
        "{refused:#}"
    );
    stage
        .logs(0, "it speaks plain text, and this listener speaks TLS")
        .await;
    assert!(
        !stage.log(0).contains("it was not ready after"),
        "by its first bytes"
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_and_broken_handshakes_stop_nobody() {
    let stage = Secured::of(3, 0).await;
    let load = Load::on(&stage).await;
    let client_address = stage.cluster.url(0).replace("https://", "");
    let peer_address = stage.peer_address(0).await;
    let mut held = Vec::new();
    for number in 0..300 {
        for address in [&client_address, &peer_address] {
            let mut stream = TcpStream::connect(address.as_str())
                .await
                .expect("accepted");
            // Silent, or the beginning of a handshake without its end.
            if number % 2 == 0 {
                let beginning = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
                stream.write_all(&beginning).await.expect("sent");
            }
            held.push(stream);
        }
    }
    let node = stage.node(0).await; // Another connection, while all those are open.
    node.reaches(2).await;
    load.more(100).await;
    load.end().await;
    drop(held);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejoin_cert_replaces_nothing_and_keeps_keys_to_their_owner() {
    let registry = Registry::new().await;
    registry.node("n1", "authority", "n1").await;
    for name in [
        "authority/client-ca",
        "authority/peer-ca",
        "n1/n1",
        "n1/n1.peer",
    ] {
        let facts = std::fs::metadata(registry.path(&format!("{name}.key"))).expect("a key");
        assert_eq!(facts.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let before = registry.text("n1/n1.key");
    let (authority, out) = (registry.path("authority"), registry.path("n1"));
    let (authority, out) = (authority.display().to_string(), out.display().to_string());
    let node = |name| {
        [
            "cert",
            "node",
            name,
            "--host",
            HOST,
            "--authority",
            &authority,
            "--out",
            &out,
        ]
    };
    let refused = fails(&node("n1")).await;
    assert!(refused.contains("is there already"), "{refused}");
    assert_eq!(registry.text("n1/n1.key"), before);
    let refused = fails(&["cert", "authority", "--out", &authority]).await;
    assert!(refused.contains("nothing is replaced"), "{refused}");
    let refused = fails(&node("N1")).await;
    assert!(refused.contains("lower-case letters"), "{refused}");
    let client = [
        "cert",
        "client",
        "an/na",
        "--authority",
        &authority,
        "--out",
        &out,
    ];
    let refused = fails(&client).await;
    assert!(refused.contains("the client name has '/'"), "{refused}");
    // The keys of the two authorities are not each other's.
    let swapped = registry.text("authority/client-ca.key");
    replace(&registry.path("authority/peer-ca.key"), &swapped);
    let refused = fails(&node("n2")).await;
    assert!(
        refused.contains("does not fit the certificate of the authority"),
        "{refused}"
    );
    assert!(!registry.path("n1/n2.key").exists(), "nothing is half made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_tls_table_is_refused_with_its_fix_and_makes_no_folder() {
    let registry = Registry::new().await;
    let tls = registry.node("n1", "authority", "n1").await;
    let other = registry.node("n2", "authority", "n2").await;
    let table = |tls: &TlsConfig| {
        let text = toml::to_string(tls).expect("a table");
        format!("[tls]\n{text}")
    };
    let open_key = registry.path("open.key");
    std::fs::write(&open_key, registry.text("n1/n1.key")).expect("written");
    let with = |change: &dyn Fn(&mut TlsConfig)| {
        let mut changed = tls.clone();
        change(&mut changed);
        table(&changed)
    };
    let members = "[[members]]\nnode = \"n1\"\npeer = \"127.0.0.1:1\"\n";
    let near = "client = \"127.0.0.1:0\"\npeer = \"127.0.0.1:0\"\n";
    let far = "client = \"0.0.0.0:0\"\npeer = \"127.0.0.1:0\"\n";
    let named =
        "client = \"0.0.0.0:0\"\nadvertise_client = \"db1.example:7001\"\npeer = \"127.0.0.1:0\"\n";
    let cases: [(&str, String, &[&str]); 15] = [
        (
            named,
            table(&tls),
            &[
                "everybody who reaches it may do everything",
                "make an access file",
            ],
        ),
        (
            near,
            String::new(),
            &["there is no `[tls]`", "serve --insecure"],
        ),
        (
            near,
            format!("insecure = true\n{}", table(&tls)),
            &["both `[tls]` and `insecure = true`"],
        ),
        (
            near,
            with(&|tls| tls.peer_ca = None),
            &["`tls.peer_ca` is missing", "rejoin cert node"],
        ),
        (
            near,
            "[tls]\nca = \"x\"\n".to_owned(),
            &["unknown field `ca`"],
        ),
        (
            far,
            "insecure = true\n".to_owned(),
            &["`client` is 0.0.0.0:0", "without `[tls]`"],
        ),
        (
            far,
            table(&tls),
            &["an address that nobody can dial", "advertise_client"],
        ),
        (
            near,
            with(&|tls| tls.key = Some(open_key.clone())),
            &["chmod 600"],
        ),
        (
            near,
            with(&|tls| tls.key = other.key.clone()),
            &["does not fit the certificate"],
        ),
        (
            near,
            with(&|tls| {
                tls.peer_certificate = other.peer_certificate.clone();
                tls.peer_key = other.peer_key.clone();
            }),
            &["is the certificate of node n2, and this is node n1"],
        ),
        (
            near,
            with(&|tls| tls.certificate = tls.key.clone()),
            &["has no certificate in PEM form"],
        ),
        (
            near,
            with(&|tls| {
                tls.peer_ca = tls.client_ca.clone();
                tls.peer_crl = None;
            }),
            &["is not good for"],
        ),
        (
            near,
            with(&|tls| tls.peer_crl = tls.client_crl.clone()),
            &["it would revoke nothing"],
        ),
        (
            near,
            with(&|tls| tls.client_crl = tls.client_ca.clone()),
            &[
                "no usable list of revoked certificates",
                "rejoin cert revoke",
            ],
        ),
        (
            near,
            with(&|tls| tls.client_ca = None),
            &["`tls.client_crl` is given without `tls.client_ca`"],
        ),
    ];
    for (listeners, rest, hints) in cases {
        let file = registry.path("node.toml");
        let data = registry.path("data");
        let (before, after) = match rest.starts_with("insecure") {
            true => rest.split_at(rest.find('\n').map_or(0, |end| end + 1)),
            false => ("", rest.as_str()),
        };
        let text = format!(
            "node = \"n1\"\ndata = \"{}\"\n{listeners}{before}{members}{after}",
            data.display()
        );
        std::fs::write(&file, text).expect("written");
        let refused = fails(&["serve", "--config", &file.display().to_string()]).await;
        let last = refused.lines().last().unwrap_or_default();
        for hint in hints {
            assert!(last.contains(hint), "{hint:?} in {refused}");
        }
        assert!(!data.exists(), "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_names_a_caller_of_the_access_file_and_a_strange_peer_is_written_down() {
    let stage = Secured::asking().await;
    let operator = stage.node(0).await;
    for bucket in ["notes", "secrets"] {
        operator.create(bucket, proto::Properties::default()).await;
    }
    for name in ["anna", "stranger"] {
        stage.registry.client(name, name).await;
    }
    let anna = stage.registry.shown_by("anna", "anna");
    let anna = stage.node_for(1, &anna).await;
    let put = anna.try_put(putting("notes", "key", "from anna")).await;
    assert!(put.is_ok(), "{put:?}");
    let refused = anna.try_put(putting("secrets", "key", "from anna")).await;
    assert_eq!(
        refused.expect_err("no grant").code(),
        Code::PermissionDenied
    );
    let stranger = stage.registry.shown_by("stranger", "stranger");
    for tls in [stranger, stage.registry.tls()] {
        let unknown = stage.node_for(2, &tls).await;
        let refused = unknown
            .try_put(putting("notes", "key", "from nobody"))
            .await;
        assert_eq!(
            refused.expect_err("not known").code(),
            Code::Unauthenticated
        );
    }
    let mut plain = TcpStream::connect(stage.peer_address(0).await)
        .await
        .expect("it listens");
    plain.write_all(b"hello").await.expect("it is sent");
    let audit = stage.registry.path("cluster/n1/audit.log");
    until("the audit log tells of the strange peer", async || {
        let lines = std::fs::read_to_string(&audit).unwrap_or_default();
        lines
            .lines()
            .any(|line| line.contains("\"peer-refused\"") && line.contains("plain text"))
    })
    .await;
    stage.end().await;
}
