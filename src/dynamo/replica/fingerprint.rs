//! What hash trees know of a record: one number for a key and its object, and how that number changed (4.7).
//!
//! The header of a record is this node's own and is left out, so that equal replicas have equal numbers. Not
//! a defence against forgers: whoever can write to a bucket can make two of its keys look alike at some cost,
//! and a get still tells them apart.
//!
//! Invariant: no object, no number: 0.

use super::super::causality::object::Object;
use super::super::names::Key;
use super::super::ring::partition::PartitionId;
use xxhash_rust::xxh3::Xxh3;

/// What happened to a copy, as far as a hash tree has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    Changed {
        partition: PartitionId,
        key: Key,
        before: u128,
        after: u128,
        /// Values that stand there now; deletes are none.
        values: usize,
    },
    /// A record could not be read, or nobody knows whether it was written: what is stored has to be looked at again.
    Doubtful(PartitionId),
}

/// The number of an object under its key.
pub fn fingerprint(key: &Key, object: &Object) -> u128 {
    if object.is_empty() {
        return 0;
    }
    let bucket = key.bucket().as_str().as_bytes();
    let mut hash = Xxh3::new();
    hash.update(&[bucket.len() as u8]);
    hash.update(bucket);
    hash.update(&(key.bytes().len() as u32).to_be_bytes());
    hash.update(key.bytes());
    hash.update(&object.encode());
    hash.digest128()
}
