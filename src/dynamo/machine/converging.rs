//! A shard that merges what stands in conflict under cold keys: carries out the steps of `repair::convergence`.
//!
//! Dynamo 4.4, 6.5. Only the first of a key's primaries that can be reached does so, and only where the bucket merges on
//! put, which takes a lawful policy.
//!
//! Invariant: a merge is stored only over the very object that it was made of, so it is never a sibling of what a client
//! wrote meanwhile (law 6: one owner's background merge).

use super::super::bucket::{Policy, Properties};
use super::super::coordinator::merge::{Merge, Store};
use super::super::coordinator::put::Origin;
use super::super::coordinator::request::{PutError, PutReply, PutRequest};
use super::super::names::{BucketName, Key, Ticket};
use super::super::repair::convergence::Converged;
use super::super::replica::layout::Place;
use super::super::replica::storage::Storage;
use super::background::Swept;
use super::effect::Effect;
use super::puts::Admitted;
use super::router::Machine;
use crate::limits::{CONVERGE_ITEMS, CONVERGE_TIMEOUT_MS};
use std::collections::BTreeMap;

/// What is to be done about a key in conflict.
enum Lot {
    Merge(Box<Admitted>),
    /// Another node's affair, as things are.
    Leave,
    /// Its bucket merges nothing.
    Park,
    /// There is no conflict.
    Drop,
}

impl<S: Storage> Machine<S> {
    /// How background merges have fared.
    pub fn converged(&self) -> Converged {
        self.background.convergence.status()
    }

    /// Keys of this shard's copies in conflict, by bucket.
    pub fn conflicts(&self) -> BTreeMap<BucketName, u64> {
        self.background.convergence.by_bucket()
    }

    /// Looks once at everything that is stored, from now on.
    pub(super) fn walk_over_conflicts(&mut self) {
        let share = self.background.share();
        let all = self.view.placement.partitions().all();
        let mine = all.filter(|partition| share.holds(*partition));
        self.background.convergence.begin_walk(mine);
    }

    /// A step of the walk, and the keys whose time has come, as many as are admitted.
    pub(super) fn converge(&mut self, effects: &mut Vec<Effect>) -> Swept {
        let now = self.desk.now.monotonic;
        if self.background.convergence.wants_walk() {
            self.walk_over_conflicts();
        }
        if let Some((partition, after)) = self.background.convergence.place() {
            if !self.background.admission.permit(now) {
                return Swept::Held;
            }
            // What cannot be read now is passed over: it is no worse than a conflict that nobody reads.
            let found = self.copies.conflicts(partition, after.as_ref());
            let convergence = &mut self.background.convergence;
            convergence.on_walked(now, found.unwrap_or_default());
            if convergence.place().is_some() {
                return Swept::Some;
            }
        }
        while self.is_conflict_due() {
            let admission = &mut self.background.admission;
            if self.desk.is_full() || !admission.permit_heavy(now, CONVERGE_ITEMS) {
                let until = self.background.admission.next_permit_at(now);
                self.background.convergence.hold(until.max(now.after(1)));
                break;
            }
            let Some(key) = self.background.convergence.next(now) else {
                break;
            };
            match self.lot(&key) {
                Lot::Merge(admitted) => self.begin_merge(key, *admitted, effects),
                Lot::Leave => self.background.convergence.leave(now, &key),
                Lot::Park => self.background.convergence.park(&key),
                Lot::Drop => self.background.convergence.drop(&key),
            }
        }
        Swept::Nothing
    }

    fn is_conflict_due(&self) -> bool {
        let at = self.background.convergence.wakes_at();
        at.is_some_and(|at| at <= self.desk.now.monotonic)
    }

    fn lot(&mut self, key: &Key) -> Lot {
        let Some(properties) = self.view.properties(key) else {
            return Lot::Park;
        };
        if !properties.merge_on_put
            || properties.policy == Policy::Siblings
            || properties.paused().is_some()
        {
            return Lot::Park;
        }
        match self.is_mergeable(key, &properties) {
            Some(true) => {}
            Some(false) => return Lot::Drop,
            None => return Lot::Leave,
        }
        let seats = self.view.seats(key, properties.n);
        let mut primaries = seats.primaries.iter();
        let first = primaries.find(|node| !self.detector.is_down(node));
        match first == Some(&self.me) {
            true => Lot::Merge(Box::new(Admitted { properties, seats })),
            false => Lot::Leave,
        }
    }

    /// Whether several values stand under a key of which the policy could make one; none if that cannot be read now.
    fn is_mergeable(&mut self, key: &Key, properties: &Properties) -> Option<bool> {
        let partition = self.view.placement.partition_of(key);
        let wall_ms = self.desk.now.wall_ms;
        let record = self.copies.record(partition, key).ok()?;
        Some(Merge::within(&record.object, &properties.policy, wall_ms).is_some())
    }

    fn begin_merge(&mut self, key: Key, admitted: Admitted, effects: &mut Vec<Effect>) {
        let deadline = self.desk.deadline(CONVERGE_TIMEOUT_MS);
        let request = PutRequest::background(key.clone(), self.desk.now.wall_ms);
        let origin = Origin::Background(key);
        self.coordinate(origin, request, admitted, Place::Home, deadline, effects);
    }

    /// Whether a merge may still be stored: what stands under the key is what it was made of.
    pub(super) fn is_unchanged(&mut self, ticket: Ticket, store: &Store) -> bool {
        let Some(put) = self.desk.put(ticket) else {
            return false;
        };
        if !put.is_background() {
            return true;
        }
        let key = put.request.key.clone();
        let partition = self.view.placement.partition_of(&key);
        let record = self.copies.record(partition, &key);
        record.is_ok_and(|record| record.object.context() == store.context)
    }

    /// Something was stored; if nobody had asked for it, it was a background merge.
    pub(super) fn count_merge(&mut self, ticket: Ticket) {
        if self.desk.put(ticket).is_some_and(|put| put.is_background()) {
            self.background.convergence.on_merged();
        }
    }

    /// A background merge has come to its end.
    pub(super) fn on_converged(&mut self, key: &Key, outcome: &Result<Box<PutReply>, PutError>) {
        let now = self.desk.now.monotonic;
        self.note_changes();
        let convergence = &mut self.background.convergence;
        // What was stored has changed the key; whoever else has it by now, the rest is repair.
        if outcome.is_err() {
            convergence.on_failed(now, key);
        }
    }
}
