//! What one law check may cost.
//!
//! Invariant: what ends a check early is counted in calls and fuel, which are the same everywhere; the clock only makes
//! an error.

/// Siblings of one case; more make more groups, not other laws.
pub const CASE_SIBLINGS_MAX: usize = 16;
/// Cases that are made of the author's samples.
pub const MUTATED_CASES: usize = 64;
/// Sibling sets of a bucket that a binding is tried on.
pub const LIVE_CASES_MAX: usize = 200;
/// Calls of one check; a case takes about 25, and many of them are answered from memory.
pub const CHECK_CALLS_MAX: u64 = 12_000;
/// Fuel of one check: a few seconds of CPU time, and 80 calls that use all of the default.
pub const CHECK_FUEL_MAX: u64 = 4_000_000_000;
/// Calls that making one counterexample small may take.
pub const SHRINK_CALLS_MAX: u64 = 600;
/// Fuel of the same: ten calls that use all of the default.
pub const SHRINK_FUEL_MAX: u64 = 500_000_000;
/// Wall clock of one call: a busy node must not decide what fuel decides.
pub const CALL_WALL_MS: u64 = 5_000;
/// Wall clock of one check; a push waits for it, for 60 s at most.
pub const CHECK_WALL_MS: u64 = 30_000;
/// Orders that a list of more than three siblings is tried in, besides its own.
pub const ORDERS_MAX: usize = 6;
/// Histories of three replicas that a sample is put through.
pub const HISTORIES: u64 = 3;
/// Of a value in a message, so many bytes are shown.
pub const SHOWN_BYTES_MAX: usize = 48;

const _: () = assert!(SHRINK_CALLS_MAX < CHECK_CALLS_MAX);
const _: () = assert!(SHRINK_FUEL_MAX < CHECK_FUEL_MAX);
const _: () = assert!(CALL_WALL_MS < CHECK_WALL_MS);
