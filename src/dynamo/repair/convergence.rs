//! Which keys are in conflict here, and which of them is merged next although nobody reads it (Dynamo 4.4, 6.5).
//!
//! Fed by every write of this node's copies, and once after the start by a walk over what is stored. Merges nothing and
//! knows no policy: whoever carries it out says what came of a key.
//!
//! Invariant: a key that nobody writes is tried ever more rarely, and one that is no conflict any more not at all.

use super::super::names::{BucketName, Key, Millis};
use super::super::replica::conflicts::Found;
use super::super::ring::partition::PartitionId;
use crate::limits::{
    CONFLICTS_KNOWN_MAX, CONVERGE_QUIET_MS_DEFAULT, CONVERGE_RETRY_MS, CONVERGE_RETRY_MS_MAX,
    CONVERGE_WINDOW,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How background merges have fared since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Converged {
    /// Keys of this node's copies in which several values stand, as far as they are known.
    pub open: u64,
    /// Merges that were stored.
    pub merged: u64,
    /// Tries that came to nothing: the plugin failed or kept the siblings, or the key had changed.
    pub failed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be looked at then.
    Due(Millis),
    UnderWay,
    /// Its bucket merges nothing: until the buckets are others.
    Parked,
}

#[derive(Debug, Clone, Copy)]
struct Conflict {
    state: State,
    failures: u32,
}

/// The conflicts of one shard.
#[derive(Debug)]
pub struct Convergence {
    /// 0: nothing is merged in the background.
    quiet_ms: u64,
    known: BTreeMap<Key, Conflict>,
    due: BTreeSet<(Millis, Key)>,
    under_way: usize,
    /// Partitions that the walk has still to come by, and how far it is in the first.
    walk: VecDeque<PartitionId>,
    after: Option<Key>,
    /// More conflicts than there is room for: another walk finds the rest.
    is_overfull: bool,
    /// Nothing is begun before then.
    held_until: Millis,
    merged: u64,
    failed: u64,
}

impl Default for Convergence {
    fn default() -> Self {
        Self {
            quiet_ms: CONVERGE_QUIET_MS_DEFAULT,
            known: BTreeMap::new(),
            due: BTreeSet::new(),
            under_way: 0,
            walk: VecDeque::new(),
            after: None,
            is_overfull: false,
            held_until: Millis(0),
            merged: 0,
            failed: 0,
        }
    }
}

impl Convergence {
    /// How long a key has to be left alone first; 0: nothing is merged.
    pub fn set_quiet_ms(&mut self, now: Millis, quiet_ms: u64) {
        self.quiet_ms = quiet_ms;
        self.rearm(now);
    }

    pub fn status(&self) -> Converged {
        Converged {
            open: self.known.len() as u64,
            merged: self.merged,
            failed: self.failed,
        }
    }

    /// Keys in conflict, by bucket.
    pub fn by_bucket(&self) -> BTreeMap<BucketName, u64> {
        let mut counts = BTreeMap::new();
        for key in self.known.keys() {
            *counts.entry(key.bucket().clone()).or_insert(0) += 1;
        }
        counts
    }

    /// A copy has changed, and so many values stand in it now.
    pub fn note(&mut self, now: Millis, key: &Key, values: usize) {
        if values < 2 {
            if !self.known.is_empty() {
                self.forget(key);
            }
            return;
        }
        if !self.forget(key) && self.known.len() >= CONFLICTS_KNOWN_MAX {
            self.is_overfull = true;
            return;
        }
        self.put(key.clone(), now.after(self.quiet_ms), 0);
    }

    /// The buckets, or the rules, are others: everything is looked at again.
    pub fn rearm(&mut self, now: Millis) {
        let at = now.after(self.quiet_ms);
        let waiting = self.known.iter_mut();
        for (key, conflict) in waiting.filter(|(_, conflict)| conflict.state == State::Parked) {
            conflict.state = State::Due(at);
            self.due.insert((at, key.clone()));
        }
    }

    fn forget(&mut self, key: &Key) -> bool {
        let Some(conflict) = self.known.remove(key) else {
            return false;
        };
        match conflict.state {
            State::Due(at) => {
                self.due.remove(&(at, key.clone()));
            }
            State::UnderWay => self.under_way -= 1,
            State::Parked => {}
        }
        true
    }

    fn put(&mut self, key: Key, at: Millis, failures: u32) {
        let state = State::Due(at);
        self.due.insert((at, key.clone()));
        self.known.insert(key, Conflict { state, failures });
    }

    /// Nothing is begun before then: background work has to wait.
    pub fn hold(&mut self, until: Millis) {
        self.held_until = until;
    }

    /// A key whose time has come, which is under way from now on.
    pub fn next(&mut self, now: Millis) -> Option<Key> {
        if self.wakes_at()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        if let Some(conflict) = self.known.get_mut(&key) {
            conflict.state = State::UnderWay;
            self.under_way += 1;
        }
        Some(key)
    }

    /// Somebody else is to merge it, as things are: it is looked at again later.
    pub fn leave(&mut self, now: Millis, key: &Key) {
        if self.forget(key) {
            let pause_ms = self.quiet_ms.max(CONVERGE_RETRY_MS);
            self.put(key.clone(), now.after(pause_ms), 0);
        }
    }

    /// Its bucket merges nothing.
    pub fn park(&mut self, key: &Key) {
        if self.forget(key) {
            let state = State::Parked;
            let conflict = Conflict { state, failures: 0 };
            self.known.insert(key.clone(), conflict);
        }
    }

    /// It is no conflict: what stands there says one thing.
    pub fn drop(&mut self, key: &Key) {
        self.forget(key);
    }

    /// A merge was stored. `note` says what stands there now.
    pub fn on_merged(&mut self) {
        self.merged += 1;
    }

    /// It came to nothing; the next try is further away.
    pub fn on_failed(&mut self, now: Millis, key: &Key) {
        let is_under_way = |conflict: &Conflict| conflict.state == State::UnderWay;
        let Some(conflict) = self.known.get(key).copied().filter(is_under_way) else {
            return; // It has changed meanwhile, and is no conflict or has a time of its own.
        };
        self.failed += 1;
        self.forget(key);
        let pause_ms = CONVERGE_RETRY_MS << conflict.failures.min(16);
        let at = now.after(pause_ms.min(CONVERGE_RETRY_MS_MAX));
        self.put(key.clone(), at, conflict.failures + 1);
    }

    /// Walks over these partitions, from the first key on.
    pub fn begin_walk(&mut self, partitions: impl Iterator<Item = PartitionId>) {
        self.walk = partitions.collect();
        self.after = None;
        self.is_overfull = false;
    }

    /// Whether there is room again for conflicts that were passed over.
    pub fn wants_walk(&self) -> bool {
        self.is_overfull && self.walk.is_empty() && self.known.len() < CONFLICTS_KNOWN_MAX / 2
    }

    /// Where the walk goes on.
    pub fn place(&self) -> Option<(PartitionId, Option<Key>)> {
        let partition = *self.walk.front()?;
        Some((partition, self.after.clone()))
    }

    /// What the walk has found where `place` said.
    pub fn on_walked(&mut self, now: Millis, found: Found) {
        for key in found.keys {
            if self.known.len() >= CONFLICTS_KNOWN_MAX {
                self.is_overfull = true;
                break;
            }
            if !self.known.contains_key(&key) {
                self.put(key, now.after(self.quiet_ms), 0);
            }
        }
        self.after = found.next;
        if self.after.is_none() {
            self.walk.pop_front();
        }
    }

    /// When a key is due; none as long as enough are under way.
    pub fn wakes_at(&self) -> Option<Millis> {
        match self.quiet_ms == 0 || self.under_way >= CONVERGE_WINDOW {
            true => None,
            false => self.due.first().map(|(at, _)| self.held_until.max(*at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn key(name: &'static str) -> Key {
        let bucket = BucketName::new("b").expect("a good name");
        Key::new(bucket, Bytes::from(name)).expect("a good key")
    }

    #[test]
    fn a_key_is_due_once_it_was_left_alone() {
        let mut conflicts = Convergence::default();
        conflicts.set_quiet_ms(Millis(0), 100);
        conflicts.note(Millis(0), &key("a"), 2);
        conflicts.note(Millis(60), &key("a"), 3);
        assert_eq!(conflicts.next(Millis(100)), None);
        assert_eq!(conflicts.wakes_at(), Some(Millis(160)));
        assert_eq!(conflicts.next(Millis(160)), Some(key("a")));
        assert_eq!(conflicts.next(Millis(160)), None, "it is under way");
        conflicts.note(Millis(170), &key("a"), 1);
        conflicts.on_merged();
        let status = conflicts.status();
        assert_eq!((status.open, status.merged), (0, 1));
        assert_eq!(conflicts.wakes_at(), None);
    }

    #[test]
    fn a_key_that_stays_in_conflict_is_tried_ever_more_rarely() {
        let mut conflicts = Convergence::default();
        conflicts.set_quiet_ms(Millis(0), 1);
        conflicts.note(Millis(0), &key("a"), 2);
        let mut now = Millis(1);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert_eq!(conflicts.next(now), Some(key("a")));
            conflicts.on_failed(now, &key("a"));
            let at = conflicts.wakes_at().expect("it is tried again");
            pauses.push(at.since(now));
            now = at;
        }
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&CONVERGE_RETRY_MS_MAX));
        conflicts.note(now, &key("a"), 2);
        assert_eq!(conflicts.wakes_at(), Some(now.after(1)), "a write is news");
    }

    #[test]
    fn what_no_bucket_merges_waits_until_the_buckets_are_others() {
        let mut conflicts = Convergence::default();
        conflicts.set_quiet_ms(Millis(0), 10);
        conflicts.note(Millis(0), &key("a"), 2);
        assert_eq!(conflicts.next(Millis(10)), Some(key("a")));
        conflicts.park(&key("a"));
        assert_eq!(conflicts.wakes_at(), None);
        conflicts.rearm(Millis(20));
        assert_eq!(conflicts.wakes_at(), Some(Millis(30)));
        assert_eq!(conflicts.status().open, 1);
    }

    #[test]
    fn what_there_is_no_room_for_is_found_by_another_walk() {
        let mut conflicts = Convergence::default();
        let bucket = BucketName::new("b").expect("a good name");
        let numbered = |number: usize| {
            Key::new(bucket.clone(), Bytes::from(number.to_string())).expect("a good key")
        };
        for number in 0..=CONFLICTS_KNOWN_MAX {
            conflicts.note(Millis(0), &numbered(number), 2);
        }
        assert_eq!(conflicts.status().open, CONFLICTS_KNOWN_MAX as u64);
        assert!(!conflicts.wants_walk(), "there is no room yet");
        for number in 0..=CONFLICTS_KNOWN_MAX / 2 {
            conflicts.note(Millis(0), &numbered(number), 1);
        }
        assert!(conflicts.wants_walk());
        conflicts.begin_walk([PartitionId(3)].into_iter());
        assert_eq!(conflicts.place(), Some((PartitionId(3), None)));
        let found = Found {
            keys: vec![numbered(CONFLICTS_KNOWN_MAX)],
            next: None,
        };
        conflicts.on_walked(Millis(0), found);
        assert_eq!(conflicts.place(), None);
        assert!(!conflicts.wants_walk());
    }
}
