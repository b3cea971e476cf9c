//! The part of `rejoin.v1.Cluster` that shows what a node keeps for others, and what it moves.
//!
//! Invariant: what is told is this node's own; nobody else is asked.

use crate::dynamo::names::NodeId;
use crate::dynamo::repair::hints::Waiting;
use crate::dynamo::repair::transfer::{Stage, Transfer};
use crate::dynamo::replica::record::Replaced;
use crate::node::inbox::Repairs;
use crate::wire::key_value::encode_sibling;
use crate::wire::proto::v1 as proto;
use std::collections::BTreeMap;

/// What all shards keep for each home.
pub fn hints(shards: &[Repairs]) -> proto::HintsResponse {
    let mut homes: BTreeMap<&NodeId, proto::HintsOfHome> = BTreeMap::new();
    for waiting in shards.iter().flat_map(|shard| &shard.hints) {
        let Waiting {
            home,
            count,
            bytes,
            waiting_ms,
        } = waiting;
        let known = homes.entry(home).or_default();
        known.home = home.to_string();
        known.count += *count as u64;
        known.bytes += *bytes as u64;
        known.waiting_ms = known.waiting_ms.max(*waiting_ms);
    }
    proto::HintsResponse {
        homes: homes.into_values().collect(),
    }
}

/// What all shards have to move.
pub fn transfers(shards: Vec<Repairs>) -> proto::TransfersResponse {
    let all = shards.into_iter().flat_map(|shard| shard.transfers);
    let mut transfers: Vec<proto::Transfer> = all.map(encode).collect();
    transfers.sort_by_key(|transfer| transfer.partition);
    proto::TransfersResponse { transfers }
}

fn encode(transfer: Transfer) -> proto::Transfer {
    let stage = match transfer.stage {
        Stage::Copying => proto::TransferStage::Copying,
        Stage::Copied => proto::TransferStage::Copied,
        Stage::Releasing => proto::TransferStage::Releasing,
        Stage::Released => proto::TransferStage::Released,
    };
    proto::Transfer {
        partition: u32::from(transfer.partition.0),
        stage: stage.into(),
        keys_moved: transfer.keys_moved,
        comparisons_done: transfer.done as u64,
        comparisons_left: transfer.left as u64,
        failures: transfer.failures,
        last_failure: transfer.last_failure,
    }
}

/// What a merge on put replaced.
pub fn encode_retained(replaced: Replaced) -> proto::RetainedMerge {
    let inputs = replaced.named_inputs().map(|(dot, version)| {
        let dot = dot.map(|dot| dot.to_string()).unwrap_or_default();
        encode_sibling(dot, version.clone())
    });
    let noted = replaced.provenance.as_ref();
    proto::RetainedMerge {
        dot: replaced.dot.to_string(),
        merged_by: replaced
            .merged_by
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
        merged_at_ms: replaced.merged_at_ms,
        inputs: inputs.collect(),
        epoch: noted.map_or(0, |noted| noted.epoch),
        fuel: noted.map_or(0, |noted| noted.fuel),
        node: noted
            .map(|noted| noted.node.to_string())
            .unwrap_or_default(),
        shown: noted.map_or(0, |noted| noted.shown as u32),
    }
}
