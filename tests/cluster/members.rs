//! Members come and go on real clusters, under load: nothing acknowledged is lost or answered not-found.

use super::stage::{Node, PATIENCE, Stage, error_info, getting, plugin_bytes, putting, until};
use rejoin::cli::plugin::push;
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// Between two requests of the load: some 200 a second.
const PAUSE: Duration = Duration::from_millis(5);

/// A client that writes new keys and reads old ones, and demands that every acknowledged key is found.
struct Load {
    stopping: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Report>,
}

#[derive(Debug, Default)]
struct Report {
    acknowledged: Vec<usize>,
    reads: usize,
    failed_reads: usize,
    failed_writes: usize,
    missing: Vec<usize>,
}

impl Load {
    fn start(nodes: Vec<Node>) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(work(nodes, Arc::clone(&stopping), Arc::clone(&written)));
        Self {
            stopping,
            written,
            task,
        }
    }

    /// So many more writes have been acknowledged.
    async fn more(&self, writes: usize) {
        let end = self.written.load(Ordering::Relaxed) + writes;
        until("the load goes on", async || {
            self.written.load(Ordering::Relaxed) >= end
        })
        .await;
    }

    async fn end(self) -> Report {
        self.stopping.store(true, Ordering::Relaxed);
        self.task.await.expect("the load does not panic")
    }
}

async fn work(nodes: Vec<Node>, stopping: Arc<AtomicBool>, written: Arc<AtomicUsize>) -> Report {
    let mut report = Report::default();
    for number in 0.. {
        if stopping.load(Ordering::Relaxed) {
            break;
        }
        let node = &nodes[number % nodes.len()];
        match node
            .try_put(putting("load", &name(number), &name(number)))
            .await
        {
            Ok(_) => {
                report.acknowledged.push(number);
                written.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => report.failed_writes += 1,
        }
        if !report.acknowledged.is_empty() {
            let any = report.acknowledged[(number * 7919) % report.acknowledged.len()];
            let node = &nodes[(number + 1) % nodes.len()];
            report.reads += 1;
            match node.try_get(getting("load", &name(any))).await {
                Ok(reply) if reply.values.is_empty() => report.missing.push(any),
                Ok(_) => {}
                Err(_) => report.failed_reads += 1,
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    report
}

fn name(number: usize) -> String {
    format!("key-{number}")
}

impl Report {
    fn check(&self) {
        assert!(self.missing.is_empty(), "not found: {:?}", self.missing);
        let failed = self.failed_reads + self.failed_writes;
        let all = self.reads + self.acknowledged.len();
        assert!(failed * 100 <= all, "{failed} of {all} requests failed");
    }
}

/// Every acknowledged key is on each of its primaries.
async fn all_keys_are_on_their_primaries(stage: &Stage, places: &[usize], report: &Report) {
    let mut nodes = Vec::new();
    for place in places {
        nodes.push(stage.node(*place).await);
    }
    let names: Vec<&str> = stage.cluster.names().collect();
    for number in report.acknowledged.iter().step_by(17) {
        let key = name(*number);
        let list = nodes[0].preference("load", &key).await.nodes;
        for owner in &list[..3] {
            let place = names.iter().position(|name| name == owner).expect("a node");
            let node = stage.node(place).await;
            let end = Instant::now() + PATIENCE;
            while node.record("load", &key).await.siblings.is_empty() {
                assert!(Instant::now() < end, "{owner} does not hold {key}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn with_load_bucket(stage: &Stage) {
    let node = stage.node(0).await;
    node.create("load", proto::Properties::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_the_token_joins_by_itself_under_load_and_leaves_again() {
    let mut stage = Stage::with_spares(StorageEngine::Sled, 3, 1).await;
    with_load_bucket(&stage).await;
    let node = stage.node(0).await;
    let load = Load::start(stage.nodes().await);
    load.more(100).await;
    stage.restart(3).await;
    node.settles_with(4).await;
    load.more(100).await;
    let joined = stage.node(3).await.members().await;
    let newcomer = joined.nodes.iter().find(|node| node.node == "n4");
    assert!(newcomer.expect("it is listed").partitions_held > 100);
    node.change(proto::change_request::Wish::Leave("n4".to_owned()), true)
        .await;
    node.settles_with(3).await;
    load.more(100).await;
    let report = load.end().await;
    report.check();
    all_keys_are_on_their_primaries(&stage, &[0, 1, 2], &report).await;
    let left = node.members().await;
    let what: Vec<&str> = left.log.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(what, ["join n4", "leave n4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_looked_at_before_it_is_committed_and_changes_nothing_by_itself() {
    let stage = Stage::of(4).await;
    let node = stage.node(1).await;
    let before = node.status().await.ring_hash;
    let leave = proto::change_request::Wish::Leave("n3".to_owned());
    let plan = node.change(leave.clone(), false).await;
    assert!(!plan.is_committed);
    assert_eq!(plan.version, 2);
    let leaver = plan.shares.iter().find(|share| share.node == "n3");
    let leaver = leaver.expect("it is listed");
    assert!(leaver.before > 0 && leaver.after == 0);
    assert_eq!(node.status().await.ring_hash, before);
    let overtaken = proto::ChangeRequest {
        wish: Some(leave),
        commit: true,
        expected_version: 7,
        force: false,
    };
    let asked = node.connection.request(overtaken);
    let refused = node.connection.cluster().change(asked).await;
    assert_eq!(refused.expect_err("another plan").code(), Code::Aborted);
    assert_eq!(node.status().await.ring_hash, before);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_member_is_removed_by_command_and_its_copies_are_made_again() {
    let mut stage = Stage::of(4).await;
    with_load_bucket(&stage).await;
    let load = Load::start(vec![stage.node(0).await, stage.node(1).await]);
    load.more(150).await;
    stage.kill(3).await;
    load.more(50).await;
    let node = stage.node(0).await;
    node.change(proto::change_request::Wish::Remove("n4".to_owned()), true)
        .await;
    node.settles_with(3).await;
    load.more(50).await;
    let report = load.end().await;
    assert!(report.missing.is_empty(), "not found: {:?}", report.missing);
    all_keys_are_on_their_primaries(&stage, &[0, 1, 2], &report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stop_button_keeps_a_newcomer_waiting_until_it_is_released() {
    let mut stage = Stage::with_spares(StorageEngine::Sled, 3, 1).await;
    let node = stage.node(0).await;
    let paused = proto::SetPolicyRequest {
        paused: Some(true),
        ..proto::SetPolicyRequest::default()
    };
    assert!(node.set_policy(paused).await.paused);
    stage.restart(3).await;
    until("the newcomer is heard of", async || {
        let members = node.members().await;
        let wanting = proto::Role::WantsToJoin;
        members.nodes.iter().any(|node| node.role() == wanting)
    })
    .await;
    let released = proto::SetPolicyRequest {
        paused: Some(false),
        ..proto::SetPolicyRequest::default()
    };
    node.set_policy(released).await;
    node.settles_with(4).await;
    let names: BTreeSet<String> = node
        .members()
        .await
        .nodes
        .into_iter()
        .map(|n| n.node)
        .collect();
    assert_eq!(names.len(), 4);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_cluster_creates_no_bucket_takes_no_plugin_and_says_what_to_do() {
    let mut stage = Stage::with_spares(StorageEngine::Sled, 1, 1).await;
    stage.cluster.isolate(1);
    stage.restart(1).await;
    let lonely = stage.node(1).await;
    let asked = proto::CreateBucketRequest {
        bucket: "notes".to_owned(),
        ..proto::CreateBucketRequest::default()
    };
    let created = lonely.try_create(asked.clone()).await.map(drop);
    let plugin = plugin_bytes("shopping-cart.wasm");
    let pushed = push(plugin, &lonely.connection).await.map(drop);
    let pushed = pushed.map_err(|error| error.downcast::<Status>().expect("a status"));
    for refused in [created, pushed].map(|outcome| outcome.expect_err("it has no cluster")) {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert_eq!(error_info(&refused).0, "NO_CLUSTER");
        assert!(refused.message().contains("ask a member"), "{refused}");
    }
    stage.cluster.rejoin(1);
    lonely.settles_with(2).await;
    let properties = proto::Properties {
        n: Some(2),
        ..proto::Properties::default()
    };
    let asked = proto::CreateBucketRequest {
        properties: Some(properties),
        ..asked
    };
    lonely
        .try_create(asked)
        .await
        .expect("a member like any other");
    stage.end().await;
}
