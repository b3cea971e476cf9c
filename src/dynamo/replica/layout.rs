//! Where records stand in the ordered storage: by kind, then partition, then bucket and key.
//!
//! A partition's records are one contiguous range, so it can be hashed, listed and handed over as a unit
//! (6.2, strategy 3).
//!
//! Invariant: no storage key is a prefix of another of the same kind and bucket with a different meaning.

use super::super::causality::dot::Dot;
use super::super::codec::{DecodeError, Reader};
use super::super::names::{BucketName, Key, NodeId};
use super::super::ring::partition::PartitionId;
use bytes::Bytes;
use std::ops::Range;

const KIND_OBJECT: u8 = b'o';
const KIND_RETAINED: u8 = b'r';
const KIND_HINT: u8 = b'h';

/// In which of its roles a node keeps an object of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Its own copy.
    Home,
    /// What it keeps for this node until that can be reached (4.6).
    Hint(NodeId),
}

impl Place {
    pub fn storage_key(&self, partition: PartitionId, key: &Key) -> Bytes {
        match self {
            Self::Home => object_key(partition, key),
            Self::Hint(home) => hint_key(home, partition, key),
        }
    }

    /// What the places of a bucket's keys in a partition begin with; behind it stands the key.
    pub fn head(&self, partition: PartitionId, bucket: &BucketName) -> Bytes {
        match self {
            Self::Home => place(KIND_OBJECT, partition, bucket, 0).into(),
            Self::Hint(home) => hint_head(home, partition, bucket).into(),
        }
    }
}
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

/// Where the keys behind a head are stored that begin with `prefix` and come after `after`.
pub fn keys_range(head: &[u8], prefix: &[u8], after: &[u8]) -> Range<Bytes> {
    let mut start = head.to_vec();
    if !after.is_empty() && after >= prefix {
        start.extend_from_slice(after);
        start.push(0);
    } else {
        start.extend_from_slice(prefix);
    }
    let mut end = head.to_vec();
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
    let bucket = BucketName::stored(std::str::from_utf8(bucket).ok()?).ok()?;
    Key::new(bucket, place.slice(4 + usize::from(*length)..)).ok()
}

/// One bucket's part of a range: what is stored there, and where what follows begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    pub partition: PartitionId,
    pub bucket: BucketName,
    /// For whom it is kept, if it is kept for another.
    pub home: Option<NodeId>,
    pub range: Range<Bytes>,
}

/// All kinds of records of keys, each as one range, in the order in which they are stored.
pub fn kinds() -> [Range<Bytes>; 3] {
    [KIND_HINT, KIND_OBJECT, KIND_RETAINED].map(|kind| {
        let edge = |kind| Bytes::copy_from_slice(&[kind]);
        edge(kind)..edge(kind + 1)
    })
}

/// The part of its bucket in which something stands; none if this is no place of a record.
pub fn plot_at(stored: &Bytes) -> Option<Plot> {
    let (home, partition, bucket) = match *stored.first()? {
        KIND_HINT => {
            let (home, partition, key) = decode_hint_key(stored).ok()?;
            (Some(home), partition, key.bucket().clone())
        }
        KIND_OBJECT | KIND_RETAINED => {
            let [_, high, low, length, rest @ ..] = stored.as_ref() else {
                return None;
            };
            let bucket = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
            let partition = PartitionId(u16::from_be_bytes([*high, *low]));
            (None, partition, BucketName::stored(bucket).ok()?)
        }
        _ => return None,
    };
    let head = match &home {
        Some(home) => hint_head(home, partition, &bucket),
        None => place(*stored.first()?, partition, &bucket, 0),
    };
    Some(Plot {
        range: keys_range(&head, b"", b""),
        partition,
        bucket,
        home,
    })
}

/// Where the first record of the next partition stands, behind this part of one.
pub fn after_partition(plot: &Plot) -> Bytes {
    match &plot.home {
        Some(home) => hints_after(home, plot.partition),
        None => {
            let kind = plot.range.start.first().copied().unwrap_or(KIND_OBJECT);
            let next = (u32::from(plot.partition.0) + 1).to_be_bytes();
            let [_, beyond, high, low] = next;
            match beyond {
                0 => Bytes::copy_from_slice(&[kind, high, low]),
                _ => Bytes::copy_from_slice(&[kind + 1]),
            }
        }
    }
}

/// Where a hint for `home` is stored: all for one node together, so that they are found when it is back.
pub fn hint_key(home: &NodeId, partition: PartitionId, key: &Key) -> Bytes {
    let mut place = hint_head(home, partition, key.bucket());
    place.extend_from_slice(key.bytes());
    place.into()
}

fn hint_head(home: &NodeId, partition: PartitionId, bucket: &BucketName) -> Vec<u8> {
    let bucket = bucket.as_str().as_bytes();
    let mut head = hint_prefix(home, partition);
    head.push(bucket.len() as u8);
    head.extend_from_slice(bucket);
    head
}

fn hint_prefix(home: &NodeId, partition: PartitionId) -> Vec<u8> {
    let home = home.as_str().as_bytes();
    let mut place = vec![KIND_HINT, home.len() as u8];
    place.extend_from_slice(home);
    place.extend_from_slice(&partition.0.to_be_bytes());
    place
}

/// All hints for one node in one partition.
pub fn hint_range(home: &NodeId, partition: PartitionId) -> Range<Bytes> {
    hint_prefix(home, partition).into()..hints_after(home, partition)
}

/// Where the hints behind those for one node in one partition begin.
pub fn hints_after(home: &NodeId, partition: PartitionId) -> Bytes {
    let mut end = hint_prefix(home, partition);
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end.into()
}

/// All hints of the node.
pub fn hints_range() -> Range<Bytes> {
    Bytes::from_static(&[KIND_HINT])..Bytes::from_static(&[KIND_HINT + 1])
}

/// For whom, and of what, a hint is that is stored here.
pub fn decode_hint_key(place: &Bytes) -> Result<(NodeId, PartitionId, Key), DecodeError> {
    let malformed = || DecodeError::Malformed("the place of a hint");
    let mut reader = Reader::new(place.clone());
    reader.format(KIND_HINT)?;
    let name = |bytes: &Bytes| std::str::from_utf8(bytes).unwrap_or_default().to_owned();
    let length = usize::from(reader.byte()?);
    let home = NodeId::new(&name(&reader.raw(length)?)).map_err(|_| malformed())?;
    let partition = PartitionId(u16::from(reader.byte()?) << 8 | u16::from(reader.byte()?));
    let length = usize::from(reader.byte()?);
    let bucket = BucketName::stored(&name(&reader.raw(length)?)).map_err(|_| malformed())?;
    let key = reader.raw(reader.remaining())?;
    let key = Key::new(bucket, key).map_err(|_| malformed())?;
    Ok((home, partition, key))
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
    use proptest::prelude::*;

    fn key(bytes: Vec<u8>) -> Key {
        let bucket = BucketName::new("b").expect("a good name");
        Key::new(bucket, bytes.into()).expect("a good key")
    }

    proptest! {
        #[test]
        fn a_hint_is_found_in_its_range_and_says_what_it_is(
            home in "[a-z]{1,5}",
            partition: u16,
            bytes in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            let home = NodeId::new(&home).expect("a good name");
            let (partition, key) = (PartitionId(partition), key(bytes));
            let place = hint_key(&home, partition, &key);
            prop_assert!(hint_range(&home, partition).contains(&place));
            prop_assert!(hints_range().contains(&place));
            let next = PartitionId(partition.0.wrapping_add(1));
            prop_assert!(!hint_range(&home, next).contains(&place));
            prop_assert_eq!(decode_hint_key(&place), Ok((home, partition, key)));
        }
    }

    #[test]
    fn what_is_no_place_of_a_hint_is_refused() {
        for bytes in [
            &b""[..],
            b"o",
            b"h",
            b"h\x01A\0\0\x01bk",
            b"h\x01a\0\0\x01b",
            b"h\xffa",
        ] {
            assert!(
                decode_hint_key(&Bytes::from_static(bytes)).is_err(),
                "{bytes:?}"
            );
        }
    }

    fn is_listed(key: &[u8], prefix: &[u8], after: &[u8]) -> bool {
        let bucket = BucketName::new("carts").expect("a good name");
        let partition = PartitionId(7);
        let key = Key::new(bucket.clone(), Bytes::copy_from_slice(key)).expect("a good key");
        let home = NodeId::new("a").expect("a good name");
        let listed = [Place::Home, Place::Hint(home)].map(|place| {
            let head = place.head(partition, &bucket);
            let stored = place.storage_key(partition, &key);
            assert_eq!(stored.slice(head.len()..), *key.bytes());
            keys_range(&head, prefix, after).contains(&stored)
        });
        assert_eq!(listed[0], listed[1], "copies and hints are listed alike");
        listed[0]
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
        let range = keys_range(&Place::Home.head(PartitionId(7), &carts), b"", b"");
        for (bucket, partition) in [(&cart, 7), (&other, 7), (&carts, 6), (&carts, 8)] {
            let key = Key::new(bucket.clone(), Bytes::from_static(b"s")).expect("a good key");
            assert!(!range.contains(&object_key(PartitionId(partition), &key)));
        }
    }
}
