//! Which shard of this node a key or a reply belongs to.
//!
//! Invariant: a key always goes to the same shard, so one shard alone writes its record.

use super::inbox::{Inbox, Input};
use crate::dynamo::machine::message::{Message, Place};
use crate::dynamo::names::{Key, NodeId};
use crate::dynamo::ring::partition::{PartitionId, Partitions, Token};
use std::sync::Arc;

/// The shards of this node.
#[derive(Clone)]
pub struct Switchboard {
    partitions: Partitions,
    shards: Arc<[Line]>,
}

/// How to reach one shard.
pub struct Line {
    pub inbox: Inbox,
    /// Stands in the tickets of its requests.
    pub life: u64,
}

impl Switchboard {
    pub fn new(partitions: Partitions, shards: Vec<Line>) -> Self {
        Self {
            partitions,
            shards: shards.into(),
        }
    }

    pub fn of_key(&self, key: &Key) -> &Inbox {
        self.of_partition(self.partitions.of(Token::of(key)))
    }

    /// As `Share::holds` has it.
    pub fn of_partition(&self, partition: PartitionId) -> &Inbox {
        &self.shards[usize::from(partition.0) % self.shards.len()].inbox
    }

    pub fn all(&self) -> impl Iterator<Item = &Inbox> {
        self.shards.iter().map(|line| &line.inbox)
    }

    /// Hands a peer's message to its shard; waits while that shard is busy.
    pub async fn deliver(&self, from: &NodeId, message: Message) {
        let inbox = match (message.place(), &message) {
            (Some(Place::Key(key)), _) => Some(self.of_key(key)),
            (Some(Place::Partition(partition)), _) => Some(self.of_partition(partition)),
            // Any shard can say that the node is there.
            (None, Message::Ping { .. }) => self.all().next(),
            (None, reply) => self.of_reply(reply),
        };
        let Some(inbox) = inbox else {
            return; // A reply to an earlier life of this process.
        };
        let from = from.clone();
        // A shard that has stopped takes nothing; the node is going down.
        drop(inbox.send(Input::Message { from, message }).await);
    }

    /// Tells all shards that the connection to a peer came up or broke.
    pub async fn tell_of(&self, peer: &NodeId, is_connected: bool) {
        for inbox in self.all() {
            let node = peer.clone();
            // A shard that has stopped needs not know.
            drop(inbox.send(Input::Peer { node, is_connected }).await);
        }
    }

    fn of_reply(&self, message: &Message) -> Option<&Inbox> {
        let life = message.ticket().life;
        let line = self.shards.iter().find(|line| line.life == life)?;
        Some(&line.inbox)
    }
}
