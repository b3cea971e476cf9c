//! What a guest is asked: to resolve siblings, or to validate one new version.
//!
//! Invariant: siblings are values in canonical order, so two nodes that hold the same siblings ask the
//! same question, byte for byte (law 7).

use super::super::bucket::Binding;
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

/// Puts values into canonical order. Equal values of two writes both stay: they are two writes.
pub fn canonical(mut siblings: Vec<Version>) -> Vec<Version> {
    siblings.sort();
    siblings
}
