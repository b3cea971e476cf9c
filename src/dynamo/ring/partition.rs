//! Tokens and partitions: from a key to its place on the ring (Dynamo 4.1, 4.2; strategy 3 of 6.2).
//!
//! Invariant: the partition of a key depends on the key and on Q alone, never on the members.

use super::super::names::Key;
use crate::limits::PARTITIONS_MAX;
use md5::{Digest as _, Md5};

/// A position on the ring: MD5 of the key, 128 bits (4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u128);

impl Token {
    pub fn of(key: &Key) -> Self {
        let mut md5 = Md5::new();
        // Clients know no generations, and have to find the place of a key as well (6.4).
        md5.update(key.bucket().plain().as_bytes());
        md5.update([0]);
        md5.update(key.bytes());
        Self(u128::from_be_bytes(md5.finalize().into()))
    }
}

/// One of the Q equal parts of the ring, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

/// How many partitions the ring has, fixed for the life of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions(u16);

/// Why a number of partitions was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} partitions; give 1 to {PARTITIONS_MAX}, many times the nodes you will ever have, for it cannot be changed"
)]
pub struct PartitionsError(pub u16);

impl Partitions {
    pub fn new(count: u16) -> Result<Self, PartitionsError> {
        match count {
            1..=PARTITIONS_MAX => Ok(Self(count)),
            _ => Err(PartitionsError(count)),
        }
    }

    pub fn count(self) -> u16 {
        self.0
    }

    pub fn all(self) -> impl Iterator<Item = PartitionId> {
        (0..self.0).map(PartitionId)
    }

    /// The part of the ring in which a token falls.
    pub fn of(self, token: Token) -> PartitionId {
        let scaled = ((token.0 >> 64) * u128::from(self.0)) >> 64;
        PartitionId(scaled as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_ring_fall_into_the_first_and_last_partition() {
        for count in [1, 2, 3, 255, 256, PARTITIONS_MAX] {
            let partitions = Partitions::new(count).expect("in bounds");
            assert_eq!(partitions.of(Token(0)), PartitionId(0));
            assert_eq!(partitions.of(Token(u128::MAX)), PartitionId(count - 1));
        }
    }
}
