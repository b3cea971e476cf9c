//! A set of partitions, as a node tells the others which ones it is done with.
//!
//! Invariant: it names no partition beyond the ring's number, so two equal sets have equal bytes.

use super::super::codec::{DecodeError, Reader, Writer};
use super::partition::{PartitionId, Partitions};
use crate::limits::PARTITIONS_MAX;

/// One bit for each partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSet {
    bits: Vec<u8>,
}

impl PartitionSet {
    /// No partition of a ring of this size.
    pub fn none(partitions: Partitions) -> Self {
        let bits = usize::from(partitions.count()).div_ceil(8);
        Self {
            bits: vec![0; bits],
        }
    }

    /// Whether it is of a ring of this size. One that came from outside may not be.
    pub fn fits(&self, partitions: Partitions) -> bool {
        self.bits.len() == usize::from(partitions.count()).div_ceil(8)
    }

    pub fn contains(&self, partition: PartitionId) -> bool {
        let (byte, bit) = place(partition);
        self.bits.get(byte).is_some_and(|bits| bits & bit != 0)
    }

    /// False: it was there already.
    pub fn insert(&mut self, partition: PartitionId) -> bool {
        let (byte, bit) = place(partition);
        let bits = &mut self.bits[byte];
        let is_new = *bits & bit == 0;
        *bits |= bit;
        is_new
    }

    pub fn len(&self) -> usize {
        let ones = self.bits.iter().map(|bits| bits.count_ones() as usize);
        ones.sum()
    }

    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|bits| *bits == 0)
    }

    pub fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.bits);
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let limit = usize::from(PARTITIONS_MAX).div_ceil(8);
        let bits = reader.bytes("a set of partitions", limit)?.to_vec();
        Ok(Self { bits })
    }
}

fn place(partition: PartitionId) -> (usize, u8) {
    (usize::from(partition.0 / 8), 1 << (partition.0 % 8))
}
