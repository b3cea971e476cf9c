//! A record as a backup holds it: the object under its key, with its siblings, its clock and its tombstones, and what
//! merges on put replaced in it.
//!
//! Not in the paper. Read page by page from what one node stores, its own copies and what it keeps for others (4.6);
//! brought back by a replica write like any other (law 5). Leaves the header behind: it names an actor of the process
//! that wrote the record, and no other process may use it (law 4).
//!
//! Invariant: two saved records of one key unite by `sync`, in any order.

use super::super::causality::object::Object;
use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::{BucketName, Key, NodeId};
use super::super::ring::partition::PartitionId;
use super::layout::{decode_hint_key, hint_key, hints_range, object_at, object_key, object_range};
use super::listing::{behind, walk};
use super::merges::{as_much_as_fits, retained_in};
use super::record::{Record, Replaced};
use super::storage::{Storage, StorageError};
use crate::limits::operations::SAVED_BYTES_MAX;
use crate::limits::{BUCKET_BYTES_MAX, KEY_BYTES_MAX, RETAINED_MERGES_MAX, SLICE_ITEMS_MAX};
use bytes::Bytes;
use std::ops::Range;

const FORMAT: u8 = 1;

/// One record of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub key: Key,
    pub object: Object,
    pub replaced: Vec<Replaced>,
}

/// Some of the records of a node, in the order in which they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedPage {
    pub items: Vec<Saved>,
    /// Where to go on; none at the end.
    pub next: Option<Bytes>,
}

impl Saved {
    /// Takes over what another copy of the same key knows.
    pub fn unite(&mut self, other: Saved) {
        self.object.sync(other.object);
        for merge in other.replaced {
            if self.replaced.iter().all(|known| known.dot != merge.dot) {
                self.replaced.push(merge);
            }
        }
        let replaced = std::mem::take(&mut self.replaced);
        self.replaced = as_much_as_fits(replaced);
        self.replaced.truncate(RETAINED_MERGES_MAX);
    }

    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::with_capacity(self.object.size_bytes() + 64);
        writer.byte(FORMAT);
        writer.bytes(self.key.bucket().as_str().as_bytes());
        writer.bytes(self.key.bytes());
        self.object.write(&mut writer);
        writer.number(self.replaced.len() as u64);
        for merge in &self.replaced {
            writer.bytes(&merge.encode());
        }
        writer.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let bucket = reader.text("a bucket name", BUCKET_BYTES_MAX)?;
        let bucket =
            BucketName::stored(&bucket).map_err(|_| DecodeError::Malformed("a bucket name"))?;
        let key = reader.bytes("a key", KEY_BYTES_MAX)?;
        let key = Key::new(bucket, key).map_err(|_| DecodeError::Malformed("a key"))?;
        let object = Object::read(&mut reader)?;
        let mut replaced = Vec::new();
        for _ in 0..reader.number_max("merges", 2 * RETAINED_MERGES_MAX)? {
            replaced.push(Replaced::decode(reader.bytes("a merge", SAVED_BYTES_MAX)?)?);
        }
        reader.finish()?;
        Ok(Self {
            key,
            object,
            replaced,
        })
    }
}

/// The copies of one partition behind a key, as far as a page goes.
pub fn copies_page(
    storage: &impl Storage,
    partition: PartitionId,
    from: Option<Bytes>,
) -> Result<SavedPage, StorageError> {
    let mut range = object_range(partition);
    if let Some(from) = from {
        range.start = from;
    }
    page(storage, range, |place| Some((partition, object_at(place)?)))
}

/// What is kept of one key for these nodes.
pub fn hints_of<'a>(
    storage: &impl Storage,
    homes: impl Iterator<Item = &'a NodeId>,
    partition: PartitionId,
    key: &Key,
) -> Vec<(NodeId, Object)> {
    let mut hints = Vec::new();
    for home in homes {
        // One that cannot be believed is none, as for a reader.
        if let Ok(Some(bytes)) = storage.get(&hint_key(home, partition, key))
            && let Ok(record) = Record::decode(bytes)
        {
            hints.push((home.clone(), record.object));
        }
    }
    hints
}

/// The place from which the copies behind a key are read.
pub fn behind_key(partition: PartitionId, key: &Key) -> Bytes {
    behind(&object_key(partition, key))
}

/// What is kept for other nodes, whichever they are, from a place on.
pub fn hints_page(storage: &impl Storage, from: Option<Bytes>) -> Result<SavedPage, StorageError> {
    let mut range = hints_range();
    if let Some(from) = from {
        range.start = from;
    }
    page(storage, range, |place| {
        let (_, partition, key) = decode_hint_key(place).ok()?;
        Some((partition, key))
    })
}

fn page(
    storage: &impl Storage,
    range: Range<Bytes>,
    name: impl Fn(&Bytes) -> Option<(PartitionId, Key)>,
) -> Result<SavedPage, StorageError> {
    let mut next = range.start.clone();
    let mut found = Vec::new();
    let is_last = walk(storage, range, SLICE_ITEMS_MAX, |place, value| {
        next = behind(&place);
        // A record that cannot be believed is a missing one; the other replicas have it.
        if let (Some(named), Ok(record)) = (name(&place), Record::decode(value))
            && !record.object.is_empty()
        {
            found.push((named, record.object));
        }
    })?;
    let mut items = Vec::new();
    for ((partition, key), object) in found {
        let replaced = as_much_as_fits(retained_in(storage, partition, &key)?);
        items.push(Saved {
            key,
            object,
            replaced,
        });
    }
    Ok(SavedPage {
        items,
        next: (!is_last).then_some(next),
    })
}
