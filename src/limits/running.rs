//! Bounds of guests at work: their share of a deadline, of the threads, of memory and of what is remembered of them.
//!
//! Knows nothing of uploads; those bounds stand in `limits`.
//!
//! Invariant: what decides an outcome (memory, output) is a bucket's setting and so the same on every node (law 7); what
//! only this node bounds (wall clock, queues, rates) yields errors that nobody stores.

/// The longest wall-clock backstop that a bucket may choose: a reader who waits for more has a deadline to keep.
pub const GUEST_WALL_MS_MAX: u64 = 2_000;
/// The shortest: a tick of the guests' clock, and a pause of the scheduler.
pub const GUEST_WALL_MS_MIN: u64 = 20;
/// Of what is left of a request's deadline a guest gets one part in so many; the rest is for what comes after it.
pub const GUEST_DEADLINE_PARTS: u64 = 2;
/// The least memory that a bucket may grant: what an allocator and a small stack want to start with.
pub const GUEST_MEMORY_BYTES_MIN: usize = 1024 * 1024;
/// The least output that a bucket may grant.
pub const GUEST_OUTPUT_BYTES_MIN: usize = 1;
/// The most lines of one call that a bucket may keep.
pub const GUEST_LOG_LINES_SET_MAX: usize = 256;
/// Fuel that a plugin may burn in a second for one bucket on one node: about a core's worth.
pub const GUEST_FUEL_PER_SECOND_DEFAULT: u64 = 1_000_000_000;
/// The most that a bucket may grant in a second: a large machine's worth.
pub const GUEST_FUEL_PER_SECOND_MAX: u64 = 1_000_000_000_000;
/// Pairs of bucket and plugin of which a node remembers budget and breaker; the idle ones make room.
pub const GUEST_LANES_MAX: usize = 1_024;
/// Failures in a row, all by the plugin's fault, after which it is not asked for a while.
pub const BREAKER_FAILURES: u32 = 5;
/// How long it is not asked.
pub const BREAKER_REST_MS: u64 = 30_000;
/// Merges that a node remembers.
pub const MEMO_ENTRIES_MAX: usize = 4_096;
/// Bytes of their results.
pub const MEMO_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Siblings that are read for the name of a merge; beyond it the merge is made anew, which costs little more.
pub const MEMO_QUESTION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The latest calls whose fuel and time are remembered exactly, per bucket and plugin.
pub const METER_WINDOW: usize = 512;
/// Lines that a node keeps of one plugin's log.
pub const PLUGIN_LOG_LINES_MAX: usize = 512;
/// Plugins whose logs a node keeps; the one that was silent for longest makes room.
pub const PLUGIN_LOGS_MAX: usize = 64;
/// Pairs of bucket and plugin that have labels of their own in the metrics.
pub const METRIC_LANES_MAX: usize = 64;
/// Keys in conflict that one shard knows; beyond it the rest is found by the next walk.
pub const CONFLICTS_KNOWN_MAX: usize = 64 * 1024;
/// How long a key has to be left alone before its siblings are merged in the background: a client that reads it is
/// likely to write it.
pub const CONVERGE_QUIET_MS_DEFAULT: u64 = 10_000;
/// The longest that an operator may choose.
pub const CONVERGE_QUIET_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Background merges of one shard that are under way.
pub const CONVERGE_WINDOW: usize = 8;
/// How long one of them may take.
pub const CONVERGE_TIMEOUT_MS: u64 = 5_000;
/// Before a background merge that came to nothing is tried again; doubled with each failure.
pub const CONVERGE_RETRY_MS: u64 = 5_000;
/// The longest pause between two tries.
pub const CONVERGE_RETRY_MS_MAX: u64 = 10 * 60 * 1_000;
/// Keys of one page of a list of conflicts.
pub const CONFLICTS_PAGE_MAX: usize = 1_000;
/// Keys that one dry run of a validator judges.
pub const DRY_RUN_KEYS_MAX: usize = 10_000;
/// Keys of a dry run whose sample nobody chose.
pub const DRY_RUN_KEYS_DEFAULT: usize = 1_000;
/// Refusals that a dry run shows.
pub const DRY_RUN_SHOWN_MAX: usize = 20;
