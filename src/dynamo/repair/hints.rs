//! When what is kept for another node is offered to it, and one hint on its way (Dynamo 4.6).
//!
//! Each node has a turn of its own: a few hints at a time, more as soon as some have arrived, a pause after a
//! failure. The hints themselves are `replica`'s.
//!
//! Invariant: a hint is done with only when everybody whom it was sent to has it on disk.

use super::super::names::{Millis, NodeId};
use super::super::replica::hinted::Hint;
use super::super::replica::layout::hint_key;
use crate::limits::HINT_RETRY_MS_MAX;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Whether the hints of an earlier process are counted.
#[derive(Debug, Default)]
pub enum Arming {
    #[default]
    Waiting,
    From(Bytes),
    Done,
}

/// Hints for one node, as operators see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub home: NodeId,
    pub count: usize,
    pub bytes: usize,
    /// For how long there have been some without a break.
    pub waiting_ms: u64,
}

/// The offers to one node.
#[derive(Debug)]
struct Turn {
    since: Millis,
    /// None: an answer is waited for.
    next_at: Option<Millis>,
    failures: u32,
    /// The hint that was sent last; the next one stands behind it.
    after: Option<Bytes>,
    on_the_way: BTreeSet<Bytes>,
}

/// The offers to all nodes.
#[derive(Debug, Default)]
pub struct Offers {
    turns: BTreeMap<NodeId, Turn>,
}

impl Offers {
    /// There are hints for a node. The first of them waits a little: it may only have been slow.
    pub fn note(&mut self, home: &NodeId, now: Millis, retry_ms: u64) {
        self.turns.entry(home.clone()).or_insert(Turn {
            since: now,
            next_at: Some(now.after(retry_ms)),
            failures: 0,
            after: None,
            on_the_way: BTreeSet::new(),
        });
    }

    /// A node that was down is back.
    pub fn on_up(&mut self, home: &NodeId, now: Millis) {
        if let Some(turn) = self.turns.get_mut(home) {
            turn.failures = 0;
            turn.next_at = Some(now);
        }
    }

    /// When the next node has its turn; those that are down have none.
    pub fn next_at(&self, is_down: impl Fn(&NodeId) -> bool) -> Option<Millis> {
        let able = self.turns.iter().filter(|(home, _)| !is_down(home));
        able.filter_map(|(_, turn)| turn.next_at).min()
    }

    /// The nodes whose turn it is.
    pub fn due(&self, now: Millis, is_down: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
        let able = self.turns.iter().filter(|(home, _)| !is_down(home));
        able.filter(|(_, turn)| turn.next_at.is_some_and(|at| at <= now))
            .map(|(home, _)| home.clone())
            .collect()
    }

    /// Where the next hints for a node begin, and how many may go, with so many on the way at a time.
    pub fn room(&self, home: &NodeId, window: usize) -> (Option<Bytes>, usize) {
        match self.turns.get(home) {
            Some(turn) => (
                turn.after.clone(),
                window.saturating_sub(turn.on_the_way.len()),
            ),
            None => (None, 0),
        }
    }

    /// Notes what is sent. False: it is on its way already.
    pub fn on_sent(&mut self, hint: &Hint) -> bool {
        let place = place(hint);
        self.turns.get_mut(&hint.home).is_some_and(|turn| {
            turn.after = Some(place.clone());
            turn.next_at = None;
            turn.on_the_way.insert(place)
        })
    }

    /// Clients have to wait: the next one goes later, from where this turn has come to.
    pub fn hold(&mut self, home: &NodeId, until: Millis) {
        if let Some(turn) = self.turns.get_mut(home) {
            turn.next_at = Some(until);
        }
    }

    /// There is nothing more behind the last one that was sent.
    pub fn on_end(&mut self, home: &NodeId, now: Millis, retry_ms: u64) {
        if let Some(turn) = self.turns.get_mut(home) {
            turn.after = None;
            turn.next_at = match turn.on_the_way.is_empty() {
                true => Some(now.after(retry_ms)),
                false => None,
            };
        }
    }

    pub fn on_delivered(&mut self, hint: &Hint, now: Millis) {
        if let Some(turn) = self.turns.get_mut(&hint.home) {
            turn.on_the_way.remove(&place(hint));
            turn.failures = 0;
            turn.next_at = Some(now);
        }
    }

    /// It was not taken, or nobody answered: all over again, after a pause that grows.
    pub fn on_failed(&mut self, hint: &Hint, now: Millis, retry_ms: u64) {
        if let Some(turn) = self.turns.get_mut(&hint.home) {
            turn.on_the_way.remove(&place(hint));
            let pause_ms = retry_ms.saturating_mul(1 << turn.failures.min(10));
            let pause_ms = pause_ms.min(HINT_RETRY_MS_MAX.max(retry_ms));
            if turn.on_the_way.is_empty() {
                turn.failures = turn.failures.saturating_add(1);
            }
            turn.after = None;
            turn.next_at = Some(now.after(pause_ms));
        }
    }

    /// Ends the turns of nodes for which nothing is kept any more.
    pub fn retain(&mut self, has_hints: impl Fn(&NodeId) -> bool) {
        self.turns
            .retain(|home, turn| has_hints(home) || !turn.on_the_way.is_empty());
    }

    pub fn since(&self, home: &NodeId) -> Option<Millis> {
        self.turns.get(home).map(|turn| turn.since)
    }
}

fn place(hint: &Hint) -> Bytes {
    hint_key(&hint.home, hint.partition, &hint.key)
}

/// One hint on its way to its home, or, if that keeps the partition no more, to all who do.
#[derive(Debug)]
pub struct Delivery {
    pub hint: Hint,
    missing: BTreeSet<NodeId>,
}

impl Delivery {
    pub fn new(hint: Hint, to: impl IntoIterator<Item = NodeId>) -> Self {
        let missing = to.into_iter().collect();
        Self { hint, missing }
    }

    /// Somebody has it on disk. True: everybody has.
    pub fn on_stored(&mut self, by: &NodeId) -> bool {
        self.missing.remove(by);
        self.missing.is_empty()
    }

    /// Who has not said so yet.
    pub fn missing(&self) -> &BTreeSet<NodeId> {
        &self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::causality::object::Object;
    use super::super::super::names::{BucketName, Key};
    use super::super::super::ring::partition::PartitionId;
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn hint(key: &'static [u8]) -> Hint {
        let bucket = BucketName::new("b").expect("a good name");
        Hint {
            home: node("c"),
            partition: PartitionId(0),
            key: Key::new(bucket, Bytes::from_static(key)).expect("a good key"),
            object: Object::default(),
            bytes: Bytes::new(),
        }
    }

    fn nobody(_: &NodeId) -> bool {
        false
    }

    #[test]
    fn a_node_that_is_down_has_no_turn_and_gets_one_at_once_when_it_is_back() {
        let mut offers = Offers::default();
        offers.note(&node("c"), Millis(0), 100);
        assert_eq!(offers.next_at(|_| true), None);
        assert_eq!(offers.next_at(nobody), Some(Millis(100)));
        offers.on_up(&node("c"), Millis(5));
        assert_eq!(offers.due(Millis(5), nobody), [node("c")]);
    }

    #[test]
    fn no_more_than_a_window_is_on_its_way() {
        let mut offers = Offers::default();
        offers.note(&node("c"), Millis(0), 100);
        assert!(offers.on_sent(&hint(b"one")));
        assert!(!offers.on_sent(&hint(b"one")), "it is on its way");
        assert_eq!(offers.room(&node("c"), 2).1, 1);
        assert_eq!(offers.next_at(nobody), None);
        offers.on_delivered(&hint(b"one"), Millis(7));
        assert_eq!(offers.room(&node("c"), 2).1, 2);
        assert_eq!(offers.next_at(nobody), Some(Millis(7)));
    }

    #[test]
    fn failures_make_the_pause_grow_up_to_a_bound() {
        let mut offers = Offers::default();
        offers.note(&node("c"), Millis(0), 2_000);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            offers.on_sent(&hint(b"one"));
            offers.on_failed(&hint(b"one"), Millis(0), 2_000);
            pauses.push(offers.next_at(nobody).expect("a turn").0);
        }
        assert_eq!(pauses, [2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
    }

    #[test]
    fn a_delivery_is_done_when_all_have_it() {
        let mut delivery = Delivery::new(hint(b"one"), [node("a"), node("b")]);
        assert!(!delivery.on_stored(&node("a")));
        assert!(!delivery.on_stored(&node("a")));
        assert!(delivery.on_stored(&node("b")));
    }
}
