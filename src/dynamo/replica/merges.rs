//! What merges on put replaced, kept beside a record so that a wrong resolver can be undone (Dynamo 4.4).
//!
//! Invariant: what comes is kept, whatever its clock says; only older merges give way to it (law 1).

use super::super::bucket::BucketTable;
use super::super::bucket::activation::Retention;
use super::super::causality::version::Version;
use super::super::names::Key;
use super::super::ring::partition::PartitionId;
use super::copy::Copies;
use super::layout::{retained_key, retained_range};
use super::record::Replaced;
use super::storage::{Batch, Storage, StorageError};
use crate::limits::EXCHANGE_RETAINED_BYTES_MAX;
use crate::limits::versions::RETAINED_MERGES_READ_MAX;

impl<S: Storage> Copies<S> {
    /// From now on so much is kept in these buckets.
    pub fn keep_merges(&mut self, buckets: &BucketTable) {
        let retentions = buckets.iter();
        let retentions = retentions.map(|(name, known)| (name.clone(), known.retention));
        self.retentions = retentions.collect();
    }

    /// How much is kept of a key; of a bucket that is not known yet, what is usual.
    pub(super) fn retention_of(&self, key: &Key) -> Retention {
        let retention = self.retentions.get(key.bucket());
        retention.copied().unwrap_or_default()
    }

    /// Those whose inputs are not kept yet.
    pub(super) fn not_retained(
        &mut self,
        partition: PartitionId,
        key: &Key,
        replaced: &[Replaced],
    ) -> Result<Vec<Replaced>, StorageError> {
        if replaced.is_empty() {
            return Ok(Vec::new());
        }
        let kept = self.retained(partition, key)?;
        let is_new = |merge: &&Replaced| !kept.iter().any(|old| old.dot == merge.dot);
        Ok(replaced.iter().filter(is_new).cloned().collect())
    }

    /// Keeps the inputs of merges, and drops the oldest beyond the bucket's bounds in number, age or bytes. The
    /// latest of what comes is always kept, whatever its clock says: nobody else may have it.
    pub(super) fn retain(
        &mut self,
        partition: PartitionId,
        key: &Key,
        mut replaced: Vec<Replaced>,
        batch: &mut Batch,
    ) -> Result<(), StorageError> {
        let Retention {
            merges,
            age_ms,
            bytes,
        } = self.retention_of(key);
        let latest_first = |merge: &Replaced| std::cmp::Reverse(merge.merged_at_ms);
        let mut kept = self.retained(partition, key)?;
        kept.retain(|old| replaced.iter().all(|new| new.dot != old.dot));
        kept.sort_by_key(latest_first);
        replaced.sort_by_key(latest_first);
        replaced.truncate(merges);
        let latest_ms = replaced.first().map_or(0, |merge| merge.merged_at_ms);
        let mut left = bytes;
        let mut fits = |merge: &Replaced| {
            let fits = merge.size_bytes() <= left;
            left = left.saturating_sub(merge.size_bytes());
            fits
        };
        let many = replaced.len();
        for (place, new) in replaced.into_iter().enumerate() {
            if fits(&new) || place == 0 {
                batch.put(retained_key(partition, key, new.dot), new.encode());
                self.counters.merges_retained += 1;
            }
        }
        for (place, old) in kept.iter().enumerate() {
            let is_old = latest_ms.saturating_sub(old.merged_at_ms) > age_ms;
            if place + many >= merges || is_old || !fits(old) {
                batch.delete(retained_key(partition, key, old.dot));
            }
        }
        Ok(())
    }

    /// What merges on put replaced under a key, as far as it is still kept.
    pub fn retained(
        &self,
        partition: PartitionId,
        key: &Key,
    ) -> Result<Vec<Replaced>, StorageError> {
        retained_in(&self.storage, partition, key)
    }
}

/// As `Copies::retained`, for whoever has the storage and no copies.
pub fn retained_in(
    storage: &impl Storage,
    partition: PartitionId,
    key: &Key,
) -> Result<Vec<Replaced>, StorageError> {
    let range = retained_range(partition, key);
    let items = storage.scan(range, RETAINED_MERGES_READ_MAX)?;
    Ok(items
        .into_iter()
        .filter_map(|(_, bytes)| Replaced::decode(bytes).ok())
        .collect())
}

/// The latest merges, as far as a message or a saved record takes them.
pub fn as_much_as_fits(mut replaced: Vec<Replaced>) -> Vec<Replaced> {
    replaced.sort_by_key(|merge| std::cmp::Reverse(merge.merged_at_ms));
    let mut left = EXCHANGE_RETAINED_BYTES_MAX;
    replaced.retain(|merge| {
        let bytes: usize = merge.inputs.iter().map(Version::size_bytes).sum();
        let fits = bytes <= left;
        left -= if fits { bytes } else { 0 };
        fits
    });
    replaced
}
