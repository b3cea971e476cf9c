//! What two nodes ask each other to find out in which records of a partition they differ (Dynamo 4.7, 4.9).
//!
//! The one who asks keeps the thread; whoever is asked answers each question by itself and remembers nothing.
//!
//! Invariant: every question and every answer has a bound of its own.

use super::super::causality::object::Object;
use super::super::names::Key;
use super::super::replica::record::Replaced;
use super::hash_tree::{LeafSet, Leaves};

/// A question about one partition and one number of copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The root of your tree.
    Root,
    /// The leaves of your tree.
    Leaves,
    /// Your keys in these leaves, with their fingerprints: those behind `after` and up to `upto`.
    Keys {
        leaves: LeafSet,
        after: Option<Key>,
        upto: Option<Key>,
    },
    /// Your copy of this key.
    Copy { key: Key },
    /// Merge this into your copy, and answer once it is on your disk.
    Give {
        key: Key,
        object: Object,
        replaced: Vec<Replaced>,
    },
    /// Answer once all that you hold is on your disk.
    Sync,
    /// Our trees differ and our records do not: look whether yours is right.
    Doubt,
    /// Is all that you know of these keys the objects with these fingerprints, and has been for so long (law 9)? Where
    /// some time is asked for, answer once it is on your disk.
    Vouch {
        placement_version: u64,
        standing_ms: u64,
        keys: Vec<(Key, u128)>,
    },
    /// Everybody has vouched: let go of what can go from these keys.
    Reap { keys: Vec<(Key, u128)> },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Root(u128),
    /// The tree is not there yet; so many records have been looked at.
    Building {
        records: u64,
    },
    Leaves(Box<Leaves>),
    /// The keys in the order of the storage. They are all up to `upto` of the question, or up to `covered`.
    Keys {
        keys: Vec<(Key, u128)>,
        covered: Option<Key>,
    },
    Copy {
        object: Object,
        replaced: Vec<Replaced>,
    },
    /// It is there. Says whether the copy changed.
    Done {
        is_changed: bool,
    },
    /// Which of the keys it vouches for, or has let go of, in the order of the question.
    Granted(Vec<bool>),
    Refused(Refusal),
}

/// Why a question has no other answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the node cannot be reached")]
    Unreachable,
    #[error("its storage failed: {0}")]
    Storage(String),
    /// It is not an owner, as far as it knows.
    #[error("it keeps no copy of the partition")]
    NotKept,
}

impl Ask {
    /// Bytes that the question takes in a queue, roughly.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Give {
                key,
                object,
                replaced,
            } => key.bytes().len() + object.size_bytes() + retained_bytes(replaced),
            Self::Copy { key } => key.bytes().len(),
            Self::Keys { after, upto, .. } => {
                let keys = after.iter().chain(upto);
                keys.map(|key| key.bytes().len()).sum()
            }
            Self::Vouch { keys, .. } | Self::Reap { keys } => {
                keys.iter().map(|(key, _)| key.bytes().len() + 64).sum()
            }
            Self::Root | Self::Leaves | Self::Sync | Self::Doubt => 0,
        }
    }
}

impl Answer {
    /// Bytes that the answer takes in a queue, roughly.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Leaves(leaves) => size_of_val(leaves.as_slice()),
            Self::Keys { keys, .. } => keys.iter().map(|(key, _)| key.bytes().len() + 64).sum(),
            Self::Copy { object, replaced } => object.size_bytes() + retained_bytes(replaced),
            Self::Granted(granted) => granted.len(),
            Self::Root(_) | Self::Building { .. } | Self::Done { .. } | Self::Refused(_) => 0,
        }
    }
}

/// What the inputs of merges weigh.
pub fn retained_bytes(replaced: &[Replaced]) -> usize {
    let inputs = replaced.iter().flat_map(|replaced| &replaced.inputs);
    inputs.map(|version| version.size_bytes()).sum()
}
