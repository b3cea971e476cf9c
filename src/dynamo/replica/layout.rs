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
/// The kind, the partition and the length of the bucket's name.
const HEAD_BYTES: usize = 1 + 2 + 1;

fn place(kind: u8, partition: PartitionId, bucket: &BucketName, room: usize) -> Vec<u8> {
    let bucket = bucket.as_str().as_bytes();
    let mut place = Vec::with_capacity(HEAD_BYTES + bucket.len() + room);
    place.push(kind);
    place.extend_from_slice(&partition.0.to_be_bytes());
    place.push(bucket.len() as u8);
    place.extend_from_slice(bucket);
    place
}

/// Where the object of a key is stored.
pub fn object_key(partition: PartitionId, key: &Key) -> Bytes {
    let mut place = place(KIND_OBJECT, partition, key.bucket(), key.bytes().len());
    place.extend_from_slice(key.bytes());
    place.into()
}

/// Where the objects of a bucket's keys are stored that begin with `prefix` and come after `after`.
pub fn objects_range(
    partition: PartitionId,
    bucket: &BucketName,
    prefix: &[u8],
    after: &[u8],
) -> Range<Bytes> {
    let bucket_start = place(KIND_OBJECT, partition, bucket, 0);
    let mut start = bucket_start.clone();
    if !after.is_empty() && after >= prefix {
        start.extend_from_slice(after);
        start.push(0);
    } else {
        start.extend_from_slice(prefix);
    }
    let mut end = bucket_start;
    end.extend_from_slice(prefix);
    // The kind in front is below 0xff, so there is always a byte left to count up.
    while end.last() == Some(&0xff) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    start.into()..end.into()
}

/// The client's key of an object that is stored at `place` in a bucket.
pub fn key_at(place: &Bytes, bucket: &BucketName) -> Bytes {
    place.slice((HEAD_BYTES + bucket.as_str().len()).min(place.len())..)
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
    let room = key.bytes().len() + 32;
    let mut place = place(KIND_RETAINED, partition, key.bucket(), room);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_listed(key: &[u8], prefix: &[u8], after: &[u8]) -> bool {
        let bucket = BucketName::new("carts").expect("a good name");
        let partition = PartitionId(7);
        let range = objects_range(partition, &bucket, prefix, after);
        let key = Key::new(bucket.clone(), Bytes::copy_from_slice(key)).expect("a good key");
        let place = object_key(partition, &key);
        assert_eq!(key_at(&place, &bucket), *key.bytes());
        range.contains(&place)
    }

    #[test]
    fn a_range_holds_what_begins_with_the_prefix_and_comes_after_the_cursor() {
        let keys: [&[u8]; 7] = [
            b"a",
            b"a\0",
            b"ab",
            b"ab\xff",
            b"ab\xff\xff",
            b"ac",
            b"\xff",
        ];
        let cursors: [&[u8]; 5] = [b"", b"a", b"ab", b"b", b"\xff\xff"];
        let prefixes: [&[u8]; 5] = [b"", b"a", b"ab", b"ab\xff", b"\xff"];
        for key in keys {
            for after in cursors {
                for prefix in prefixes {
                    let wanted = key.starts_with(prefix) && key > after;
                    assert_eq!(
                        is_listed(key, prefix, after),
                        wanted,
                        "{key:?} {prefix:?} {after:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_range_ends_with_its_bucket_and_its_partition() {
        let [carts, cart, other] =
            ["carts", "cart", "dolls"].map(|name| BucketName::new(name).expect("a good name"));
        let range = objects_range(PartitionId(7), &carts, b"", b"");
        for (bucket, partition) in [(&cart, 7), (&other, 7), (&carts, 6), (&carts, 8)] {
            let key = Key::new(bucket.clone(), Bytes::from_static(b"s")).expect("a good key");
            assert!(!range.contains(&object_key(PartitionId(partition), &key)));
        }
    }
}
