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
        let inbox = match message.place() {
            Some(Place::Key(key)) => Some(self.of_key(key)),
            Some(Place::Partition(partition)) => Some(self.of_partition(partition)),
            None => self.of_reply(&message),
        };
        let Some(inbox) = inbox else {
            return; // A reply to an earlier life of this process.
        };
        let from = from.clone();
        // A shard that has stopped takes nothing; the node is going down.
        drop(inbox.send(Input::Message { from, message }).await);
    }

    fn of_reply(&self, message: &Message) -> Option<&Inbox> {
        let life = message.ticket().life;
        let line = self.shards.iter().find(|line| line.life == life)?;
        Some(&line.inbox)
    }
}
