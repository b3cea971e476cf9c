//! What a watcher is told of a record that changed: which versions stand under the key now.
//!
//! Not in the paper. Carries no values and decides nothing; nobody's write waits for it.
//!
//! Invariant: a change names at most `CHANGE_DOTS_MAX` dots, however many siblings there are.

use super::super::causality::dot::Dot;
use super::super::causality::object::Object;
use super::super::names::Key;
use crate::limits::CHANGE_DOTS_MAX;

/// A record of this node's copy as it stands after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    /// The first of the versions that stand, tombstones included.
    pub dots: Vec<Dot>,
    /// How many versions stand in all.
    pub standing: usize,
    /// Whether one of them holds a value.
    pub is_live: bool,
}

impl Change {
    /// What to tell of `object`, which now stands under `key`.
    pub fn of(key: &Key, object: &Object) -> Self {
        Self {
            key: key.clone(),
            dots: object
                .versions()
                .take(CHANGE_DOTS_MAX)
                .map(|(dot, _)| dot)
                .collect(),
            standing: object.versions().count(),
            is_live: object.live().next().is_some(),
        }
    }

    /// Bytes that it takes in a queue, roughly.
    pub fn size_bytes(&self) -> usize {
        self.key.bytes().len() + self.dots.len() * size_of::<Dot>() + 128
    }
}
