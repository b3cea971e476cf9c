//! What a guest is asked: to resolve siblings, or to validate one new version.
//!
//! Invariant: siblings are values in canonical order, so two nodes that hold the same siblings ask the
//! same question, byte for byte (law 7).

use super::super::bucket::{Binding, Policy};
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::names::Key;

/// One question to one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub key: Key,
    pub binding: Binding,
    pub ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// At least two values, in canonical order.
    Resolve(Vec<Version>),
    /// A value that a client writes, or that a resolver merged.
    Validate(Version),
}

/// What is live at this time, in canonical order: by value, content type, metadata, write time.
pub fn canonical_siblings(object: &Object, wall_ms: u64) -> Vec<Version> {
    canonical(object.live(wall_ms).cloned().collect())
}

/// Puts values into canonical order. Equal values of two writes both stay: they are two writes. Equal results of the
/// same plugin are one: two nodes have merged the same siblings, and merging a value with itself is no merge.
pub fn canonical(mut siblings: Vec<Version>) -> Vec<Version> {
    siblings.sort();
    siblings.dedup_by(|a, b| a == b && a.merged_by.is_some());
    siblings
}

/// What a policy has to choose from: to one that only chooses, equal values are one.
///
/// Where one is left nothing is to be merged, so that two owners that merge at once end with two equal dots and stop.
pub fn distinct(object: &Object, policy: &Policy, wall_ms: u64) -> Vec<Version> {
    let mut siblings = canonical_siblings(object, wall_ms);
    if *policy == Policy::LastWriteWins {
        siblings.dedup();
    }
    siblings
}
