//! When this node compares its copies with which other primary: rounds of anti-entropy (Dynamo 4.7).
//!
//! In a round each pair of primaries of each partition is compared once: by the lower-named of the two in even
//! partitions, by the higher-named in odd ones, so that the work is shared. A round on command compares this
//! node's copies with everybody's.
//!
//! Invariant: a pair is compared at most once in a round of one node, and a round ends.

use super::super::names::{Millis, NodeId};
use super::super::ring::partition::PartitionId;
use super::super::ring::placement::Placement;
use super::difference::Mode;
use super::exchange::Job;
use crate::limits::ANTI_ENTROPY_INTERVAL_MS_DEFAULT;
use std::collections::{BTreeSet, VecDeque};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The partitions of one shard: every so-manieth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub shard: u16,
    pub shards: u16,
}

/// How anti-entropy has fared since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AntiEntropy {
    pub rounds_finished: u64,
    /// Wall clock of the last end of a round, milliseconds since 1970.
    pub finished_at_ms: u64,
    /// Keys in which something changed on either side.
    pub keys_repaired: u64,
    /// Comparisons of one partition with one peer.
    pub exchanges: u64,
    pub exchanges_failed: u64,
    pub is_in_progress: bool,
}

/// The rounds of one shard.
#[derive(Debug)]
pub struct Rounds {
    /// 0: only on command.
    interval_ms: u64,
    next_at: Option<Millis>,
    queue: VecDeque<Job>,
    /// Could not be reached in this round.
    skipped: BTreeSet<NodeId>,
    seed: u64,
    begun: u64,
    status: AntiEntropy,
}

impl Share {
    /// All partitions: the only shard of its node.
    pub const ALL: Share = Share {
        shard: 0,
        shards: 1,
    };

    pub fn holds(self, partition: PartitionId) -> bool {
        partition.0 % self.shards == self.shard
    }
}

impl Rounds {
    /// Rounds that begin apart on shards with different seeds.
    pub fn new(seed: u64) -> Self {
        Self {
            interval_ms: ANTI_ENTROPY_INTERVAL_MS_DEFAULT,
            next_at: None,
            queue: VecDeque::new(),
            skipped: BTreeSet::new(),
            seed,
            begun: 0,
            status: AntiEntropy::default(),
        }
    }

    /// Milliseconds between two rounds; 0 leaves them to commands.
    pub fn set_interval(&mut self, now: Millis, interval_ms: u64) {
        self.interval_ms = interval_ms;
        self.next_at = None;
        self.arm(now);
    }

    /// Sets the time of the next round if there is none: the second half of the interval is left to chance.
    pub fn arm(&mut self, now: Millis) {
        if self.next_at.is_none() && self.interval_ms > 0 {
            let half = self.interval_ms.div_ceil(2);
            let dice = xxh3_64_with_seed(&self.begun.to_be_bytes(), self.seed);
            self.next_at = Some(now.after(half + dice % half));
        }
    }

    pub fn status(&self) -> AntiEntropy {
        self.status
    }

    pub fn is_in_progress(&self) -> bool {
        self.status.is_in_progress
    }

    /// When the next round begins; none while one is under way.
    pub fn wakes_at(&self) -> Option<Millis> {
        match self.status.is_in_progress {
            true => None,
            false => self.next_at,
        }
    }

    pub fn is_due(&self, now: Millis) -> bool {
        self.wakes_at().is_some_and(|at| at <= now)
    }

    /// Begins a round over what this node is to compare by itself.
    pub fn begin(
        &mut self,
        me: &NodeId,
        placement: &Placement,
        counts: &BTreeSet<u8>,
        share: Share,
    ) {
        self.fill(me, placement, counts, share, initiates);
    }

    /// Begins a round over all copies of this node, even if one is under way.
    pub fn begin_all(
        &mut self,
        me: &NodeId,
        placement: &Placement,
        counts: &BTreeSet<u8>,
        share: Share,
    ) {
        self.fill(me, placement, counts, share, |_, _, _| true);
    }

    fn fill(
        &mut self,
        me: &NodeId,
        placement: &Placement,
        counts: &BTreeSet<u8>,
        share: Share,
        is_mine: impl Fn(&NodeId, &NodeId, PartitionId) -> bool,
    ) {
        self.begun += 1;
        self.next_at = None;
        self.status.is_in_progress = true;
        self.skipped.clear();
        self.queue.clear();
        let partitions = placement.partitions().all();
        for partition in partitions.filter(|partition| share.holds(*partition)) {
            for n in counts {
                let primaries = placement.primaries(partition, *n);
                if !primaries.contains(me) {
                    continue;
                }
                let peers = primaries.into_iter().filter(|peer| peer != me);
                let peers = peers.filter(|peer| is_mine(me, peer, partition));
                self.queue.extend(peers.map(|peer| Job {
                    partition,
                    n: *n,
                    peer,
                    mode: Mode::Both,
                }));
            }
        }
    }

    /// The next comparison of the round; none at its end.
    pub fn next(&mut self, now: Millis, wall_ms: u64) -> Option<Job> {
        if !self.status.is_in_progress {
            return None;
        }
        while let Some(job) = self.queue.pop_front() {
            match self.skipped.contains(&job.peer) {
                true => self.status.exchanges_failed += 1,
                false => return Some(job),
            }
        }
        self.status.is_in_progress = false;
        self.status.rounds_finished += 1;
        self.status.finished_at_ms = wall_ms;
        self.arm(now);
        None
    }

    pub fn on_repaired(&mut self, keys: u64) {
        self.status.keys_repaired += keys;
    }

    pub fn on_end(&mut self, is_well: bool) {
        self.status.exchanges += 1;
        self.status.exchanges_failed += u64::from(!is_well);
    }

    /// Leaves a peer alone for the rest of the round.
    pub fn skip(&mut self, peer: NodeId) {
        self.skipped.insert(peer);
    }

    /// The partitions are elsewhere: what is left of the round compares with the wrong nodes.
    pub fn on_placement(&mut self) {
        self.queue.clear();
    }
}

/// Which of two primaries compares them.
fn initiates(me: &NodeId, peer: &NodeId, partition: PartitionId) -> bool {
    (me < peer) == partition.0.is_multiple_of(2)
}
