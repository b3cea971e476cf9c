//! A list of siblings that the laws are tried on, and where it comes from.
//!
//! Invariant: siblings are values, at least one, never deletes.

use super::bounds::CASE_SIBLINGS_MAX;
use crate::dynamo::causality::version::Version;
use bytes::Bytes;

/// Where a case comes from. The author answers for his own samples: failing on one of them refuses the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The author's sample of this place.
    Sample(usize),
    /// Siblings that stand in the bucket.
    Live,
    /// Made of a sample.
    Mutated,
    /// Made by us.
    Generic,
}

/// One list of siblings, with what else the plugin is handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub origin: Origin,
    pub key: Bytes,
    pub params: Bytes,
    pub siblings: Vec<Version>,
}

impl Case {
    /// None if there is nothing to try: deletes are not handed to resolvers.
    pub fn new(origin: Origin, key: Bytes, params: Bytes, siblings: Vec<Version>) -> Option<Self> {
        let siblings = siblings.into_iter();
        let siblings = siblings.filter(|sibling| !sibling.is_tombstone());
        // What a resolver is not shown must not make two lists differ.
        let siblings = siblings.map(|sibling| Version {
            merged_by: None,
            expires_at_ms: None,
            ..sibling
        });
        let siblings: Vec<Version> = siblings.take(CASE_SIBLINGS_MAX).collect();
        let case = Self {
            origin,
            key,
            params,
            siblings,
        };
        (!case.siblings.is_empty()).then_some(case)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sample(place) => write!(f, "sample {}", place + 1),
            Self::Live => f.write_str("siblings of the bucket"),
            Self::Mutated => f.write_str("a changed sample"),
            Self::Generic => f.write_str("a built-in case"),
        }
    }
}
