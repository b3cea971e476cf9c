//! What a node counts of its copies.
//!
//! Invariant: a counter goes up only; `siblings_max` is the greatest ever seen.

/// What has happened to this node's copies since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Objects written to the storage. Reads and repairs of equal states add nothing (law 6).
    pub storage_writes: u64,
    /// Clocks that knew more of this process's writes than its own record did.
    pub amnesia_detected: u64,
    /// Items that failed their checksum and were treated as missing.
    pub checksum_errors: u64,
    /// The most siblings that an object was left with.
    pub siblings_max: u64,
    /// Writes that left more siblings than `SIBLINGS_WARN`.
    pub siblings_warnings: u64,
    /// Merges whose inputs were kept.
    pub merges_retained: u64,
    /// Hints that were turned away because there are too many.
    pub hints_dropped: u64,
    /// Records of deleted keys that went, after everybody had vouched.
    pub tombstones_reaped: u64,
    /// Actors that went from a clock, after everybody had vouched.
    pub actors_retired: u64,
    /// Records of removed buckets that went, in whatever role they were kept.
    pub records_cleared: u64,
}
