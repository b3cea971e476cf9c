//! The keys that one node's copies of a partition hold of a bucket, a bounded stretch at a time.
//!
//! Not in the paper, whose keys are known to whoever asks for them. Follows the order on the disk, so it needs
//! no index, and writes nothing.
//!
//! Invariant: neither the keys looked at nor the bytes read for one answer grow with what is stored.

use super::super::causality::object::Object;
use super::super::names::{BucketName, Key};
use super::super::ring::partition::PartitionId;
use super::copy::Copies;
use super::layout::{Place, keys_range};
use super::record::Record;
use super::storage::{Storage, StorageError};
use crate::limits::LIST_ITEMS_MAX;
use bytes::Bytes;
use std::collections::BTreeSet;

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
    pub wanted: Wanted,
}

/// Which of the keys of a stretch are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// Those that show a value.
    #[default]
    Live,
    /// Those that show several.
    InConflict,
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
    /// Whether it is to be listed: as a rule false for what is deleted or expired here.
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

impl<S: Storage> Copies<S> {
    /// The keys of a stretch as this node's own copy has them, by this wall clock.
    pub fn list(&self, stretch: &Stretch, wall_ms: u64) -> Result<Listed, StorageError> {
        let mut keys = Vec::new();
        let is_last = self.walk_stretch(stretch, &Place::Home, |key, record| {
            // A record that cannot be believed is none here; the other replicas have it.
            let is_live = Record::decode(record)
                .is_ok_and(|kept| stretch.wanted.is_met(&kept.object, wall_ms));
            keys.push(ListedKey { key, is_live });
        })?;
        Ok(Listed {
            keys,
            more: !is_last,
        })
    }

    /// The keys of a stretch of which this node knows anything: by its own copy, or by what it keeps for others (4.6).
    pub fn list_known(&mut self, stretch: &Stretch, wall_ms: u64) -> Result<Listed, StorageError> {
        let homes = self.ledger.homes_in(stretch.partition).cloned();
        let places: Vec<Place> = [Place::Home]
            .into_iter()
            .chain(homes.map(Place::Hint))
            .collect();
        let mut found = BTreeSet::new();
        // Behind the first end of a part that goes on, the others may name keys that it did not come to.
        let mut end: Option<Bytes> = None;
        for place in places {
            let mut last = None;
            let is_last = self.walk_stretch(stretch, &place, |key, _| {
                last = Some(key.clone());
                found.insert(key);
            })?;
            if !is_last {
                end = end.into_iter().chain(last).min();
            }
        }
        found.retain(|key| end.as_ref().is_none_or(|end| key <= end));
        let mut keys = Vec::new();
        for bytes in found {
            let Ok(key) = Key::new(stretch.bucket.clone(), bytes.clone()) else {
                continue; // Nothing that anybody could have put.
            };
            let object = self.known(stretch.partition, &key)?;
            keys.push(ListedKey {
                key: bytes,
                is_live: stretch.wanted.is_met(&object, wall_ms),
            });
        }
        Ok(Listed {
            keys,
            more: end.is_some(),
        })
    }

    /// Shows the keys that stand in one place of a stretch, each with its record. Says whether that was the last.
    fn walk_stretch(
        &self,
        stretch: &Stretch,
        place: &Place,
        mut visit: impl FnMut(Bytes, Bytes),
    ) -> Result<bool, StorageError> {
        let head = place.head(stretch.partition, &stretch.bucket);
        let range = keys_range(&head, &stretch.prefix, &stretch.after);
        let items_max = stretch.items_max.clamp(1, LIST_ITEMS_MAX);
        self.walk(range, items_max, |stored, record| {
            visit(stored.slice(head.len()..), record);
        })
    }
}

impl Wanted {
    fn is_met(self, object: &Object, wall_ms: u64) -> bool {
        let values = object.live(wall_ms).take(2).count();
        match self {
            Self::Live => values > 0,
            Self::InConflict => values > 1,
        }
    }
}
