//! A scrub of a real node: what has rotted unread is found, told, and filled again by the others.

use super::stage::{Node, PATIENCE, Stage, converged, rejoin_binary};
use rejoin::wire::proto::v1 as proto;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;
use tokio::time::timeout;

const KEYS: usize = 40;
const ROTTEN: usize = 7;

/// `rejoin cluster scrub --now` against a node, until it ends. What it printed.
async fn scrub_now(stage: &Stage, place: usize) -> serde_json::Value {
    let output = Command::new(rejoin_binary())
        .args(["--server", &stage.cluster.url(place), "--json"])
        .args(["cluster", "scrub", "--now"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends");
    let output = output.expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

/// Puts under some records of a node what belongs under another key, behind the engine's back.
fn let_rot(data: &Path) {
    let config = sled::Config::new().path(data.join("sled"));
    let config = config.segment_size(8 * 1024 * 1024).flush_every_ms(None);
    let db = config.open().expect("the node has stopped");
    let items = db.open_tree("items").expect("opens");
    let records = items.scan_prefix(b"o").map(|item| item.expect("reads"));
    let records: Vec<_> = records.collect();
    let (_, foreign) = records.last().expect("the node has records");
    for (place, _) in &records[..ROTTEN] {
        items.insert(place, foreign).expect("replaces");
    }
    db.flush().expect("flushes");
}

#[tokio::test]
async fn what_has_rotted_unread_is_found_by_a_scrub_and_filled_again() {
    let mut stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    for number in 0..KEYS {
        nodes[number % 3]
            .put("notes", &format!("key-{number}"), "value")
            .await;
    }
    let stopped = stage.cluster.stop_node(2).await;
    assert!(stopped.expect("it can be stopped"));
    let_rot(&stage.cluster.folder(2));
    stage.restart(2).await;
    stage.all_connected().await;
    let found = scrub_now(&stage, 2).await;
    assert!(found["items"].as_u64() >= Some(KEYS as u64), "{found}");
    // A comparison that came first has mended some.
    assert!(found["corrupt"].as_u64() <= Some(ROTTEN as u64), "{found}");
    let nodes: Vec<Node> = stage.nodes().await;
    assert!(nodes[2].counter("storage_corrupt_items").await >= ROTTEN as u64);
    for number in 0..KEYS {
        converged(&nodes, "notes", &format!("key-{number}")).await;
    }
    let found = scrub_now(&stage, 2).await;
    assert_eq!(found["corrupt"], 0, "{found}");
    stage.end().await;
}
