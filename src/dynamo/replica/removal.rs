//! What can go from a copy once everybody knows of it: tombstones, and the names of actors without versions.
//!
//! Not in the paper, which never says what becomes of a delete; its own truncation of clocks (4.4) is not
//! followed, because a clock that was cut lies. Decides nothing about when: `repair::reaping` proves that it is time.
//!
//! Invariant: a record is removed only as the very object that was vouched for, never a version that holds a value.

use super::super::causality::object::Object;
use super::super::names::{Key, Now};
use super::super::ring::partition::PartitionId;
use super::copy::Copies;
use super::fingerprint::{Noted, fingerprint};
use super::layout::{Place, hint_key, object_at, object_key, object_range, retained_key};
use super::listing::behind;
use super::record::{Record, Replaced};
use super::storage::{Batch, Storage, StorageError};
use crate::limits::{
    ACTORS_RETIRE_FROM, REAP_BATCH_MAX, RETAINED_AGE_MS_MAX, SLICE_BYTES, SLICE_CHUNK_ITEMS,
    SLICE_ITEMS_MAX,
};
use bytes::Bytes;

/// What a walk over some records of a partition came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Keys from which something can go, with the fingerprints of their objects.
    pub found: Vec<(Key, u128)>,
    /// Where to go on; none at the end of the partition.
    pub next: Option<Bytes>,
}

/// Only tombstones are left, or more actors than may be, some of them without a version.
pub fn is_removable(object: &Object) -> bool {
    let has_idle = object.actors() > ACTORS_RETIRE_FROM && object.has_idle_actors();
    !object.is_empty() && (is_deleted(object) || has_idle)
}

/// Nothing but tombstones.
pub fn is_deleted(object: &Object) -> bool {
    !object.is_empty() && object.values().next().is_none()
}

impl<S: Storage> Copies<S> {
    /// Looks for what can go, in a bounded number of records from `from` on.
    pub fn survey(
        &self,
        partition: PartitionId,
        from: Option<Bytes>,
    ) -> Result<Survey, StorageError> {
        let mut range = object_range(partition);
        if let Some(from) = from {
            range.start = from;
        }
        let mut survey = Survey::default();
        let (mut seen, mut bytes) = (0, 0);
        while seen < SLICE_ITEMS_MAX
            && bytes < SLICE_BYTES
            && survey.found.len() + SLICE_CHUNK_ITEMS <= REAP_BATCH_MAX
        {
            let items = self.storage.scan(range.clone(), SLICE_CHUNK_ITEMS)?;
            let is_last = items.len() < SLICE_CHUNK_ITEMS;
            for (place, value) in items {
                seen += 1;
                bytes += value.len();
                range.start = behind(&place);
                if let (Some(key), Ok(record)) = (object_at(&place), Record::decode(value))
                    && is_removable(&record.object)
                {
                    let fingerprint = fingerprint(&key, &record.object);
                    survey.found.push((key, fingerprint));
                }
            }
            if is_last {
                return Ok(survey);
            }
        }
        survey.next = Some(range.start);
        Ok(survey)
    }

    /// Whether all that this node has of a key is this object: its own copy, if it has to keep one, and no hint for
    /// anybody. From then on it watches the key. For how long it has, in milliseconds; none if it does not vouch.
    pub fn vouch(
        &mut self,
        partition: PartitionId,
        (key, fingerprint): (&Key, u128),
        is_primary: bool,
        now: Now,
    ) -> Option<u64> {
        if !self.holds_only(partition, (key, fingerprint), is_primary, now) {
            self.vouches.strike(key);
            return None;
        }
        self.vouches.give(key, fingerprint, now)
    }

    fn holds_only(
        &self,
        partition: PartitionId,
        (key, wanted): (&Key, u128),
        is_primary: bool,
        now: Now,
    ) -> bool {
        let is_hinted = |home| {
            let hint = self.storage.get(&hint_key(home, partition, key));
            !matches!(hint, Ok(None)) // What cannot be read may be one.
        };
        if wanted == 0 || self.ledger.homes().any(is_hinted) {
            return false;
        }
        let object = match self.storage.get(&object_key(partition, key)) {
            Ok(None) => return !is_primary,
            Ok(Some(bytes)) => match Record::decode(bytes) {
                Ok(record) => record.object,
                Err(_) => return false,
            },
            Err(_) => return false,
        };
        fingerprint(key, &object) == wanted
            && (!is_deleted(&object) || self.is_past_retention(partition, key, now))
    }

    /// What merges replaced can still be asked for until its time is over.
    fn is_past_retention(&self, partition: PartitionId, key: &Key, now: Now) -> bool {
        let is_over =
            |merge: &Replaced| now.wall_ms.saturating_sub(merge.merged_at_ms) > RETAINED_AGE_MS_MAX;
        match self.retained(partition, key) {
            Ok(retained) => retained.iter().all(is_over),
            Err(_) => false,
        }
    }

    /// Removes what can go from the record of a key, if it is still this object. Says whether it did.
    pub fn reap(
        &mut self,
        partition: PartitionId,
        key: &Key,
        wanted: u128,
        now: Now,
    ) -> Result<bool, StorageError> {
        let mut record = self.record(partition, key)?;
        if wanted == 0 || fingerprint(key, &record.object) != wanted {
            return Ok(false);
        }
        let mut batch = Batch::default();
        let place = Place::Home.storage_key(partition, key);
        let is_whole = is_deleted(&record.object);
        let mut retired = 0;
        if is_whole {
            if !self.is_past_retention(partition, key, now) {
                return Ok(false);
            }
            batch.delete(place);
            for replaced in self.retained(partition, key)? {
                batch.delete(retained_key(partition, key, replaced.dot));
            }
        } else {
            let gone = record.object.retire_idle_actors();
            retired = gone.len();
            if retired == 0 {
                return Ok(false);
            }
            // Nothing is written under a name that others have forgotten.
            record.header = record.header.filter(|actor| !gone.contains(actor));
            batch.put(place, record.encode());
        }
        self.vouches.strike(key);
        if let Err(error) = self.delete(batch) {
            self.noted.push(Noted::Doubtful(partition));
            return Err(error);
        }
        let after = match is_whole {
            true => 0,
            false => fingerprint(key, &record.object),
        };
        self.noted.push(Noted::Changed {
            partition,
            key: key.clone(),
            before: wanted,
            after,
            values: record.object.values().count(),
        });
        self.counters.tombstones_reaped += u64::from(is_whole);
        self.counters.actors_retired += retired as u64;
        Ok(true)
    }
}
