//! What a steward works by, what it answers, and what it wants done.
//!
//! Invariant: a placement follows from its catalog alone.

use super::super::metadata::catalog::{Catalog, EditError};
use super::super::metadata::facts::{NodeFacts, PROTOCOL_MIN, Speaks};
use super::super::names::{JoinToken, NodeId};
use super::super::ring::partition::Partitions;
use super::super::ring::placement::Placement;
use super::gossip::Gossip;
use super::plan::PlanError;
use bytes::Bytes;
use std::sync::Arc;

/// What is to be done, in this order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Store it, and sync, before what follows.
    Store(Bytes),
    /// Services and shards work by this from now on.
    Publish(Arc<Snapshot>),
    Send {
        to: NodeId,
        gossip: Gossip,
    },
    /// Something happened that an operator wants to know.
    Tell(String),
}

/// What a node knows of the cluster.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub catalog: Arc<Catalog>,
    pub placement: Arc<Placement>,
    /// Of the catalog.
    pub hash: u64,
}

impl Snapshot {
    pub(super) fn of(catalog: Catalog, placement: Arc<Placement>) -> Arc<Self> {
        let hash = catalog.hash();
        Arc::new(Self {
            catalog: Arc::new(catalog),
            placement,
            hash,
        })
    }
}

/// A feature that nodes of an earlier release would not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} needs version {needed} of the protocol between nodes, and {lacking:?} speak an earlier one; upgrade them first"
)]
pub struct TooEarly {
    pub what: &'static str,
    pub needed: u32,
    pub lacking: Vec<NodeId>,
}

impl Snapshot {
    /// The version of the protocol between nodes that everybody speaks who takes part: by it the cluster works.
    pub fn cluster_version(&self) -> u32 {
        let nodes = self.placement.nodes().iter();
        let versions = nodes.map(|node| self.speaks(node).max);
        versions.min().unwrap_or(PROTOCOL_MIN)
    }

    /// What a node has said that it speaks.
    pub fn speaks(&self, node: &NodeId) -> Speaks {
        let facts = self.catalog.node(node);
        facts.map_or_else(Speaks::default, |facts| facts.speaks)
    }

    /// Whether everybody who takes part speaks a version; the error names who does not.
    pub fn require(&self, what: &'static str, needed: u32) -> Result<(), TooEarly> {
        let nodes = self.placement.nodes().iter();
        let lacking = nodes.filter(|node| self.speaks(node).max < needed);
        let lacking: Vec<NodeId> = lacking.cloned().collect();
        match lacking.is_empty() {
            true => Ok(()),
            false => Err(TooEarly {
                what,
                needed,
                lacking,
            }),
        }
    }
}

/// Who this node is, and how it gets in.
#[derive(Debug, Clone)]
pub struct Identity {
    pub me: NodeId,
    pub facts: NodeFacts,
    /// The secret that admits nodes; none: nobody joins by itself here.
    pub token: Option<JoinToken>,
    pub partitions: Partitions,
}

/// How far a shard is with one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Copied,
    Released,
}

/// Why a commit failed. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(
        "the cluster is at change {found}, the plan was made for {expected}; look at a new plan"
    )]
    Overtaken { expected: u64, found: u64 },
    /// Nobody waits until a node that takes no part knows what has moved: its change could name an owner that has given
    /// its copies away.
    #[error(
        "{0} is not a member of the cluster, and may not know where everything is; ask a member"
    )]
    Outsider(NodeId),
}

/// Where everything is by a catalog; a newcomer without one holds everything, alone, and serves nothing.
pub(super) fn placement_of(
    catalog: &Catalog,
    identity: &Identity,
    last: Option<&Snapshot>,
) -> Placement {
    let progress = catalog.progress();
    let Some(change) = catalog.change() else {
        return Placement::alone(identity.partitions, identity.me.clone());
    };
    let same = last.filter(|last| last.catalog.change() == Some(change));
    match same {
        Some(last) if last.catalog.progress() == progress => Placement::clone(&last.placement),
        Some(last) => last.placement.advanced(progress),
        None => Placement::new(change, progress).expect("a decoded change has good members"),
    }
}
