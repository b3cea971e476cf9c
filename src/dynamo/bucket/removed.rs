//! The buckets that are no more, as shards are told of them.
//!
//! Not in the paper. Says nothing of what is still stored of them.
//!
//! Invariant: of the buckets of one name, those of all earlier generations are removed.

use super::super::names::BucketName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of each name, how many generations are over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemovedBuckets(BTreeMap<Arc<str>, u64>);

impl RemovedBuckets {
    /// All generations of this name before this one are over.
    pub fn note(&mut self, bucket: &BucketName, generation: u64) {
        if generation > 0 {
            self.0.insert(bucket.plain().into(), generation);
        }
    }

    pub fn contains(&self, bucket: &BucketName) -> bool {
        let over = self.0.get(bucket.plain());
        over.is_some_and(|generation| bucket.generation() < *generation)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
