//! Keeps two writers of one key apart, and lets all others pass.
//!
//! Between reading which run a key refers to and replacing it, nobody else may replace it, or that run
//! would be left behind. Reads are not held up.
//!
//! Invariant: locks are taken in ascending order, so no two writers wait for each other.

use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

const STRIPES: usize = 64;

/// Locks for all keys; each guards the keys of its stripe, held for one batch, never over an await.
#[derive(Debug)]
pub struct Stripes([Mutex<()>; STRIPES]);

impl Default for Stripes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Stripes {
    /// Holds the keys until the answer is dropped.
    pub fn hold<'a>(&self, keys: impl Iterator<Item = &'a Bytes>) -> Vec<MutexGuard<'_, ()>> {
        let mut stripes: Vec<usize> = keys.map(|key| xxh3_64(key) as usize % STRIPES).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let locks = stripes.into_iter().map(|stripe| self.0[stripe].lock());
        locks
            .map(|lock| lock.unwrap_or_else(PoisonError::into_inner))
            .collect()
    }
}
