//! A shard that hands copies over which it does not keep: carries out the steps of `repair::strays` (Dynamo 4.9).
//!
//! Invariant: nothing is dropped unless `strays` says so and nothing has changed since it asked the owners.

use super::super::names::Millis;
use super::super::repair::strays::{Drop, Step, is_stray};
use super::super::replica::storage::Storage;
use super::super::ring::partition::PartitionId;
use super::background::{Purpose, Swept};
use super::router::Machine;

/// Partitions without anything in them that are passed in one turn.
const PASSED_MAX: usize = 64;

impl<S: Storage> Machine<S> {
    /// A bounded piece of the sweep.
    pub(super) fn sweep(&mut self) -> Swept {
        let now = self.desk.now.monotonic;
        if self.background.transfers.is_paused() {
            return Swept::Nothing;
        }
        for _ in 0..PASSED_MAX {
            match self.background.strays.next(now) {
                Step::Wait => return Swept::Nothing,
                Step::Give(job) => {
                    self.background.work.begin(job, Purpose::Stray, now);
                    return Swept::Some;
                }
                Step::Drop(drop) => return self.drop_some(&drop),
                Step::Look(partition) => match self.copies.has_any(partition) {
                    Ok(false) => self.background.strays.pass(),
                    Ok(true) if !self.background.forest.is_built(partition) => {
                        self.background.forest.want(partition, now);
                        return Swept::Nothing; // Growing it wakes the shard.
                    }
                    Ok(true) => self.examine(partition),
                    Err(_) => self.background.strays.give_up(now),
                },
            }
        }
        Swept::Some
    }

    /// When the sweep goes on by itself.
    pub(super) fn sweeps_at(&self) -> Option<Millis> {
        let background = &self.background;
        let is_growing = background.forest.next_slice().is_some();
        match background.transfers.is_paused() || is_growing {
            true => None,
            false => {
                let now = self.desk.now.monotonic;
                background.strays.wakes_at(now).filter(|at| *at > now)
            }
        }
    }

    /// Begins with the first number of copies that is astray, or passes the partition.
    fn examine(&mut self, partition: PartitionId) {
        let background = &mut self.background;
        let forest = &background.forest;
        let outlook = background.cluster.outlook(&self.me, &self.view.placement);
        let found = outlook.counts.iter().copied().find(|n| {
            let tree = forest.tree(partition, *n);
            tree.is_some_and(|tree| tree.records() > 0) && is_stray(outlook, partition, *n)
        });
        match found {
            None => background.strays.pass(),
            Some(n) => {
                let mark = forest.mark(partition, n);
                background.strays.begin(outlook, partition, n, mark);
            }
        }
    }

    /// Drops records that all owners have, as many as are admitted.
    fn drop_some(&mut self, drop: &Drop) -> Swept {
        let now = self.desk.now.monotonic;
        let (partition, n) = (drop.partition, drop.n);
        if self.background.forest.mark(partition, n) != drop.mark {
            self.background.strays.give_up(now); // Something came in meanwhile.
            return Swept::Nothing;
        }
        if !self.background.admission.permit(now) {
            return Swept::Held;
        }
        let slice = match self.copies.slice(partition, drop.after.as_ref(), None) {
            Ok(slice) => slice,
            Err(_) => {
                self.background.strays.give_up(now);
                return Swept::Nothing;
            }
        };
        let mut dropped = 0;
        for (key, _) in &slice.items {
            if self.view.copies_of(key) != Some(n) {
                continue;
            }
            if self.copies.forget(partition, key).is_err() {
                self.background.strays.give_up(now);
                return Swept::Nothing;
            }
            dropped += 1;
        }
        self.note_changes();
        let mark = self.background.forest.mark(partition, n);
        let last = slice.items.last().map(|(key, _)| key.clone());
        let strays = &mut self.background.strays;
        strays.on_handed_over(dropped, last.or_else(|| drop.after.clone()), mark);
        let forest = &mut self.background.forest;
        let tree = forest.tree(partition, n);
        if slice.is_last && tree.is_some_and(|tree| tree.records() > 0) {
            // The tree knows of records that the disk has lost: without it built anew the sweep would go on for ever.
            forest.doubt(partition, now);
            strays.give_up(now);
        } else if slice.is_last {
            strays.on_dropped();
        }
        Swept::Some
    }
}
