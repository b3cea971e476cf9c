//! What a node keeps for others: counting it, finding it again, letting go of it (Dynamo 4.6).
//!
//! A hint is a record like a copy, in a range of its own. Decides nothing about when it is handed over.
//!
//! Invariant: a hint goes only as the record that it was when it was sent; one that has changed since stays.

use super::super::causality::object::Object;
use super::super::names::{Key, NodeId};
use super::super::ring::partition::PartitionId;
use super::copy::Copies;
use super::layout::{
    Place, decode_hint_key, hint_key, hint_range, hints_after, hints_range, retained_range,
};
use super::ledger::{Entry, Ledger};
use super::record::{Record, Replaced};
use super::storage::{Batch, Storage, StorageError};
use crate::limits::{HINT_SLICE_ITEMS, RETAINED_MERGES_MAX};
use bytes::Bytes;
use std::collections::BTreeSet;

/// A hint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    pub home: NodeId,
    pub partition: PartitionId,
    pub key: Key,
    pub object: Object,
    /// The record as it was read.
    pub bytes: Bytes,
}

impl<S: Storage> Copies<S> {
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn set_hints_max(&mut self, count: usize, bytes: usize) {
        self.ledger.set_max(count, bytes);
    }

    /// Everything that this node knows of a key: its own copy, and what it keeps for others.
    pub fn known(&mut self, partition: PartitionId, key: &Key) -> Result<Object, StorageError> {
        let mut object = self.record(partition, key)?.object;
        for home in self.ledger.possible_homes() {
            let place = Place::Hint(home);
            object.sync(self.record_at(&place, partition, key)?.object);
        }
        Ok(object)
    }

    /// What a hint of so many bytes does to the ledger; refused beyond the quota.
    pub(super) fn admit_hint(
        &mut self,
        place: &Place,
        partition: PartitionId,
        key: &Key,
        bytes: usize,
    ) -> Result<Option<Entry>, StorageError> {
        let Place::Hint(home) = place else {
            return Ok(None);
        };
        let entry = Entry {
            home: home.clone(),
            partition,
            had: self.hint_bytes(home, partition, key)?.map(|had| had.len()),
            has: Some(bytes),
        };
        if !self.ledger.admits(&entry) {
            self.counters.hints_dropped += 1;
            let reason = "it keeps as many hints as it may";
            return Err(StorageError::ReadOnly(reason.to_owned()));
        }
        Ok(Some(entry))
    }

    fn hint_bytes(
        &self,
        home: &NodeId,
        partition: PartitionId,
        key: &Key,
    ) -> Result<Option<Bytes>, StorageError> {
        match self.storage.get(&hint_key(home, partition, key)) {
            Err(StorageError::Corrupt(_)) => Ok(None),
            other => other,
        }
    }

    /// Counts some of the hints that an earlier process left, from `from` on. Returns where to go on.
    pub fn count_hints(
        &mut self,
        from: Option<Bytes>,
        serves: impl Fn(PartitionId) -> bool,
    ) -> Result<Option<Bytes>, StorageError> {
        let mut range = hints_range();
        if let Some(from) = from {
            range.start = from;
        }
        let items = self.storage.scan(range, HINT_SLICE_ITEMS)?;
        let is_last = items.len() < HINT_SLICE_ITEMS;
        let mut next = None;
        for (place, bytes) in items {
            next = Some(after(&place));
            let Ok((home, partition, _)) = decode_hint_key(&place) else {
                continue;
            };
            if !serves(partition) {
                return Ok(Some(hints_after(&home, partition))); // Another shard counts those.
            }
            self.ledger.enter(Entry {
                home,
                partition,
                had: None,
                has: Some(bytes.len()),
            });
        }
        Ok(next.filter(|_| !is_last))
    }

    /// The next hints for a node, from `from` on; an empty answer means that there are no more behind it.
    pub fn hints_for(
        &mut self,
        home: &NodeId,
        from: Option<Bytes>,
        items_max: usize,
    ) -> Result<Vec<Hint>, StorageError> {
        let mut partition = match &from {
            Some(from) => decode_hint_key(from).map_or(PartitionId(0), |(_, found, _)| found),
            None => PartitionId(0),
        };
        let room = items_max.min(HINT_SLICE_ITEMS);
        let mut hints = Vec::new();
        while let Some(found) = self.ledger.next_partition(home, partition)
            && hints.len() < room
        {
            let whole = hint_range(home, found);
            let start = from.as_ref().map(after);
            let start = start.filter(|start| whole.contains(start));
            let range = start.clone().unwrap_or(whole.start)..whole.end;
            let items = self.storage.scan(range, room - hints.len())?;
            if items.is_empty() && start.is_none() {
                self.ledger.strike(home, found); // They cannot be read.
            }
            hints.extend(items.into_iter().filter_map(decode));
            let Some(next) = found.0.checked_add(1) else {
                break;
            };
            partition = PartitionId(next);
        }
        Ok(hints)
    }

    /// Lets go of a hint that its home has, unless it has changed since. Says whether it is gone.
    pub fn forget_hint(&mut self, hint: &Hint) -> Result<bool, StorageError> {
        let Hint {
            home,
            partition,
            key,
            bytes,
            ..
        } = hint;
        let stored = self.hint_bytes(home, *partition, key)?;
        if stored.as_ref() != Some(bytes) {
            return Ok(stored.is_none());
        }
        let mut batch = Batch::default();
        batch.delete(hint_key(home, *partition, key));
        if !self.keeps_besides(hint)? {
            let range = retained_range(*partition, key);
            let retained = self.storage.scan(range, 2 * RETAINED_MERGES_MAX)?;
            retained
                .into_iter()
                .for_each(|(place, _)| batch.delete(place));
        }
        self.delete(batch)?;
        self.ledger.enter(Entry {
            home: home.clone(),
            partition: *partition,
            had: Some(bytes.len()),
            has: None,
        });
        Ok(true)
    }

    /// Whether anything else of the key is kept here, so that what merges replaced has to stay.
    fn keeps_besides(&mut self, hint: &Hint) -> Result<bool, StorageError> {
        let (partition, key) = (hint.partition, &hint.key);
        let homes: BTreeSet<NodeId> = self.ledger.homes().cloned().collect();
        let others = homes.into_iter().filter(|home| *home != hint.home);
        let places: Vec<Place> = others.map(Place::Hint).chain([Place::Home]).collect();
        for place in places {
            if self.record_at(&place, partition, key)? != Record::default() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What merges on put replaced under the key of a hint, for its home.
    pub fn retained_with(&mut self, hint: &Hint) -> Result<Vec<Replaced>, StorageError> {
        self.retained(hint.partition, &hint.key)
    }
}

/// The place right behind another.
fn after(place: &Bytes) -> Bytes {
    let mut next = place.to_vec();
    next.push(0);
    next.into()
}

fn decode((place, bytes): (Bytes, Bytes)) -> Option<Hint> {
    let (home, partition, key) = decode_hint_key(&place).ok()?;
    let record = Record::decode(bytes.clone()).ok()?;
    Some(Hint {
        home,
        partition,
        key,
        object: record.object,
        bytes,
    })
}
