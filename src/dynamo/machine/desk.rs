//! The conversations of a shard, each with its timer, and the snapshots of the cluster that it works by.
//!
//! Invariant: a conversation has one timer for as long as it lives, and none after (law 12).

use super::super::bucket::{BucketTable, Properties};
use super::super::coordinator::forward::Forward;
use super::super::coordinator::get::Get;
use super::super::coordinator::listing::Listing;
use super::super::coordinator::put::Put;
use super::super::names::{BucketName, Key, Millis, NodeId, Now, Ticket};
use super::super::repair::hints::Delivery;
use super::super::ring::partition::PartitionId;
use super::super::ring::placement::{Placement, Seats};
use super::message::Message;
use super::passed::Passed;
use crate::limits::{CONVERSATIONS_MAX, DEADLINE_MAX_MS};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// One client request on its way, or one hint.
#[derive(Debug)]
pub(super) enum Conversation {
    Get(Box<Get>),
    Put(Box<Put>),
    Forward(Box<Forward>),
    List(Box<Listing>),
    Delivery(Box<Delivery>),
}

/// What the shard is told about the cluster: immutable snapshots.
#[derive(Debug)]
pub(super) struct View {
    pub(super) placement: Arc<Placement>,
    pub(super) buckets: Arc<BucketTable>,
}

/// The conversations under way, their timers, and what the shard says to itself.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) now: Now,
    pub(super) life: u64,
    pub(super) tickets_used: u64,
    pub(super) conversations: BTreeMap<Ticket, (Millis, Conversation)>,
    pub(super) timers: BTreeSet<(Millis, Ticket)>,
    pub(super) to_self: VecDeque<Message>,
    pub(super) passed: Passed,
    /// Inputs that wait for the shard, as far as it was told.
    pub(super) waiting: usize,
}

impl View {
    /// Of the buckets of a name the one that there is.
    pub(super) fn living(&self, bucket: &BucketName) -> Option<BucketName> {
        if self.buckets.contains_key(bucket) {
            return Some(bucket.clone());
        }
        let later = self.buckets.range(bucket.of(1)..);
        let mut later = later.map(|(name, _)| name);
        let found = later.next().filter(|name| name.plain() == bucket.plain());
        found.cloned()
    }

    pub(super) fn properties(&self, key: &Key) -> Option<Properties> {
        self.buckets.get(key.bucket()).cloned()
    }

    /// How many copies are kept of a key, if its bucket is known.
    pub(super) fn copies_of(&self, key: &Key) -> Option<u8> {
        self.buckets
            .get(key.bucket())
            .map(|properties| properties.n)
    }

    pub(super) fn seats(&self, key: &Key, n: u8) -> Seats {
        self.placement.seats(self.placement.partition_of(key), n)
    }

    /// Whether a node has to keep a bucket's keys in a partition. Of a bucket that is not known yet it may.
    pub(super) fn keeps(&self, partition: PartitionId, bucket: &BucketName, node: &NodeId) -> bool {
        let properties = self.buckets.get(bucket);
        properties.is_none_or(|known| self.placement.keeps(partition, known.n, node))
    }
}

impl Desk {
    pub(super) fn is_full(&self) -> bool {
        self.conversations.len() >= CONVERSATIONS_MAX
    }

    pub(super) fn deadline(&self, timeout_ms: u64) -> Millis {
        self.now.monotonic.after(timeout_ms.min(DEADLINE_MAX_MS))
    }

    pub(super) fn open(&mut self, deadline: Millis, conversation: Conversation) -> Ticket {
        let ticket = self.ticket();
        self.conversations.insert(ticket, (deadline, conversation));
        self.timers.insert((deadline, ticket));
        ticket
    }

    /// Who a timer or a guest's answer is for.
    pub(super) fn conversation(&mut self, ticket: Ticket) -> Option<&mut Conversation> {
        self.conversations
            .get_mut(&ticket)
            .map(|(_, conversation)| conversation)
    }

    pub(super) fn get(&mut self, ticket: Ticket) -> Option<&mut Get> {
        match self.conversation(ticket) {
            Some(Conversation::Get(get)) => Some(get),
            _ => None,
        }
    }

    pub(super) fn put(&mut self, ticket: Ticket) -> Option<&mut Put> {
        match self.conversation(ticket) {
            Some(Conversation::Put(put)) => Some(put),
            _ => None,
        }
    }

    pub(super) fn forward(&mut self, ticket: Ticket) -> Option<&mut Forward> {
        match self.conversation(ticket) {
            Some(Conversation::Forward(forward)) => Some(forward),
            _ => None,
        }
    }

    pub(super) fn listing(&mut self, ticket: Ticket) -> Option<&mut Listing> {
        match self.conversation(ticket) {
            Some(Conversation::List(listing)) => Some(listing),
            _ => None,
        }
    }

    pub(super) fn delivery(&mut self, ticket: Ticket) -> Option<&mut Delivery> {
        match self.conversation(ticket) {
            Some(Conversation::Delivery(delivery)) => Some(delivery),
            _ => None,
        }
    }

    /// A name for a message that belongs to no conversation.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets_used += 1;
        Ticket {
            life: self.life,
            count: self.tickets_used,
        }
    }

    pub(super) fn close(&mut self, ticket: Ticket) -> Option<Conversation> {
        let (at, conversation) = self.conversations.remove(&ticket)?;
        self.timers.remove(&(at, ticket));
        Some(conversation)
    }

    pub(super) fn set_timer(&mut self, ticket: Ticket, at: Millis) {
        if let Some((timed, _)) = self.conversations.get_mut(&ticket)
            && *timed != at
        {
            self.timers.remove(&(*timed, ticket));
            *timed = at;
            self.timers.insert((at, ticket));
        }
    }

    /// The next conversation whose time has come. Its turn must end it or set a later timer.
    pub(super) fn due(&self) -> Option<Ticket> {
        let (at, ticket) = *self.timers.first()?;
        (at <= self.now.monotonic).then_some(ticket)
    }
}
