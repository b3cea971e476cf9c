//! How many hints a shard keeps for whom, without asking the disk, and whether it may keep more (Dynamo 4.6).
//!
//! Invariant: the sum never exceeds the quota by anything but what was found on the disk at the start.

use super::super::names::NodeId;
use super::super::ring::partition::PartitionId;
use crate::limits::{HINT_BYTES_MAX, HINTS_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// Some hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub count: usize,
    pub bytes: usize,
}

/// A change of one hint: for whom, where, and the bytes that it has and had; none if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub home: NodeId,
    pub partition: PartitionId,
    pub had: Option<usize>,
    pub has: Option<usize>,
}

/// All hints of a shard, by the node that they are for.
#[derive(Debug)]
pub struct Ledger {
    homes: BTreeMap<NodeId, BTreeMap<PartitionId, Tally>>,
    /// For whom a write failed: a hint may be there all the same, uncounted until the next start.
    doubted: BTreeSet<NodeId>,
    total: Tally,
    max: Tally,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            homes: BTreeMap::new(),
            doubted: BTreeSet::new(),
            total: Tally::default(),
            max: Tally {
                count: HINTS_MAX,
                bytes: HINT_BYTES_MAX,
            },
        }
    }
}

impl Tally {
    fn change(&mut self, had: Option<usize>, has: Option<usize>) {
        self.count =
            self.count + usize::from(has.is_some()) - usize::from(had.is_some()).min(self.count);
        self.bytes = (self.bytes + has.unwrap_or(0)).saturating_sub(had.unwrap_or(0));
    }
}

impl Ledger {
    pub fn set_max(&mut self, count: usize, bytes: usize) {
        self.max = Tally { count, bytes };
    }

    /// Whether a change stays within the quota. What shrinks always does.
    pub fn admits(&self, entry: &Entry) -> bool {
        let mut total = self.total;
        total.change(entry.had, entry.has);
        let is_more = total.count > self.total.count || total.bytes > self.total.bytes;
        !is_more || (total.count <= self.max.count && total.bytes <= self.max.bytes)
    }

    pub fn enter(&mut self, entry: Entry) {
        self.total.change(entry.had, entry.has);
        let partitions = self.homes.entry(entry.home.clone()).or_default();
        let tally = partitions.entry(entry.partition).or_default();
        tally.change(entry.had, entry.has);
        if tally.count == 0 {
            self.strike(&entry.home, entry.partition);
        }
    }

    /// Nothing is left for a node in a partition.
    pub fn strike(&mut self, home: &NodeId, partition: PartitionId) {
        let Some(partitions) = self.homes.get_mut(home) else {
            return;
        };
        if let Some(gone) = partitions.remove(&partition) {
            self.total.count = self.total.count.saturating_sub(gone.count);
            self.total.bytes = self.total.bytes.saturating_sub(gone.bytes);
        }
        if partitions.is_empty() {
            self.homes.remove(home);
        }
    }

    pub fn doubt(&mut self, home: NodeId) {
        self.doubted.insert(home);
    }

    /// Whom hints may be kept for, as far as anybody can know.
    pub fn possible_homes(&self) -> BTreeSet<NodeId> {
        self.homes.keys().chain(&self.doubted).cloned().collect()
    }

    /// Whom hints are kept for.
    pub fn homes(&self) -> impl Iterator<Item = &NodeId> {
        self.homes.keys()
    }

    pub fn of(&self, home: &NodeId) -> Tally {
        let mut sum = Tally::default();
        for tally in self.homes.get(home).into_iter().flat_map(BTreeMap::values) {
            sum.count += tally.count;
            sum.bytes += tally.bytes;
        }
        sum
    }

    /// The first partition from `from` on in which there are hints for a node.
    pub fn next_partition(&self, home: &NodeId, from: PartitionId) -> Option<PartitionId> {
        let partitions = self.homes.get(home)?;
        partitions.range(from..).next().map(|(found, _)| *found)
    }

    /// The nodes for which there are hints in a partition.
    pub fn homes_in(&self, partition: PartitionId) -> impl Iterator<Item = &NodeId> {
        let homes = self.homes.iter();
        homes
            .filter(move |(_, partitions)| partitions.contains_key(&partition))
            .map(|(home, _)| home)
    }

    pub fn total(&self) -> Tally {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(home: &str, had: Option<usize>, has: Option<usize>) -> Entry {
        Entry {
            home: NodeId::new(home).expect("a good name"),
            partition: PartitionId(3),
            had,
            has,
        }
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing() {
        let mut ledger = Ledger::default();
        ledger.enter(entry("a", None, Some(10)));
        ledger.enter(entry("b", None, Some(5)));
        ledger.enter(entry("a", Some(10), Some(30)));
        let home = NodeId::new("a").expect("a good name");
        assert_eq!(
            ledger.of(&home),
            Tally {
                count: 1,
                bytes: 30
            }
        );
        assert_eq!(
            ledger.total(),
            Tally {
                count: 2,
                bytes: 35
            }
        );
        ledger.enter(entry("a", Some(30), None));
        ledger.enter(entry("b", Some(5), None));
        assert_eq!(ledger.total(), Tally::default());
        assert_eq!(ledger.homes().count(), 0);
    }

    #[test]
    fn the_quota_counts_hints_and_bytes_and_lets_go_of_what_shrinks() {
        let mut ledger = Ledger::default();
        ledger.set_max(2, 100);
        ledger.enter(entry("a", None, Some(60)));
        assert!(ledger.admits(&entry("b", None, Some(40))));
        assert!(!ledger.admits(&entry("b", None, Some(41))));
        ledger.enter(entry("b", None, Some(10)));
        assert!(!ledger.admits(&entry("c", None, Some(1))));
        ledger.set_max(0, 0);
        assert!(ledger.admits(&entry("a", Some(60), Some(50))));
        assert!(!ledger.admits(&entry("a", Some(60), Some(61))));
    }
}
