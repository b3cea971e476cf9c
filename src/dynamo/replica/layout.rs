//! Where records stand in the ordered storage: by kind, then partition, then bucket and key.
//!
//! A partition's records are one contiguous range, so it can be hashed, listed and handed over as a unit
//! (6.2, strategy 3).
//!
//! Invariant: no storage key is a prefix of another of the same kind and bucket with a different meaning.

use super::super::causality::dot::Dot;
use super::super::names::{BucketName, Key};
use super::super::ring::partition::PartitionId;
use bytes::Bytes;
use std::ops::Range;

const KIND_OBJECT: u8 = b'o';
const KIND_RETAINED: u8 = b'r';

fn place(kind: u8, partition: PartitionId, key: &Key) -> Vec<u8> {
    let bucket = key.bucket().as_str().as_bytes();
    let mut place = Vec::with_capacity(4 + bucket.len() + key.bytes().len() + 32);
    place.push(kind);
    place.extend_from_slice(&partition.0.to_be_bytes());
    place.push(bucket.len() as u8);
    place.extend_from_slice(bucket);
    place
}

/// Where the object of a key is stored.
pub fn object_key(partition: PartitionId, key: &Key) -> Bytes {
    let mut place = place(KIND_OBJECT, partition, key);
    place.extend_from_slice(key.bytes());
    place.into()
}

/// The order in which the keys of a partition are stored.
pub fn order(key: &Key) -> (usize, &str, &[u8]) {
    let bucket = key.bucket().as_str();
    (bucket.len(), bucket, key.bytes())
}

/// Where the objects of a partition are stored.
pub fn object_range(partition: PartitionId) -> Range<Bytes> {
    let edge = |number: u32| {
        let number = number.to_be_bytes();
        let [.., high, low] = number;
        Bytes::copy_from_slice(&[KIND_OBJECT, high, low])
    };
    let start = u32::from(partition.0);
    edge(start)..edge(start + 1)
}

/// The key whose object is stored here; none if this is no place of an object.
pub fn object_at(place: &Bytes) -> Option<Key> {
    let [KIND_OBJECT, _, _, length, rest @ ..] = place.as_ref() else {
        return None;
    };
    let bucket = rest.get(..usize::from(*length))?;
    let bucket = BucketName::new(std::str::from_utf8(bucket).ok()?).ok()?;
    Key::new(bucket, place.slice(4 + usize::from(*length)..)).ok()
}

fn retained_prefix(partition: PartitionId, key: &Key) -> Vec<u8> {
    let mut place = place(KIND_RETAINED, partition, key);
    place.extend_from_slice(&(key.bytes().len() as u16).to_be_bytes());
    place.extend_from_slice(key.bytes());
    place
}

/// Where the inputs of the merge that made `dot` are stored.
pub fn retained_key(partition: PartitionId, key: &Key, dot: Dot) -> Bytes {
    let mut place = retained_prefix(partition, key);
    place.extend_from_slice(&dot.actor.incarnation.0.to_be_bytes());
    place.extend_from_slice(&dot.actor.epoch.to_be_bytes());
    place.extend_from_slice(&dot.counter.to_be_bytes());
    place.into()
}

/// All that is retained of a key.
pub fn retained_range(partition: PartitionId, key: &Key) -> Range<Bytes> {
    let start = retained_prefix(partition, key);
    let mut end = start.clone();
    end.extend_from_slice(&[0xff; 25]);
    start.into()..end.into()
}
