//! The copies of a partition as a list, a slice at a time, and how one is dropped that belongs elsewhere.
//!
//! Dynamo 4.7, 4.9. Decides nothing: whoever drops a record has made sure that its owners have it.
//!
//! Invariant: a slice is bounded in items and, but for its last chunk, in bytes.

use super::super::names::Key;
use super::super::ring::partition::PartitionId;
use super::copy::Copies;
use super::fingerprint::{Noted, fingerprint};
use super::layout::{object_at, object_key, object_range};
use super::record::Record;
use super::storage::{Batch, Storage, StorageError};
use crate::limits::{SLICE_BYTES, SLICE_CHUNK_ITEMS, SLICE_ITEMS_MAX};
use bytes::Bytes;
use std::ops::Range;

/// Some of the keys of a partition, in the order in which they are stored, each with its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slice {
    pub items: Vec<(Key, u128)>,
    /// Nothing comes behind the last item.
    pub is_last: bool,
}

impl<S: Storage> Copies<S> {
    /// The keys behind `after`, as far as `upto` or the bounds of a slice.
    pub fn slice(
        &self,
        partition: PartitionId,
        after: Option<&Key>,
        upto: Option<&Key>,
    ) -> Result<Slice, StorageError> {
        let mut range = object_range(partition);
        if let Some(after) = after {
            range.start = behind(&object_key(partition, after));
        }
        if let Some(upto) = upto {
            range.end = behind(&object_key(partition, upto));
        }
        let mut slice = Slice::default();
        while slice.items.is_empty() && !slice.is_last {
            let mut next = range.start.clone();
            slice.is_last = self.walk(range.clone(), SLICE_ITEMS_MAX, |place, value| {
                next = behind(&place);
                // A record that cannot be read is passed over: it counts as missing.
                if let (Some(key), Ok(record)) = (object_at(&place), Record::decode(value)) {
                    let fingerprint = fingerprint(&key, &record.object);
                    slice.items.push((key, fingerprint));
                }
            })?;
            range.start = next;
        }
        Ok(slice)
    }

    /// Shows the records of a range in their order: at least one if there is one, at most so many, and fewer if they
    /// are large. Says whether nothing comes behind the last.
    pub(super) fn walk(
        &self,
        range: Range<Bytes>,
        items_max: usize,
        visit: impl FnMut(Bytes, Bytes),
    ) -> Result<bool, StorageError> {
        walk(&self.storage, range, items_max, visit)
    }

    /// Whether anything is stored for a partition.
    pub fn has_any(&self, partition: PartitionId) -> Result<bool, StorageError> {
        let found = self.storage.scan(object_range(partition), 1)?;
        Ok(!found.is_empty())
    }

    /// Deletes a record, and what merges replaced under its key.
    pub fn forget(&mut self, partition: PartitionId, key: &Key) -> Result<(), StorageError> {
        self.check_room()?;
        let before = fingerprint(key, &self.record(partition, key)?.object);
        let mut batch = Batch::default();
        batch.delete(object_key(partition, key));
        for replaced in self.retained(partition, key)? {
            batch.delete(super::layout::retained_key(partition, key, replaced.dot));
        }
        let applied = self.storage.apply(batch);
        self.noted.push(match applied {
            Ok(()) => Noted::Changed {
                partition,
                key: key.clone(),
                before,
                after: 0,
                values: 0,
            },
            Err(_) => Noted::Doubtful(partition),
        });
        applied
    }
}

/// As `Copies::walk`, for whoever has the storage and no copies.
pub(super) fn walk(
    storage: &impl Storage,
    mut range: Range<Bytes>,
    items_max: usize,
    mut visit: impl FnMut(Bytes, Bytes),
) -> Result<bool, StorageError> {
    let (mut seen, mut bytes) = (0, 0);
    while range.start < range.end {
        let chunk = SLICE_CHUNK_ITEMS.min(items_max - seen);
        let found = storage.scan(range.clone(), chunk)?;
        let is_last = found.len() < chunk;
        for (place, value) in found {
            seen += 1;
            bytes += value.len();
            range.start = behind(&place);
            visit(place, value);
        }
        if is_last {
            break;
        }
        if seen >= items_max || bytes >= SLICE_BYTES {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first place behind this one.
pub(super) fn behind(place: &Bytes) -> Bytes {
    [place.as_ref(), &[0]].concat().into()
}
