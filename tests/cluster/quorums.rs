//! N, R and W: of the bucket, of the request, and what the replies say of them (Dynamo 4.5).

use super::stage::{Node, Stage, getting, putting, texts};
use rejoin::wire::proto::v1 as proto;

#[tokio::test]
async fn a_put_is_read_back_from_every_node() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    for (place, writer) in nodes.iter().enumerate() {
        let key = format!("from-{place}");
        let stored = writer.try_put(putting("notes", &key, "hello")).await;
        assert_eq!(stored.expect("the put").replicas_answered, 2);
        for reader in &nodes {
            let found = reader.try_get(getting("notes", &key)).await;
            let found = found.expect("the get");
            assert_eq!(texts(&found), ["hello"], "R + W > N: {key}");
            assert_eq!(found.replicas_answered, 2);
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn r_and_w_of_a_request_replace_those_of_the_bucket() {
    let stage = Stage::of(3).await;
    let node = stage.node(1).await;
    node.create("notes", proto::Properties::default()).await;
    for asked in 1..=3 {
        let put = proto::PutRequest {
            w: Some(asked),
            ..putting("notes", "key", "value")
        };
        let stored = node.try_put(put).await.expect("the put");
        assert_eq!(stored.replicas_answered, asked, "w = {asked}");
        assert_eq!(stored.primaries_answered, asked, "w = {asked}");
        let get = proto::GetRequest {
            r: Some(asked),
            ..getting("notes", "key")
        };
        let found = node.try_get(get).await.expect("the get");
        assert_eq!(found.replicas_answered, asked, "r = {asked}");
        assert_eq!(found.primaries_answered, asked, "r = {asked}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_bucket_keeps_as_many_copies_as_its_n_on_the_first_of_the_preference_list() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    for n in 1..=3u32 {
        let bucket = format!("copies-{n}");
        let properties = proto::Properties {
            n: Some(n),
            ..proto::Properties::default()
        };
        let created = nodes[0].create(&bucket, properties).await;
        assert_eq!(created.nodes_reached, 3);
        let described = created.bucket.and_then(|bucket| bucket.properties);
        let described = described.expect("every property");
        assert_eq!(
            (described.n(), described.r(), described.w()),
            (n, n.min(2), n.min(2))
        );
        let put = proto::PutRequest {
            w: Some(n),
            ..putting(&bucket, "key", "value")
        };
        let stored = nodes[0].try_put(put).await.expect("the put");
        assert_eq!(stored.replicas_answered, n);
        assert_eq!(
            holders(&nodes, &bucket).await,
            primaries(&nodes[0], &bucket).await
        );
    }
    stage.end().await;
}

/// The nodes that keep the primary copies of `key`, by name.
async fn primaries(node: &Node, bucket: &str) -> Vec<String> {
    let list = node.preference(bucket, "key").await;
    assert_eq!(list.nodes.len(), 3, "every node stands in the list");
    let mut primaries = list.nodes[..list.n as usize].to_vec();
    primaries.sort();
    primaries
}

/// The nodes that hold `key`, by name.
async fn holders(nodes: &[Node], bucket: &str) -> Vec<String> {
    let mut holders = Vec::new();
    for node in nodes {
        if !node.record(bucket, "key").await.siblings.is_empty() {
            holders.push(node.status().await.node);
        }
    }
    holders.sort();
    holders
}

#[tokio::test]
async fn a_put_through_a_node_that_keeps_no_copy_is_forwarded_to_a_primary() {
    let stage = Stage::of(5).await;
    let nodes = stage.nodes().await;
    for n in [1, 3] {
        let bucket = format!("few-{n}");
        let properties = proto::Properties {
            n: Some(n),
            ..proto::Properties::default()
        };
        nodes[0].create(&bucket, properties).await;
        for number in 0..10 {
            for (place, node) in nodes.iter().enumerate() {
                check_coordinator(node, &bucket, &format!("key-{number}-{place}")).await;
            }
        }
    }
    let mut forwards = 0;
    for node in &nodes {
        forwards += node.counter("forwards").await;
    }
    assert!(forwards > 0, "some node kept no copy of some key");
    stage.end().await;
}

/// Puts through `node`: a primary makes the dot, this very node if it is one, and any node reads it.
async fn check_coordinator(node: &Node, bucket: &str, key: &str) {
    let me = node.status().await.node;
    let list = node.preference(bucket, key).await;
    let primaries = &list.nodes[..list.n as usize];
    let stored = node.try_put(putting(bucket, key, "value")).await;
    let stored = stored.expect("the put");
    assert!(
        primaries.contains(&stored.coordinator),
        "{stored:?} of {primaries:?}"
    );
    assert!(
        !primaries.contains(&me) || stored.coordinator == me,
        "{stored:?} through {me}"
    );
    let found = node.try_get(getting(bucket, key)).await.expect("the get");
    assert_eq!(texts(&found), ["value"]);
}

#[tokio::test]
async fn nodes_agree_on_ring_and_metadata() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[2].create("notes", proto::Properties::default()).await;
    let expected = nodes[0].status().await;
    for node in &nodes[1..] {
        let status = node.status().await;
        assert_eq!(status.ring_hash, expected.ring_hash);
        assert_eq!(status.metadata_hash, expected.metadata_hash);
        assert_eq!(
            (status.storage.as_str(), status.durable_available),
            ("sled", true)
        );
    }
    stage.end().await;
}
