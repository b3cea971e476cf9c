//! What a shard is told by the rest of the node, and the queue in which it waits.
//!
//! Knows nothing of who serves it.
//!
//! Invariant: the queue is bounded; whoever finds it full turns its client away or waits.

use super::traces::Trace;
use crate::dynamo::bucket::BucketTable;
use crate::dynamo::bucket::removed::RemovedBuckets;
use crate::dynamo::coordinator::listing::Keys;
use crate::dynamo::coordinator::request::{
    GetError, GetReply, GetRequest, PutError, PutReply, PutRequest,
};
use crate::dynamo::coordinator::restore::RestoreError;
use crate::dynamo::coordinator::unmerge::{UnmergeError, UnmergeRequest, Unmerged};
use crate::dynamo::machine::activity::Activity;
use crate::dynamo::machine::message::Message;
use crate::dynamo::membership::opinions::Suspicion;
use crate::dynamo::names::{BucketName, Key, NodeId, Ticket};
use crate::dynamo::reconcile::answer::Answer;
use crate::dynamo::repair::hints::Waiting;
use crate::dynamo::repair::reaping::Reaping;
use crate::dynamo::repair::schedule::AntiEntropy;
use crate::dynamo::repair::transfer::{Stage, Transfer};
use crate::dynamo::replica::record::{Record, Replaced};
use crate::dynamo::replica::room::Room;
use crate::dynamo::replica::saved::Saved;
use crate::dynamo::replica::storage::StorageError;
use crate::dynamo::replica::stretch::{Listed, Stretch};
use crate::dynamo::ring::change::ChangeId;
use crate::dynamo::ring::partition::PartitionId;
use crate::dynamo::ring::placement::Placement;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Inputs that wait for one shard; beyond it clients are turned away and peers wait.
pub const INBOX_MAX: usize = 16 * 1024;

pub type Inbox = mpsc::Sender<Input>;
pub type GetOutcome = Result<Box<GetReply>, GetError>;
pub type ListOutcome = Result<Box<Keys>, GetError>;
pub type UnmergeOutcome = Result<Unmerged, UnmergeError>;
pub type PutOutcome = Result<Box<PutReply>, PutError>;
pub type RestoreOutcome = Result<(), RestoreError>;
/// A node's own record of a key, and what merges on put replaced.
pub type Inspection = Result<(Record, Vec<Replaced>), StorageError>;

/// What a shard repairs, what it has to move, and what it keeps for others.
pub struct Repairs {
    pub anti_entropy: AntiEntropy,
    pub transfers: Vec<Transfer>,
    pub hints: Vec<Waiting>,
    pub reaping: Reaping,
}

/// How far this node is with a partition of a change of the owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub change: ChangeId,
    pub partition: PartitionId,
    pub stage: Stage,
}

/// What a shard is told by the rest of the node.
pub enum Input {
    Get {
        request: GetRequest,
        timeout_ms: u64,
        reply: oneshot::Sender<GetOutcome>,
        trace: Option<Arc<Trace>>,
    },
    Put {
        request: Box<PutRequest>,
        timeout_ms: u64,
        reply: oneshot::Sender<PutOutcome>,
        trace: Option<Arc<Trace>>,
    },
    List {
        stretch: Stretch,
        timeout_ms: u64,
        reply: oneshot::Sender<ListOutcome>,
    },
    /// Bring a record of a backup back to its owners.
    Restore {
        saved: Box<Saved>,
        timeout_ms: u64,
        reply: oneshot::Sender<RestoreOutcome>,
    },
    Message {
        from: NodeId,
        message: Message,
    },
    Answered {
        ticket: Ticket,
        answer: Answer,
    },
    Buckets(Arc<BucketTable>),
    /// These buckets are no more.
    Removed(Arc<RemovedBuckets>),
    /// The connection that this node dialled to a peer came up or broke.
    Peer {
        node: NodeId,
        is_connected: bool,
    },
    Placement(Arc<Placement>),
    Inspect {
        key: Key,
        reply: oneshot::Sender<Inspection>,
    },
    /// Name the keys of your own copies.
    ListOwn {
        stretch: Stretch,
        reply: oneshot::Sender<Result<Listed, StorageError>>,
    },
    Unmerge {
        request: Box<UnmergeRequest>,
        timeout_ms: u64,
        reply: oneshot::Sender<UnmergeOutcome>,
    },
    Activity(oneshot::Sender<Activity>),
    /// Keys in conflict, by bucket.
    Conflicts(oneshot::Sender<BTreeMap<BucketName, u64>>),
    /// Compare all copies with everybody's, now.
    ExchangeNow,
    /// Look for tombstones that can go, now.
    ReapNow,
    /// Stop moving partitions to other owners, or go on with it.
    Pause(bool),
    Repairs(oneshot::Sender<Repairs>),
    /// The disk has so much room from now on.
    Room(Room),
    /// Which peers are down in the shard's opinion, and for how long already.
    Opinions(oneshot::Sender<Vec<Suspicion>>),
    Stop,
}
