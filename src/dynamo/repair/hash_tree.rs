//! A hash tree over the records of one partition, in buckets that keep the same number of copies (Dynamo 4.7).
//!
//! Two levels: a root over 256 leaves, each the sum of its records' fingerprints. A sum can be kept with each
//! write, in any order, without looking at the other records. Two nodes that keep a partition share exactly the
//! buckets of equal N, hence a tree for each N.
//!
//! Invariant: the tree depends on the records alone, never on the order in which they came.

use super::super::names::Key;
use crate::limits::TREE_LEAVES;
use bytes::Bytes;
use std::cell::Cell;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The sums of the leaves.
pub type Leaves = [u128; TREE_LEAVES];

/// The tree of one partition and one number of copies.
#[derive(Debug, Clone)]
pub struct Tree {
    leaves: Box<Leaves>,
    records: u64,
    /// As of the last write, once somebody has asked: idle nodes compare little else.
    root: Cell<Option<u128>>,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.records == other.records && self.leaves == other.leaves
    }
}

impl Eq for Tree {}

/// Some of the leaves of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeafSet([u8; TREE_LEAVES / 8]);

impl Default for Tree {
    fn default() -> Self {
        Self {
            leaves: Box::new([0; TREE_LEAVES]),
            records: 0,
            root: Cell::new(None),
        }
    }
}

impl Tree {
    /// A record went from one fingerprint to another; 0 is no record.
    pub fn replace(&mut self, key: &Key, before: u128, after: u128) {
        self.root.set(None);
        let leaf = &mut self.leaves[leaf_of(key)];
        *leaf = leaf.wrapping_sub(before).wrapping_add(after);
        let added = u64::from(after != 0);
        let removed = u64::from(before != 0);
        self.records = self.records.wrapping_add(added).wrapping_sub(removed);
    }

    /// Equal on nodes with the same records.
    pub fn root(&self) -> u128 {
        let root = self.root.get().unwrap_or_else(|| self.compute_root());
        self.root.set(Some(root));
        root
    }

    fn compute_root(&self) -> u128 {
        let mut bytes = Vec::with_capacity(TREE_LEAVES * 16);
        for leaf in self.leaves.iter() {
            bytes.extend_from_slice(&leaf.to_be_bytes());
        }
        xxh3_128(&bytes)
    }

    pub fn leaves(&self) -> &Leaves {
        &self.leaves
    }

    /// Records in it, tombstones included.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The leaves in which two trees differ.
    pub fn differing(&self, other: &Leaves) -> LeafSet {
        let mut differing = LeafSet::default();
        for (place, (mine, theirs)) in self.leaves.iter().zip(other).enumerate() {
            if mine != theirs {
                differing.insert(place);
            }
        }
        differing
    }
}

impl LeafSet {
    fn insert(&mut self, leaf: usize) {
        self.0[leaf / 8] |= 1 << (leaf % 8);
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    /// Whether a key is in one of the leaves.
    pub fn holds(&self, key: &Key) -> bool {
        let leaf = leaf_of(key);
        self.0[leaf / 8] & (1 << (leaf % 8)) != 0
    }

    /// One bit for each leaf.
    pub fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

fn leaf_of(key: &Key) -> usize {
    let name = [key.bucket().as_str().as_bytes(), &[0], key.bytes()].concat();
    (xxh3_64(&name) >> 32) as usize % TREE_LEAVES
}
