//! A shard as a replica: answers reads, merges what arrives, acknowledges (Dynamo 4.5).
//!
//! Invariant: a durable acknowledgement leaves only as `SendOnceSynced` (law 8).

use super::super::bucket::Ack;
use super::super::causality::object::Object;
use super::super::names::{Key, NodeId, Ticket};
use super::super::replica::record::Replaced;
use super::super::replica::storage::Storage;
use super::effect::Effect;
use super::message::{Message, ReplicaFailure};
use super::router::Machine;

impl<S: Storage> Machine<S> {
    pub(super) fn serve_read(
        &mut self,
        from: NodeId,
        ticket: Ticket,
        key: &Key,
        effects: &mut Vec<Effect>,
    ) {
        let partition = self.view.placement.partition_of(key);
        let outcome = match self.copies.record(partition, key) {
            Ok(record) => Ok(record.object),
            Err(error) => Err(ReplicaFailure::Storage(error.to_string())),
        };
        self.send(from, Message::ReadReply { ticket, outcome }, effects);
    }

    pub(super) fn write_copy(
        &mut self,
        key: &Key,
        object: Object,
        replaced: Option<&Replaced>,
    ) -> Result<(), ReplicaFailure> {
        let partition = self.view.placement.partition_of(key);
        match self.copies.write(partition, key, object, replaced) {
            Ok(_) => Ok(()),
            Err(error) => Err(ReplicaFailure::Storage(error.to_string())),
        }
    }

    /// A durable acknowledgement waits for the disk, a failure or a buffered one does not (law 8).
    pub(super) fn acknowledge(
        &mut self,
        to: NodeId,
        ticket: Ticket,
        outcome: Result<(), ReplicaFailure>,
        ack: Ack,
        effects: &mut Vec<Effect>,
    ) {
        let waits = outcome.is_ok() && ack == Ack::Durable;
        let message = Message::WriteReply { ticket, outcome };
        match waits {
            true => effects.push(Effect::SendOnceSynced { to, message }),
            false => self.send(to, message, effects),
        }
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message, effects: &mut Vec<Effect>) {
        match to == self.me {
            true => self.desk.to_self.push_back(message),
            false => effects.push(Effect::Send { to, message }),
        }
    }
}
