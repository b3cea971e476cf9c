//! The bounds of a node whose disk runs full: how often it looks, how long others believe it, how long it waits.
//!
//! How full is full stands with the verdict, in `storage::space`.
//!
//! Invariant: as of `limits`.

/// How long a node that said that its disk is full is passed over; then one put asks it again, so that it is back soon.
pub const FULL_REMEMBERED_MS: u64 = 1_000;
/// How often a disk with plenty of room is looked at; with a sync that does not end, how fine that is measured.
pub const DISK_LOOK_MS: u64 = 1_000;
/// How often one that is nearly full is looked at; a look costs microseconds. At 300 MB/s less than the critical mark is
/// written between two looks.
pub const DISK_LOOK_NEAR_MS: u64 = 50;
/// Between two lines of the log that say how much room a waiting node lacks.
pub const ROOM_TOLD_MS: u64 = 10_000;
/// How often a waiting node looks whether there is room.
pub const ROOM_LOOK_MS: u64 = 500;
/// Before a node starts over although there was room by the numbers: a quota shows in no number, and opening costs.
pub const ROOM_DOUBT_MS: u64 = 10_000;

const _: () = assert!(DISK_LOOK_NEAR_MS < DISK_LOOK_MS && ROOM_LOOK_MS < ROOM_TOLD_MS);
