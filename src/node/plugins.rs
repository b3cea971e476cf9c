//! The plugins of the cluster on this node: fetched from peers, made ready. `uploads` takes them in from clients.
//!
//! Checks, compiles and runs nothing itself: `wasm` does. A plugin is known by the digest of its bytes, so
//! it does not matter which peer they come from.
//!
//! Invariant: bytes from a peer pass the same checks as bytes from a client.

use super::dialing::client;
use super::gate::Gate;
use super::peers::Peers;
use super::registry::Registry;
use crate::dynamo::names::Digest;
use crate::limits::PLUGIN_BYTES_MAX;
use crate::limits::versions::UPLOADS_MAX;
use crate::wasm::library::{Library, digest_of};
use crate::wasm::upload_error::UploadError;
use crate::wire::proto::peer as proto;
use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, watch};
use tonic::transport::Channel;

/// How long a fetch from one peer may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
/// How soon a plugin that could not be had is asked for again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The plugins of one node.
pub struct Plugins {
    library: Arc<Library>,
    pub(super) peers: Arc<Peers>,
    pub(super) registry: Arc<Registry>,
    /// Places of uploads under way.
    pub(super) uploads: Arc<Semaphore>,
    /// One fetch at a time: a peer's request and the catalog's change name the same plugin. Held over the fetch.
    staging: Mutex<()>,
    gate: Gate,
}

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Registry(#[from] super::registry::RegistryError),
    /// Nothing was begun.
    #[error(
        "this node has {UPLOADS_MAX} uploads under way; retry when one has ended, or push at another node"
    )]
    TooMany,
    /// Nothing was kept of it.
    #[error(
        "P063 {name}@{version} is the plugin {holder} already; raise the version in the description of the new one and push it again"
    )]
    Taken {
        name: String,
        version: String,
        holder: Digest,
    },
}

impl Plugins {
    pub fn new(
        library: Arc<Library>,
        peers: Arc<Peers>,
        registry: Arc<Registry>,
        data: &Path,
    ) -> Self {
        let gate = Gate::new(Arc::clone(&library), data);
        Self {
            library,
            peers,
            registry,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            staging: Mutex::default(),
            gate,
        }
    }

    /// Where plugins are checked.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Makes a plugin ready on this node, fetching it if need be. What was begun goes on when nobody waits any more.
    pub async fn stage(self: &Arc<Self>, digest: Digest) -> anyhow::Result<()> {
        if self.library.is_loaded(digest) {
            return Ok(());
        }
        let plugins = Arc::clone(self);
        tokio::spawn(async move { plugins.stage_here(digest).await }).await?
    }

    async fn stage_here(&self, digest: Digest) -> anyhow::Result<()> {
        let _staging = self.staging.lock().await;
        if self.library.contains(digest) {
            self.library.prepare(digest).await?;
            return Ok(());
        }
        let bytes = self.fetch(digest).await?;
        self.library.admit(bytes).await?;
        tracing::info!(?digest, "fetched a plugin");
        Ok(())
    }

    async fn fetch(&self, digest: Digest) -> anyhow::Result<Bytes> {
        for (peer, channel) in self.peers.connected() {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch_from(channel, digest)).await;
            match fetched {
                Ok(Ok(bytes)) if digest_of(&bytes) == digest => return Ok(bytes),
                Ok(Ok(_)) => tracing::warn!(%peer, ?digest, "a peer sent other bytes"),
                Ok(Err(error)) => {
                    tracing::debug!(%peer, ?digest, error = format!("{error:#}"), "not fetched")
                }
                Err(_) => tracing::debug!(%peer, ?digest, "not fetched in time"),
            }
        }
        anyhow::bail!("no connected peer has the plugin {digest}")
    }

    /// Fetches and compiles what the catalog names and this node lacks, until told to stop.
    pub async fn keep_ready(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut changed = self.registry.watch();
        let mut ready = BTreeSet::new();
        loop {
            let all_ready = self.make_ready(&mut ready).await;
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(RETRY_INTERVAL), if !all_ready => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn make_ready(self: &Arc<Self>, ready: &mut BTreeSet<Digest>) -> bool {
        let catalog = self.registry.catalog();
        let mut all_ready = true;
        for (digest, _) in catalog.plugins() {
            if ready.contains(&digest) {
                continue;
            }
            match self.stage(digest).await {
                Ok(()) => {
                    ready.insert(digest);
                }
                Err(error) => {
                    tracing::debug!(
                        ?digest,
                        error = format!("{error:#}"),
                        "a plugin is not ready"
                    );
                    all_ready = false;
                }
            }
        }
        all_ready
    }
}

async fn fetch_from(channel: Channel, digest: Digest) -> anyhow::Result<Bytes> {
    let request = proto::FetchPluginRequest {
        digest: Bytes::copy_from_slice(&digest.0),
    };
    let mut chunks = client(channel).fetch_plugin(request).await?.into_inner();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.message().await.context("a chunk")? {
        anyhow::ensure!(
            bytes.len() + chunk.chunk.len() <= PLUGIN_BYTES_MAX,
            "more than {PLUGIN_BYTES_MAX} bytes"
        );
        bytes.extend_from_slice(&chunk.chunk);
    }
    Ok(bytes.freeze())
}
