//! What nodes say to each other about keys.
//!
//! The encoding is `wire`'s. Requests to oneself take the same form (the local copy is asked like a remote
//! one).
//!
//! Invariant: every request but a probe has a reply with its ticket, even if only that it got nowhere.

use super::super::bucket::Ack;
use super::super::causality::object::Object;
use super::super::coordinator::request::{PutError, PutReply, PutRequest};
use super::super::names::{Key, NodeId, Ticket};
use super::super::repair::inquiry::{Answer, Ask, Refusal};
use super::super::replica::record::Replaced;
use super::super::replica::stretch::{Listed, Stretch};
use super::super::ring::partition::PartitionId;

/// One message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Read {
        ticket: Ticket,
        key: Key,
        /// The receiver stands in for this node: it answers with all that it knows.
        hint_for: Option<NodeId>,
        /// By which the sender knows who keeps the key.
        placement_version: u64,
    },
    ReadReply {
        ticket: Ticket,
        outcome: Result<Object, ReplicaFailure>,
    },
    /// Merge this object into your copy: a replica write or a read repair.
    Write {
        ticket: Ticket,
        key: Key,
        object: Object,
        /// What merges on put replaced under the key, as far as the receiver may lack it.
        replaced: Vec<Replaced>,
        ack: Ack,
        /// The receiver keeps it for this node (4.6).
        hint_for: Option<NodeId>,
        /// By which the sender knows who keeps the key.
        placement_version: u64,
        /// A client's value, new in the cluster: a receiver whose disk is nearly full leaves it to another.
        is_new: bool,
    },
    WriteReply {
        ticket: Ticket,
        outcome: Result<(), ReplicaFailure>,
    },
    /// Coordinate this put; do not pass it on. In the place of a primary, if the receiver is none and `stands_in`.
    Forward {
        ticket: Ticket,
        request: Box<PutRequest>,
        /// What is left of the client's deadline.
        timeout_ms: u64,
        stands_in: bool,
    },
    ForwardReply {
        ticket: Ticket,
        outcome: Result<Box<PutReply>, PutError>,
    },
    /// Name the keys that you hold of this stretch.
    List {
        ticket: Ticket,
        stretch: Stretch,
        /// The receiver stands in for this node: it names all keys that it knows.
        hint_for: Option<NodeId>,
        /// By which the sender knows who keeps the partition.
        placement_version: u64,
    },
    ListReply {
        ticket: Ticket,
        outcome: Result<Listed, ReplicaFailure>,
    },
    /// Are you there? (4.8.3)
    Ping {
        ticket: Ticket,
    },
    Pong {
        ticket: Ticket,
    },
    /// A question about a partition, in buckets that keep `n` copies: do our copies differ?
    Repair {
        ticket: Ticket,
        partition: PartitionId,
        n: u8,
        ask: Box<Ask>,
    },
    Repaired {
        ticket: Ticket,
        answer: Box<Answer>,
    },
}

/// What decides which shard serves a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    Key(&'a Key),
    Partition(PartitionId),
}

/// Why a replica did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaFailure {
    #[error("the node cannot be reached")]
    Unreachable,
    #[error("its storage failed: {0}")]
    Storage(String),
    #[error("it keeps no copy of this key")]
    NotKept,
    /// It has too much to do and has done nothing about it; another node may.
    #[error("it is overloaded")]
    Overloaded,
    /// It has no room for it and has done nothing about it; another node may.
    #[error("its disk is full")]
    Full,
}

impl Message {
    /// Where a request has to go; none for a reply.
    pub fn place(&self) -> Option<Place<'_>> {
        match self {
            Self::Repair { partition, .. } => Some(Place::Partition(*partition)),
            Self::List { stretch, .. } => Some(Place::Partition(stretch.partition)),
            _ => self.key().map(Place::Key),
        }
    }

    /// The key of a request that is about one; none for a reply.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Read { key, .. } | Self::Write { key, .. } => Some(key),
            Self::Forward { request, .. } => Some(&request.key),
            Self::ReadReply { .. } | Self::WriteReply { .. } | Self::ForwardReply { .. } => None,
            Self::List { .. } | Self::ListReply { .. } => None,
            Self::Repair { .. } | Self::Repaired { .. } => None,
            Self::Ping { .. } | Self::Pong { .. } => None,
        }
    }

    pub fn ticket(&self) -> Ticket {
        match self {
            Self::Read { ticket, .. } | Self::ReadReply { ticket, .. } => *ticket,
            Self::Write { ticket, .. } | Self::WriteReply { ticket, .. } => *ticket,
            Self::Forward { ticket, .. } | Self::ForwardReply { ticket, .. } => *ticket,
            Self::List { ticket, .. } | Self::ListReply { ticket, .. } => *ticket,
            Self::Repair { ticket, .. } | Self::Repaired { ticket, .. } => *ticket,
            Self::Ping { ticket } | Self::Pong { ticket } => *ticket,
        }
    }

    /// What the sender is told if the request certainly never left this node.
    pub fn undelivered(&self) -> Option<Message> {
        let ticket = self.ticket();
        match self {
            Self::Read { .. } => Some(Self::ReadReply {
                ticket,
                outcome: Err(ReplicaFailure::Unreachable),
            }),
            Self::Write { .. } => Some(Self::WriteReply {
                ticket,
                outcome: Err(ReplicaFailure::Unreachable),
            }),
            Self::Forward { .. } => Some(Self::ForwardReply {
                ticket,
                outcome: Err(PutError::NotStored(ReplicaFailure::Unreachable.to_string())),
            }),
            Self::List { .. } => Some(Self::ListReply {
                ticket,
                outcome: Err(ReplicaFailure::Unreachable),
            }),
            Self::Repair { .. } => Some(Self::Repaired {
                ticket,
                answer: Box::new(Answer::Refused(Refusal::Unreachable)),
            }),
            Self::ReadReply { .. } | Self::WriteReply { .. } | Self::ForwardReply { .. } => None,
            Self::Repaired { .. } => None,
            Self::ListReply { .. } => None,
            Self::Ping { .. } | Self::Pong { .. } => None, // The next probe will tell.
        }
    }

    /// Bytes that the message takes in a queue, roughly.
    pub fn size_bytes(&self) -> usize {
        let body = match self {
            Self::ReadReply {
                outcome: Ok(object),
                ..
            } => object.size_bytes(),
            Self::Write {
                object, replaced, ..
            } => {
                let kept = replaced.iter().flat_map(|replaced| &replaced.inputs);
                object.size_bytes() + kept.map(|version| version.size_bytes()).sum::<usize>()
            }
            Self::Forward { request, .. } => request.version.size_bytes(),
            Self::List { stretch, .. } => stretch.prefix.len() + stretch.after.len(),
            Self::ListReply {
                outcome: Ok(listed),
                ..
            } => listed.keys.iter().map(|listed| listed.key.len() + 8).sum(),
            Self::Repair { ask, .. } => ask.size_bytes(),
            Self::Repaired { answer, .. } => answer.size_bytes(),
            _ => 0,
        };
        body + self.key().map_or(0, |key| key.bytes().len()) + 128
    }
}
