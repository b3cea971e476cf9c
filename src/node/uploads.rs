//! Uploads under way: taken in, checked, made known, and staged at the other nodes, apart from the request that brought them.
//!
//! A large plugin is compiled for longer than a request lives. What was begun is finished whoever listens; the same
//! bytes, sent again, wait for it and do not begin anew. What an upload has to be, `wasm` knows.
//!
//! Invariant: at most `UPLOADS_MAX` are under way, and each ends.

use super::dialing::client;
use super::plugins::{Plugins, PushError};
use crate::dynamo::metadata::row::{Fact, PluginFacts, Subject};
use crate::dynamo::names::{Digest, NodeId};
use crate::limits::versions::{STAGE_TIMEOUT_MS, UPLOAD_STAGE_MS_MAX};
use crate::wasm::laws::evidence::Evidence;
use crate::wasm::laws::report::LawReport;
use crate::wasm::library::{Admitted, digest_of};
use crate::wire::proto::peer as proto;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// What an upload does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// This node inspects and compiles it, or waits for its turn to.
    #[default]
    Compiling,
    /// This node tries its laws.
    Checking,
    /// The others fetch and compile it.
    Staging,
}

/// What a plugin is known as, once it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub digest: Digest,
    pub facts: PluginFacts,
    /// Each law that it breaks, as a file that replays; none if it was here before.
    pub evidence: Vec<Evidence>,
}

/// How far an upload is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    pub phase: Phase,
    /// From `Staging` on.
    pub accepted: Option<Arc<Accepted>>,
    /// Nodes that have it ready, this one included.
    pub nodes_ready: usize,
    /// Nodes that do not have it when the upload ends, and why; they go on trying by themselves.
    pub refusals: Vec<(NodeId, String)>,
}

/// An upload that goes on when this is dropped.
pub struct Upload {
    pub progress: watch::Receiver<Progress>,
    pub end: JoinHandle<Result<(), PushError>>,
}

impl Plugins {
    /// Begins to take a client's plugin in.
    pub fn upload(self: &Arc<Self>, bytes: Bytes) -> Result<Upload, PushError> {
        let place = Arc::clone(&self.uploads).try_acquire_owned();
        let place = place.map_err(|_| PushError::TooMany)?;
        let (told, progress) = watch::channel(Progress::default());
        let plugins = Arc::clone(self);
        let end = tokio::spawn(async move {
            let _place = place;
            plugins.take_in(bytes, &told).await
        });
        Ok(Upload { progress, end })
    }

    /// Checks a plugin and its laws, makes it known, and waits for the nodes that can be reached.
    async fn take_in(&self, bytes: Bytes, told: &watch::Sender<Progress>) -> Result<(), PushError> {
        let was_here = self.library().contains(digest_of(&bytes));
        let admitted = self.library().admit(bytes).await?;
        let digest = admitted.digest;
        told.send_modify(|progress| progress.phase = Phase::Checking);
        let accepted = Arc::new(self.accept(&admitted, was_here).await?);
        told.send_modify(|progress| {
            progress.phase = Phase::Staging;
            progress.nodes_ready = 1;
            progress.accepted = Some(accepted);
        });
        self.stage_at_peers(digest, told).await;
        Ok(())
    }

    async fn accept(&self, admitted: &Admitted, was_here: bool) -> Result<Accepted, PushError> {
        let digest = admitted.digest;
        let known = self.registry.catalog().plugin(digest).cloned();
        if let Some(facts) = &known
            && (facts.graded.is_some() || !facts.is_resolver)
        {
            let (facts, evidence) = (facts.clone(), Vec::new());
            return Ok(Accepted {
                digest,
                facts,
                evidence,
            });
        }
        if let Err(taken) = self.check_name(admitted, known.is_some()) {
            if !was_here {
                self.library().remove(digest)?;
            }
            return Err(taken);
        }
        let graded = self.gate().check_upload(admitted.clone()).await;
        if graded.is_err() && known.is_none() {
            self.library().remove(digest)?;
        }
        let report = graded?;
        let facts = facts(admitted, &report);
        let fact = Fact::Plugin(facts.clone());
        self.registry
            .edit(Subject::Plugin(digest), fact, true)
            .await?;
        Ok(Accepted {
            digest,
            facts,
            evidence: report.failures.iter().map(Evidence::of).collect(),
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

    async fn stage_at_peers(&self, digest: Digest, told: &watch::Sender<Progress>) {
        let end = Instant::now() + Duration::from_millis(UPLOAD_STAGE_MS_MAX);
        let connected = self.peers.connected().into_iter();
        let staged = connected.map(|(peer, channel)| async move {
            match stage_until(channel, digest, end).await {
                Ok(()) => told.send_modify(|progress| progress.nodes_ready += 1),
                Err(why) => {
                    tracing::warn!(%peer, ?digest, why, "a peer does not have the plugin yet");
                    told.send_modify(|progress| progress.refusals.push((peer, why)));
                }
            }
        });
        futures_util::future::join_all(staged).await;
    }
}

/// Asks a peer again and again: it goes on compiling between two questions.
async fn stage_until(channel: Channel, digest: Digest, end: Instant) -> Result<(), String> {
    let mut client = client(channel);
    while Instant::now() < end {
        let request = proto::StagePluginRequest {
            digest: Bytes::copy_from_slice(&digest.0),
            rehearse: None,
        };
        let limit = Duration::from_millis(STAGE_TIMEOUT_MS);
        match tokio::time::timeout(limit, client.stage_plugin(request)).await {
            Ok(Ok(reply)) if reply.get_ref().is_ready => return Ok(()),
            Ok(Ok(reply)) => return Err(reply.into_inner().message),
            Ok(Err(status)) => return Err(status.message().to_owned()),
            Err(_) => {} // Still at it, or gone; then the next question fails.
        }
    }
    Err(format!(
        "it has not compiled the plugin within {UPLOAD_STAGE_MS_MAX} ms"
    ))
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
