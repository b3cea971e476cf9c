//! Takes away what is stored of removed buckets: copies, hints, and what merges replaced.
//!
//! Not in the paper. Goes from bucket to bucket over everything that is stored, without looking at the records of those
//! that are not removed, so it needs no list of what there may be. Decides nothing about when.
//!
//! Invariant: one call looks at a bounded number of buckets and takes a bounded number of records.

use super::super::ring::partition::PartitionId;
use super::copy::Copies;
use super::layout::{Plot, after_partition, decode_hint_key, kinds, object_at, plot_at};
use super::ledger::Entry;
use super::listing::behind;
use super::storage::{Batch, Storage, StorageError};
use crate::limits::{BUCKETS_PASSED_MAX, SLICE_ITEMS_MAX};
use bytes::Bytes;

impl<S: Storage> Copies<S> {
    /// Takes some of the records of removed buckets away, from `from` on, in partitions that are this shard's. Says where
    /// to go on; none at the end. The hints have to be counted.
    pub fn clear_some(
        &mut self,
        from: &Bytes,
        is_mine: impl Fn(PartitionId) -> bool,
    ) -> Result<Option<Bytes>, StorageError> {
        let mut from = from.clone();
        for _ in 0..BUCKETS_PASSED_MAX {
            let Some(place) = self.first_place(&from)? else {
                return Ok(None);
            };
            from = match plot_at(&place) {
                None => behind(&place), // Nothing that this release can have put there.
                Some(plot) if !is_mine(plot.partition) => after_partition(&plot),
                Some(plot) if !self.removed.contains(&plot.bucket) => plot.range.end,
                Some(plot) => return self.clear(plot).map(Some),
            };
        }
        Ok(Some(from))
    }

    /// The first record of a key from here on, of whatever kind.
    fn first_place(&self, from: &Bytes) -> Result<Option<Bytes>, StorageError> {
        for kind in kinds() {
            let start = kind.start.max(from.clone());
            if start < kind.end
                && let Some((place, _)) = self.storage.scan(start..kind.end, 1)?.pop()
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Takes a slice of a removed bucket away. No hash tree knows of it, so none is told.
    fn clear(&mut self, plot: Plot) -> Result<Bytes, StorageError> {
        let (mut batch, mut keys, mut entries) = (Batch::default(), Vec::new(), Vec::new());
        let mut next = plot.range.start.clone();
        let is_last = self.walk(plot.range.clone(), SLICE_ITEMS_MAX, |place, value| {
            keys.extend(object_at(&place));
            if let (Some(home), Ok(_)) = (&plot.home, decode_hint_key(&place)) {
                entries.push((home.clone(), value.len()));
            }
            next = behind(&place);
            batch.delete(place);
        })?;
        let records = batch.changes.len() as u64;
        if records > 0 {
            self.delete(batch)?;
        }
        keys.iter().for_each(|key| self.vouches.strike(key));
        self.counters.records_cleared += records;
        for (home, bytes) in entries {
            self.ledger.enter(Entry {
                home,
                partition: plot.partition,
                had: Some(bytes),
                has: None,
            });
        }
        Ok(if is_last { plot.range.end } else { next })
    }
}
