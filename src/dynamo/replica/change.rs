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
    /// Until when one of them holds a value that is shown; 0: none does.
    pub live_until_ms: u64,
}

impl Change {
    /// What to tell of `object`, which now stands under `key`.
    pub fn of(key: &Key, object: &Object) -> Self {
        let expiries = object
            .values()
            .map(|version| version.expires_at_ms.unwrap_or(u64::MAX));
        Self {
            key: key.clone(),
            dots: object
                .versions()
                .take(CHANGE_DOTS_MAX)
                .map(|(dot, _)| dot)
                .collect(),
            standing: object.versions().count(),
            live_until_ms: expiries.max().unwrap_or(0),
        }
    }

    /// Whether a reader is shown a value, by this wall clock.
    pub fn is_live(&self, wall_ms: u64) -> bool {
        wall_ms < self.live_until_ms
    }

    /// Bytes that it takes in a queue, roughly.
    pub fn size_bytes(&self) -> usize {
        self.key.bytes().len() + self.dots.len() * size_of::<Dot>() + 128
    }
}
