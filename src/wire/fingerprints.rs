//! Keys and their fingerprints, and why something of a repair was not believed; shared by its messages.
//!
//! Invariant: a list of fingerprints is as long as its bytes say, and within the bound of whoever reads it.

use super::proto::peer as proto;
use crate::dynamo::codec::DecodeError;
use crate::dynamo::names::{BucketName, Key, NameError};
use bytes::Bytes;

pub(super) const FINGERPRINT_BYTES: usize = 16;

/// Why a question or an answer was not believed.
#[derive(Debug, thiserror::Error)]
pub enum RepairDecodeError {
    #[error("lacks its {0}")]
    Missing(&'static str),
    #[error("has {found} as its {what}; it takes {limit}")]
    Bound {
        what: &'static str,
        found: usize,
        limit: usize,
    },
    #[error("names something that was refused: {0}")]
    Name(#[from] NameError),
    #[error("has an object that {0}")]
    Bytes(#[from] DecodeError),
}

pub(super) type Decoded<T> = Result<T, RepairDecodeError>;

pub(super) fn encode_key(key: &Key) -> proto::Key {
    proto::Key {
        bucket: key.bucket().as_str().to_owned(),
        key: key.bytes().clone(),
    }
}

pub(super) fn decode_key(key: proto::Key) -> Decoded<Key> {
    Ok(Key::new(BucketName::stored(&key.bucket)?, key.key)?)
}

pub(super) fn encode_fingerprints<'a>(fingerprints: impl Iterator<Item = &'a u128>) -> Bytes {
    let bytes = fingerprints.flat_map(|fingerprint| fingerprint.to_be_bytes());
    bytes.collect::<Vec<u8>>().into()
}

pub(super) fn decode_fingerprints(bytes: &Bytes, limit: usize) -> Decoded<Vec<u128>> {
    let (what, found) = ("number of fingerprints", bytes.len() / FINGERPRINT_BYTES);
    let (chunks, rest) = bytes.as_chunks::<FINGERPRINT_BYTES>();
    if found > limit || !rest.is_empty() {
        return Err(RepairDecodeError::Bound { what, found, limit });
    }
    let numbers = chunks.iter().map(|chunk| u128::from_be_bytes(*chunk));
    Ok(numbers.collect())
}
