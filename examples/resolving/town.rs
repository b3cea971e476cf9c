//! Three nodes, and what the measurements do with them in one word.
//!
//! Invariant: the nodes end with the measurement.

use crate::cart;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use rejoin::cli::connection::Connection;
use rejoin::cli::local::{LocalCluster, Plan, Wiring};
use rejoin::cli::plugin::push;
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);
/// Puts under way while a bucket is filled.
const FILLERS: usize = 16;
/// Bytes of a cart, about.
const CART_BYTES: usize = 1_024;
/// Above any deadline.
const LATENCY_MAX_US: u64 = 60_000_000;

pub struct Town {
    cluster: LocalCluster,
    pub nodes: Vec<Connection>,
    _folder: TempDir,
}

impl Town {
    pub async fn start(port: u16, binary: Option<PathBuf>) -> anyhow::Result<Self> {
        let beside = std::env::current_exe()?;
        let beside = beside.parent().and_then(Path::parent);
        let beside = beside
            .context("this example lies in no folder")?
            .join("rejoin");
        let folder = tempfile::tempdir()?;
        // Conflicts that nobody reads are merged at once, and not in the middle of another measurement.
        let settings = vec![("REJOIN_CONVERGE_QUIET_MS", "1000".to_owned())];
        let cluster = LocalCluster::start(Plan {
            binary: binary.unwrap_or(beside),
            folder: folder.path().to_owned(),
            nodes: 3,
            spares: 0,
            wiring: Wiring::Ports(port),
            storage: StorageEngine::Sled,
            settings,
            certificates: Vec::new(),
        })
        .await?;
        let mut nodes = Vec::new();
        for place in 0..3 {
            nodes.push(Connection::to(&cluster.url(place), REQUEST_TIMEOUT).await?);
        }
        let town = Self {
            cluster,
            nodes,
            _folder: folder,
        };
        town.connected().await?;
        Ok(town)
    }

    async fn connected(&self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        for node in &self.nodes {
            loop {
                let peers = status(node).await?.peers;
                if peers.iter().filter(|peer| peer.is_connected).count() == 2 {
                    break;
                }
                ensure!(Instant::now() < end, "the nodes do not find each other");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    pub async fn end(self) -> anyhow::Result<()> {
        let failed = self.cluster.stop().await?;
        ensure!(failed.is_empty(), "{failed:?} did not stop well");
        Ok(())
    }

    /// A counter of all nodes together.
    pub async fn count(&self, name: &str) -> anyhow::Result<u64> {
        let mut sum = 0;
        for node in &self.nodes {
            let counters = status(node).await?.counters;
            sum += counters
                .get(name)
                .with_context(|| format!("no counter {name}"))?;
        }
        Ok(sum)
    }

    /// Uploads a plugin and returns its digest.
    pub async fn push(&self, bytes: Bytes) -> anyhow::Result<String> {
        let reply = push(bytes, &self.nodes[0]).await?;
        ensure!(
            reply.nodes_ready == 3,
            "{} nodes are ready",
            reply.nodes_ready
        );
        Ok(reply.plugin.context("no plugin in the reply")?.digest)
    }

    pub async fn create(&self, bucket: &str, properties: proto::Properties) -> anyhow::Result<()> {
        let node = &self.nodes[0];
        let asked = node.request(proto::CreateBucketRequest {
            bucket: bucket.to_owned(),
            properties: Some(properties),
            replace: true,
        });
        node.buckets().create(asked).await?;
        Ok(())
    }

    /// Stores these values beside each other under each of so many keys.
    pub async fn fill(&self, bucket: &str, keys: usize, values: &[Bytes]) -> anyhow::Result<()> {
        let values: Arc<[Bytes]> = values.into();
        let fillers = (0..FILLERS).map(|filler| {
            let (nodes, values) = (self.nodes.clone(), Arc::clone(&values));
            let bucket = bucket.to_owned();
            tokio::spawn(async move {
                for key in (filler..keys).step_by(FILLERS) {
                    for (place, value) in values.iter().enumerate() {
                        let node = &nodes[place % nodes.len()];
                        put(node, &bucket, key, value.clone()).await?;
                    }
                }
                anyhow::Ok(())
            })
        });
        for filler in futures_util::future::join_all(fillers).await {
            filler??;
        }
        Ok(())
    }
}

async fn status(node: &Connection) -> anyhow::Result<proto::StatusResponse> {
    let asked = node.request(proto::StatusRequest {});
    Ok(node.cluster().status(asked).await?.into_inner())
}

/// A blind put that is on all replicas when it returns.
pub async fn put(
    node: &Connection,
    bucket: &str,
    key: usize,
    value: Bytes,
) -> anyhow::Result<proto::PutResponse> {
    let asked = node.request(proto::PutRequest {
        bucket: bucket.to_owned(),
        key: key_bytes(key),
        value,
        w: Some(3),
        ack: proto::Ack::Buffered.into(),
        ..proto::PutRequest::default()
    });
    Ok(node.kv().put(asked).await?.into_inner())
}

/// A get, and how long it took.
pub async fn get(
    node: &Connection,
    bucket: &str,
    key: usize,
) -> anyhow::Result<(Duration, proto::GetResponse)> {
    let asked = node.request(proto::GetRequest {
        bucket: bucket.to_owned(),
        key: key_bytes(key),
        ..proto::GetRequest::default()
    });
    let begun = Instant::now();
    let reply = node.kv().get(asked).await?.into_inner();
    Ok((begun.elapsed(), reply))
}

pub fn key_bytes(key: usize) -> Bytes {
    format!("key-{key:06}").into()
}

/// Carts of one kibibyte; half of the items of each are those of all.
pub fn carts(count: usize) -> Vec<Bytes> {
    (0..count).map(cart).collect()
}

fn cart(number: usize) -> Bytes {
    let mut items = Vec::new();
    let mut bytes = 0;
    for place in 0.. {
        let item = match place % 2 {
            0 => format!(r#""common-item-{place:04}":{}"#, 1 + (place + number) % 9),
            _ => format!(r#""item-{number:02}-of-{place:04}":1"#),
        };
        bytes += item.len() + 1;
        if bytes > CART_BYTES - 12 {
            break;
        }
        items.push(item);
    }
    items.sort();
    format!(r#"{{"items":{{{}}}}}"#, items.join(",")).into()
}

/// The plugin's merge, in this process.
pub fn merged(carts: &[Bytes]) -> anyhow::Result<Vec<u8>> {
    let carts: Vec<&[u8]> = carts.iter().map(Bytes::as_ref).collect();
    cart::merge(&carts).map_err(|unfit| anyhow::anyhow!("{unfit}"))
}

pub fn cart_plugin() -> Bytes {
    Bytes::from_static(include_bytes!("../../plugins/bin/shopping-cart.wasm"))
}

/// A bucket whose resolver is asked on reads only.
pub fn resolved(plugin: &str) -> proto::Properties {
    proto::Properties {
        resolver: Some(proto::Binding {
            plugin: plugin.to_owned(),
            ..proto::Binding::default()
        }),
        merge_on_put: Some(false),
        ..proto::Properties::default()
    }
}

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are good")
}

pub fn note(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(took.as_micros().max(1) as u64);
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
