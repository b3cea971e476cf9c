//! A shard that brings records of a backup back to their owners: carries out the steps of `coordinator::restore`.
//!
//! Invariant: what is restored is merged by its owners and acknowledged from their disks, this node's own included
//! (laws 5, 8).

use super::super::bucket::Ack;
use super::super::coordinator::restore::{Restore, RestoreError, Step};
use super::super::names::{ClientId, NodeId, Ticket};
use super::super::replica::saved::Saved;
use super::super::replica::storage::Storage;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::{Message, ReplicaFailure};
use super::router::Machine;

impl<S: Storage> Machine<S> {
    pub(super) fn on_restore(
        &mut self,
        client: ClientId,
        saved: Saved,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let n = self.view.copies_of(&saved.key);
        let refused = match n {
            _ if self.desk.is_full() => Some(RestoreError::Overloaded),
            None => Some(RestoreError::NoSuchBucket(saved.key.bucket().clone())),
            Some(_) => None,
        };
        if let Some(error) = refused {
            let outcome = Err(error);
            return effects.push(Effect::ReplyRestore { client, outcome });
        }
        let seats = self.view.seats(&saved.key, n.unwrap_or_default());
        let (restore, owners) = Restore::start(client, saved.key.clone(), seats);
        let deadline = self.desk.deadline(timeout_ms);
        let conversation = Conversation::Restore(Box::new(restore));
        let ticket = self.desk.open(deadline, conversation);
        for to in owners {
            let message = Message::Write {
                ticket,
                key: saved.key.clone(),
                object: saved.object.clone(),
                replaced: saved.replaced.clone(),
                ack: Ack::Durable,
                hint_for: None,
                placement_version: self.view.placement.version(),
                is_new: true,
            };
            self.send(to, message, effects);
        }
    }

    pub(super) fn on_restore_answered(
        &mut self,
        from: &NodeId,
        ticket: Ticket,
        outcome: Result<(), ReplicaFailure>,
        effects: &mut Vec<Effect>,
    ) {
        self.with_restore(ticket, effects, |restore| match outcome {
            Ok(()) => restore.on_ack(from),
            Err(failure) => restore.on_failure(from, failure.to_string()),
        });
    }

    pub(super) fn on_restore_timer(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let silent: Vec<NodeId> = match self.desk.conversation(ticket) {
            Some(Conversation::Restore(restore)) => restore.missing().cloned().collect(),
            _ => return,
        };
        self.on_silence(&silent);
        self.with_restore(ticket, effects, |restore| restore.on_deadline());
    }

    fn with_restore(
        &mut self,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
        turn: impl FnOnce(&mut Restore) -> Step,
    ) {
        let Some(Conversation::Restore(restore)) = self.desk.conversation(ticket) else {
            return; // A late reply to a record that has failed.
        };
        let (client, step) = (restore.client, turn(restore));
        let outcome = match step {
            Step::Wait => return,
            Step::Answer => Ok(()),
            Step::Fail(error) => Err(error),
        };
        self.desk.close(ticket);
        effects.push(Effect::ReplyRestore { client, outcome });
    }
}
