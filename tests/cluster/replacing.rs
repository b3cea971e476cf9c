//! A member that stays away is replaced by a node that waits, if the policy says so; one that comes back is not.

use super::stage::{Node, PATIENCE, Stage, getting, putting, rejoin_binary, until};
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::time::timeout;

/// The shortest that a policy may say.
const WINDOW: Duration = Duration::from_secs(5);
const KEYS: usize = 40;

/// Four members, a node that waits, and a policy that replaces; no node joins by itself.
async fn with_a_node_in_waiting() -> Stage {
    let mut stage = Stage::with_spares(StorageEngine::Sled, 4, 1).await;
    let node = stage.node(0).await;
    node.create("notes", proto::Properties::default()).await;
    let policy = proto::SetPolicyRequest {
        auto_join: Some(false),
        replace_after_ms: Some(WINDOW.as_millis() as u64),
        paused: None,
    };
    node.set_policy(policy).await;
    stage.all_agree().await;
    stage.restart(4).await;
    let waits = proto::Role::WantsToJoin;
    for place in 0..4 {
        let node = stage.node(place).await;
        until("the spare is heard of", async || {
            role(&node.members().await, "n5") == Some(waits)
        })
        .await;
    }
    for number in 0..KEYS {
        node.try_put(putting("notes", &format!("key-{number}"), "value"))
            .await
            .expect("the put");
    }
    stage
}

fn role(members: &proto::MembersResponse, name: &str) -> Option<proto::Role> {
    let found = members.nodes.iter().find(|node| node.node == name);
    found.map(|node| node.role())
}

fn observers(members: &proto::MembersResponse, name: &str) -> usize {
    let found = members.nodes.iter().find(|node| node.node == name);
    found.map_or(0, |node| node.suspected_by.len())
}

/// What `rejoin cluster` prints about a node.
async fn shown(stage: &Stage, place: usize, what: &str) -> serde_json::Value {
    let output = Command::new(rejoin_binary())
        .args(["--server", &stage.cluster.url(place), "--json"])
        .args(["cluster", what])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends");
    let output = output.expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

#[tokio::test]
async fn a_member_killed_for_good_is_replaced_after_the_window_and_not_before() {
    let mut stage = with_a_node_in_waiting().await;
    let node = stage.node(0).await;
    let before = node.members().await.version;
    let killed_at = Instant::now();
    stage.kill(3).await;
    until("the dead member is replaced", async || {
        let is_replaced = node.members().await.version > before;
        assert!(
            !is_replaced || killed_at.elapsed() >= WINDOW,
            "replaced after {:?}",
            killed_at.elapsed()
        );
        is_replaced
    })
    .await;
    node.settles_with(4).await;
    let members = node.members().await;
    assert_eq!(role(&members, "n4"), Some(proto::Role::Past));
    assert_eq!(role(&members, "n5"), Some(proto::Role::Member));
    let what: Vec<&str> = members
        .log
        .iter()
        .map(|entry| entry.what.as_str())
        .collect();
    assert_eq!(what, ["replace n4 by n5"]);
    for number in 0..KEYS {
        let key = format!("key-{number}");
        let found = node.try_get(getting("notes", &key)).await.expect("the get");
        assert_eq!(found.values.len(), 1, "{key}");
        copies_are_whole(&stage, &node, &key).await;
    }
}

/// The key is on each of its primaries, the newcomer among them.
async fn copies_are_whole(stage: &Stage, node: &Node, key: &str) {
    let list = node.preference("notes", key).await.nodes;
    for owner in &list[..3] {
        let place = stage.cluster.names().position(|name| name == owner);
        let owner = stage.node(place.expect("a node")).await;
        until("every primary holds the key", async || {
            !owner.record("notes", key).await.siblings.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn a_member_that_is_back_within_the_window_is_not_replaced() {
    let mut stage = with_a_node_in_waiting().await;
    let node = stage.node(0).await;
    let before = node.members().await.version;
    stage.kill(3).await;
    until("several miss it", async || {
        observers(&node.members().await, "n4") >= 2
    })
    .await;
    let shown = shown(&stage, 0, "members").await;
    let nodes = shown["nodes"].as_array().expect("a list");
    let missed = nodes.iter().find(|node| node["node"] == "n4");
    let first = &missed.expect("it is listed")["suspected_by"][0];
    assert!(first["missed_ms"].as_u64() > Some(0), "{shown}");
    stage.restart(3).await;
    until("nobody misses it any more", async || {
        observers(&node.members().await, "n4") == 0
    })
    .await;
    let back_at = Instant::now();
    until("the window has passed", async || {
        assert_eq!(node.members().await.version, before, "nothing is changed");
        back_at.elapsed() > WINDOW
    })
    .await;
    stage.end().await;
}

#[tokio::test]
async fn hints_are_listed_by_home_until_it_has_them() {
    let mut stage = Stage::of(4).await;
    let node = stage.node(0).await;
    node.create("notes", proto::Properties::default()).await;
    assert_eq!(
        shown(&stage, 0, "hints").await["homes"],
        serde_json::json!([])
    );
    stage.kill(3).await;
    let mut kept = serde_json::Value::Null;
    let mut number = 0;
    until("n1 keeps something for n4", async || {
        number += 1;
        let put = putting("notes", &format!("key-{number}"), "value");
        node.try_put(put).await.expect("the put");
        kept = shown(&stage, 0, "hints").await["homes"][0].clone();
        !kept.is_null()
    })
    .await;
    assert_eq!(kept["home"], "n4");
    assert!(kept["count"].as_u64() >= Some(1), "{kept}");
    assert!(kept["bytes"].as_u64() > Some(0), "{kept}");
    stage.restart(3).await;
    until("n4 has what it missed", async || {
        let homes = shown(&stage, 0, "hints").await["homes"].clone();
        homes == serde_json::json!([])
    })
    .await;
    stage.end().await;
}

#[tokio::test]
async fn transfers_are_listed_while_partitions_move() {
    let stage = Stage::of(4).await;
    let node = stage.node(0).await;
    node.create("notes", proto::Properties::default()).await;
    let paused = |paused| proto::SetPolicyRequest {
        paused: Some(paused),
        ..proto::SetPolicyRequest::default()
    };
    node.set_policy(paused(true)).await;
    let leave = proto::change_request::Wish::Leave("n4".to_owned());
    node.change(leave, true).await;
    until("n4 knows what it has to give away", async || {
        let listed = shown(&stage, 3, "transfers").await["transfers"].clone();
        let mut listed = listed.as_array().expect("a list").iter();
        listed.any(|one| one["stage"] == "copying" && one["comparisons_left"].as_u64() > Some(0))
    })
    .await;
    node.set_policy(paused(false)).await;
    node.settles_with(3).await;
    until("nothing is left to move", async || {
        shown(&stage, 3, "transfers").await["transfers"] == serde_json::json!([])
    })
    .await;
}
