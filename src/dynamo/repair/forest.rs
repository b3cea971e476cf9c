//! The hash trees of a shard: built by looking at what is stored, then kept with each write (Dynamo 4.7).
//!
//! Kept in memory only. A tree that may be wrong is dropped and built anew before it is compared. Reads no
//! storage: it is handed slices, and says where the next one begins.
//!
//! Invariant: a tree that is given out equals one built from what is stored at that moment.

use super::super::bucket::BucketTable;
use super::super::bucket::removed::RemovedBuckets;
use super::super::names::{BucketName, Key, Millis};
use super::super::replica::fingerprint::Noted;
use super::super::replica::layout::order;
use super::super::replica::listing::Slice;
use super::super::ring::partition::PartitionId;
use super::hash_tree::Tree;
use crate::limits::{TREE_AGE_MS_MAX, TREE_QUIET_MS};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The trees of one partition, by number of copies.
#[derive(Debug, Clone)]
struct Plot {
    trees: BTreeMap<u8, Tree>,
    growth: Growth,
    records: u64,
    /// Records of buckets that are in no tree.
    has_strangers: bool,
    /// Of the build, and of the last change of each tree since.
    mark: u64,
    marks: BTreeMap<u8, u64>,
    changed_at: Millis,
}

#[derive(Debug, Clone)]
enum Growth {
    /// Everything up to this key is in; nothing is if there is none.
    Upto(Option<Key>),
    /// Everything is in since then.
    Done(Millis),
}

/// All trees of a shard.
#[derive(Debug, Default)]
pub struct Forest {
    plots: BTreeMap<PartitionId, Plot>,
    /// Buckets that were met in records and are in no tree, because nobody has said how many copies they keep.
    strangers: BTreeSet<BucketName>,
    /// Of these nothing is compared, and nothing waits for them.
    removed: Arc<RemovedBuckets>,
    marks: u64,
    empty: Tree,
}

impl Forest {
    /// The tree of a partition for one number of copies; none if it has to be built first.
    pub fn tree(&self, partition: PartitionId, n: u8) -> Option<&Tree> {
        let plot = self.plots.get(&partition)?;
        match plot.growth {
            Growth::Done(_) => Some(plot.trees.get(&n).unwrap_or(&self.empty)),
            Growth::Upto(_) => None,
        }
    }

    pub fn is_built(&self, partition: PartitionId) -> bool {
        let plot = self.plots.get(&partition);
        plot.is_some_and(|plot| matches!(plot.growth, Growth::Done(_)))
    }

    /// Records that a build has come by.
    pub fn records(&self, partition: PartitionId) -> u64 {
        self.plots.get(&partition).map_or(0, |plot| plot.records)
    }

    /// Begins to build what is not there, or too old to be believed.
    pub fn want(&mut self, partition: PartitionId, now: Millis) {
        let too_old = |plot: &Plot| match plot.growth {
            Growth::Done(at) => now.since(at) > TREE_AGE_MS_MAX,
            Growth::Upto(_) => false,
        };
        if self.plots.get(&partition).is_some_and(too_old) {
            self.plots.remove(&partition);
        }
        self.marks += 1;
        let mark = self.marks;
        self.plots.entry(partition).or_insert_with(|| Plot {
            trees: BTreeMap::new(),
            growth: Growth::Upto(None),
            records: 0,
            has_strangers: false,
            mark,
            marks: BTreeMap::new(),
            changed_at: now,
        });
    }

    /// Some partition that is being built, and behind which key the next slice begins.
    pub fn next_slice(&self) -> Option<(PartitionId, Option<Key>)> {
        self.plots
            .iter()
            .find_map(|(partition, plot)| match &plot.growth {
                Growth::Upto(key) => Some((*partition, key.clone())),
                Growth::Done(_) => None,
            })
    }

    /// The slice that `next_slice` asked for.
    pub fn on_slice(
        &mut self,
        partition: PartitionId,
        slice: &Slice,
        buckets: &BucketTable,
        now: Millis,
    ) {
        let Some(plot) = self.plots.get_mut(&partition) else {
            return;
        };
        for (key, fingerprint) in &slice.items {
            match buckets.get(key.bucket()) {
                Some(properties) => {
                    let tree = plot.trees.entry(properties.n).or_default();
                    tree.replace(key, 0, *fingerprint);
                }
                None if self.removed.contains(key.bucket()) => {}
                None => {
                    plot.has_strangers = true;
                    self.strangers.insert(key.bucket().clone());
                }
            }
        }
        plot.records += slice.items.len() as u64;
        plot.growth = match slice.items.last() {
            Some((key, _)) if !slice.is_last => Growth::Upto(Some(key.clone())),
            _ => Growth::Done(now),
        };
    }

    /// Keeps the trees as the copies change.
    pub fn note(&mut self, noted: Vec<Noted>, buckets: &BucketTable, now: Millis) {
        for noted in noted {
            match noted {
                Noted::Doubtful(partition) => drop(self.plots.remove(&partition)),
                Noted::Changed {
                    partition,
                    key,
                    before,
                    after,
                } => self.replace(partition, &key, (before, after), buckets, now),
            }
        }
    }

    fn replace(
        &mut self,
        partition: PartitionId,
        key: &Key,
        (before, after): (u128, u128),
        buckets: &BucketTable,
        now: Millis,
    ) {
        let Some(plot) = self.plots.get_mut(&partition) else {
            return;
        };
        plot.changed_at = now;
        if let Some(properties) = buckets.get(key.bucket()) {
            self.marks += 1;
            plot.marks.insert(properties.n, self.marks);
        }
        if !plot.has_passed(key) {
            return; // The build will come by.
        }
        match buckets.get(key.bucket()) {
            Some(properties) => {
                let tree = plot.trees.entry(properties.n).or_default();
                tree.replace(key, before, after);
            }
            None if self.removed.contains(key.bucket()) => {}
            None => {
                plot.has_strangers = true;
                self.strangers.insert(key.bucket().clone());
            }
        }
    }

    /// These buckets are no more: what was counted of them, or was waited for, is not to be believed.
    pub fn on_removed(&mut self, removed: Arc<RemovedBuckets>) {
        self.removed = removed;
        self.plots.clear();
        self.strangers.clear();
    }

    /// Whether a partition has records of which nobody has said how many copies they keep.
    pub fn has_strangers(&self, partition: PartitionId) -> bool {
        let plot = self.plots.get(&partition);
        plot.is_some_and(|plot| plot.has_strangers)
    }

    /// The numbers of copies are others: what was counted under the old ones is not to be believed.
    pub fn on_buckets(&mut self, before: &BucketTable, after: &BucketTable) {
        let moved = after
            .iter()
            .any(|(bucket, properties)| match before.get(bucket) {
                Some(known) => known.n != properties.n,
                None => self.strangers.contains(bucket),
            });
        let lost = before.keys().any(|bucket| !after.contains_key(bucket));
        if moved || lost {
            self.plots.clear();
            self.strangers.clear();
        }
    }

    /// Changes whenever a record of the tree does, or the tree is built anew.
    pub fn mark(&self, partition: PartitionId, n: u8) -> Option<u64> {
        let plot = self.plots.get(&partition)?;
        Some(plot.marks.get(&n).copied().unwrap_or(plot.mark))
    }

    /// What is stored cannot be read: the build is given up.
    pub fn abandon(&mut self, partition: PartitionId) {
        self.plots.remove(&partition);
    }

    /// Somebody found no difference in the records where the trees show one. A write on its way explains it, if
    /// there was one lately; otherwise the tree is wrong.
    pub fn doubt(&mut self, partition: PartitionId, now: Millis) {
        let is_quiet = |plot: &Plot| now.since(plot.changed_at) > TREE_QUIET_MS;
        if self.plots.get(&partition).is_some_and(is_quiet) {
            self.plots.remove(&partition);
        }
    }
}

impl Plot {
    fn has_passed(&self, key: &Key) -> bool {
        match &self.growth {
            Growth::Done(_) => true,
            Growth::Upto(None) => false,
            Growth::Upto(Some(upto)) => order(key) <= order(upto),
        }
    }
}
