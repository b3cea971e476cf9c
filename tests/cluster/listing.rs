//! Listings of keys, page by page, on four nodes of which each key is on three.

use super::stage::{Node, PATIENCE, Stage, error_info, putting, until};
use bytes::Bytes;
use futures_util::StreamExt as _;
use rejoin::wire::proto::v1 as proto;
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::{Code, Request, Status};

/// Puts under way at a time.
const AT_ONCE: usize = 32;

async fn notes(ack: proto::Ack) -> (Stage, Vec<Node>) {
    let stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    let properties = proto::Properties {
        ack: ack.into(),
        ..proto::Properties::default()
    };
    nodes[0].create("notes", properties).await;
    (stage, nodes)
}

async fn put_all(nodes: &[Node], keys: impl Iterator<Item = String>, ttl_ms: Option<u64>) {
    let puts = keys.enumerate().map(|(number, key)| {
        let node = nodes[number % nodes.len()].clone();
        async move {
            let asked = proto::PutRequest {
                ttl_ms,
                w: Some(3),
                ..putting("notes", &key, "value")
            };
            node.try_put(asked).await.expect("the put");
        }
    });
    let puts = futures_util::stream::iter(puts).buffer_unordered(AT_ONCE);
    puts.collect::<Vec<()>>().await;
}

fn asking(prefix: &str, page_size: u32, page_token: Bytes) -> proto::ListKeysRequest {
    proto::ListKeysRequest {
        bucket: "notes".to_owned(),
        prefix: prefix.to_owned().into(),
        page_size: Some(page_size),
        page_token,
    }
}

async fn page(
    node: &Node,
    asked: proto::ListKeysRequest,
) -> Result<proto::ListKeysResponse, Status> {
    let asked = node.connection.request(asked);
    Ok(node.connection.kv().list_keys(asked).await?.into_inner())
}

/// All keys, page by page, each page from another node.
async fn listed(nodes: &[Node], prefix: &str, page_size: u32) -> Vec<String> {
    let mut keys = Vec::new();
    let mut token = Bytes::new();
    for node in nodes.iter().cycle() {
        let asked = asking(prefix, page_size, token);
        let reply = page(node, asked).await.expect("a page");
        assert!(reply.keys.len() <= page_size as usize);
        let text = |key: &Bytes| String::from_utf8(key.to_vec()).expect("text");
        keys.extend(reply.keys.iter().map(text));
        token = reply.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    keys
}

/// Fails if a key was listed twice, or if others were than these.
fn assert_exactly(mut listed: Vec<String>, wanted: &BTreeSet<String>, how: &str) {
    listed.sort();
    let wanted: Vec<String> = wanted.iter().cloned().collect();
    assert!(
        listed == wanted,
        "{how}: {} keys listed, not {}",
        listed.len(),
        wanted.len()
    );
}

#[tokio::test]
async fn the_pages_show_every_live_key_exactly_once_and_hide_what_is_gone() {
    let (stage, nodes) = notes(proto::Ack::Buffered).await;
    let keys = |name: &'static str, count: usize| (0..count).map(move |n| format!("{name}-{n:04}"));
    put_all(&nodes, keys("live", 700), None).await;
    put_all(&nodes, keys("dead", 150), None).await;
    put_all(&nodes, keys("gone", 150), Some(1)).await;
    for key in keys("dead", 150) {
        nodes[1].delete("notes", &key, &Bytes::new()).await;
    }
    // Keys of another bucket and of other bytes must not turn up, nor end a listing.
    nodes[0]
        .create("notes2", proto::Properties::default())
        .await;
    nodes[0].put("notes2", "live-0000", "value").await;
    nodes[0].put("notes2", "other", "value").await;
    let live: BTreeSet<String> = keys("live", 700).collect();
    until("what lives for 1 ms has gone", async || {
        listed(&nodes, "gone", 1000).await.is_empty()
    })
    .await;
    let before = writes(&nodes).await;
    for page_size in [1000, 333, 100, 17] {
        let found = listed(&nodes, "", page_size).await;
        assert_exactly(found, &live, &format!("pages of {page_size}"));
    }
    let prefixed: BTreeSet<String> = keys("live", 700)
        .filter(|key| key.starts_with("live-01"))
        .collect();
    assert_eq!(prefixed.len(), 100);
    assert_exactly(listed(&nodes, "live-01", 7).await, &prefixed, "a prefix");
    assert!(listed(&nodes, "dead", 100).await.is_empty());
    assert!(listed(&nodes, "nothing", 100).await.is_empty());
    assert_eq!(writes(&nodes).await, before, "listing writes nothing");
    stage.end().await;
}

async fn writes(nodes: &[Node]) -> u64 {
    let mut sum = 0;
    for node in nodes {
        sum += node.counter("storage_writes").await;
    }
    sum
}

#[tokio::test]
async fn listing_goes_on_without_one_node_and_says_when_too_few_are_left() {
    let (mut stage, nodes) = notes(proto::Ack::Durable).await;
    let keys = || (0..200).map(|number| format!("key-{number}"));
    put_all(&nodes, keys(), None).await;
    let mut live: BTreeSet<String> = keys().collect();
    stage.kill(3).await;
    assert_exactly(listed(&nodes[..3], "", 50).await, &live, "three nodes");
    for number in 0..20 {
        let late = format!("late-{number}");
        let asked = putting("notes", &late, "value");
        nodes[0].try_put(asked).await.expect("w is 2");
        live.insert(late);
    }
    assert_exactly(listed(&nodes[..3], "", 50).await, &live, "with late keys");

    // With others to stand in, two of a key's nodes may be away; alone, a node is not two.
    stage.kill(2).await;
    stage.kill(1).await;
    let status = first_error(&nodes[0]).await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(error_info(&status).0, "TOO_FEW_REPLICAS");

    stage.restart(1).await;
    stage.restart(2).await;
    stage.restart(3).await;
    stage.all_connected().await;
    // Node 3 never heard of the late keys; the other replicas have them.
    let nodes = stage.nodes().await;
    let found = listed(&nodes, "", 50).await;
    assert_exactly(found, &live, "all nodes");
    stage.end().await;
}

/// Pages until one is refused: those before it show what could be read.
async fn first_error(node: &Node) -> Status {
    let mut token = Bytes::new();
    loop {
        match page(node, asking("", 1000, token)).await {
            Err(status) => return status,
            Ok(reply) => token = reply.next_page_token,
        }
        assert!(!token.is_empty(), "it came to an end");
    }
}

#[tokio::test]
async fn a_listing_that_is_short_of_time_gives_what_it_has_and_goes_on_from_there() {
    let (stage, nodes) = notes(proto::Ack::Buffered).await;
    let keys = || (0..300).map(|number| format!("key-{number}"));
    put_all(&nodes, keys(), None).await;
    let mut found = Vec::new();
    let mut token = Bytes::new();
    let mut time = Duration::from_millis(40);
    let mut pages = 0;
    loop {
        let mut asked = Request::new(asking("", 1000, token.clone()));
        asked.set_timeout(time);
        match nodes[0].connection.kv().list_keys(asked).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                let text = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
                found.extend(reply.keys.iter().map(text));
                token = reply.next_page_token;
                pages += 1;
                if token.is_empty() {
                    break;
                }
            }
            // Not even one partition, on a machine as busy as this one.
            Err(_) => time *= 2,
        }
        assert!(time < PATIENCE, "no page within {time:?}");
    }
    println!("{pages} pages");
    assert_exactly(found, &keys().collect(), "in a hurry");
    stage.end().await;
}
