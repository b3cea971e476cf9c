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

/// Some of the keys of a partition, in the order in which they are stored, each with its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slice {
    pub items: Vec<(Key, u128)>,
    /// Nothing comes behind the last item.
    pub is_last: bool,
}

/// What one chunk came to.
struct Chunk {
    items: usize,
    bytes: usize,
    last: Option<Bytes>,
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
        let (mut seen, mut bytes) = (0, 0);
        while !slice.is_last {
            let is_full = seen >= SLICE_ITEMS_MAX || bytes >= SLICE_BYTES;
            if is_full && !slice.items.is_empty() {
                break;
            }
            let chunk = self.chunk(range.start.clone()..range.end.clone(), &mut slice)?;
            seen += chunk.items;
            bytes += chunk.bytes;
            match chunk.last {
                Some(last) if chunk.items == SLICE_CHUNK_ITEMS => range.start = behind(&last),
                _ => slice.is_last = true,
            }
        }
        Ok(slice)
    }

    /// A record that cannot be read is passed over: it counts as missing.
    fn chunk(
        &self,
        range: std::ops::Range<Bytes>,
        slice: &mut Slice,
    ) -> Result<Chunk, StorageError> {
        if range.start >= range.end {
            let (items, bytes, last) = (0, 0, None);
            return Ok(Chunk { items, bytes, last });
        }
        let found = self.storage.scan(range, SLICE_CHUNK_ITEMS)?;
        let chunk = Chunk {
            items: found.len(),
            bytes: found.iter().map(|(_, value)| value.len()).sum(),
            last: found.last().map(|(place, _)| place.clone()),
        };
        for (place, value) in found {
            if let (Some(key), Ok(record)) = (object_at(&place), Record::decode(value)) {
                let fingerprint = fingerprint(&key, &record.object);
                slice.items.push((key, fingerprint));
            }
        }
        Ok(chunk)
    }

    /// Whether anything is stored for a partition.
    pub fn has_any(&self, partition: PartitionId) -> Result<bool, StorageError> {
        let found = self.storage.scan(object_range(partition), 1)?;
        Ok(!found.is_empty())
    }

    /// Deletes a record, and what merges replaced under its key.
    pub fn forget(&mut self, partition: PartitionId, key: &Key) -> Result<(), StorageError> {
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
            },
            Err(_) => Noted::Doubtful(partition),
        });
        applied
    }
}

/// The first place behind this one.
pub(super) fn behind(place: &Bytes) -> Bytes {
    [place.as_ref(), &[0]].concat().into()
}
