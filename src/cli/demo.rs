//! `rejoin dev --demo`: the shopping-cart story of the paper, on real parts (Dynamo 4.4, 6).
//!
//! Three processes, a cut network, two writes that do not know of each other, and one cart. Each step is
//! checked; the first that does not go as told ends the story.

use super::connection::Connection;
use super::local::LocalCluster;
use super::output::{readable, short, sibling_line};
use super::plugin::push;
use crate::wire::proto::v1 as proto;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use std::time::{Duration, Instant};

const CART_PLUGIN: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/plugins/bin/shopping-cart.wasm"
));
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
const HEAL_TIMEOUT: Duration = Duration::from_secs(30);

const BUCKET: &str = "carts";
const KEY: &str = "anna";
const FIRST: &str = r#"{"items":{"milk":1}}"#;
const LEFT: &str = r#"{"items":{"bread":2,"milk":1}}"#;
const RIGHT: &str = r#"{"items":{"eggs":12,"milk":1}}"#;
const MERGED: &str = r#"{"items":{"bread":2,"eggs":12,"milk":1}}"#;

/// Plays the story on a fresh cluster of three nodes.
pub async fn tell(cluster: &LocalCluster) -> anyhow::Result<()> {
    let mut nodes = Vec::new();
    for place in 0..3 {
        nodes.push(Connection::to(&cluster.url(place), REQUEST_TIMEOUT).await?);
    }
    step("Three nodes, three processes, a sled folder each:");
    for (place, name) in cluster.names().enumerate() {
        say(&format!("{name}  {}", cluster.url(place)));
    }
    connected(&nodes, 2).await?;

    step("Upload a resolver: a WebAssembly component, 85 KiB of Rust, sandboxed on every node.");
    let plugin = upload(&nodes[0]).await?;
    create_bucket(&nodes[0], &plugin).await?;

    step("Anna puts milk into her cart.");
    let stored = put(&nodes[0], FIRST, Bytes::new())
        .await
        .context("the first put")?;
    say(&format!("put  {FIRST}  stored by {}", stored.coordinator));
    let seen = get(&nodes[2], 3).await?;
    ensure!(values(&seen) == [FIRST], "n3 shows {:?}", values(&seen));
    say("get  n3 shows the same cart");

    step("The network breaks: n3 is alone. Both sides go on writing.");
    cluster.isolate(2);
    connected(&nodes[2..], 0).await?;
    let left = put(&nodes[0], LEFT, seen.context.clone())
        .await
        .context("the put on the left")?;
    say(&format!(
        "put  n1 | n2 side  {LEFT}  stored by {}",
        left.coordinator
    ));
    let right = put(&nodes[2], RIGHT, seen.context)
        .await
        .context("the put on the right")?;
    say(&format!(
        "put  n3 side       {RIGHT}  stored by {}",
        right.coordinator
    ));

    step("The network heals. A get finds two carts that know nothing of each other.");
    cluster.rejoin(2);
    connected(&nodes, 2).await?;
    let merged = get(&nodes[1], 3).await?;
    show_merge(&merged, &plugin)?;

    step("The next put carries the context of that get, and one version remains.");
    put(&nodes[1], MERGED, merged.context)
        .await
        .context("the last put")?;
    converged(&nodes).await
}

fn step(text: &str) {
    println!("\n* {text}");
}

fn say(text: &str) {
    println!("    {text}");
}

async fn upload(node: &Connection) -> anyhow::Result<proto::Plugin> {
    let reply = push(Bytes::from_static(CART_PLUGIN), node)
        .await
        .context("the upload")?;
    let plugin = reply.plugin.context("the upload answered no plugin")?;
    ensure!(
        reply.nodes_ready == 3,
        "{} of 3 nodes have the plugin",
        reply.nodes_ready
    );
    say(&format!(
        "push    {} {}  {}  compiled on {} nodes",
        plugin.name,
        plugin.version,
        short(&plugin.digest),
        reply.nodes_ready
    ));
    Ok(plugin)
}

async fn create_bucket(node: &Connection, plugin: &proto::Plugin) -> anyhow::Result<()> {
    let resolver = proto::Binding {
        plugin: plugin.digest.clone(),
        ..proto::Binding::default()
    };
    let asked = proto::CreateBucketRequest {
        bucket: BUCKET.to_owned(),
        properties: Some(proto::Properties {
            n: Some(3),
            r: Some(2),
            w: Some(1),
            resolver: Some(resolver),
            ..proto::Properties::default()
        }),
        replace: true,
    };
    let reply = node
        .buckets()
        .create(node.request(asked))
        .await?
        .into_inner();
    ensure!(
        reply.nodes_reached == 3,
        "{} of 3 nodes know the bucket",
        reply.nodes_reached
    );
    say(&format!(
        "bucket  {BUCKET}  n=3 r=2 w=1  resolver {}",
        plugin.name
    ));
    Ok(())
}

async fn put(node: &Connection, cart: &str, context: Bytes) -> anyhow::Result<proto::PutResponse> {
    let asked = proto::PutRequest {
        bucket: BUCKET.to_owned(),
        key: KEY.into(),
        value: Bytes::copy_from_slice(cart.as_bytes()),
        context,
        content_type: "application/json".to_owned(),
        ..proto::PutRequest::default()
    };
    Ok(node.kv().put(node.request(asked)).await?.into_inner())
}

async fn get(node: &Connection, r: u32) -> anyhow::Result<proto::GetResponse> {
    let asked = proto::GetRequest {
        bucket: BUCKET.to_owned(),
        key: KEY.into(),
        r: Some(r),
        pr: None,
        with_siblings: true,
    };
    Ok(node.kv().get(node.request(asked)).await?.into_inner())
}

fn values(reply: &proto::GetResponse) -> Vec<String> {
    reply
        .values
        .iter()
        .map(|value| readable(&value.value))
        .collect()
}

fn show_merge(merged: &proto::GetResponse, plugin: &proto::Plugin) -> anyhow::Result<()> {
    for sibling in &merged.siblings {
        say(&format!("went in   {}", sibling_line(sibling)));
    }
    let resolved = merged.resolved.clone().unwrap_or_default();
    ensure!(
        merged.siblings.len() == 2,
        "{} siblings went in, not 2",
        merged.siblings.len()
    );
    ensure!(
        values(merged) == [MERGED],
        "the cart is {:?}: {}",
        values(merged),
        resolved.reason
    );
    ensure!(
        resolved.plugin == plugin.digest,
        "{:?} answered",
        resolved.plugin
    );
    say(&format!("came out  {}", values(merged)[0]));
    say(&format!(
        "resolved  by {} {} ({}) with {} units of fuel; nothing was stored",
        plugin.name,
        plugin.version,
        short(&plugin.digest),
        resolved.fuel
    ));
    Ok(())
}

/// Waits until each of these nodes reaches so many peers.
async fn connected(nodes: &[Connection], peers: usize) -> anyhow::Result<()> {
    let end = Instant::now() + HEAL_TIMEOUT;
    for node in nodes {
        loop {
            let asked = node.request(proto::StatusRequest {});
            let status = node.cluster().status(asked).await?.into_inner();
            let reached = status.peers.iter().filter(|peer| peer.is_connected).count();
            if reached == peers {
                break;
            }
            ensure!(
                Instant::now() < end,
                "{} reaches {reached} peers, not {peers}",
                status.node
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Waits until all nodes hold the same one version, byte for byte.
async fn converged(nodes: &[Connection]) -> anyhow::Result<()> {
    let end = Instant::now() + HEAL_TIMEOUT;
    loop {
        let mut hashes = Vec::new();
        let mut versions = Vec::new();
        for node in nodes {
            let asked = node.request(proto::LocalRecordRequest {
                bucket: BUCKET.to_owned(),
                key: KEY.into(),
            });
            let record = node.cluster().local_record(asked).await?.into_inner();
            hashes.push(record.object_hash);
            versions.push(record.siblings);
        }
        let same = hashes.iter().all(|hash| *hash == hashes[0]);
        if same && versions.iter().all(|stored| stored.len() == 1) {
            say(&format!("stored  {}", sibling_line(&versions[0][0])));
            say(&format!(
                "the record of each node hashes to {:016x}",
                hashes[0]
            ));
            return Ok(());
        }
        ensure!(Instant::now() < end, "the nodes hold {hashes:x?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
