//! How full the disk is, and what a node does about it.
//!
//! At 10 % or 1 GiB free it warns; at 5 %, or below what the engine needs to tidy up after itself, it
//! leaves clients' values to others, while deletes and repairs still pass (the caller decides which is which); at
//! 0.5 %, or below what the engine may need for what it has taken already, nothing is written any more. The
//! verdict is pure; only `Space::of` asks the system.
//!
//! Invariant: less free space never gives a milder verdict.

use crate::dynamo::replica::room::Room;
use std::io;
use std::path::Path;

/// Free bytes below which a node warns, however large the disk.
pub const WARN_BYTES: u64 = 1024 * 1024 * 1024;
/// Free bytes below which the engine cannot rewrite its own segments: eight of them.
pub const FULL_BYTES: u64 = 64 * 1024 * 1024;
/// Free bytes below which nothing is written: two of the engine's segments, the one that it is filling and the next. It is
/// also what opening a database may take.
pub const CRITICAL_BYTES: u64 = 16 * 1024 * 1024;
const WARN_PER_MILLE: u128 = 100;
const FULL_PER_MILLE: u128 = 50;
/// Less than one hundredth of the disk: repairs get most of what clients' values had to leave.
const CRITICAL_PER_MILLE: u128 = 5;

const _: () = assert!(CRITICAL_BYTES < FULL_BYTES && FULL_BYTES < WARN_BYTES);

/// Bytes of the file system under a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Bytes of the whole file system.
    pub total: u64,
}

/// What the free space allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watermark {
    /// Everything.
    Ok,
    /// Everything, but an operator should hear of it.
    Warn,
    /// No client writes: only what frees space or repairs other replicas' losses.
    Full,
    /// Nothing.
    Critical,
}

impl Space {
    /// The space of the file system that holds `folder`.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// What this much free space allows.
    pub fn watermark(self) -> Watermark {
        match () {
            () if self.free < CRITICAL_BYTES || self.is_below(CRITICAL_PER_MILLE) => {
                Watermark::Critical
            }
            () if self.free < FULL_BYTES || self.is_below(FULL_PER_MILLE) => Watermark::Full,
            () if self.free < WARN_BYTES || self.is_below(WARN_PER_MILLE) => Watermark::Warn,
            () => Watermark::Ok,
        }
    }

    fn is_below(self, per_mille: u128) -> bool {
        u128::from(self.free) * 1_000 < u128::from(self.total) * per_mille
    }
}

impl Watermark {
    /// What the shards are told.
    pub fn room(self) -> Room {
        match self {
            Self::Ok | Self::Warn => Room::Ample,
            Self::Full => Room::Scarce,
            Self::Critical => Room::Spent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    fn at(free: u64, total: u64) -> Watermark {
        Space { free, total }.watermark()
    }

    #[test]
    fn shares_decide_on_a_large_disk() {
        assert_eq!(at(100 * GIB, 1000 * GIB), Watermark::Ok);
        assert_eq!(at(99 * GIB, 1000 * GIB), Watermark::Warn);
        assert_eq!(at(50 * GIB, 1000 * GIB), Watermark::Warn);
        assert_eq!(at(49 * GIB, 1000 * GIB), Watermark::Full);
        assert_eq!(at(5 * GIB, 1000 * GIB), Watermark::Full);
        assert_eq!(at(4 * GIB, 1000 * GIB), Watermark::Critical);
    }

    #[test]
    fn bytes_decide_on_a_small_disk() {
        assert_eq!(at(GIB, 2 * GIB), Watermark::Ok);
        assert_eq!(at(GIB - 1, 2 * GIB), Watermark::Warn);
        assert_eq!(at(FULL_BYTES - 1, GIB / 8), Watermark::Full);
        assert_eq!(at(CRITICAL_BYTES - 1, GIB / 8), Watermark::Critical);
        assert_eq!(at(CRITICAL_BYTES, GIB / 8).room(), Room::Scarce);
    }

    #[test]
    fn the_disk_of_this_test_can_be_asked() {
        let space = Space::of(Path::new(".")).expect("the working folder has a file system");
        assert!(space.free <= space.total && space.total > 0);
    }

    proptest! {
        #[test]
        fn less_space_is_never_milder(free: u64, less: u64, total: u64) {
            let less = less.min(free);
            prop_assert!(at(less, total) >= at(free, total));
            prop_assert!(at(less, total).room() >= at(free, total).room());
        }
    }
}
