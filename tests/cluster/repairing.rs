//! Anti-entropy between real processes: what a node lost comes back without a read, and then nothing is written.

use super::stage::{Node, PATIENCE, Stage, error_info, getting, putting, rejoin_binary, until};
use rejoin::wire::proto::v1 as proto;
use std::process::Stdio;
use tokio::process::Command;
use tokio::time::timeout;
use tonic::Code;

const KEYS: usize = 60;

fn key(number: usize) -> String {
    format!("key-{number}")
}

/// `rejoin cluster repair --now` against a node, until it ends. What it printed.
async fn repair_now(stage: &Stage, place: usize) -> serde_json::Value {
    let output = Command::new(rejoin_binary())
        .args(["--server", &stage.cluster.url(place), "--json"])
        .args(["cluster", "repair", "--now"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends");
    let output = output.expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

async fn counter(node: &Node, name: &str) -> u64 {
    node.status().await.counters[name]
}

#[tokio::test]
async fn a_founder_on_an_empty_disk_that_hears_nobody_does_not_say_that_there_is_no_bucket() {
    let mut stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    nodes[0].put("notes", "key", "kept").await;
    stage.kill(2).await;
    std::fs::remove_dir_all(stage.cluster.folder(2)).expect("the folder was there");
    stage.cluster.isolate(2);
    stage.restart(2).await;
    let wiped = stage.node(2).await;
    let got = wiped.try_get(getting("notes", "key")).await;
    let put = wiped.try_put(putting("notes", "key", "blind")).await;
    let refused = [got.map(drop), put.map(drop)];
    for refused in refused.map(|outcome| outcome.expect_err("it knows of no bucket")) {
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert_eq!(error_info(&refused).0, "NO_NEWS");
    }
    stage.cluster.rejoin(2);
    until("the node has heard of its bucket", async || {
        wiped.try_get(getting("notes", "key")).await.is_ok()
    })
    .await;
    let nothing = wiped.try_get(getting("nothing", "key")).await;
    assert_eq!(nothing.expect_err("there is none").code(), Code::NotFound);
    stage.end().await;
}

#[tokio::test]
async fn a_wiped_node_has_its_records_back_after_one_round_and_three_more_write_nothing() {
    let mut stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    for number in 0..KEYS {
        nodes[number % 3].put("notes", &key(number), "value").await;
    }
    stage.kill(2).await;
    std::fs::remove_dir_all(stage.cluster.folder(2)).expect("the folder was there");
    stage.restart(2).await;
    stage.all_connected().await;
    let wiped = stage.node(2).await;
    until("the bucket is known again", async || {
        wiped.properties("notes").await.is_some()
    })
    .await;
    let status = repair_now(&stage, 2).await;
    assert_eq!(status["exchanges_failed"], 0, "{status}");
    assert_eq!(status["is_in_progress"], false, "{status}");
    assert!(status["keys_repaired"].as_u64() > Some(0), "{status}");
    for number in 0..KEYS {
        let theirs = nodes[0].record("notes", &key(number)).await;
        let own = wiped.record("notes", &key(number)).await;
        assert!(!own.siblings.is_empty(), "{number}");
        assert_eq!(own.object_hash, theirs.object_hash, "{number}");
    }
    let all = [&nodes[0], &nodes[1], &wiped];
    let mut before = Vec::new();
    for node in all {
        let repairs = counter(node, "anti_entropy_repairs").await;
        before.push((counter(node, "storage_writes").await, repairs));
    }
    for _ in 0..3 {
        for place in 0..3 {
            repair_now(&stage, place).await;
        }
    }
    for (node, before) in all.iter().zip(before) {
        let repairs = counter(node, "anti_entropy_repairs").await;
        assert_eq!((counter(node, "storage_writes").await, repairs), before);
    }
    stage.end().await;
}
