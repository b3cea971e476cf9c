//! What the core asks of a local storage engine (Dynamo 4.9 "local persistence engine", 5).
//!
//! Small on purpose: get, ordered scan, atomic batch, sync. Knows nothing of objects, the network or
//! files. Implemented in memory and on disk outside the core, and by the simulator.
//!
//! Invariant: after `sync` returns, every batch applied before it was called survives power loss.

use bytes::Bytes;
use std::ops::Range;

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The item fails its checksum. Treat it as missing and repair it from the other replicas.
    #[error("a stored item fails its checksum: {0}")]
    Corrupt(String),
    /// Reading still works, writing does not, and of this batch nothing was written.
    #[error("the storage is read-only: {0}")]
    ReadOnly(String),
    /// The disk had no room for the batch. Whether it was applied is unknown; the engine takes nothing more, and can be
    /// opened again once there is room.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The engine failed. Whether a batch was applied is unknown; nothing more may be acknowledged.
    #[error("the storage failed: {0}")]
    Failed(String),
}

impl StorageError {
    /// Whether nobody knows if the batch is on the disk, now or after a restart.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Failed(_))
    }
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Put { key: Bytes, value: Bytes },
    Delete { key: Bytes },
}

/// Changes that are applied all or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    pub changes: Vec<Change>,
}

impl Batch {
    pub fn put(&mut self, key: Bytes, value: Bytes) {
        self.changes.push(Change::Put { key, value });
    }

    pub fn delete(&mut self, key: Bytes) {
        self.changes.push(Change::Delete { key });
    }
}

/// One item of a scan: its key and its value.
pub type Item = (Bytes, Bytes);

/// An ordered map of bytes.
pub trait Storage {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// The first `items_max` items of `range`, in ascending order of the keys. A corrupt item is
    /// passed over and counted by the engine; `get` tells of it.
    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError>;

    /// All changes or none, also over a crash. Not durable before the next `sync`.
    fn apply(&mut self, batch: Batch) -> Result<(), StorageError>;

    /// Makes every applied batch durable. May block; the shell calls it away from the shards, once
    /// for all who wait (group commit).
    fn sync(&mut self) -> Result<(), StorageError>;
}
