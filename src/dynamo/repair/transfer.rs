//! What this node has to move while the owners change, and how far it is with each partition (Dynamo 4.9, 6.2).
//!
//! Twice over: once while the old owners serve, which takes as long as it takes, and once more when everybody has
//! done so and this node takes no writes any more, which takes a moment. Forgets everything when the change is
//! another, and finds everything again by comparing. Whom to give to and take from is the placement's to say.
//!
//! Invariant: "released" is said only after a pass that began when this node took no more writes of what it gives
//! away, and that ended on the disks of its heirs.

use super::super::bucket::BucketTable;
use super::super::names::{BucketName, Millis, NodeId};
use super::super::ring::change::ChangeId;
use super::super::ring::partition::PartitionId;
use super::super::ring::placement::{Duty, Placement};
use super::difference::Mode;
use super::exchange::Job;
use super::schedule::Share;
use crate::limits::TRANSFER_RETRY_MS;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How far this node is with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Moves what there is, while everything goes on.
    Copying,
    /// Has moved it once, and waits for the others.
    Copied,
    /// Moves the rest, and takes no writes of what it gives away.
    Releasing,
    /// All that it had has arrived.
    Released,
}

/// One partition on its way, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub partition: PartitionId,
    pub stage: Stage,
    /// Keys that changed anything where they went.
    pub keys_moved: u64,
    /// Comparisons that ended well in this stage, and those that are left.
    pub done: usize,
    pub left: usize,
    pub failures: u64,
    pub last_failure: String,
    jobs: VecDeque<Job>,
    running: usize,
    retry_at: Millis,
}

/// The moves of one shard.
#[derive(Debug, Default)]
pub struct Transfers {
    change: Option<ChangeId>,
    is_paused: bool,
    keys_moved: u64,
    moving: BTreeMap<PartitionId, Transfer>,
}

/// What the machine knows of the cluster.
#[derive(Clone, Copy)]
pub struct Outlook<'a> {
    pub me: &'a NodeId,
    pub placement: &'a Placement,
    /// The numbers of copies that buckets keep.
    pub counts: &'a BTreeSet<u8>,
    pub share: Share,
}

impl Outlook<'_> {
    /// What this node has to compare with whom, in one partition.
    fn jobs(self, partition: PartitionId) -> VecDeque<Job> {
        let mut jobs = VecDeque::new();
        for n in self.counts {
            let mut duties = self.placement.duties(partition, *n);
            let (mode, peers) = match duties.remove(self.me) {
                Some(Duty::Give(peers)) => (Mode::Give, peers),
                Some(Duty::Take(peers)) => (Mode::Take, peers),
                None => continue,
            };
            let peers = peers.into_iter().filter(|peer| peer != self.me);
            jobs.extend(peers.map(|peer| Job {
                partition,
                n: *n,
                peer,
                mode,
            }));
        }
        jobs
    }

    /// Whether this node gives away what buckets of `n` copies have in a partition.
    fn gives(self, partition: PartitionId, n: u8) -> bool {
        let duties = self.placement.duties(partition, n);
        matches!(duties.get(self.me), Some(Duty::Give(_)))
    }
}

impl Transfers {
    /// Takes up what is to be moved now. True: exchanges of before serve no purpose any more.
    pub fn on_placement(&mut self, outlook: Outlook<'_>) -> bool {
        let (me, placement) = (outlook.me, outlook.placement);
        let is_other = self.change != Some(placement.change());
        if is_other {
            self.moving.clear();
            self.change = Some(placement.change());
        }
        self.moving
            .retain(|partition, _| !placement.is_switched(*partition));
        for partition in placement.unsettled() {
            if !outlook.share.holds(partition) || !placement.movers(partition).contains(me) {
                continue;
            }
            let known = match (
                placement.has_released(me, partition),
                placement.has_copied(me, partition),
            ) {
                (true, _) => Stage::Released,
                (false, true) => Stage::Copied,
                (false, false) => Stage::Copying,
            };
            let transfer = self.moving.entry(partition).or_insert_with(|| Transfer {
                partition,
                stage: known,
                keys_moved: 0,
                done: 0,
                left: 0,
                failures: 0,
                last_failure: String::new(),
                jobs: outlook.jobs(partition),
                running: 0,
                retry_at: Millis(0),
            });
            if transfer.stage == Stage::Copied && placement.is_copied(partition) {
                transfer.enter(Stage::Releasing, outlook.jobs(partition));
            }
        }
        is_other
    }

    /// Stops all moving, or goes on with it.
    pub fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// The next exchange that may begin.
    pub fn next(&mut self, now: Millis) -> Option<Job> {
        if self.is_paused {
            return None;
        }
        let ready = self.moving.values_mut();
        let mut ready = ready.filter(|transfer| transfer.is_moving() && transfer.retry_at <= now);
        ready.find_map(|transfer| {
            let job = transfer.jobs.pop_front()?;
            transfer.running += 1;
            Some(job)
        })
    }

    /// An exchange of `next` ended.
    pub fn on_end(&mut self, job: Job, now: Millis, outcome: Result<(), String>) {
        let Some(transfer) = self.moving.get_mut(&job.partition) else {
            return;
        };
        transfer.running = transfer.running.saturating_sub(1);
        match outcome {
            Ok(()) => transfer.done += 1,
            Err(reason) => {
                transfer.failures += 1;
                transfer.last_failure = reason;
                transfer.retry_at = now.after(TRANSFER_RETRY_MS);
                transfer.jobs.push_back(job);
            }
        }
    }

    /// An exchange of `next` was broken off by the operator: it is the first to go on.
    pub fn on_cancelled(&mut self, job: Job) {
        if let Some(transfer) = self.moving.get_mut(&job.partition) {
            transfer.running = transfer.running.saturating_sub(1);
            transfer.jobs.push_front(job);
        }
    }

    /// Keys that changed anything where they went, since the process started.
    pub fn keys_moved(&self) -> u64 {
        self.keys_moved
    }

    pub fn on_moved(&mut self, partition: PartitionId, keys: u64) {
        self.keys_moved += keys;
        if let Some(transfer) = self.moving.get_mut(&partition) {
            transfer.keys_moved += keys;
        }
    }

    /// The partitions whose stage is over, with the stage that they reached. Each is told once.
    pub fn take_reached(&mut self) -> Vec<(PartitionId, Stage)> {
        if self.is_paused {
            return Vec::new();
        }
        let moving = self.moving.values_mut();
        let over = moving.filter(|t| t.is_moving() && t.jobs.is_empty() && t.running == 0);
        let reached = over.map(|transfer| {
            transfer.stage = match transfer.stage {
                Stage::Copying => Stage::Copied,
                _ => Stage::Released,
            };
            (transfer.partition, transfer.stage)
        });
        reached.collect()
    }

    /// The buckets of which this node takes no writes any more, by partition.
    pub fn frozen(
        &self,
        outlook: Outlook<'_>,
        buckets: &BucketTable,
    ) -> BTreeMap<PartitionId, BTreeSet<BucketName>> {
        let mut frozen = BTreeMap::new();
        let stopped = self.moving.values();
        for transfer in stopped.filter(|transfer| transfer.stage >= Stage::Releasing) {
            let partition = transfer.partition;
            let given = outlook.counts.iter().copied();
            let given: BTreeSet<u8> = given.filter(|n| outlook.gives(partition, *n)).collect();
            let names = buckets.iter().filter(|(_, p)| given.contains(&p.n));
            let names: BTreeSet<BucketName> = names.map(|(name, _)| name.clone()).collect();
            if !names.is_empty() {
                frozen.insert(partition, names);
            }
        }
        frozen
    }

    /// When something that failed is tried again.
    pub fn wakes_at(&self) -> Option<Millis> {
        if self.is_paused {
            return None;
        }
        let waiting = self.moving.values();
        let waiting = waiting.filter(|t| t.is_moving() && !t.jobs.is_empty());
        waiting.map(|transfer| transfer.retry_at).min()
    }

    /// Every partition that this node has to move, for operators.
    pub fn status(&self) -> Vec<Transfer> {
        let told = self.moving.values().map(|transfer| Transfer {
            left: transfer.jobs.len() + transfer.running,
            ..transfer.clone()
        });
        told.collect()
    }
}

impl Transfer {
    fn is_moving(&self) -> bool {
        matches!(self.stage, Stage::Copying | Stage::Releasing)
    }

    fn enter(&mut self, stage: Stage, jobs: VecDeque<Job>) {
        self.stage = stage;
        self.jobs = jobs;
        self.done = 0;
        self.retry_at = Millis(0);
    }
}
