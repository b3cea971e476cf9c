//! Buckets that are removed from real clusters: with a node that is away, and created again under the same name.

use super::stage::{Node, Stage, error_info, getting, putting, texts, until};
use rejoin::wire::proto::v1 as proto;
use tonic::{Code, Status};

const KEYS: usize = 40;

async fn remove(
    node: &Node,
    bucket: &str,
    force: bool,
) -> Result<proto::RemoveBucketResponse, Status> {
    let bucket = bucket.to_owned();
    let asked = proto::RemoveBucketRequest { bucket, force };
    let asked = node.connection.request(asked);
    let reply = node.connection.buckets().remove(asked).await?;
    Ok(reply.into_inner())
}

fn key(number: usize) -> String {
    format!("key-{number}")
}

/// Three nodes with the bucket `notes`, which has keys.
async fn notes() -> (Stage, Vec<Node>) {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    for number in 0..KEYS {
        nodes[number % 3].put("notes", &key(number), "old").await;
    }
    (stage, nodes)
}

async fn is_unknown(node: &Node) {
    let got = node.try_get(getting("notes", &key(0))).await;
    let put = node.try_put(putting("notes", &key(0), "late")).await;
    for status in [got.map(drop), put.map(drop)].map(|r| r.expect_err("no bucket")) {
        assert_eq!(status.code(), Code::NotFound, "{status}");
        assert_eq!(error_info(&status).0, "NO_SUCH_BUCKET");
    }
}

async fn clears(node: &Node, records: u64) {
    until("the records are gone from the disk", async || {
        node.counter("records_cleared").await >= records
    })
    .await;
}

#[tokio::test]
async fn a_bucket_with_keys_is_removed_only_by_force_and_then_known_nowhere() {
    let (stage, nodes) = notes().await;
    let refused = remove(&nodes[1], "notes", false).await;
    let refused = refused.expect_err("it has keys");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(error_info(&refused).0, "BUCKET_NOT_EMPTY");
    assert!(refused.message().contains("`key-"), "{refused}");
    assert_eq!(texts(&nodes[2].get("notes", &key(0)).await), ["old"]);
    let reply = remove(&nodes[1], "notes", true).await.expect("removed");
    assert_eq!((reply.nodes_reached, reply.nodes_total), (3, 3));
    for node in &nodes {
        is_unknown(node).await;
        clears(node, KEYS as u64).await;
        assert!(node.properties("notes").await.is_none());
    }
    let again = remove(&nodes[0], "notes", true).await;
    assert_eq!(again.expect_err("it is gone").code(), Code::NotFound);
    stage.end().await;
}

#[tokio::test]
async fn a_bucket_without_keys_is_removed_as_it_is() {
    let (stage, nodes) = notes().await;
    for number in 0..KEYS {
        let found = nodes[0].get("notes", &key(number)).await;
        let context = found.context.clone();
        nodes[0].delete("notes", &key(number), &context).await;
    }
    remove(&nodes[2], "notes", false)
        .await
        .expect("nothing in it");
    is_unknown(&nodes[0]).await;
    stage.end().await;
}

#[tokio::test]
async fn a_node_that_was_down_when_a_bucket_was_removed_brings_nothing_back() {
    let (mut stage, nodes) = notes().await;
    stage.kill(2).await;
    let reply = remove(&nodes[0], "notes", true).await.expect("removed");
    assert_eq!((reply.nodes_reached, reply.nodes_total), (2, 3));
    for node in &nodes[..2] {
        clears(node, KEYS as u64).await;
    }
    nodes[0].create("notes", proto::Properties::default()).await;
    let stored = nodes[1].try_put(putting("notes", &key(0), "new")).await;
    stored.expect("a bucket like any other");
    stage.restart(2).await;
    stage.all_connected().await;
    stage.all_agree().await;
    let nodes = stage.nodes().await;
    clears(&nodes[2], KEYS as u64).await;
    for node in &nodes {
        assert_eq!(texts(&node.get("notes", &key(0)).await), ["new"]);
        for number in 1..KEYS {
            let found = node.get("notes", &key(number)).await;
            assert_eq!(texts(&found), Vec::<String>::new(), "{}", key(number));
            let record = node.record("notes", &key(number)).await;
            assert!(record.siblings.is_empty(), "{}", key(number));
        }
    }
    stage.end().await;
}
