//! The bounds of plugin versions: what a bucket remembers of them, and how much of what they merged is kept.
//!
//! Part of `limits`; changes nothing by itself.
//!
//! Invariant: the relations between bounds are checked by the compiler, at the foot of the file.

use super::{EXCHANGE_RETAINED_BYTES_MAX, RETAINED_AGE_MS_MAX, RETAINED_MERGES_MAX};

/// Bindings that a bucket remembers, to go back to: a week of daily deploys.
pub const BINDINGS_REMEMBERED_MAX: usize = 8;
/// Bytes of the params in them; the row travels with every gossip that changes it.
pub const BINDINGS_REMEMBERED_BYTES_MAX: usize = 128 * 1024;
/// The most merges of a key that an operator may have kept.
pub const RETAINED_MERGES_SET_MAX: usize = 64;
/// Kept merges that are read at a time: twice the most, for those that wait to be dropped.
pub const RETAINED_MERGES_READ_MAX: usize = 2 * RETAINED_MERGES_SET_MAX;
/// The longest that an operator may have them kept: a month.
pub const RETAINED_AGE_MS_SET_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Bytes of the kept merges of a key; the last one is kept whatever it weighs.
pub const RETAINED_BYTES_DEFAULT: usize = 4 * 1024 * 1024;
/// The most bytes that an operator may have kept of a key: what one message of an exchange carries.
pub const RETAINED_BYTES_SET_MAX: usize = EXCHANGE_RETAINED_BYTES_MAX;
/// Keys that are looked at in one step of an unmerge.
pub const UNMERGE_KEYS_MAX: usize = 64;
/// Keys of one step that are on their way at a time, on one node.
pub const UNMERGE_WINDOW: usize = 8;
/// What an operator is told of the keys that could not be put back.
pub const UNMERGE_REASONS_MAX: usize = 16;
/// Questions of a hundred that a shadow is asked, unless the operator chooses otherwise.
pub const SHADOW_PERCENT_DEFAULT: u8 = 100;
/// Questions that wait for a shadow's answer on one node; beyond it they are dropped and counted.
pub const SHADOW_WAITING_MAX: usize = 4;
/// Keys with different results that a report names.
pub const SHADOW_KEYS_MAX: usize = 100;
/// Fuel readings that a report's percentiles are taken from: the last ones.
pub const SHADOW_READINGS_MAX: usize = 1024;
/// Buckets of which a node keeps a report.
pub const SHADOW_REPORTS_MAX: usize = 64;
/// Recorded sets of siblings that one node replays through a resolver that is tried.
pub const REPLAY_SETS_MAX: usize = 5_000;
/// How long it takes for that at most: less than a request may take.
pub const REPLAY_MS_MAX: u64 = 20_000;
/// The least length of a digest's prefix that names a plugin.
pub const DIGEST_PREFIX_MIN: usize = 6;
/// How long a node may take to fetch, compile and rehearse a plugin before it counts as not staged.
pub const STAGE_TIMEOUT_MS: u64 = 30_000;
/// Uploads that one node has under way; each holds its bytes, up to 64 MiB, and they are compiled one after the other.
pub const UPLOADS_MAX: usize = 4;
/// How long an upload waits for the other nodes: longer than the largest plugin may be compiled for.
pub const UPLOAD_STAGE_MS_MAX: u64 = 600_000;

const _: () = assert!(RETAINED_MERGES_MAX <= RETAINED_MERGES_SET_MAX);
const _: () = assert!(RETAINED_AGE_MS_MAX <= RETAINED_AGE_MS_SET_MAX);
const _: () = assert!(RETAINED_BYTES_DEFAULT <= RETAINED_BYTES_SET_MAX);
const _: () = assert!(STAGE_TIMEOUT_MS < UPLOAD_STAGE_MS_MAX);
const _: () = assert!(UNMERGE_WINDOW <= UNMERGE_KEYS_MAX);
