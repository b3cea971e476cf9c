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
}

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

/// Where a hint for `home` is stored: all for one node together, so that they are found when it is back.
pub fn hint_key(home: &NodeId, partition: PartitionId, key: &Key) -> Bytes {
    let mut place = hint_prefix(home, partition);
    place.push(key.bucket().as_str().len() as u8);
    place.extend_from_slice(key.bucket().as_str().as_bytes());
    place.extend_from_slice(key.bytes());
    place.into()
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
    let bucket = BucketName::new(&name(&reader.raw(length)?)).map_err(|_| malformed())?;
    let key = reader.raw(reader.remaining())?;
    let key = Key::new(bucket, key).map_err(|_| malformed())?;
    Ok((home, partition, key))
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
}
