//! Dice that fall the same on every machine: SplitMix64.
//!
//! Invariant: the numbers depend on the seed only.

use crate::dynamo::names::Digest;

/// A stream of numbers.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Of a plugin: each has dice of its own, so that no author can write for the cases.
    pub(super) fn of(digest: Digest) -> Self {
        let fold = |sum: u64, byte: &u8| sum.rotate_left(8) ^ u64::from(*byte);
        Self(digest.0.iter().fold(0, fold))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        match bound {
            0 => 0,
            _ => (self.number() % bound as u64) as usize,
        }
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
