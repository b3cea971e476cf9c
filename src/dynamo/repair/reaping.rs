//! The steward of a partition proves that something can go: a tombstone, or actors that nobody needs any more (law 9).
//!
//! Not in the paper. The first primary of a partition walks over its records. It asks every node of the cluster
//! twice, at least a horizon apart, whether all that it knows of a key is one and the same object. The horizon is longer
//! than anything that was said before the first answer can be on its way, and whoever answers watches the key in between,
//! so after the second round nothing older is left anywhere. Knows nothing of disks.
//!
//! Invariant: a key is given free only after all nodes have vouched for it in both rounds, under one placement.

use super::super::names::{Key, Millis, NodeId, Ticket};
use super::super::ring::partition::PartitionId;
use crate::limits::{REAPS_PENDING_MAX, VOUCH_TIMEOUT_MS};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How removal has fared since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaping {
    pub walks_finished: u64,
    pub is_walking: bool,
    /// Keys that somebody is asked about, or that wait for the end of the horizon.
    pub pending: usize,
    /// Keys that everybody vouched for twice.
    pub granted: u64,
    /// Keys that somebody did not vouch for, or did not let go of.
    pub refused: u64,
}

/// Keys of one partition on their way through the rounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub partition: PartitionId,
    pub keys: Vec<(Key, u128)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Second,
    Removal,
}

/// A round that is under way.
#[derive(Debug)]
struct Asked {
    round: Round,
    batch: Batch,
    /// By key, whether everybody has vouched so far.
    granted: Vec<bool>,
    waiting: BTreeSet<NodeId>,
    until: Millis,
}

/// The way over the partitions.
#[derive(Debug, Default)]
struct Walk {
    /// 0: only on command.
    interval_ms: u64,
    next_at: Option<Millis>,
    todo: VecDeque<PartitionId>,
    /// Where to go on in the first of them.
    from: Option<Bytes>,
    seed: u64,
    begun: u64,
}

/// The removals of which one shard is the steward.
#[derive(Debug)]
pub struct Reaper {
    walk: Walk,
    horizon_ms: u64,
    /// Of the placement that all this is about.
    version: u64,
    asked: BTreeMap<Ticket, Asked>,
    /// Batches that wait for the end of the horizon, in the order of their times.
    resting: VecDeque<(Millis, Batch)>,
    pending: BTreeSet<Key>,
    status: Reaping,
}

impl Reaper {
    /// Walks begin apart on shards with different seeds.
    pub fn new(seed: u64) -> Self {
        Self {
            walk: Walk {
                seed,
                ..Walk::default()
            },
            horizon_ms: 0,
            version: 0,
            asked: BTreeMap::new(),
            resting: VecDeque::new(),
            pending: BTreeSet::new(),
            status: Reaping::default(),
        }
    }

    /// Milliseconds between two walks, 0 for none but those on command, and between two rounds.
    pub fn set(&mut self, now: Millis, interval_ms: u64, horizon_ms: u64) {
        self.walk.interval_ms = interval_ms;
        self.walk.next_at = None;
        self.horizon_ms = horizon_ms.max(1);
        self.walk.arm(now);
    }

    pub fn horizon_ms(&self) -> u64 {
        self.horizon_ms
    }

    pub fn status(&self) -> Reaping {
        Reaping {
            is_walking: !self.walk.todo.is_empty(),
            pending: self.pending.len(),
            ..self.status
        }
    }

    /// By which placement keys are stewarded. What was asked under another one is void.
    pub fn set_version(&mut self, version: u64) {
        if self.version != version {
            self.version = version;
            self.walk.todo.clear();
            self.walk.from = None;
            self.asked.clear();
            self.resting.clear();
            self.pending.clear();
        }
    }

    /// When the next walk begins; none while one is under way.
    pub fn next_walk_at(&self) -> Option<Millis> {
        let is_over = self.walk.todo.is_empty();
        self.walk.next_at.filter(|_| is_over)
    }

    /// Whether a walk is to begin.
    pub fn is_due(&self, now: Millis) -> bool {
        self.next_walk_at().is_some_and(|at| at <= now)
    }

    /// Walks over these partitions, from the beginning.
    pub fn begin(&mut self, now: Millis, partitions: impl Iterator<Item = PartitionId>) {
        self.walk.begun += 1;
        self.walk.todo = partitions.collect();
        self.walk.from = None;
        self.walk.next_at = None;
        self.walk.arm(now);
        if self.walk.todo.is_empty() {
            self.status.walks_finished += 1;
        }
    }

    /// Where to look next; nowhere while too many keys are pending.
    pub fn place(&self) -> Option<(PartitionId, Option<Bytes>)> {
        let partition = self.walk.todo.front()?;
        let has_room = self.pending.len() < REAPS_PENDING_MAX;
        has_room.then(|| (*partition, self.walk.from.clone()))
    }

    /// The place was looked at; the partition goes on at `next`.
    pub fn on_looked(&mut self, next: Option<Bytes>) {
        if next.is_none() {
            self.walk.todo.pop_front();
            self.status.walks_finished += u64::from(self.walk.todo.is_empty());
        }
        self.walk.from = next;
    }

    /// Whether a key is on its way already.
    pub fn is_pending(&self, key: &Key) -> bool {
        self.pending.contains(key)
    }

    /// Somebody could not vouch for so many keys anyway.
    pub fn refuse(&mut self, keys: usize) {
        self.status.refused += keys as u64;
    }

    /// Everybody is asked for the first time.
    pub fn ask(&mut self, now: Millis, ticket: Ticket, batch: Batch, nodes: &[NodeId]) {
        self.pending
            .extend(batch.keys.iter().map(|(key, _)| key.clone()));
        self.open(now, ticket, Round::First, batch, nodes);
    }

    /// A batch whose horizon has passed; everybody has to be asked `again`.
    pub fn rested(&mut self, now: Millis) -> Option<Batch> {
        let (at, _) = self.resting.front()?;
        match *at <= now {
            true => self.resting.pop_front().map(|(_, batch)| batch),
            false => None,
        }
    }

    /// Everybody is asked for the second time.
    pub fn again(&mut self, now: Millis, ticket: Ticket, batch: Batch, nodes: &[NodeId]) {
        self.open(now, ticket, Round::Second, batch, nodes);
    }

    /// The owners are told to let go of a batch that `on_answer` gave free.
    pub fn remove(&mut self, now: Millis, ticket: Ticket, batch: Batch, nodes: &[NodeId]) {
        self.open(now, ticket, Round::Removal, batch, nodes);
    }

    fn open(&mut self, now: Millis, ticket: Ticket, round: Round, batch: Batch, nodes: &[NodeId]) {
        let asked = Asked {
            round,
            granted: vec![true; batch.keys.len()],
            batch,
            waiting: nodes.iter().cloned().collect(),
            until: now.after(VOUCH_TIMEOUT_MS),
        };
        self.asked.insert(ticket, asked);
    }

    /// Whether an answer is to one of these questions.
    pub fn has_asked(&self, ticket: Ticket) -> bool {
        self.asked.contains_key(&ticket)
    }

    /// An answer, or none that could be used. Keys that are now free to go are returned.
    pub fn on_answer(
        &mut self,
        now: Millis,
        ticket: Ticket,
        from: &NodeId,
        granted: Option<&[bool]>,
    ) -> Option<Batch> {
        let asked = self.asked.get_mut(&ticket)?;
        if !asked.waiting.remove(from) {
            return None;
        }
        match granted.filter(|granted| granted.len() == asked.granted.len()) {
            Some(granted) => {
                let both = asked.granted.iter_mut().zip(granted);
                both.for_each(|(so_far, granted)| *so_far &= granted);
            }
            None => asked.granted.fill(false),
        }
        let is_lost = !asked.granted.contains(&true) && asked.round != Round::Removal;
        if !asked.waiting.is_empty() && !is_lost {
            return None;
        }
        let asked = self.asked.remove(&ticket)?;
        self.end(now, asked)
    }

    /// Questions that were not answered in time were answered with no.
    pub fn on_time(&mut self, now: Millis) {
        let late = self.asked.iter().filter(|(_, asked)| asked.until <= now);
        let late: Vec<Ticket> = late.map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            if let Some(mut asked) = self.asked.remove(&ticket) {
                asked.granted.fill(false);
                self.end(now, asked);
            }
        }
    }

    fn end(&mut self, now: Millis, asked: Asked) -> Option<Batch> {
        let Asked {
            round,
            mut batch,
            granted,
            ..
        } = asked;
        let mut granted = granted.into_iter();
        let pending = &mut self.pending;
        let refused = &mut self.status.refused;
        batch.keys.retain(|(key, _)| {
            let is_granted = granted.next() == Some(true);
            if !is_granted {
                pending.remove(key);
                *refused += 1;
            }
            is_granted
        });
        if batch.keys.is_empty() {
            return None;
        }
        match round {
            Round::First => {
                // Whoever vouched measures the horizon as well, by a clock that may be a little slower.
                let rest_ms = self.horizon_ms + self.horizon_ms / 256 + 1;
                self.resting.push_back((now.after(rest_ms), batch));
                None
            }
            Round::Second => {
                self.status.granted += batch.keys.len() as u64;
                Some(batch)
            }
            Round::Removal => {
                for (key, _) in &batch.keys {
                    self.pending.remove(key);
                }
                None
            }
        }
    }

    /// When there is something to do; at once while the walk goes on.
    pub fn wakes_at(&self, now: Millis) -> Option<Millis> {
        let walk = match self.walk.todo.is_empty() {
            true => self.next_walk_at(),
            false => self.place().map(|_| now),
        };
        let asked = self.asked.values().map(|asked| asked.until);
        let rested = self.resting.front().map(|(at, _)| *at);
        asked.chain(walk).chain(rested).min()
    }
}

impl Walk {
    /// Sets the time of the next walk if there is none: the second half of the interval is left to chance.
    fn arm(&mut self, now: Millis) {
        if self.next_at.is_none() && self.interval_ms > 0 {
            let half = self.interval_ms.div_ceil(2);
            let dice = xxh3_64_with_seed(&self.begun.to_be_bytes(), self.seed);
            self.next_at = Some(now.after(half + dice % half));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::names::BucketName;
    use super::*;

    const HORIZON_MS: u64 = 60_000;

    fn nodes() -> Vec<NodeId> {
        ["a", "b", "c"]
            .map(|name| NodeId::new(name).expect("a good name"))
            .to_vec()
    }

    fn batch(keys: &[&'static str]) -> Batch {
        let bucket = BucketName::new("b").expect("a good name");
        let key = |name: &&'static str| {
            let key = Key::new(bucket.clone(), Bytes::from_static(name.as_bytes()));
            (key.expect("a good key"), 7)
        };
        Batch {
            partition: PartitionId(3),
            keys: keys.iter().map(key).collect(),
        }
    }

    fn ticket(count: u64) -> Ticket {
        Ticket { life: 1, count }
    }

    fn reaper() -> Reaper {
        let mut reaper = Reaper::new(1);
        reaper.set(Millis(0), 0, HORIZON_MS);
        reaper
    }

    /// All nodes answer alike; what the last of them set free.
    fn answer(
        reaper: &mut Reaper,
        now: u64,
        count: u64,
        granted: Option<&[bool]>,
    ) -> Option<Batch> {
        let answers = nodes().into_iter();
        let freed =
            answers.filter_map(|node| reaper.on_answer(Millis(now), ticket(count), &node, granted));
        freed.last()
    }

    /// Where the first round has ended well.
    fn asked_once(keys: &[&'static str]) -> Reaper {
        let mut reaper = reaper();
        reaper.ask(Millis(0), ticket(1), batch(keys), &nodes());
        let granted = vec![true; keys.len()];
        assert_eq!(answer(&mut reaper, 10, 1, Some(&granted)), None);
        reaper
    }

    #[test]
    fn a_key_is_free_after_two_unanimous_rounds_a_horizon_apart() {
        let mut reaper = asked_once(&["k", "l"]);
        assert_eq!(reaper.rested(Millis(HORIZON_MS)), None);
        let at = reaper.wakes_at(Millis(20)).expect("it rests");
        assert!(at.0 > 10 + HORIZON_MS, "{at:?}");
        let rested = reaper.rested(at).expect("its time has come");
        reaper.again(at, ticket(2), rested, &nodes());
        let freed = answer(&mut reaper, at.0, 2, Some(&[true, true]));
        assert_eq!(freed, Some(batch(&["k", "l"])));
        reaper.remove(at, ticket(3), batch(&["k", "l"]), &nodes());
        assert_eq!(reaper.status().pending, 2);
        answer(&mut reaper, at.0, 3, Some(&[true, true]));
        assert_eq!(reaper.status().pending, 0);
        assert_eq!((reaper.status().granted, reaper.status().refused), (2, 0));
    }

    #[test]
    fn one_no_in_either_round_keeps_the_key_and_no_other() {
        let mut reaper = reaper();
        reaper.ask(Millis(0), ticket(1), batch(&["k", "l", "m"]), &nodes());
        let nodes = nodes();
        for (node, granted) in
            nodes
                .iter()
                .zip([[true, true, true], [false, true, true], [true, true, true]])
        {
            reaper.on_answer(Millis(0), ticket(1), node, Some(&granted));
        }
        let at = reaper.wakes_at(Millis(0)).expect("two are left");
        let rested = reaper.rested(at).expect("its time has come");
        assert_eq!(rested, batch(&["l", "m"]));
        reaper.again(at, ticket(2), rested, &nodes);
        for (node, granted) in nodes
            .iter()
            .zip([[true, true], [true, true], [true, false]])
        {
            let freed = reaper.on_answer(at, ticket(2), node, Some(&granted));
            assert_eq!(freed.is_some(), node.as_str() == "c");
        }
        assert_eq!((reaper.status().pending, reaper.status().refused), (1, 2));
    }

    #[test]
    fn a_node_that_is_silent_or_refuses_keeps_everything() {
        for says_no in [true, false] {
            for round in [Round::First, Round::Second] {
                let (mut reaper, mut now) = (reaper(), Millis(0));
                let open = match round {
                    Round::First => Reaper::ask,
                    _ => {
                        reaper = asked_once(&["k"]);
                        now = reaper.wakes_at(Millis(0)).expect("it rests");
                        reaper.rested(now);
                        Reaper::again
                    }
                };
                open(&mut reaper, now, ticket(5), batch(&["k"]), &nodes());
                for node in &nodes()[..2] {
                    assert_eq!(reaper.on_answer(now, ticket(5), node, Some(&[true])), None);
                }
                match says_no {
                    true => assert_eq!(reaper.on_answer(now, ticket(5), &nodes()[2], None), None),
                    false => {
                        let until = reaper.wakes_at(now).expect("it waits");
                        assert_eq!(until, now.after(VOUCH_TIMEOUT_MS));
                        reaper.on_time(until);
                    }
                }
                assert_eq!((reaper.status().pending, reaper.status().refused), (0, 1));
                assert_eq!(reaper.wakes_at(now), None);
            }
        }
    }

    #[test]
    fn one_node_that_answers_often_is_not_everybody() {
        let mut reaper = reaper();
        reaper.ask(Millis(0), ticket(1), batch(&["k"]), &nodes());
        for _ in 0..5 {
            reaper.on_answer(Millis(0), ticket(1), &nodes()[0], Some(&[true]));
        }
        assert!(reaper.resting.is_empty());
    }

    #[test]
    fn an_answer_that_does_not_fit_its_question_is_a_no() {
        let mut reaper = reaper();
        reaper.ask(Millis(0), ticket(1), batch(&["k"]), &nodes());
        reaper.on_answer(Millis(0), ticket(1), &nodes()[0], Some(&[true, true]));
        assert_eq!(reaper.status().refused, 1);
    }

    #[test]
    fn another_placement_voids_what_was_said() {
        let mut reaper = asked_once(&["k"]);
        reaper.set_version(2);
        assert_eq!(reaper.rested(Millis(10 * HORIZON_MS)), None);
        assert_eq!(reaper.status().pending, 0);
    }

    #[test]
    fn a_walk_goes_over_each_partition_once_and_then_rests() {
        let mut reaper = reaper();
        reaper.set(Millis(0), 1_000, HORIZON_MS);
        let at = reaper.wakes_at(Millis(0)).expect("it is armed");
        assert!((500..=1_000).contains(&at.0) && reaper.is_due(at));
        reaper.begin(at, [PartitionId(1), PartitionId(2)].into_iter());
        let mut seen = Vec::new();
        let more = [Some(Bytes::from_static(b"x")), None, None];
        for next in more {
            let (partition, from) = reaper.place().expect("there is more");
            seen.push((partition.0, from.is_some()));
            reaper.on_looked(next);
        }
        assert_eq!(seen, [(1, false), (1, true), (2, false)]);
        assert_eq!(reaper.place(), None);
        assert_eq!(reaper.status().walks_finished, 1);
        assert!(reaper.wakes_at(at).is_some_and(|next| next > at));
    }
}
