//! The node's catalog of buckets and plugins: kept on disk, told to the shards, exchanged with peers.
//!
//! Dynamo 4.8.1: every second with a peer at random, and at once when something is edited here. Merging is
//! the core's.
//!
//! Invariant: what the shards work by was on this node's disk before.

use super::dialing::client;
use super::inbox::Input;
use super::peers::Peers;
use super::store::Store;
use super::switchboard::Switchboard;
use crate::dynamo::metadata::catalog::{Catalog, EditError};
use crate::dynamo::metadata::row::{Fact, Subject};
use crate::dynamo::names::NodeId;
use crate::dynamo::replica::storage::{Batch, Storage, StorageError};
use crate::wire::proto::peer as proto;
use anyhow::Context as _;
use bytes::Bytes;
use rand::seq::IndexedRandom as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tonic::transport::Channel;

/// The paper's gossip interval (4.8.1).
const GOSSIP_INTERVAL: Duration = Duration::from_secs(1);
/// How long an edit waits for one peer.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);
/// Where the catalog is stored.
const STORAGE_KEY: &[u8] = b"m/catalog";

/// Why an edit was refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The bucket is there; the caller has not asked to replace it.
    #[error("the bucket {0} exists already; pass `replace` to change its properties")]
    Exists(crate::dynamo::names::BucketName),
    #[error("the metadata could not be stored: {0}")]
    Storage(#[from] StorageError),
}

/// The catalog of one node.
pub struct Registry {
    cluster: String,
    peers: Arc<Peers>,
    switchboard: Switchboard,
    /// Held while an edit is stored, so that disk and memory change together.
    store: Mutex<Store>,
    /// The latest catalog; whoever needs to know of changes watches it.
    current: watch::Sender<Arc<Catalog>>,
}

impl Registry {
    /// Takes up what the disk holds.
    pub async fn open(
        cluster: String,
        peers: Arc<Peers>,
        switchboard: Switchboard,
        store: Store,
    ) -> anyhow::Result<Self> {
        let stored = match store.get(STORAGE_KEY) {
            Err(StorageError::Corrupt(why)) => {
                tracing::error!(
                    why,
                    "the stored metadata is not believed; peers will send theirs"
                );
                None
            }
            stored => stored.context("reading the metadata")?,
        };
        let catalog = match stored {
            Some(bytes) => Catalog::decode(bytes).context("the stored metadata")?,
            None => Catalog::default(),
        };
        let registry = Self {
            cluster,
            peers,
            switchboard,
            store: Mutex::new(store),
            current: watch::Sender::new(Arc::new(catalog)),
        };
        registry.tell_shards().await;
        Ok(registry)
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        self.current.borrow().clone()
    }

    /// Told whenever the catalog changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Catalog>> {
        self.current.subscribe()
    }

    /// Edits one row here and tells all peers that can be reached. Returns how many nodes have it now.
    pub async fn edit(
        &self,
        subject: Subject,
        fact: Fact,
        may_replace: bool,
    ) -> Result<usize, RegistryError> {
        {
            let mut store = self.store.lock().await;
            let mut catalog = Catalog::clone(&self.catalog());
            if let Subject::Bucket(name) = &subject
                && !may_replace
                && catalog.bucket(name).is_some()
            {
                return Err(RegistryError::Exists(name.clone()));
            }
            catalog.edit(subject, fact, self.peers.me().clone())?;
            self.replace(&mut store, catalog).await?;
        }
        Ok(1 + self.tell_peers().await)
    }

    /// Stores a catalog and makes it the current one.
    async fn replace(&self, store: &mut Store, catalog: Catalog) -> Result<(), StorageError> {
        let mut batch = Batch::default();
        batch.put(Bytes::from_static(STORAGE_KEY), catalog.encode());
        let mut store = store.clone();
        let stored = tokio::task::spawn_blocking(move || {
            store.apply(batch)?;
            store.sync()
        });
        match stored.await {
            Ok(stored) => stored?,
            Err(error) => return Err(StorageError::Failed(error.to_string())),
        }
        self.current.send_replace(Arc::new(catalog));
        self.tell_shards().await;
        Ok(())
    }

    async fn tell_shards(&self) {
        let table = Arc::new(self.catalog().bucket_table());
        for inbox in self.switchboard.all() {
            // A shard that has stopped serves no buckets.
            drop(inbox.send(Input::Buckets(Arc::clone(&table))).await);
        }
    }

    async fn tell_peers(&self) -> usize {
        let tell = self.peers.connected().into_iter().map(|(peer, channel)| async move {
            match self.exchange(channel, true).await {
                Ok(()) => 1,
                Err(error) => {
                    tracing::warn!(%peer, error = format!("{error:#}"), "a peer did not take the metadata yet");
                    0
                }
            }
        });
        futures_util::future::join_all(tell).await.into_iter().sum()
    }

    /// Merges rows that a peer sent, and answers with ours if they differ.
    pub async fn on_exchange(&self, theirs: proto::Catalog) -> anyhow::Result<proto::Catalog> {
        if !theirs.rows.is_empty() {
            self.merge(theirs.rows).await?;
        }
        let same = self.catalog().hash() == theirs.hash;
        Ok(self.message(!same))
    }

    async fn merge(&self, rows: Bytes) -> anyhow::Result<()> {
        let incoming = Catalog::decode(rows).context("a peer's metadata")?;
        let mut store = self.store.lock().await;
        let mut catalog = Catalog::clone(&self.catalog());
        if catalog.merge(incoming) {
            self.replace(&mut store, catalog).await?;
        }
        Ok(())
    }

    fn message(&self, with_rows: bool) -> proto::Catalog {
        let catalog = self.catalog();
        proto::Catalog {
            cluster: self.cluster.clone(),
            node: self.peers.me().as_str().to_owned(),
            rows: if with_rows {
                catalog.encode()
            } else {
                Bytes::new()
            },
            hash: catalog.hash(),
        }
    }

    /// Compares hashes with one peer, and rows if they differ or `with_rows` says so.
    async fn exchange(&self, channel: Channel, with_rows: bool) -> anyhow::Result<()> {
        let mut client = client(channel);
        let ask = client.exchange(self.message(with_rows));
        let theirs = tokio::time::timeout(PEER_TIMEOUT, ask).await??.into_inner();
        if !theirs.rows.is_empty() {
            self.merge(theirs.rows).await?;
        }
        if self.catalog().hash() != theirs.hash {
            let ask = client.exchange(self.message(true));
            tokio::time::timeout(PEER_TIMEOUT, ask).await??;
        }
        Ok(())
    }

    /// Gossips until told to stop.
    pub async fn gossip(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(GOSSIP_INTERVAL) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            let connected = self.peers.connected();
            let Some((peer, channel)) = connected.choose(&mut rand::rng()).cloned() else {
                continue;
            };
            self.gossip_with(&peer, channel).await;
        }
    }

    async fn gossip_with(&self, peer: &NodeId, channel: Channel) {
        if let Err(error) = self.exchange(channel, false).await {
            tracing::debug!(%peer, error = format!("{error:#}"), "no exchange of metadata");
        }
    }
}
