//! The keys of a bucket under which this node's own copies hold several values.
//!
//! Reads the storage directly, beside the shards, and tells only what this node has; a resolver is tried on it before it
//! is bound.
//!
//! Invariant: what is looked at is bounded, whatever the bucket holds.

use super::store::Store;
use crate::dynamo::names::BucketName;
use crate::dynamo::replica::layout::{Place, keys_range};
use crate::dynamo::replica::record::Record;
use crate::dynamo::replica::storage::{Storage as _, StorageError};
use crate::dynamo::ring::partition::Partitions;
use crate::wasm::laws::bounds::LIVE_CASES_MAX;
use crate::wasm::laws::gate::LiveSet;
use bytes::Bytes;

/// Records of one partition that are looked at: a sample of the bucket, not a listing.
const RECORDS_PER_PARTITION: usize = 64;
/// Bytes of siblings that are kept for the check.
const SIBLING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Some of them, from all partitions.
pub(super) fn live_siblings(
    store: &Store,
    partitions: Partitions,
    bucket: &BucketName,
    wall_ms: u64,
) -> Result<Vec<LiveSet>, StorageError> {
    let mut found: Vec<LiveSet> = Vec::new();
    let mut bytes = 0;
    for partition in partitions.all() {
        let head = Place::Home.head(partition, bucket);
        let records = store.scan(keys_range(&head, &[], &[]), RECORDS_PER_PARTITION)?;
        for (place, record) in records {
            let Ok(record) = Record::decode(record) else {
                continue; // The other replicas have it.
            };
            let live: Vec<_> = record.object.live(wall_ms).cloned().collect();
            if live.len() < 2 {
                continue;
            }
            bytes += live
                .iter()
                .filter_map(|v| v.bytes())
                .map(Bytes::len)
                .sum::<usize>();
            found.push((place.slice(head.len()..), live));
            if found.len() >= LIVE_CASES_MAX || bytes >= SIBLING_BYTES_MAX {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
