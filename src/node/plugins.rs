//! The plugins of the cluster on this node: taken in from clients, fetched from peers, made ready.
//!
//! Checks, compiles and runs nothing itself: `wasm` does. A plugin is known by the digest of its bytes, so
//! it does not matter which peer they come from.
//!
//! Invariant: bytes from a peer pass the same checks as bytes from a client.

use super::dialing::client;
use super::gate::Gate;
use super::peers::Peers;
use super::registry::Registry;
use crate::dynamo::metadata::row::{Fact, PluginFacts, Subject};
use crate::dynamo::names::Digest;
use crate::limits::PLUGIN_BYTES_MAX;
use crate::wasm::laws::evidence::Evidence;
use crate::wasm::laws::report::LawReport;
use crate::wasm::library::{Admitted, Library, digest_of};
use crate::wasm::upload_error::UploadError;
use crate::wire::proto::peer as proto;
use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tonic::transport::Channel;

/// How long a push waits for the other nodes to compile.
const STAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a fetch from one peer may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
/// How soon a plugin that could not be had is asked for again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The plugins of one node.
pub struct Plugins {
    library: Arc<Library>,
    peers: Arc<Peers>,
    registry: Arc<Registry>,
    /// One fetch at a time: a peer's request and the catalog's change name the same plugin. Held over the fetch.
    staging: Mutex<()>,
    gate: Gate,
}

/// What a push came to.
pub struct Pushed {
    pub digest: Digest,
    pub facts: PluginFacts,
    /// Nodes that have it ready.
    pub nodes_ready: usize,
    /// Each law that it breaks, as a file that replays; none if it was here before.
    pub evidence: Vec<Evidence>,
}

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Registry(#[from] super::registry::RegistryError),
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

    /// Takes a client's plugin in, checks its laws, makes it known, and waits for the nodes that can be reached.
    pub async fn push(&self, bytes: Bytes) -> Result<Pushed, PushError> {
        let was_here = self.library.contains(digest_of(&bytes));
        let admitted = self.library.admit(bytes).await?;
        let digest = admitted.digest;
        let known = self.registry.catalog().plugin(digest).cloned();
        let (facts, evidence) = match known {
            Some(facts) if facts.graded.is_some() || !facts.is_resolver => (facts, Vec::new()),
            known => {
                let graded = match self.check_name(&admitted, known.is_some()) {
                    Ok(()) => self.gate.check_upload(admitted.clone()).await,
                    Err(taken) => {
                        if !was_here {
                            self.library.remove(digest)?;
                        }
                        return Err(taken);
                    }
                };
                if graded.is_err() && known.is_none() {
                    self.library.remove(digest)?;
                }
                let report = graded?;
                let facts = facts(&admitted, &report);
                let fact = Fact::Plugin(facts.clone());
                self.registry
                    .edit(Subject::Plugin(digest), fact, true)
                    .await?;
                let evidence = report.failures.iter().map(Evidence::of);
                (facts, evidence.collect())
            }
        };
        Ok(Pushed {
            digest,
            facts,
            nodes_ready: 1 + self.stage_at_peers(digest).await,
            evidence,
        })
    }

    /// A name and version name one plugin for good.
    fn check_name(&self, admitted: &Admitted, is_known: bool) -> Result<(), PushError> {
        let (name, version) = (&admitted.description.name, &admitted.description.version);
        let catalog = self.registry.catalog();
        match catalog.holder_of(name, version, admitted.digest) {
            Some(holder) if !is_known => Err(PushError::Taken {
                name: name.clone(),
                version: version.clone(),
                holder,
            }),
            _ => Ok(()),
        }
    }

    async fn stage_at_peers(&self, digest: Digest) -> usize {
        let stage = self.peers.connected().into_iter().map(|(peer, channel)| async move {
            let request = proto::StagePluginRequest {
                digest: Bytes::copy_from_slice(&digest.0),
                rehearse: None,
            };
            let mut client = client(channel);
            match tokio::time::timeout(STAGE_TIMEOUT, client.stage_plugin(request)).await {
                Ok(Ok(reply)) if reply.get_ref().is_ready => 1,
                failed => {
                    tracing::warn!(%peer, ?digest, ?failed, "a peer does not have the plugin yet");
                    0
                }
            }
        });
        futures_util::future::join_all(stage)
            .await
            .into_iter()
            .sum()
    }

    /// Makes a plugin ready on this node, fetching it if need be.
    pub async fn stage(&self, digest: Digest) -> anyhow::Result<()> {
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

    async fn make_ready(&self, ready: &mut BTreeSet<Digest>) -> bool {
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

fn facts(admitted: &Admitted, report: &LawReport) -> PluginFacts {
    PluginFacts {
        name: admitted.description.name.clone(),
        version: admitted.description.version.clone(),
        size_bytes: admitted.size_bytes,
        is_resolver: admitted.roles.resolver,
        is_validator: admitted.roles.validator,
        laws: admitted.description.laws.names(),
        graded: report.graded(),
    }
}
