//! Killed primaries in a cluster with nodes to spare: others stand in, and hand over what they kept (Dynamo 4.6).

use super::stage::{Node, Stage, error_info, getting, putting, texts, until};
use rejoin::wire::proto::v1 as proto;
use tonic::Code;

const KEYS: usize = 12;

/// Five nodes with the bucket `notes`, three copies of each key.
async fn notes() -> (Stage, Vec<Node>) {
    let stage = Stage::of(5).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    (stage, nodes)
}

/// The places of the nodes of a key in the order in which they are asked.
async fn places(stage: &Stage, node: &Node, key: &str) -> Vec<usize> {
    let list = node.preference("notes", key).await.nodes;
    let place = |name: &String| stage.cluster.names().position(|known| known == name);
    list.iter()
        .map(|name| place(name).expect("a node"))
        .collect()
}

/// Puts and gets every key at W = R = 2, through one living node after the other.
async fn serve_all(living: &[&Node], value: &str) {
    for number in 0..KEYS {
        let key = format!("key-{number}");
        let stored = living[number % living.len()]
            .try_put(putting("notes", &key, value))
            .await;
        let stored = stored.unwrap_or_else(|status| panic!("{key}: {status}"));
        assert!(stored.replicas_answered >= 2, "{key}: {stored:?}");
        let reader = living[(number + 1) % living.len()];
        let found = reader.try_get(getting("notes", &key)).await;
        let found = found.unwrap_or_else(|status| panic!("{key}: {status}"));
        assert!(
            texts(&found).contains(&value.to_owned()),
            "{key}: {found:?}"
        );
    }
}

/// Waits, asking for no key, until nobody keeps anything for anybody.
async fn all_handed_over(nodes: &[Node]) {
    until("no hint is left", async || {
        let mut left = 0;
        for node in nodes {
            left += node.counter("hints_pending").await;
        }
        left == 0
    })
    .await;
}

/// Whether the three primaries of every key hold the same.
async fn check_primaries(stage: &Stage, nodes: &[Node]) {
    for number in 0..KEYS {
        let key = format!("key-{number}");
        let places = places(stage, &nodes[0], &key).await;
        let first = nodes[places[0]].record("notes", &key).await;
        assert!(!first.siblings.is_empty(), "{key}");
        for place in &places[1..3] {
            let record = nodes[*place].record("notes", &key).await;
            assert_eq!(record.object_hash, first.object_hash, "{key} at {place}");
        }
    }
}

#[tokio::test]
async fn with_one_of_five_nodes_killed_all_goes_on_and_it_gets_what_it_missed_without_traffic() {
    let (mut stage, nodes) = notes().await;
    stage.kill(4).await;
    let living: Vec<&Node> = nodes[..4].iter().collect();
    serve_all(&living, "one").await;
    serve_all(&living, "two").await;
    stage.restart(4).await;
    let nodes = stage.nodes().await;
    all_handed_over(&nodes).await;
    check_primaries(&stage, &nodes).await;
    let mut delivered = 0;
    for node in &nodes {
        delivered += node.counter("hints_delivered").await;
    }
    assert!(delivered > 0, "it missed something");
    stage.end().await;
}

#[tokio::test]
async fn with_two_primaries_killed_a_quorum_goes_on_and_one_of_primaries_is_refused() {
    let (mut stage, nodes) = notes().await;
    let places = places(&stage, &nodes[0], "key-0").await;
    stage.kill(places[1]).await;
    stage.kill(places[2]).await;
    let alive = [places[0], places[3], places[4]];
    let living: Vec<&Node> = alive.iter().map(|place| &nodes[*place]).collect();
    serve_all(&living, "sloppy").await;

    let strict = proto::PutRequest {
        pw: Some(2),
        ..putting("notes", "key-0", "strict")
    };
    until("a strict put is refused before it is stored", async || {
        let refused = living[0].try_put(strict.clone()).await.unwrap_err();
        refused.code() == Code::Unavailable && error_info(&refused).1["outcome"] == "not-stored"
    })
    .await;
    let strict = proto::GetRequest {
        pr: Some(2),
        ..getting("notes", "key-0")
    };
    let refused = living[1].try_get(strict).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(error_info(&refused).0, "TOO_FEW_PRIMARIES");

    stage.restart(places[1]).await;
    stage.restart(places[2]).await;
    let nodes = stage.nodes().await;
    all_handed_over(&nodes).await;
    check_primaries(&stage, &nodes).await;
    stage.end().await;
}

#[tokio::test]
async fn hints_survive_the_kill_of_their_holders() {
    let (mut stage, nodes) = notes().await;
    stage.kill(0).await;
    let living: Vec<&Node> = nodes[1..].iter().collect();
    serve_all(&living, "value").await;
    let mut kept = 0;
    until("something is kept for the killed node", async || {
        kept = 0;
        for node in &living {
            kept += node.counter("hints_pending").await;
        }
        kept > 0
    })
    .await;
    for place in 1..5 {
        stage.kill(place).await;
    }
    for place in 0..5 {
        stage.restart(place).await;
    }
    let nodes = stage.nodes().await;
    all_handed_over(&nodes).await;
    check_primaries(&stage, &nodes).await;
    stage.end().await;
}
