//! One turn of a shard's background: a slice of a tree, a piece of a sweep, and each exchange as far as it goes.
//!
//! Dynamo 4.7, 4.9. Decides what is begun and when the next turn is due; `exchanges` and `sweeping` do the rest.
//!
//! Invariant: a turn that is due at once has done something, so turns without work come to an end.

use super::super::repair::schedule::AntiEntropy;
use super::super::repair::transfer::{Stage, Transfer};
use super::super::replica::fingerprint::Noted;
use super::super::replica::storage::Storage;
use super::super::ring::partition::PartitionId;
use super::background::{Purpose, Swept};
use super::effect::Effect;
use super::router::Machine;
use crate::limits::TRANSFERS_MAX;

impl<S: Storage> Machine<S> {
    /// How anti-entropy has fared.
    pub fn anti_entropy(&self) -> AntiEntropy {
        self.background.rounds.status()
    }

    /// What this shard has to move to or from other owners, by partition.
    pub fn transfers(&self) -> Vec<Transfer> {
        self.background.transfers.status()
    }

    /// Exchanges with others that are under way.
    pub fn exchanges(&self) -> usize {
        self.background.work.running.len()
    }

    /// A bounded piece of whatever there is to do in the background.
    pub(super) fn background_turn(&mut self, effects: &mut Vec<Effect>) {
        if self.is_at_rest() {
            return;
        }
        let now = self.desk.now.monotonic;
        self.note_changes();
        self.grow();
        let swept = self.sweep();
        let reaped = self.reap(effects);
        let cleared = self.clear();
        let converged = self.converge(effects);
        self.begin_exchanges();
        let ids: Vec<u64> = self.background.work.running.keys().copied().collect();
        let before = self.exchanges();
        for id in ids {
            self.drive(id, effects);
        }
        let reached = self.background.transfers.take_reached();
        let has_ended = self.exchanges() < before || !reached.is_empty();
        if !reached.is_empty() {
            // Where everybody has said so before, this node too in an earlier life, no news comes that would make it
            // go on.
            self.background.on_placement(&self.me, &self.view);
            self.freeze();
        }
        self.tell_progress(reached, effects);
        self.note_changes();
        let done = [swept, reaped, cleared, converged];
        let is_urgent = has_ended || done.contains(&Swept::Some);
        let background = &mut self.background;
        let needs_permit = background.work.is_held()
            || background.forest.next_slice().is_some()
            || done.contains(&Swept::Held);
        let permit = needs_permit.then(|| background.admission.next_permit_at(now));
        let has_room = background.work.count(Purpose::Transfer) < TRANSFERS_MAX;
        let transfers = background.transfers.wakes_at().filter(|_| has_room);
        let wakes = [
            is_urgent.then_some(now),
            permit,
            background.work.deadline(now),
            background.rounds.wakes_at(),
            background.reaper.wakes_at(now).filter(|at| *at > now),
            transfers,
            self.sweeps_at(),
        ];
        self.background.work.wakes_at = wakes.into_iter().flatten().min();
    }

    /// Brings the trees up to what has been written. Before any tree is looked at.
    pub(super) fn note_changes(&mut self) {
        let noted = self.copies.take_noted();
        if !noted.is_empty() {
            let now = self.desk.now.monotonic;
            for noted in &noted {
                if let Noted::Changed { key, values, .. } = noted {
                    self.background.convergence.note(now, key, *values);
                }
            }
            let buckets = &self.view.buckets;
            self.background.forest.note(noted, buckets, now);
        }
    }

    /// Builds a slice of a tree.
    fn grow(&mut self) {
        let now = self.desk.now.monotonic;
        let background = &mut self.background;
        let Some((partition, after)) = background.forest.next_slice() else {
            return;
        };
        if !background.admission.permit(now) {
            return;
        }
        match self.copies.slice(partition, after.as_ref(), None) {
            Ok(slice) => {
                let buckets = &self.view.buckets;
                background.forest.on_slice(partition, &slice, buckets, now);
            }
            Err(error) => {
                background.forest.abandon(partition);
                for running in background.work.running.values_mut() {
                    if running.exchange.job.partition == partition {
                        running.exchange.on_storage_failure(error.to_string());
                    }
                }
                background.strays.give_up(now);
            }
        }
    }

    /// One exchange for the round, and as many transfers as may be.
    fn begin_exchanges(&mut self) {
        let now = self.desk.now;
        if self.background.rounds.is_due(now.monotonic) {
            let background = &mut self.background;
            background.begin_round(&self.me, &self.view.placement, false);
        }
        let background = &mut self.background;
        if background.work.count(Purpose::Round) == 0
            && let Some(job) = background.rounds.next(now.monotonic, now.wall_ms)
        {
            background.work.begin(job, Purpose::Round, now.monotonic);
        }
        while background.work.count(Purpose::Transfer) < TRANSFERS_MAX
            && let Some(job) = background.transfers.next(now.monotonic)
        {
            background.work.begin(job, Purpose::Transfer, now.monotonic);
        }
    }

    /// Takes no writes any more of what is being handed over.
    pub(super) fn freeze(&mut self) {
        let background = &self.background;
        let outlook = background.cluster.outlook(&self.me, &self.view.placement);
        let frozen = background.transfers.frozen(outlook, &self.view.buckets);
        self.copies.freeze(frozen);
    }

    fn tell_progress(&mut self, reached: Vec<(PartitionId, Stage)>, effects: &mut Vec<Effect>) {
        let change = self.view.placement.change();
        effects.extend(
            reached
                .into_iter()
                .map(|(partition, stage)| Effect::Progress {
                    change,
                    partition,
                    stage,
                }),
        );
    }
}
