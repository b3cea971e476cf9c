//! What happens to a shard.

use super::super::bucket::BucketTable;
use super::super::bucket::removed::RemovedBuckets;
use super::super::coordinator::request::{GetRequest, PutRequest};
use super::super::coordinator::unmerge::UnmergeRequest;
use super::super::names::{ClientId, NodeId, Ticket};
use super::super::reconcile::answer::Answer;
use super::super::repair::settings::Settings;
use super::super::replica::room::Room;
use super::super::replica::saved::Saved;
use super::super::replica::stretch::Stretch;
use super::super::ring::placement::Placement;
use super::message::Message;
use std::sync::Arc;

/// One thing that a shard is told.
#[derive(Debug, Clone)]
pub enum Event {
    Get {
        client: ClientId,
        request: GetRequest,
        timeout_ms: u64,
    },
    Put {
        client: ClientId,
        request: Box<PutRequest>,
        timeout_ms: u64,
    },
    List {
        client: ClientId,
        stretch: Stretch,
        timeout_ms: u64,
    },
    /// Bring a record of a backup back to its owners.
    Restore {
        client: ClientId,
        saved: Box<Saved>,
        timeout_ms: u64,
    },
    /// Undo the bad merges of a key that this node keeps.
    Unmerge {
        client: ClientId,
        request: Box<UnmergeRequest>,
        timeout_ms: u64,
    },
    Message {
        from: NodeId,
        message: Message,
    },
    /// A guest answered, or failed to.
    Answered {
        ticket: Ticket,
        answer: Answer,
    },
    /// The buckets are these from now on.
    Buckets(Arc<BucketTable>),
    /// These buckets are no more; before the buckets that there are.
    Removed(Arc<RemovedBuckets>),
    /// The partitions are here from now on.
    Placement(Arc<Placement>),
    /// Compare all copies with everybody's, now.
    ExchangeNow,
    /// Look for tombstones that can go, now.
    ReapNow,
    /// Stop moving partitions to other owners, or go on with it.
    Pause(bool),
    /// The connection to a peer came up or broke.
    Peer {
        node: NodeId,
        is_connected: bool,
    },
    /// The shard's share, times and bounds are these from now on; before anything else to be of use.
    Settings(Settings),
    /// The disk has so much room from now on.
    Room(Room),
    /// So many inputs wait for this shard.
    Waiting(usize),
    /// Time has passed: `Machine::next_deadline` has come.
    Tick,
}
