//! What an engine counts about itself, for metrics and for the self-test.
//!
//! Numbers only: what to do about them is for the node to decide.
//!
//! Invariant: counters never go down while the engine is open.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A reading of an engine's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Items met whose checksum did not hold; each wants repair from the other replicas.
    pub corrupt_items: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Batches applied.
    pub batches: u64,
    /// Times that the engine put data beside its log; zero by construction, see `sled_engine`.
    pub stray_blobs: u64,
}

/// The counters behind a [`Health`].
#[derive(Debug, Default)]
pub struct Counters {
    corrupt_items: AtomicU64,
    syncs: AtomicU64,
    batches: AtomicU64,
    stray_blobs: AtomicU64,
}

impl Counters {
    /// One more item whose checksum did not hold.
    pub fn corrupt_item(&self) {
        self.corrupt_items.fetch_add(1, Relaxed);
    }

    /// One more sync that succeeded.
    pub fn synced(&self) {
        self.syncs.fetch_add(1, Relaxed);
    }

    /// One more batch.
    pub fn applied(&self) {
        self.batches.fetch_add(1, Relaxed);
    }

    /// Files that the engine put beside its log.
    pub fn stray_blobs(&self, files: u64) {
        self.stray_blobs.fetch_add(files, Relaxed);
    }

    /// The counters as they stand.
    pub fn read(&self) -> Health {
        Health {
            corrupt_items: self.corrupt_items.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            batches: self.batches.load(Relaxed),
            stray_blobs: self.stray_blobs.load(Relaxed),
        }
    }
}
