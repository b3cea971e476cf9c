//! The command line against real clusters: JSON for programs, exit statuses, `dev` and its demonstration.

use super::stage::{Node, PATIENCE, Stage, getting, rejoin_binary, texts};
use rejoin::wire::proto::v1 as proto;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// `rejoin` against one node.
pub struct Shell {
    pub url: String,
}

impl Shell {
    async fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(rejoin_binary())
            .args(arguments)
            .args(["--server", &self.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("its input");
        // A command that reads nothing may have ended already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = timeout(PATIENCE, child.wait_with_output()).await;
        output.expect("it ends").expect("waited for")
    }

    /// The lines of a command that succeeds, each a JSON object.
    async fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.run(&arguments, "").await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        lines(&output)
    }

    /// The one line of a command that succeeds.
    pub async fn line(&self, arguments: &[&str]) -> Value {
        let mut lines = self.lines(arguments).await;
        assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
        lines.remove(0)
    }

    /// What a command that fails says.
    pub async fn error(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "").await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

/// A plugin of this repository.
fn plugin_file(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/bin");
    file.join(name).display().to_string()
}

async fn shell() -> (Stage, Shell) {
    let stage = Stage::of(3).await;
    let url = stage.cluster.url(1);
    (stage, Shell { url })
}

#[tokio::test]
async fn put_get_and_delete_speak_json_and_their_contexts_fit_each_other() {
    let (stage, shell) = shell().await;
    shell.line(&["bucket", "create", "notes"]).await;
    let first = shell
        .line(&["put", "notes", "key", "apple", "--meta", "by=anna"])
        .await;
    assert_eq!(
        (&first["siblings"], &first["replicas_answered"]),
        (&json!(1), &json!(2))
    );
    let context = first["context"].as_str().expect("hexadecimal");
    shell
        .line(&[
            "put",
            "notes",
            "key",
            "pear",
            "--context",
            context,
            "--w",
            "3",
        ])
        .await;
    shell
        .line(&[
            "put", "notes", "key", "plum", "--w", "3", "--ack", "buffered",
        ])
        .await;
    let found = shell
        .line(&["get", "notes", "key", "--siblings", "--r", "3"])
        .await;
    assert_eq!(found["found"], json!(true));
    assert_eq!(found["resolved"]["resolution"], json!("siblings"));
    assert_eq!(found["values"].as_array().map(Vec::len), Some(2));
    assert_eq!(found["siblings"].as_array().map(Vec::len), Some(2));
    shell
        .line(&["put", "notes", "key", "one", "--replace", "--w", "3"])
        .await;
    let found = shell.line(&["get", "notes", "key"]).await;
    assert_eq!(found["values"][0]["value"], json!("one"));
    let deleted = shell.line(&["delete", "notes", "key", "--w", "3"]).await;
    assert_eq!(deleted["siblings"], json!(0));
    let gone = shell.run(&["get", "notes", "key", "--json"], "").await;
    assert_eq!(gone.status.code(), Some(1), "not found");
    assert_eq!(lines(&gone)[0]["found"], json!(false));
    stage.end().await;
}

#[tokio::test]
async fn keys_are_listed_one_in_a_line_and_puts_can_be_conditional_and_temporary() {
    let (stage, shell) = shell().await;
    shell.line(&["bucket", "create", "notes"]).await;
    assert!(shell.lines(&["keys", "notes"]).await.is_empty());
    for key in ["anna", "arno", "bert"] {
        let stored = ["put", "notes", key, "v", "--w", "3", "--if-absent"];
        shell.line(&stored).await;
    }
    let refused = shell
        .error(&["put", "notes", "anna", "w", "--if-absent"])
        .await;
    assert!(refused.contains("the key was to be absent"), "{refused}");
    shell
        .line(&[
            "put",
            "notes",
            "arno",
            "w",
            "--replace",
            "--if-context",
            "--ttl-ms",
            "1",
            "--w",
            "3",
        ])
        .await;
    super::stage::until("it expires", async || {
        !shell
            .run(&["get", "notes", "arno"], "")
            .await
            .status
            .success()
    })
    .await;
    let listed = shell.lines(&["keys", "notes"]).await;
    let mut keys: Vec<&str> = listed
        .iter()
        .filter_map(|line| line["key"].as_str())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["anna", "bert"]);
    assert_eq!(
        shell.lines(&["keys", "notes", "--limit", "1"]).await.len(),
        1
    );
    let prefixed = shell.line(&["keys", "notes", "--prefix", "b"]).await;
    assert_eq!(prefixed["key"], json!("bert"));
    stage.end().await;
}

#[tokio::test]
async fn a_value_comes_from_standard_input_and_goes_to_standard_output_alone() {
    let (stage, shell) = shell().await;
    shell.line(&["bucket", "create", "notes"]).await;
    let stored = shell
        .run(&["put", "notes", "key", "-"], "from a pipe")
        .await;
    assert!(stored.status.success());
    let found = shell.run(&["get", "notes", "key"], "").await;
    assert_eq!(String::from_utf8_lossy(&found.stdout), "from a pipe\n");
    assert!(String::from_utf8_lossy(&found.stderr).contains("context: "));
    stage.end().await;
}

#[tokio::test]
async fn plugins_buckets_and_the_cluster_speak_json() {
    let (stage, shell) = shell().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/bin/shopping-cart.wasm");
    let file = file.display().to_string();
    let pushed = shell.line(&["plugin", "push", &file]).await;
    assert_eq!(
        (&pushed["nodes_ready"], &pushed["roles"]),
        (&json!(3), &json!(["resolver"]))
    );
    let digest = pushed["digest"].as_str().expect("a digest");
    let create = [
        "bucket",
        "create",
        "carts",
        "--resolver",
        "shopping-cart",
        "--w",
        "3",
    ];
    let created = shell.line(&create).await;
    assert_eq!(created["resolver"]["plugin"], json!(digest));
    assert_eq!(
        (&created["w"], &created["policy"]),
        (&json!(3), &json!("resolver"))
    );
    let short = &digest[..8];
    let changed = [
        "bucket",
        "create",
        "carts",
        "--resolver",
        short,
        "--replace",
    ];
    assert_eq!(shell.line(&changed).await["w"], json!(2));
    assert_eq!(
        shell.line(&["bucket", "describe", "carts"]).await["n"],
        json!(3)
    );
    assert_eq!(shell.lines(&["bucket", "list"]).await.len(), 1);
    let listed = shell.line(&["plugin", "list"]).await;
    assert_eq!(
        (&listed["is_ready"], &listed["buckets"]),
        (&json!(true), &json!(["carts"]))
    );
    check_cluster(&shell).await;
    stage.end().await;
}

async fn check_cluster(shell: &Shell) {
    shell
        .line(&["put", "carts", "anna", r#"{"items":{}}"#, "--w", "3"])
        .await;
    let status = shell.line(&["cluster", "status"]).await;
    assert_eq!(
        (&status["node"], &status["durable_available"]),
        (&json!("n2"), &json!(true))
    );
    assert_eq!(status["peers"].as_array().map(Vec::len), Some(2));
    let ring = shell.line(&["cluster", "ring"]).await;
    assert_eq!(ring["partitions"].as_array().map(Vec::len), Some(256));
    let preference = shell
        .line(&["cluster", "preference", "carts", "anna"])
        .await;
    assert_eq!(preference["nodes"].as_array().map(Vec::len), Some(3));
    let record = shell.line(&["cluster", "record", "carts", "anna"]).await;
    assert_eq!(record["siblings"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_fails_exits_with_1_and_says_what_to_do() {
    let (stage, shell) = shell().await;
    // Once another node knows the same, this one can say what there is not.
    let node = stage.node(1).await;
    node.create("notes", proto::Properties::default()).await;
    let missing = shell.error(&["get", "nowhere", "key"]).await;
    assert!(
        missing.contains("rejoin bucket create nowhere"),
        "{missing}"
    );
    let missing = shell
        .error(&["bucket", "create", "carts", "--resolver", "nobody"])
        .await;
    assert!(missing.contains("rejoin plugin push"), "{missing}");
    let text = shell.error(&["plugin", "push", file!()]).await;
    assert!(text.contains("P003") && text.contains("build it"), "{text}");
    let context = shell
        .error(&["put", "notes", "key", "value", "--context", "xyz"])
        .await;
    assert!(context.contains("not hexadecimal"), "{context}");
    let nobody = Shell {
        url: "http://127.0.0.1:1".to_owned(),
    };
    let silence = nobody.error(&["cluster", "status"]).await;
    assert!(
        silence.contains("no node answers at http://127.0.0.1:1"),
        "{silence}"
    );
    assert!(silence.contains("rejoin dev"), "{silence}");
    let misused = shell.run(&["put", "notes"], "").await;
    assert_eq!(misused.status.code(), Some(2));
    stage.end().await;
}

#[tokio::test]
async fn the_demonstration_ends_well_and_shows_the_merged_cart() {
    let demo = Command::new(rejoin_binary())
        .args(["dev", "--demo"])
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, demo)
        .await
        .expect("it ends")
        .expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(
        told.contains(r#"came out  {"items":{"bread":2,"eggs":12,"milk":1}}"#),
        "{told}"
    );
    assert!(told.contains("All steps went as told."), "{told}");
}

/// `rejoin dev` in a process group of its own, as a terminal would start it.
struct Dev {
    child: Child,
    url: String,
}

impl Dev {
    async fn start(folder: &Path) -> Self {
        let mut child = Command::new(rejoin_binary())
            .args(["dev", "--port", "0", "--json", "--data"])
            .arg(folder)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("in time");
        let line = line.expect("its output").expect("a line");
        let started: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(started["nodes"], json!(["n1", "n2", "n3"]));
        let url = started["urls"][0].as_str().expect("a URL").to_owned();
        Self { child, url }
    }

    /// What Ctrl-C does: the nodes are told as well.
    async fn interrupt(mut self) {
        let group = self.child.id().and_then(|id| Pid::from_raw(id as i32));
        kill_process_group(group.expect("it runs"), Signal::INT).expect("it runs");
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends");
        let status = status.expect("waited for");
        assert!(status.success(), "{status}");
    }
}

#[tokio::test]
async fn dev_ends_well_on_ctrl_c_and_takes_its_folder_up_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start(folder.path()).await;
    let node = Node::at(&dev.url).await;
    node.reaches(2).await;
    node.create("notes", proto::Properties::default()).await;
    node.put("notes", "key", "kept").await;
    dev.interrupt().await;
    let dev = Dev::start(folder.path()).await;
    let node = Node::at(&dev.url).await;
    node.reaches(2).await;
    let found = node
        .try_get(getting("notes", "key"))
        .await
        .expect("the get");
    assert_eq!(texts(&found), ["kept"]);
    dev.interrupt().await;
}

#[tokio::test]
async fn guests_are_limited_measured_quoted_and_tried_out_from_the_command_line() {
    let (stage, shell) = shell().await;
    let plugins = ["shopping-cart.wasm", "cart-validator.wasm"].map(plugin_file);
    for file in &plugins {
        shell.line(&["plugin", "push", file]).await;
    }
    let limits = [
        "--resolver-limit",
        "wall_ms=500",
        "--resolver-limit",
        "memory_bytes=4194304",
    ];
    let create = ["bucket", "create", "carts", "--resolver", "shopping-cart"];
    let shown = ["--merge-on-put", "false"];
    let made = shell.line(&[&create[..], &shown, &limits].concat()).await;
    assert_eq!(made["resolver_limits"]["wall_ms"], 500);
    assert_eq!(made["resolver_limits"]["memory_bytes"], 4_194_304);
    assert_eq!(
        (&made["validator_limits"], &made["validator_warns"]),
        (&Value::Null, &json!(false))
    );
    let beyond = ["bucket", "create", "other", "--resolver", "shopping-cart"];
    let refused = shell
        .error(&[&beyond[..], &["--resolver-limit", "wall_ms=9000"]].concat())
        .await;
    assert!(
        refused.contains("wall_ms = 9000; give 20 to 2000"),
        "{refused}"
    );
    for cart in [r#"{"items":{"milk":1}}"#, r#"{"items":{"milk":1000}}"#] {
        shell.line(&["put", "carts", "anna", cart]).await;
    }
    assert_eq!(
        shell.lines(&["bucket", "conflicts", "carts"]).await,
        [json!({"key": "anna"})]
    );
    shell.line(&["get", "carts", "anna"]).await;
    let stats = shell.line(&["plugin", "stats", "carts"]).await;
    assert_eq!(
        (&stats["calls"], &stats["breaker"]),
        (&json!(1), &json!("closed"))
    );
    assert_eq!(stats["outcomes"], json!({"merged": 1}));
    assert!(
        shell
            .lines(&["plugin", "logs", "shopping-cart"])
            .await
            .is_empty()
    );
    let tried = ["bucket", "validate", "carts", "--plugin", "cart-validator"];
    let tried = shell.line(&tried).await;
    assert_eq!(
        (&tried["keys_judged"], &tried["keys_refused"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(tried["findings"][0]["code"], "maximum");
    stage.end().await;
}
