//! The keys that one node's copies of a partition hold of a bucket, a bounded stretch at a time.
//!
//! Not in the paper, whose keys are known to whoever asks for them. Follows the order on the disk, so it needs
//! no index, and writes nothing.
//!
//! Invariant: neither the keys looked at nor the bytes read for one answer grow with what is stored.

use super::super::names::BucketName;
use super::super::ring::partition::PartitionId;
use super::layout::{key_at, objects_range};
use super::record::Record;
use super::storage::{Storage, StorageError};
use crate::limits::{LIST_BYTES_MAX, LIST_CHUNK_ITEMS, LIST_ITEMS_MAX};
use bytes::Bytes;

/// Some keys of one bucket in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    pub bucket: BucketName,
    pub partition: PartitionId,
    /// Only keys that begin with it.
    pub prefix: Bytes,
    /// Only keys after it; empty: from the first on.
    pub after: Bytes,
    /// Keys to look at; never more than `LIST_ITEMS_MAX`.
    pub items_max: usize,
}

impl Stretch {
    /// Whether a key lies in it.
    pub fn contains(&self, key: &Bytes) -> bool {
        key.starts_with(&self.prefix) && *key > self.after
    }
}

/// One key as a replica holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    pub key: Bytes,
    /// Whether a reader is shown a value: false for what is deleted or expired here.
    pub is_live: bool,
}

/// What a replica found of a stretch: every key that it holds, up to the last one named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// In ascending order.
    pub keys: Vec<ListedKey>,
    /// Whether it stopped before the end of the stretch. Then it names at least one key.
    pub more: bool,
}

/// Looks at a stretch of what is stored, by this wall clock.
pub fn list<S: Storage>(
    storage: &S,
    stretch: &Stretch,
    wall_ms: u64,
) -> Result<Listed, StorageError> {
    let Stretch {
        bucket,
        prefix,
        after,
        ..
    } = stretch;
    let mut range = objects_range(stretch.partition, bucket, prefix, after);
    let items_max = stretch.items_max.clamp(1, LIST_ITEMS_MAX);
    let mut keys = Vec::new();
    let mut bytes_read = 0;
    while !range.is_empty() {
        let chunk = LIST_CHUNK_ITEMS.min(items_max - keys.len());
        let found = storage.scan(range.clone(), chunk)?;
        let is_last = found.len() < chunk;
        for (place, record) in found {
            bytes_read += record.len();
            let key = key_at(&place, bucket);
            let is_live = is_live(record, wall_ms);
            keys.push(ListedKey { key, is_live });
            range.start = just_after(&place);
        }
        if is_last {
            break;
        }
        if keys.len() >= items_max || bytes_read >= LIST_BYTES_MAX {
            return Ok(Listed { keys, more: true });
        }
    }
    Ok(Listed { keys, more: false })
}

/// A record that cannot be believed is none here; the other replicas have it.
fn is_live(record: Bytes, wall_ms: u64) -> bool {
    Record::decode(record).is_ok_and(|record| record.object.live(wall_ms).next().is_some())
}

/// The first place after another.
fn just_after(place: &Bytes) -> Bytes {
    let mut next = Vec::with_capacity(place.len() + 1);
    next.extend_from_slice(place);
    next.push(0);
    next.into()
}
