//! A put that has become a version: into the local copy first, then to the others (Dynamo 4.5).
//!
//! Invariant: the local copy has the write before any other replica is sent it.

use super::super::coordinator::merge::Store;
use super::super::coordinator::request::PutError;
use super::super::coordinator::seat::Errand;
use super::super::names::{Key, Ticket};
use super::super::replica::copy::{CoordinateError, Coordinated};
use super::super::replica::storage::{Storage, StorageError};
use super::effect::Effect;
use super::router::Machine;

impl<S: Storage> Machine<S> {
    pub(super) fn store(&mut self, ticket: Ticket, store: Store, effects: &mut Vec<Effect>) {
        let Some(put) = self.desk.put(ticket) else {
            return;
        };
        let (key, place) = (put.request.key.clone(), put.place().clone());
        let partition = self.view.placement.partition_of(&key);
        if !self.is_still_seated(ticket) {
            let error = "this node has handed the partition over".to_owned();
            return self.leave_to_others(ticket, StorageError::ReadOnly(error), effects);
        }
        if !self.is_unchanged(ticket, &store) {
            let error = PutError::NotStored("the key was written meanwhile".to_owned());
            return self.end_put(ticket, Err(error), effects);
        }
        let Store {
            context,
            version,
            merge,
        } = store;
        match self
            .copies
            .coordinate(&place, partition, &key, &context, version, merge)
        {
            Ok(coordinated) => {
                self.note_hint(&place);
                self.count_merge(ticket);
                self.replicate(ticket, &key, coordinated, effects);
            }
            Err(CoordinateError::Storage(error)) => self.leave_to_others(ticket, error, effects),
            Err(CoordinateError::MaybeStored(reason)) => {
                self.with_put(ticket, effects, |put| put.on_maybe_stored(reason));
            }
            Err(error) => {
                let error = PutError::TooLarge(error.to_string());
                self.end_put(ticket, Err(error), effects);
            }
        }
    }

    /// Sends the stored object to the panel, and to those who will keep the key, who are not waited for; the
    /// local copy acknowledges like a remote one.
    pub(super) fn replicate(
        &mut self,
        ticket: Ticket,
        key: &Key,
        coordinated: Coordinated,
        effects: &mut Vec<Effect>,
    ) {
        let (late, me) = (self.late(), self.me.clone());
        let Some(put) = self.desk.put(ticket) else {
            return;
        };
        let ack = put.ack_of(&me);
        put.on_stored(coordinated, late);
        let panel = put.take_errands();
        let n = self
            .view
            .properties(key)
            .map_or(0, |properties| properties.n);
        let pending = self.view.seats(key, n).pending.into_iter();
        let pending: Vec<Errand> = pending.map(|to| Errand { to, hint_for: None }).collect();
        self.write_at(ticket, panel, effects);
        self.write_at(ticket, pending, effects);
        self.acknowledge(me, ticket, Ok(()), ack, effects);
    }
}
