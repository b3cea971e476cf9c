//! Processes from outside: signals, folders, configurations, health and reflection.

use super::stage::{Node, PATIENCE, Stage, getting, putting, rejoin_binary, until};
use rejoin::wire::proto::v1 as proto;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// Far below the time after which a node is killed instead.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn sigterm_ends_a_node_with_status_0_though_clients_and_peers_are_connected() {
    let mut stage = Stage::of(3).await;
    let node = stage.node(0).await;
    node.create("notes", proto::Properties::default()).await;
    let busy = tokio::spawn(get_for_ever(node.clone()));
    let stopped = timeout(STOPS_WITHIN, stage.cluster.stop_node(0)).await;
    let well = stopped.expect("within seconds").expect("it was there");
    assert!(well, "exit status 0");
    busy.await
        .expect("requests end with a status, not with a panic");
    stage.node(1).await.reaches(1).await;
    stage.restart(0).await;
    stage.all_connected().await;
    stage.end().await;
}

/// Until the node says that it is gone.
async fn get_for_ever(node: Node) {
    while node.try_get(getting("notes", "key")).await.is_ok() {}
}

/// Runs `rejoin` until it ends.
async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = Command::new(rejoin_binary())
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends");
    output.expect("it starts")
}

fn check_refusal(output: &Output, hints: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(output.stdout.is_empty(), "it was never ready");
    for hint in hints {
        assert!(errors.contains(hint), "{hint:?} in {errors}");
    }
    let last = errors.lines().last().unwrap_or_default();
    for hint in hints {
        assert_eq!(last.matches(hint).count(), 1, "said once: {last}");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let stage = Stage::of(1).await;
    let file = stage.cluster.config_file(0);
    let output = run(&["serve", "--config", &file.display().to_string()], &[]).await;
    check_refusal(
        &output,
        &[
            "in use by another rejoin process",
            "a data folder of its own",
        ],
    );
    assert_eq!(stage.node(0).await.status().await.storage, "sled");
    stage.end().await;
}

/// A configuration of one node on free ports.
fn configuration(folder: &Path) -> String {
    format!(
        "node = \"n1\"\ndata = \"{}\"\nclient = \"127.0.0.1:0\"\npeer = \"127.0.0.1:0\"\ninsecure = true\n\
         [[members]]\nnode = \"n1\"\npeer = \"127.0.0.1:1\"\n",
        folder.join("data").display()
    )
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_its_fix_and_makes_no_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = configuration(folder.path());
    let (node, client) = ("node = \"n1\"\ndata", "client = \"127.0.0.1:0\"");
    let cases: [(&str, &str, &[&str]); 14] = [
        (
            client,
            "clinet = \"127.0.0.1:0\"",
            &["unknown field `clinet`", "`client`"],
        ),
        (
            client,
            "client = \"0.0.0.0:0\"",
            &["`client` is 0.0.0.0:0", "loopback"],
        ),
        (
            "peer = \"127.0.0.1:0\"",
            "peer = \"10.0.0.1:7\"",
            &["`peer` is 10.0.0.1:7"],
        ),
        (
            client,
            "client = \"localhost\"",
            &["invalid socket address"],
        ),
        (
            node,
            "node = \"n2\"\ndata",
            &["does not list this node, n2", "themselves included"],
        ),
        (
            node,
            "node = \"N1\"\ndata",
            &["`node`", "has 'N'; use lower-case letters"],
        ),
        (client, "partitions = 0", &["0 partitions; give 1 to 4096"]),
        (
            client,
            "plugin_bytes_max = 0",
            &["`plugin_bytes_max` is 0; give 1 to"],
        ),
        (
            "peer = \"127.0.0.1:1\"",
            "peer = \"127.0.0.1:1\"\nweight = 0",
            &["weight 0; give 1"],
        ),
        (
            client,
            "storage = \"rocks\"",
            &["`storage` is \"rocks\"", "give \"sled\""],
        ),
        (
            client,
            "metrics = \"0.0.0.0:9\"",
            &["`metrics` is 0.0.0.0:9", "loopback"],
        ),
        (
            client,
            "suspect_ms = 5",
            &["`suspect_ms` is 5; give 100 to 60000"],
        ),
        (
            client,
            "hint_retry_ms = 16001",
            &["`hint_retry_ms` is 16001; give 100 to 16000"],
        ),
        (
            client,
            "clock_offset_ms = -86400001",
            &["`clock_offset_ms` is -86400001", "for tests only"],
        ),
    ];
    for (from, to, hints) in cases {
        let file = folder.path().join("node.toml");
        std::fs::write(&file, good.replacen(from, to, 1)).expect("written");
        let output = run(&["serve", "--config", &file.display().to_string()], &[]).await;
        check_refusal(&output, hints);
        assert!(!folder.path().join("data").exists(), "{to}");
    }
}

#[tokio::test]
async fn an_address_in_use_and_a_missing_file_are_named() {
    let stage = Stage::of(1).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("node.toml");
    std::fs::write(&file, configuration(folder.path())).expect("written");
    let file = file.display().to_string();
    let taken = stage.cluster.url(0).replace("http://", "");
    let output = run(&["serve", "--config", &file, "--client", &taken], &[]).await;
    check_refusal(
        &output,
        &[
            &format!("cannot listen on {taken}"),
            "another `client` address",
        ],
    );
    let output = run(&["serve", "--config", "/no/such/file.toml"], &[]).await;
    check_refusal(&output, &["/no/such/file.toml"]);
    stage.end().await;
}

#[tokio::test]
async fn the_environment_is_read_for_fields_and_for_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("node.toml");
    std::fs::write(&file, configuration(folder.path())).expect("written");
    let file = file.display().to_string();
    let output = run(&["serve", "--config", &file], &[("REJOIN_NODE", "n7")]).await;
    check_refusal(&output, &["does not list this node, n7"]);
    // What other commands and the tests read must not stop a node, which inherits it.
    let environment = [
        ("REJOIN_CONFIG", file.as_str()),
        ("REJOIN_SERVER", "http://127.0.0.1:1"),
        ("REJOIN_SEED", "7"),
        ("REJOIN_SHARDS", "1"),
    ];
    let mut node = Command::new(rejoin_binary())
        .arg("serve")
        .envs(environment)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(node.stdout.take().expect("its output")).lines();
    let ready = timeout(PATIENCE, lines.next_line()).await.expect("in time");
    let ready = ready.expect("its output").expect("a line");
    assert!(ready.starts_with("n1 is ready"), "{ready}");
    end(node).await;
}

async fn end(mut node: Child) {
    let pid = node.id().and_then(|id| Pid::from_raw(id as i32));
    kill_process(pid.expect("it runs"), Signal::TERM).expect("it runs");
    let status = timeout(STOPS_WITHIN, node.wait()).await.expect("in time");
    assert!(status.expect("waited for").success());
}

/// A node with these flags and variables, and where its clients find it.
async fn started(file: &str, flags: &[&str], environment: &[(&str, &str)]) -> (Child, String) {
    let mut node = Command::new(rejoin_binary())
        .args(["serve", "--json", "--config", file])
        .args(flags)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(node.stdout.take().expect("its output")).lines();
    let ready = timeout(PATIENCE, lines.next_line()).await.expect("in time");
    let ready = ready.expect("its output").expect("a line");
    let ready: serde_json::Value = serde_json::from_str(&ready).expect("JSON");
    let client = ready["client"].as_str().expect("an address");
    (node, format!("http://{client}"))
}

#[tokio::test]
async fn a_node_tells_the_addresses_that_it_is_told_and_a_wrong_clock_stands_in_what_it_writes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("node.toml");
    std::fs::write(&file, configuration(folder.path())).expect("written");
    let hour_ms = 3_600_000;
    let flags = [
        "--bind-client",
        "127.0.0.1:0",
        "--bind-peer",
        "127.0.0.1:0",
        "--advertise-client",
        "db.example:7001",
        "--advertise-peer",
        "db.example:7101",
    ];
    let environment = [("REJOIN_CLOCK_OFFSET_MS", "3600000")];
    let (process, url) = started(&file.display().to_string(), &flags, &environment).await;
    let node = Node::at(&url).await;
    until("it has made itself known", async || {
        node.members().await.nodes[0].client_address == "db.example:7001"
    })
    .await;
    assert_eq!(
        node.members().await.nodes[0].peer_address,
        "db.example:7101"
    );
    let alone = proto::Properties {
        n: Some(1),
        r: Some(1),
        w: Some(1),
        ..proto::Properties::default()
    };
    node.create("notes", alone).await;
    let stored = node.try_put(putting("notes", "key", "value")).await;
    stored.expect("the put");
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    let stored = node.record("notes", "key").await.siblings[0].clone();
    let written_at_ms = stored.value.expect("a value").written_at_ms;
    let ahead_ms = written_at_ms as i128 - now.as_millis() as i128;
    assert!((ahead_ms - hour_ms).abs() < 60_000, "{ahead_ms} ms ahead");
    end(process).await;
}

async fn channel(stage: &Stage) -> Channel {
    let endpoint = Endpoint::from_shared(stage.cluster.url(0)).expect("a URL");
    endpoint
        .connect()
        .await
        .expect("the node takes connections")
}

#[tokio::test]
async fn health_says_serving() {
    let stage = Stage::of(1).await;
    let mut health = HealthClient::new(channel(&stage).await);
    for service in ["", "rejoin.v1.Kv"] {
        let service = service.to_owned();
        let reply = health.check(HealthCheckRequest { service }).await;
        let reply = reply.expect("an answer").into_inner();
        assert_eq!(reply.status(), ServingStatus::Serving);
    }
    let service = "no.such.Service".to_owned();
    let refused = health.check(HealthCheckRequest { service }).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    stage.end().await;
}

async fn reflect(stage: &Stage, message: MessageRequest) -> MessageResponse {
    let mut reflection = ServerReflectionClient::new(channel(stage).await);
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let asked = tokio_stream::once(asked);
    let replies = reflection.server_reflection_info(asked).await;
    let mut replies = replies.expect("a stream").into_inner();
    let reply = replies.message().await.expect("an answer");
    reply.and_then(|reply| reply.message_response).expect("one")
}

#[tokio::test]
async fn reflection_lists_what_is_served_and_describes_it() {
    let stage = Stage::of(1).await;
    let listed = reflect(&stage, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else {
        panic!("{listed:?}");
    };
    let mut names: Vec<String> = listed.service.into_iter().map(|s| s.name).collect();
    names.sort();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "rejoin.v1.Backups",
        "rejoin.v1.Buckets",
        "rejoin.v1.Cluster",
        "rejoin.v1.Kv",
        "rejoin.v1.Plugins",
    ];
    assert_eq!(names, expected, "and not what is on the peer listener");
    let symbol = MessageRequest::FileContainingSymbol("rejoin.v1.Kv".to_owned());
    let described = reflect(&stage, symbol).await;
    let MessageResponse::FileDescriptorResponse(files) = described else {
        panic!("{described:?}");
    };
    assert!(!files.file_descriptor_proto.is_empty());
    stage.end().await;
}
