//! The keys of a partition under which several values stand, found by looking at what is stored.
//!
//! Dynamo 4.4. Decides nothing; a value that has expired still counts, since only a clock can tell.
//!
//! Invariant: a step is bounded in records and in bytes, like every other walk.

use super::super::names::Key;
use super::super::ring::partition::PartitionId;
use super::copy::Copies;
use super::layout::{object_at, object_key, object_range};
use super::listing::behind;
use super::record::Record;
use super::storage::{Storage, StorageError};
use crate::limits::SLICE_ITEMS_MAX;

/// What one step of a walk found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    pub keys: Vec<Key>,
    /// Behind which key the next step goes on; none: the partition has no more.
    pub next: Option<Key>,
}

impl<S: Storage> Copies<S> {
    /// The keys in conflict behind `after`, as far as one step goes.
    pub fn conflicts(
        &self,
        partition: PartitionId,
        after: Option<&Key>,
    ) -> Result<Found, StorageError> {
        let mut range = object_range(partition);
        if let Some(after) = after {
            range.start = behind(&object_key(partition, after));
        }
        let (mut found, mut last) = (Found::default(), None);
        let is_last = self.walk(range, SLICE_ITEMS_MAX, |place, value| {
            let Some(key) = object_at(&place) else {
                return; // Nothing that anybody could have put.
            };
            last = Some(key.clone());
            // A record that cannot be believed is none here; the other replicas have it.
            if Record::decode(value).is_ok_and(|record| record.object.values().nth(1).is_some()) {
                found.keys.push(key);
            }
        })?;
        found.next = last.filter(|_| !is_last);
        Ok(found)
    }
}
