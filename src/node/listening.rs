//! Serves the other nodes: their streams, and plugins.
//!
//! On a listener of its own, apart from clients.
//!
//! Invariant: a stream is served only after its peer has named this cluster and the size of its ring; of a stranger
//! only gossip is heard, and the steward believes it only with the token.

use super::clock::Clock;
use super::dialing::{frames, letters};
use super::hello::{Identity, check_named};
use super::inspecting::{Inspected, Inspector};
use super::peers::{Letter, Peers};
use super::plugins::Plugins;
use super::registry::Registry;
use super::replaying::{Replayed, Replayer};
use super::shadows::{Report, Shadows};
use super::switchboard::Switchboard;
use super::unmerging::stretch;
use crate::dynamo::bucket::{Binding, GuestLimits};
use crate::dynamo::codec::Reader;
use crate::dynamo::metadata::facts::INSPECT_SINCE;
use crate::dynamo::names::{BucketName, Digest, NodeId};
use crate::dynamo::replica::merges::as_much_as_fits;
use crate::dynamo::ring::partition::PartitionId;
use crate::limits::FUEL_MAX;
use crate::security::access::Access;
use crate::security::connection::ConnectionInfo;
use crate::wire::inspection::{decode_request, encode};
use crate::wire::proto::peer as proto;
use crate::wire::proto::peer::peer_server::Peer;
use crate::wire::unmerging;
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a plugin in one message.
const CHUNK_BYTES: usize = 512 * 1024;

type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The `rejoin.peer.v1.Peer` service.
pub struct PeerService {
    pub identity: Identity,
    pub peers: Arc<Peers>,
    pub switchboard: Switchboard,
    pub registry: Arc<Registry>,
    pub plugins: Arc<Plugins>,
    pub shadows: Arc<Shadows>,
    pub inspector: Inspector,
    pub access: Arc<Access>,
    pub replayer: Replayer,
    pub clock: Clock,
}

#[tonic::async_trait]
impl Peer for PeerService {
    type LinkStream = Outgoing<proto::Frame>;
    type FetchPluginStream = Outgoing<proto::PluginChunk>;

    async fn link(
        &self,
        request: Request<Streaming<proto::Frame>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let connection = connection(&request);
        let mut incoming = request.into_inner();
        let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no hello within 5 s"))??;
        let peer = self.identity.check(first.unwrap_or_default())?;
        if let Some(named) = &connection.certificate {
            check_named(&peer, named).inspect_err(|refusal| {
                self.access
                    .refused_peer(connection.remote, refusal.message());
            })?;
        }
        let Some(link) = self.peers.meet(&peer) else {
            return Err(Status::resource_exhausted("too many nodes are known"));
        };
        let (replies, queue) = link.accept();
        let (switchboard, registry) = (self.switchboard.clone(), Arc::clone(&self.registry));
        // Detached: it ends with the stream, which ends with the connection or the server.
        tokio::spawn(async move {
            receive(&peer, &switchboard, &registry, incoming).await;
            link.abandon(&replies);
        });
        let hello = tokio_stream::once(self.identity.hello());
        Ok(Response::new(Box::pin(hello.chain(frames(queue)).map(Ok))))
    }

    async fn fetch_plugin(
        &self,
        request: Request<proto::FetchPluginRequest>,
    ) -> Result<Response<Self::FetchPluginStream>, Status> {
        let digest = decode_digest(request.into_inner().digest)?;
        let bytes = self.plugins.library().bytes(digest);
        let bytes = bytes.map_err(|error| Status::not_found(error.to_string()))?;
        let size_bytes = bytes.len() as u64;
        let chunks = (0..bytes.len()).step_by(CHUNK_BYTES).map(move |start| {
            let end = bytes.len().min(start + CHUNK_BYTES);
            Ok(proto::PluginChunk {
                size_bytes,
                chunk: bytes.slice(start..end),
            })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn inspect(
        &self,
        request: Request<proto::InspectRequest>,
    ) -> Result<Response<proto::InspectResponse>, Status> {
        self.check_known(&request)?;
        if self.identity.speaks.max < INSPECT_SINCE {
            return Err(Status::unimplemented("this node speaks an earlier version"));
        }
        let key = decode_request(request.into_inner());
        let key = key.map_err(|error| Status::invalid_argument(format!("the question {error}")))?;
        let held = self.inspector.here(key).await;
        let held = held.map_err(|error| Status::internal(error.to_string()))?;
        let Inspected {
            object,
            actor,
            replaced,
            hints,
        } = held;
        let response = encode((object, as_much_as_fits(replaced), actor, hints));
        Ok(Response::new(response))
    }

    async fn stage_plugin(
        &self,
        request: Request<proto::StagePluginRequest>,
    ) -> Result<Response<proto::StagePluginResponse>, Status> {
        self.check_known(&request)?;
        let proto::StagePluginRequest { digest, rehearse } = request.into_inner();
        let digest = decode_digest(digest)?;
        let rehearsed = match rehearse {
            None => match self.plugins.stage(digest).await {
                Ok(()) => Ok(None),
                Err(error) => Err(format!("{error:#}")),
            },
            Some(proto::Rehearse { params, fuel }) => {
                let binding = Binding {
                    digest,
                    params,
                    fuel: fuel.clamp(1, FUEL_MAX),
                    limits: GuestLimits::default(),
                };
                let rehearsed = self.plugins.rehearse(binding).await;
                rehearsed.map(Some).map_err(|error| error.to_string())
            }
        };
        let (rehearsed, message) = match rehearsed {
            Ok(rehearsed) => (Some(rehearsed), String::new()),
            Err(why) => (None, why),
        };
        let is_ready = rehearsed.is_some();
        let rehearsed = rehearsed.flatten();
        Ok(Response::new(proto::StagePluginResponse {
            is_ready,
            message,
            rehearsal: rehearsed
                .map(|found| Bytes::copy_from_slice(&found.hash.0))
                .unwrap_or_default(),
            calls: rehearsed.map_or(0, |found| found.calls),
        }))
    }

    async fn list_own(
        &self,
        request: Request<proto::ListOwnRequest>,
    ) -> Result<Response<proto::ListOwnResponse>, Status> {
        self.check_known(&request)?;
        let asked = request.into_inner();
        let bucket = BucketName::new(&asked.bucket);
        let bucket = bucket.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let partition = u16::try_from(asked.partition).ok().map(PartitionId);
        let partition = partition.filter(|found| found.0 < self.identity.partitions.count());
        let partition = partition.ok_or_else(|| Status::invalid_argument("no such partition"))?;
        let listed = self
            .switchboard
            .list_own(stretch(bucket, partition, asked.after));
        let listed = listed
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(proto::ListOwnResponse {
            keys: listed.keys.into_iter().map(|listed| listed.key).collect(),
            more: listed.more,
        }))
    }

    async fn unmerge(
        &self,
        request: Request<proto::UnmergeRequest>,
    ) -> Result<Response<proto::UnmergeResponse>, Status> {
        self.check_known(&request)?;
        let requests = unmerging::decode_request(request.into_inner());
        let requests = requests.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let outcomes = self.switchboard.unmerge(requests).await;
        let outcomes = outcomes.into_iter().map(unmerging::encode_outcome);
        Ok(Response::new(proto::UnmergeResponse {
            outcomes: outcomes.collect(),
        }))
    }

    async fn shadow_report(
        &self,
        request: Request<proto::ShadowReportRequest>,
    ) -> Result<Response<proto::ShadowReportResponse>, Status> {
        self.check_known(&request)?;
        let asked = request.into_inner();
        let bucket = BucketName::new(&asked.bucket);
        let bucket = bucket.map_err(|error| Status::invalid_argument(error.to_string()))?;
        if asked.replay {
            let replayed = self.replayer.replay(bucket, self.clock.now().wall_ms).await;
            let replayed = replayed.map_err(|error| Status::failed_precondition(error.to_string()));
            return replayed.map(encode_replayed).map(Response::new);
        }
        let report = self.shadows.report(&bucket).map(encode_report);
        Ok(Response::new(report.unwrap_or_default()))
    }
}

impl PeerService {
    /// A node with a certificate and no place in the cluster reads and changes nothing. Without certificates nobody can
    /// be told apart.
    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    fn check_known<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let connection = connection(request);
        let Some(named) = &connection.certificate else {
            return Ok(());
        };
        let is_known = NodeId::new(named).is_ok_and(|node| self.registry.knows(&node));
        if is_known {
            return Ok(());
        }
        let why = format!("node {named} is not in this cluster");
        self.access.refused_peer(connection.remote, &why);
        Err(Status::permission_denied(why))
    }
}

/// Of the connection on which a request came.
fn connection<T>(request: &Request<T>) -> ConnectionInfo {
    let connection = request.extensions().get::<ConnectionInfo>();
    connection.cloned().unwrap_or_default()
}

/// What this node found, for another one to add up.
pub fn encode_report(report: Report) -> proto::ShadowReportResponse {
    let differences = report.differences.into_iter();
    proto::ShadowReportResponse {
        shadow: Bytes::copy_from_slice(&report.binding.digest.0),
        calls: report.calls,
        same: report.same,
        different: report.different,
        failed: report.failed,
        last_failure: report.last_failure,
        dropped: report.dropped,
        differences: differences
            .map(|(key, (active, shadow))| proto::ShadowDifference {
                key,
                active,
                shadow,
            })
            .collect(),
        active_fuel: report.active.fuel.into(),
        shadow_fuel: report.shadow.fuel.into(),
        active_bytes: report.active.bytes,
        shadow_bytes: report.shadow.bytes,
        is_replay: false,
        is_cut: false,
    }
}

/// What this node replayed, for another one to add up.
pub fn encode_replayed(replayed: Replayed) -> proto::ShadowReportResponse {
    proto::ShadowReportResponse {
        is_replay: true,
        is_cut: replayed.is_cut,
        ..encode_report(replayed.report)
    }
}

async fn receive(
    peer: &NodeId,
    switchboard: &Switchboard,
    registry: &Registry,
    mut incoming: Streaming<proto::Frame>,
) {
    while let Ok(Some(frame)) = incoming.message().await {
        for letter in letters(peer, frame) {
            match letter {
                Letter::Gossip(gossip) => registry.hear(peer.clone(), gossip),
                Letter::Message(message) if registry.knows(peer) => {
                    switchboard.deliver(peer, message).await;
                }
                Letter::Message(_) => tracing::warn!(%peer, "a message of a stranger was dropped"),
            }
        }
    }
}

fn decode_digest(bytes: Bytes) -> Result<Digest, Status> {
    let digest = Reader::new(bytes).digest();
    digest.map_err(|error| Status::invalid_argument(format!("the digest {error}")))
}
