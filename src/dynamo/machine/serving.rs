//! A shard as a replica: answers reads, merges what arrives, acknowledges (Dynamo 4.5, 4.6).
//!
//! Invariant: a durable acknowledgement leaves only as `SendOnceSynced` (law 8).

use super::super::bucket::Ack;
use super::super::causality::object::Object;
use super::super::names::{BucketName, Key, NodeId, Ticket};
use super::super::replica::layout::Place;
use super::super::replica::record::Replaced;
use super::super::replica::storage::Storage;
use super::super::ring::partition::PartitionId;
use super::effect::Effect;
use super::message::{Message, ReplicaFailure};
use super::router::Machine;

impl<S: Storage> Machine<S> {
    /// Answers with this node's copy, or, where it stands in for another, with all that it knows.
    pub(super) fn serve_read(
        &mut self,
        from: NodeId,
        ticket: Ticket,
        (key, hint_for): (&Key, Option<NodeId>),
        placement_version: u64,
        effects: &mut Vec<Effect>,
    ) {
        let partition = self.view.placement.partition_of(key);
        let place = self.place(hint_for);
        if self.turns_away(&from) {
            let outcome = Err(ReplicaFailure::Overloaded);
            return self.send(from, Message::ReadReply { ticket, outcome }, effects);
        }
        if !self.may_show(&place, partition, key.bucket(), placement_version) {
            let outcome = Err(ReplicaFailure::NotKept);
            return self.send(from, Message::ReadReply { ticket, outcome }, effects);
        }
        let found = match place {
            Place::Hint(_) => self.copies.known(partition, key),
            Place::Home => self.copies.record(partition, key).map(|kept| kept.object),
        };
        let outcome = found.map_err(|error| ReplicaFailure::Storage(error.to_string()));
        self.send(from, Message::ReadReply { ticket, outcome }, effects);
    }

    /// Merges what was sent into this node's copy, or into what it keeps for another.
    pub(super) fn serve_write(
        &mut self,
        (key, hint_for): (&Key, Option<NodeId>),
        object: Object,
        replaced: &[Replaced],
        placement_version: u64,
    ) -> Result<(), ReplicaFailure> {
        let partition = self.view.placement.partition_of(key);
        let place = self.place(hint_for);
        if place == Place::Home && !self.accepts(partition, key.bucket(), placement_version) {
            return Err(ReplicaFailure::NotKept);
        }
        self.write_copy(&place, key, object, replaced)
    }

    pub(super) fn write_copy(
        &mut self,
        place: &Place,
        key: &Key,
        object: Object,
        replaced: &[Replaced],
    ) -> Result<(), ReplicaFailure> {
        let partition = self.view.placement.partition_of(key);
        match self.copies.write(place, partition, key, object, replaced) {
            Ok(_) => {
                self.note_hint(place);
                Ok(())
            }
            Err(error) => Err(ReplicaFailure::Storage(error.to_string())),
        }
    }

    pub(super) fn place(&self, hint_for: Option<NodeId>) -> Place {
        match hint_for {
            Some(home) if home != self.me => Place::Hint(home),
            _ => Place::Home,
        }
    }

    /// Whether what this node has of a bucket in one of its roles is anything to go by.
    pub(super) fn may_show(
        &self,
        place: &Place,
        partition: PartitionId,
        bucket: &BucketName,
        placement_version: u64,
    ) -> bool {
        !self.is_removed(bucket)
            && (*place != Place::Home || self.accepts(partition, bucket, placement_version))
    }

    /// Whether this node keeps the keys of a bucket in a partition, or the sender knows of a change that this node has not heard of yet.
    pub(super) fn accepts(
        &self,
        partition: PartitionId,
        bucket: &BucketName,
        placement_version: u64,
    ) -> bool {
        placement_version > self.view.placement.version()
            || self.view.keeps(partition, bucket, &self.me)
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
