//! Copies that this node holds and does not keep: they go to the owners, and only then away (Dynamo 4.9).
//!
//! One partition at a time, once after each start and each change of the owners. A partition whose owners are
//! changing is left to its transfer.
//!
//! Invariant: a copy is dropped only after all owners have said that what this node had is on their disks, and if
//! nothing of its partition has changed since before they were asked.

use super::super::names::{Key, Millis};
use super::super::ring::partition::PartitionId;
use super::difference::Mode;
use super::exchange::Job;
use super::transfer::Outlook;
use crate::limits::TRANSFER_RETRY_MS;
use std::collections::VecDeque;

/// What is done about the copies of one partition and one number of copies.
#[derive(Debug)]
struct Sweep {
    partition: PartitionId,
    n: u8,
    /// Of the tree, before any owner was asked.
    mark: Option<u64>,
    /// Records up to here are dropped.
    dropped: Option<Key>,
    jobs: VecDeque<Job>,
    is_running: bool,
}

/// The sweeps of one shard.
#[derive(Debug, Default)]
pub struct Strays {
    /// Partitions that are still to be looked at.
    todo: VecDeque<PartitionId>,
    sweep: Option<Sweep>,
    not_before: Millis,
    handed_over: u64,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Is anything stored for this partition? Then `examine` it when its trees are there, else `pass`.
    Look(PartitionId),
    /// Give the owner all that this node has.
    Give(Job),
    /// All owners have it: drop the records.
    Drop(Drop),
}

/// Records that may go if the mark of their tree is still this one; those behind `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    pub partition: PartitionId,
    pub n: u8,
    pub mark: Option<u64>,
    pub after: Option<Key>,
}

impl Strays {
    /// Looks at everything again: the owners are others, or it is the start.
    pub fn restart(&mut self, outlook: Outlook<'_>) {
        let partitions = outlook.placement.partitions().all();
        let partitions = partitions.filter(|partition| outlook.share.holds(*partition));
        self.todo = partitions.filter(|p| may_stray(outlook, *p)).collect();
        self.sweep = None;
    }

    pub fn next(&mut self, now: Millis) -> Step {
        if now < self.not_before {
            return Step::Wait;
        }
        match &mut self.sweep {
            None => match self.todo.front() {
                Some(partition) => Step::Look(*partition),
                None => Step::Wait,
            },
            Some(sweep) if sweep.is_running => Step::Wait,
            Some(sweep) => match sweep.jobs.pop_front() {
                Some(job) => {
                    sweep.is_running = true;
                    Step::Give(job)
                }
                None => Step::Drop(Drop {
                    partition: sweep.partition,
                    n: sweep.n,
                    mark: sweep.mark,
                    after: sweep.dropped.clone(),
                }),
            },
        }
    }

    /// There is nothing to be done for the partition that `next` named.
    pub fn pass(&mut self) {
        self.todo.pop_front();
    }

    /// Begins with what is stored for `n` copies of a partition.
    pub fn begin(
        &mut self,
        outlook: Outlook<'_>,
        partition: PartitionId,
        n: u8,
        mark: Option<u64>,
    ) {
        let owners = outlook.placement.primaries(partition, n).into_iter();
        let jobs = owners.map(|peer| Job {
            partition,
            n,
            peer,
            mode: Mode::Give,
        });
        self.sweep = Some(Sweep {
            partition,
            n,
            mark,
            dropped: None,
            jobs: jobs.collect(),
            is_running: false,
        });
    }

    /// An exchange of `next` ended. If an owner did not confirm, nothing is dropped, and all is tried again.
    pub fn on_end(&mut self, now: Millis, is_well: bool) {
        match &mut self.sweep {
            Some(sweep) if is_well => sweep.is_running = false,
            _ => self.give_up(now),
        }
    }

    /// Tries the partition again a little later.
    pub fn give_up(&mut self, now: Millis) {
        self.sweep = None;
        self.not_before = now.after(TRANSFER_RETRY_MS);
    }

    /// The records are gone. The partition is looked at again: another number of copies may be left.
    pub fn on_dropped(&mut self) {
        self.sweep = None;
    }

    /// So many records up to `dropped` went, and the mark of their tree is this one now.
    pub fn on_handed_over(&mut self, records: u64, dropped: Option<Key>, mark: Option<u64>) {
        self.handed_over += records;
        if let Some(sweep) = &mut self.sweep {
            sweep.dropped = dropped;
            sweep.mark = mark;
        }
    }

    /// Records that went to their owners and away since the process started.
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }

    pub fn wakes_at(&self, now: Millis) -> Option<Millis> {
        let is_running = self.sweep.as_ref().is_some_and(|sweep| sweep.is_running);
        let is_over = self.sweep.is_none() && self.todo.is_empty();
        match is_running || is_over {
            true => None,
            false => Some(self.not_before.max(now)),
        }
    }
}

/// Whether what is stored for a partition may have to go elsewhere.
fn may_stray(outlook: Outlook<'_>, partition: PartitionId) -> bool {
    outlook.placement.is_switched(partition)
        && outlook
            .counts
            .iter()
            .any(|n| is_stray(outlook, partition, *n))
}

/// Whether this node does not keep what is stored for `n` copies of a partition.
pub fn is_stray(outlook: Outlook<'_>, partition: PartitionId, n: u8) -> bool {
    outlook.placement.is_switched(partition) && !outlook.placement.keeps(partition, n, outlook.me)
}
