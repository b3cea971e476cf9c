//! Hostile plugins on a living cluster: no node dies, other buckets go on, siblings and the reason come back.
//!
//! Each of them behaves when it is uploaded and turns when it sees a value that begins with `!`, so that nothing
//! but the sandbox stands between it and the node. What the door refuses is the sandbox tests' affair, except for
//! bombs, which cost a node something before it knows what they are.
//!
//! Invariant: no time is asserted but the deadline that the client itself gave.

use super::stage::{Node, Stage, bound, getting, putting, resolved, texts};
use super::written_plugins::sleeper;
use bytes::Bytes;
use rejoin::cli::connection::Connection;
use rejoin::wire::proto::v1 as proto;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tonic::Code;

/// What they do, and what the client is told.
const HOSTILE: [(&str, &str, &str); 13] = [
    ("trap", "unreachable", "R001"),
    ("loop", "(loop $l (br $l)) unreachable", "R002"),
    (
        "memory",
        "(loop $l (br_if $l (i32.ne (i32.const -1) (call $grow (i32.const 16))))) unreachable",
        "R001",
    ),
    (
        "table",
        "(loop $l (br_if $l (i32.ne (i32.const -1) (call $grow-table (i32.const 100))))) unreachable",
        "R001",
    ),
    (
        "recursion",
        "(drop (call $recurse (i32.const 0))) unreachable",
        "R001",
    ),
    (
        "giant",
        "(drop (call $grow (i32.const 900))) (call $answer (i32.const 0) (i32.const 0) (i32.const 58000000))",
        "R004",
    ),
    (
        "nowhere",
        "(call $answer (i32.const 0) (i32.const -9) (i32.const -1))",
        "R004",
    ),
    (
        "unknown",
        "(call $answer (i32.const 9) (i32.const 0) (i32.const 0))",
        "R004",
    ),
    (
        "unreadable",
        "(call $answer (i32.const 3) (i32.const 320) (i32.const 9))",
        "R004",
    ),
    (
        "picker",
        "(call $answer (i32.const 2) (i32.const 9) (i32.const 0))",
        "R004",
    ),
    (
        "negative",
        "(call $answer (i32.const 2) (i32.const -1) (i32.const 0))",
        "R004",
    ),
    (
        "flood",
        "(loop $l (call $emit (i32.const 0) (i32.const 70000) (i32.const 60000)) (br $l)) unreachable",
        "R002",
    ),
    ("askew", "(i32.const 65)", "R004"),
];
/// Fewer than make a breaker open, which would answer in the plugin's place.
const READS: usize = 3;
const CLIENT_DEADLINE: Duration = Duration::from_secs(10);
/// What a node may hold on to after all that: pools that stay resident, and what the load itself stored.
const GROWTH_KIB_MAX: u64 = 96 * 1024;

/// Clients of another bucket who never stop while the hostile ones are at work.
struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn on(stage: &Stage) -> Self {
        let load = Self {
            is_over: Arc::default(),
            answered: Arc::default(),
            clients: Vec::new(),
        };
        let nodes = stage.nodes().await;
        nodes[0].create("notes", proto::Properties::default()).await;
        load.with(nodes)
    }

    fn with(mut self, nodes: Vec<Node>) -> Self {
        for (place, node) in nodes.into_iter().enumerate() {
            let (is_over, answered) = (Arc::clone(&self.is_over), Arc::clone(&self.answered));
            self.clients.push(tokio::spawn(async move {
                for turn in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let (key, value) = (format!("{place}-{}", turn % 50), turn.to_string());
                    let mut asked = putting("notes", &key, &value);
                    asked.context = node.get("notes", &key).await.context;
                    node.try_put(asked)
                        .await
                        .expect("the other bucket takes writes");
                    let found = node.get("notes", &key).await;
                    assert_eq!(texts(&found), [value], "the other bucket answers");
                    answered.fetch_add(3, Ordering::Relaxed);
                }
            }));
        }
        self
    }

    async fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no request of the other bucket failed");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_resolvers_cost_their_bucket_its_merges_and_nobody_else_anything() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    let load = Load::on(&stage).await;
    let before: Vec<u64> = (0..3)
        .map(|place| resident_kib(stage.process(place)))
        .collect();
    for (name, body, reason) in HOSTILE {
        let pushed = nodes[0].push(sleeper(name, body)).await;
        let digest = pushed.plugin.expect("a description").digest;
        let properties = proto::Properties {
            resolver: Some(proto::Binding {
                fuel: 1_000_000,
                ..bound(&digest)
            }),
            ..proto::Properties::default()
        };
        nodes[0].create(name, properties).await;
        check_behaves(&nodes, name).await;
        check_hostile(&nodes, name, reason).await;
    }
    let answered = load.end().await;
    assert!(answered > 0, "the other bucket was used meanwhile");
    for (place, before) in before.into_iter().enumerate() {
        let process = stage.process(place);
        let after = resident_kib(process);
        assert!(
            after < before + GROWTH_KIB_MAX,
            "node {place} went from {before} to {after} KiB"
        );
        assert_eq!(children(process), [0u32; 0], "node {place} left children");
    }
    stage.end().await;
}

/// The plugin is a good one as long as nobody wakes it.
async fn check_behaves(nodes: &[Node], bucket: &str) {
    nodes[0].put(bucket, "calm", "apple").await;
    nodes[1].put(bucket, "calm", "pear").await;
    let found = nodes[2].get(bucket, "calm").await;
    let (_, reason) = resolved(&found.resolved);
    assert!(reason.contains("help me"), "{bucket}: {reason}");
}

async fn check_hostile(nodes: &[Node], bucket: &str, why: &str) {
    nodes[0].put(bucket, "key", "!apple").await;
    nodes[1].put(bucket, "key", "pear").await;
    for turn in 0..READS {
        let asked = nodes[turn % 3].try_get(getting(bucket, "key"));
        let found = tokio::time::timeout(CLIENT_DEADLINE, asked).await;
        let found = found
            .expect("within the client's deadline")
            .expect("an answer");
        assert_eq!(texts(&found), ["!apple", "pear"], "{bucket}");
        let (resolution, reason) = resolved(&found.resolved);
        assert_eq!(resolution, proto::Resolution::Siblings, "{bucket}");
        assert!(reason.contains(why), "{bucket}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_while_others_are_served_and_leave_no_process_behind() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    let load = Load::on(&stage).await;
    for (name, bytes) in bombs() {
        let refused = try_push(&nodes[0].connection, bytes).await;
        let refused = refused.expect_err(name);
        assert!(
            matches!(
                refused.code(),
                Code::InvalidArgument | Code::ResourceExhausted
            ),
            "{name}: {refused}"
        );
        assert!(refused.message().starts_with('P'), "{name}: {refused}");
    }
    assert!(load.end().await > 0);
    assert!(nodes[0].plugins().await.is_empty());
    for place in 0..3 {
        assert_eq!(children(stage.process(place)), [0u32; 0]);
    }
    stage.end().await;
}

async fn try_push(connection: &Connection, bytes: Bytes) -> anyhow::Result<(), tonic::Status> {
    let pushed = rejoin::cli::plugin::push(bytes, connection).await;
    match pushed {
        Ok(_) => Ok(()),
        Err(error) => Err(error.downcast::<tonic::Status>().expect("a status")),
    }
}

/// The shapes that were measured to be dear to compile, in the contract's clothes.
fn bombs() -> Vec<(&'static str, Bytes)> {
    let loops = |count: usize, locals: usize| {
        let one = |i: usize| {
            let (to, from) = (i % locals, (i * 7 + 3) % locals);
            format!(
                "(loop (local.set {to} (i64.add (local.get {from}) (i64.const 1))) (br_if 0 (i64.eqz (local.get {to}))))"
            )
        };
        let body: String = (0..count).map(one).collect();
        format!("(func (local {}) {body})", "i64 ".repeat(locals))
    };
    let nested = |depth: usize| {
        let (open, close) = ("(block ".repeat(depth), ")".repeat(depth));
        let targets: String = (0..depth).map(|i| format!("{i} ")).collect();
        format!("(func (param i32) {open} (br_table {targets} (local.get 0)) {close})")
    };
    let tables = {
        let targets = "0 1 2 3 ".repeat(250);
        let one = format!("(block (block (block (block (br_table {targets} (local.get 0))))))");
        format!("(func (param i32) {})", one.repeat(100))
    };
    let adds = format!(
        "(func (result i64) (i64.const 1) {})",
        "(i64.const 3) i64.add ".repeat(150_000)
    );
    let tiny = "(func (result i32) (i32.const 1))".repeat(100_000);
    vec![
        ("many loops over many locals", bomb(&loops(5_000, 5_000))),
        (
            "loops within the limits, many functions",
            bomb(&loops(2_900, 900).repeat(14)),
        ),
        ("deep blocks and one table", bomb(&nested(20_000))),
        ("wide tables", bomb(&tables)),
        ("one straight line", bomb(&adds)),
        ("many small functions", bomb(&tiny)),
    ]
}

fn bomb(functions: &str) -> Bytes {
    super::written_plugins::resolver_with("bomb", "unreachable", functions)
}

/// KiB that a process has in memory.
fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.expect("a size")
}

/// The processes that a process has started and that are still there.
fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let lists = threads
        .flatten()
        .map(|thread| thread.path().join("children"));
    let lists = lists.filter_map(|list| std::fs::read_to_string(list).ok());
    let all: Vec<String> = lists.collect();
    let words = all.iter().flat_map(|list| list.split_whitespace());
    words.filter_map(|word| word.parse().ok()).collect()
}
