//! Values that live for a while (times to live), on real clocks and real disks.

use super::stage::{Node, Stage, converged, getting, putting, texts, until};
use rejoin::wire::proto::v1 as proto;
use std::time::{SystemTime, UNIX_EPOCH};

const HOUR_MS: u64 = 60 * 60 * 1_000;

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_millis() as u64
}

/// A put that all replicas acknowledge and whose value lives for so long.
async fn put_for(node: &Node, key: &str, value: &str, ttl_ms: Option<u64>) -> proto::PutResponse {
    let asked = proto::PutRequest {
        ttl_ms,
        w: Some(3),
        ..putting("notes", key, value)
    };
    node.try_put(asked).await.expect("the put")
}

/// Four nodes, so that each key has one that keeps no copy of it, and the bucket `notes`.
async fn notes(ttl_ms: Option<u64>) -> (Stage, Vec<Node>) {
    let stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    let properties = proto::Properties {
        ttl_ms,
        ..proto::Properties::default()
    };
    nodes[0].create("notes", properties).await;
    (stage, nodes)
}

/// The replicas of a key, and a node that is none.
async fn replicas(stage: &Stage, nodes: &[Node], key: &str) -> (Vec<Node>, Node) {
    let listed = nodes[0].preference("notes", key).await.nodes;
    let place = |name: &String| stage.cluster.names().position(|n| n == name);
    let places: Vec<usize> = listed.iter().filter_map(place).collect();
    let replicas = places[..3].iter().map(|place| nodes[*place].clone());
    (replicas.collect(), nodes[places[3]].clone())
}

#[tokio::test]
async fn an_expired_value_is_hidden_by_every_node_and_nothing_is_written_for_it() {
    let (stage, nodes) = notes(None).await;
    let (replicas, stranger) = replicas(&stage, &nodes, "key").await;
    // A node without a copy passes the put on, and the time to live with it.
    put_for(&stranger, "key", "gone", Some(1)).await;
    let record = converged(&replicas, "notes", "key").await;
    let writes = async || {
        let mut sum = 0;
        for node in &nodes {
            let counters = node.status().await.counters;
            sum += counters["storage_writes"] + counters["read_repairs"];
        }
        sum
    };
    let before = writes().await;
    for node in &nodes {
        until("it is hidden", async || {
            node.get("notes", "key").await.values.is_empty()
        })
        .await;
        let hidden = node.get("notes", "key").await;
        assert!(!hidden.context.is_empty(), "of what has expired");
        let stored = hidden.siblings[0].value.clone().expect("a value");
        assert!(stored.expires_at_ms.expect("it expires") <= wall_ms());
        assert!(!hidden.siblings[0].tombstone, "nobody deleted it");
    }
    assert_eq!(writes().await, before, "nothing was written for it");
    let after = converged(&replicas, "notes", "key").await;
    assert_eq!(after.object_hash, record.object_hash);
    let hidden = nodes[1].get("notes", "key").await;
    let again = nodes[2].put_after("notes", "key", "new", &hidden.context);
    assert_eq!(again.await.siblings, 1);
    assert_eq!(texts(&nodes[3].get("notes", "key").await), ["new"]);
    stage.end().await;
}

#[tokio::test]
async fn a_put_chooses_its_time_before_the_bucket_does_and_all_replicas_agree_on_it() {
    let (stage, nodes) = notes(Some(HOUR_MS)).await;
    let shown = nodes[1].properties("notes").await.expect("the bucket");
    assert_eq!(shown.ttl_ms, Some(HOUR_MS));
    let rows = [
        ("bucket", None, Some(HOUR_MS)),
        ("own", Some(2 * HOUR_MS), Some(2 * HOUR_MS)),
        ("ever", Some(0), None),
    ];
    for (key, ttl_ms, lives_ms) in rows {
        let (replicas, stranger) = replicas(&stage, &nodes, key).await;
        let before = wall_ms();
        put_for(&stranger, key, "value", ttl_ms).await;
        let after = wall_ms();
        let record = converged(&replicas, "notes", key).await;
        let found = nodes[2].get("notes", key).await;
        assert_eq!(texts(&found), ["value"]);
        let expires = found.values[0].expires_at_ms;
        let stored = record.siblings[0].value.clone().expect("a value");
        assert_eq!(expires, stored.expires_at_ms);
        match lives_ms {
            None => assert_eq!(expires, None, "{key}"),
            Some(ms) => {
                let expires = expires.expect("it expires");
                assert!((before + ms..=after + ms).contains(&expires), "{key}");
            }
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn an_expiry_survives_a_restart() {
    let (mut stage, nodes) = notes(None).await;
    let (replicas, _) = replicas(&stage, &nodes, "key").await;
    put_for(&nodes[0], "key", "kept", Some(HOUR_MS)).await;
    let before = converged(&replicas, "notes", "key").await;
    for place in 0..4 {
        stage.kill(place).await;
    }
    for place in 0..4 {
        stage.restart(place).await;
    }
    stage.all_connected().await;
    let node = stage.node(0).await;
    let found = node.try_get(getting("notes", "key")).await.expect("a get");
    assert_eq!(found.values[0].expires_at_ms, expiry(&before));
    stage.end().await;
}

fn expiry(record: &proto::LocalRecordResponse) -> Option<u64> {
    let value = record.siblings[0].value.as_ref();
    let expires = value.expect("a value").expires_at_ms;
    assert!(expires.is_some());
    expires
}
