//! Deleted keys leave the disks of real processes once every one of them has vouched, and not a moment before (law 9).

use super::stage::{Node, PATIENCE, Stage, rejoin_binary, until};
use bytes::Bytes;
use rejoin::limits::TOMBSTONE_HORIZON_MS_MIN;
use rejoin::wire::proto::v1 as proto;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::time::timeout;

const KEYS: usize = 50;

fn key(number: usize) -> String {
    format!("key-{number}")
}

/// `rejoin cluster reap --now` against a node, until its walk ends. What it printed.
async fn reap_now(stage: &Stage, place: usize) -> serde_json::Value {
    let output = Command::new(rejoin_binary())
        .args(["--server", &stage.cluster.url(place), "--json"])
        .args(["cluster", "reap", "--now"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends");
    let output = output.expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

/// Records of the keys on the disks of these nodes, tombstones included.
async fn records(nodes: &[Node]) -> usize {
    let mut found = 0;
    for node in nodes {
        for number in 0..KEYS {
            found += usize::from(node.record("notes", &key(number)).await.actors > 0);
        }
    }
    found
}

#[tokio::test]
async fn f81_deleted_keys_leave_all_disks_after_a_killed_node_is_back_and_not_before() {
    let mut stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let mut contexts: Vec<Bytes> = Vec::new();
    for number in 0..KEYS {
        let stored = nodes[number % 4].put("notes", &key(number), "value").await;
        contexts.push(stored.context);
    }
    stage.kill(3).await;
    for (number, context) in contexts.iter().enumerate() {
        nodes[number % 3]
            .delete("notes", &key(number), context)
            .await;
    }
    let before = records(&nodes[..3]).await;
    until(
        "everybody is asked, and the killed node does not vouch",
        async || {
            let mut refused = 0;
            for place in 0..3 {
                refused += reap_now(&stage, place).await["refused"]
                    .as_u64()
                    .unwrap_or(0);
            }
            refused > 0
        },
    )
    .await;
    assert!(records(&nodes[..3]).await >= before, "nothing went");

    stage.restart(3).await;
    stage.all_connected().await;
    let back = Instant::now();
    let nodes = stage.nodes().await;
    let patience = 3 * PATIENCE + Duration::from_millis(TOMBSTONE_HORIZON_MS_MIN);
    let gone = timeout(patience, async {
        while records(&nodes).await > 0 {
            for place in 0..4 {
                reap_now(&stage, place).await;
            }
        }
    });
    gone.await.expect("all of them go in the end");
    let horizon = Duration::from_millis(TOMBSTONE_HORIZON_MS_MIN);
    assert!(back.elapsed() >= horizon, "nobody vouched for so long");
    for number in 0..KEYS {
        let found = nodes[number % 4].get("notes", &key(number)).await;
        assert!(found.values.is_empty(), "{number}: {found:?}");
    }
    let mut reaped = 0;
    for node in &nodes {
        reaped += node.counter("tombstones_reaped").await;
    }
    assert!(reaped >= 3 * KEYS as u64, "{reaped}");
    stage.end().await;
}
