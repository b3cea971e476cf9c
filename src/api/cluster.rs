//! `rejoin.v1.Cluster`: inspection, for operators and tests.

use super::deadline::timeout_ms;
use super::explain::explain;
use super::inspection;
use super::membership;
use super::status;
use crate::dynamo::machine::activity::Activity;
use crate::dynamo::membership::snapshot::Snapshot;
use crate::dynamo::names::NodeId;
use crate::dynamo::ring::member::Member;
use crate::node::repairs::{reaping, together};
use crate::node::server::Node;
use crate::wire::key_value::{decode_key, encode_stored};
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::cluster_server::Cluster;
use std::collections::HashMap;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use xxhash_rust::xxh3::xxh3_64;

/// What this node knows and has done.
pub struct ClusterService {
    pub node: Arc<Node>,
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn status(
        &self,
        _: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        let node = &self.node;
        let snapshot = node.snapshot();
        let peers = node.peers.all().into_iter().map(|(id, link)| proto::Peer {
            node: id.as_str().to_owned(),
            address: match snapshot.catalog.node(&id) {
                Some(facts) => facts.peer_address.clone(),
                None => String::new(),
            },
            is_connected: link.is_connected(),
        });
        Ok(Response::new(proto::StatusResponse {
            node: node.id().as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: node.clock.uptime_ms(),
            peers: peers.collect(),
            ring_hash: snapshot.placement.hash(),
            metadata_hash: snapshot.hash,
            storage: node.store.name().to_owned(),
            durable_available: node.store.is_durable(),
            counters: self.counters().await,
        }))
    }

    async fn ring(
        &self,
        _: Request<proto::RingRequest>,
    ) -> Result<Response<proto::RingResponse>, Status> {
        let snapshot = self.node.snapshot();
        let placement = &snapshot.placement;
        let owners = |partition| proto::Owners {
            nodes: names(&placement.holders(partition)),
        };
        Ok(Response::new(proto::RingResponse {
            members: members(&snapshot),
            partitions: placement.partitions().all().map(owners).collect(),
            ring_hash: placement.hash(),
            partition_count: u32::from(placement.partitions().count()),
            node: self.node.id().as_str().to_owned(),
        }))
    }

    async fn preference_list(
        &self,
        request: Request<proto::PreferenceListRequest>,
    ) -> Result<Response<proto::PreferenceListResponse>, Status> {
        let request = request.into_inner();
        let key = decode_key(&request.bucket, request.key).map_err(status::of_request)?;
        let snapshot = self.node.snapshot();
        let Some(properties) = snapshot.catalog.bucket(key.bucket()) else {
            let error = format!("there is no bucket {}", key.bucket());
            return Err(status::missing("NO_SUCH_BUCKET", error));
        };
        let partition = snapshot.placement.partition_of(&key);
        let seats = snapshot.placement.seats(partition, properties.n);
        let mut nodes = names(&seats.primaries);
        nodes.extend(names(&seats.others));
        Ok(Response::new(proto::PreferenceListResponse {
            partition: u32::from(partition.0),
            nodes,
            n: u32::from(properties.n),
            pending: names(&seats.pending),
        }))
    }

    async fn members(
        &self,
        _: Request<proto::MembersRequest>,
    ) -> Result<Response<proto::MembersResponse>, Status> {
        Ok(Response::new(membership::members(&self.node)))
    }

    async fn change(
        &self,
        request: Request<proto::ChangeRequest>,
    ) -> Result<Response<proto::ChangeResponse>, Status> {
        let changed = membership::change(&self.node, request.into_inner()).await;
        changed.map(Response::new)
    }

    async fn set_policy(
        &self,
        request: Request<proto::SetPolicyRequest>,
    ) -> Result<Response<proto::MembershipPolicy>, Status> {
        let policy = membership::set_policy(&self.node, request.into_inner()).await;
        policy.map(Response::new)
    }

    async fn anti_entropy(
        &self,
        request: Request<proto::AntiEntropyRequest>,
    ) -> Result<Response<proto::AntiEntropyResponse>, Status> {
        if request.into_inner().now {
            self.node.repair_now().await;
        }
        let status = together(&self.node.repairs().await);
        Ok(Response::new(proto::AntiEntropyResponse {
            rounds_finished: status.rounds_finished,
            finished_at_ms: status.finished_at_ms,
            keys_repaired: status.keys_repaired,
            exchanges: status.exchanges,
            exchanges_failed: status.exchanges_failed,
            is_in_progress: status.is_in_progress,
        }))
    }

    async fn hints(
        &self,
        _: Request<proto::HintsRequest>,
    ) -> Result<Response<proto::HintsResponse>, Status> {
        let hints = inspection::hints(&self.node.repairs().await);
        Ok(Response::new(hints))
    }

    async fn transfers(
        &self,
        _: Request<proto::TransfersRequest>,
    ) -> Result<Response<proto::TransfersResponse>, Status> {
        let transfers = inspection::transfers(self.node.repairs().await);
        Ok(Response::new(transfers))
    }

    async fn reap(
        &self,
        request: Request<proto::ReapRequest>,
    ) -> Result<Response<proto::ReapResponse>, Status> {
        if request.into_inner().now {
            self.node.reap_now().await;
        }
        let status = reaping(&self.node.repairs().await);
        let activity = self.node.activity().await;
        let sum = |of: fn(&Activity) -> u64| activity.iter().map(of).sum();
        Ok(Response::new(proto::ReapResponse {
            walks_finished: status.walks_finished,
            is_walking: status.is_walking,
            pending: status.pending as u64,
            granted: status.granted,
            refused: status.refused,
            tombstones_reaped: sum(|shard| shard.copies.tombstones_reaped),
            actors_retired: sum(|shard| shard.copies.actors_retired),
        }))
    }

    async fn explain(
        &self,
        request: Request<proto::ExplainRequest>,
    ) -> Result<Response<proto::ExplainResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let explained = explain(&self.node, request.into_inner(), timeout_ms).await;
        explained.map(Response::new)
    }

    async fn scrub(
        &self,
        request: Request<proto::ScrubRequest>,
    ) -> Result<Response<proto::ScrubResponse>, Status> {
        if request.into_inner().now {
            self.node.scrubber.begin();
        }
        let progress = self.node.scrubber.progress();
        Ok(Response::new(proto::ScrubResponse {
            walks_finished: progress.walks_finished,
            is_walking: progress.is_walking,
            items: progress.items,
            corrupt: progress.corrupt,
            failed: progress.failed,
        }))
    }

    async fn local_record(
        &self,
        request: Request<proto::LocalRecordRequest>,
    ) -> Result<Response<proto::LocalRecordResponse>, Status> {
        let request = request.into_inner();
        let key = decode_key(&request.bucket, request.key).map_err(status::of_request)?;
        let inspection = self.node.inspect(key).await.map_err(status::of_storage)?;
        let (record, retained) = inspection;
        let versions = record.object.versions();
        Ok(Response::new(proto::LocalRecordResponse {
            siblings: versions
                .map(|(dot, version)| encode_stored(dot, version.clone()))
                .collect(),
            object_hash: xxh3_64(&record.object.encode()),
            actors: record.object.actors() as u32,
            retained: retained
                .into_iter()
                .map(inspection::encode_retained)
                .collect(),
        }))
    }
}

impl ClusterService {
    pub(super) async fn counters(&self) -> HashMap<String, u64> {
        let mut counters = HashMap::new();
        for activity in self.node.activity().await {
            for (name, value) in counted(&activity) {
                let sum: &mut u64 = counters.entry(name.to_owned()).or_default();
                *sum = if name.ends_with("_max") {
                    value.max(*sum)
                } else {
                    *sum + value
                };
            }
        }
        let health = self.node.store.health();
        counters.insert("storage_syncs".to_owned(), health.syncs);
        counters.insert("storage_corrupt_items".to_owned(), health.corrupt_items);
        counters
    }
}

fn names(nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().map(|node| node.as_str().to_owned()).collect()
}

fn members(snapshot: &Snapshot) -> Vec<proto::Member> {
    let member = |member: &Member| proto::Member {
        node: member.id.as_str().to_owned(),
        weight: u32::from(member.weight),
        zone: member.zone.clone(),
        address: match snapshot.catalog.node(&member.id) {
            Some(facts) => facts.client_address.clone(),
            None => String::new(),
        },
    };
    snapshot.placement.members().iter().map(member).collect()
}

fn counted(activity: &Activity) -> [(&'static str, u64); 30] {
    let copies = &activity.copies;
    [
        ("conflicts_open", activity.conflicts_open),
        ("background_merges", activity.background_merges),
        (
            "background_merges_failed",
            activity.background_merges_failed,
        ),
        ("gets", activity.gets),
        ("puts", activity.puts),
        ("forwards", activity.forwards),
        ("lists", activity.lists),
        ("read_repairs", activity.read_repairs),
        ("guest_calls", activity.guest_calls),
        ("guest_failures", activity.guest_failures),
        ("put_warnings", activity.put_warnings),
        ("storage_writes", copies.storage_writes),
        ("amnesia_detected", copies.amnesia_detected),
        ("checksum_errors", copies.checksum_errors),
        ("siblings_max", copies.siblings_max),
        ("siblings_warnings", copies.siblings_warnings),
        ("merges_retained", copies.merges_retained),
        ("anti_entropy_repairs", activity.anti_entropy_repairs),
        ("keys_transferred", activity.keys_transferred),
        ("strays_handed_over", activity.strays_handed_over),
        ("background_rate", activity.background_rate),
        ("stand_ins", activity.stand_ins),
        ("hints_pending", activity.hints_pending),
        ("hint_bytes", activity.hint_bytes),
        ("hints_delivered", activity.hints_delivered),
        ("hints_dropped", copies.hints_dropped),
        ("tombstones_reaped", copies.tombstones_reaped),
        ("actors_retired", copies.actors_retired),
        ("records_cleared", copies.records_cleared),
        ("reaps_refused", activity.reaps_refused),
    ]
}
