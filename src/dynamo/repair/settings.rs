//! What may be set of the work beside the requests; the defaults are in `limits`.
//!
//! Says nothing of what is done with it.
//!
//! Invariant: a shard is told of its share and of all its times here, and nowhere else.

use super::schedule::Share;
use crate::limits::{
    ANTI_ENTROPY_INTERVAL_MS_DEFAULT, CONVERGE_QUIET_MS_DEFAULT, FOREGROUND_P99_MS_DEFAULT,
    HINT_BYTES_MAX, HINT_RETRY_MS, HINT_WINDOW, HINTS_MAX, PROBE_MS, REAP_INTERVAL_MS_DEFAULT,
    STAND_IN_AFTER_MS, SUSPECT_MS, TOMBSTONE_HORIZON_MS_DEFAULT,
};

/// Times and bounds of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Which partitions are this shard's.
    pub share: Share,
    /// How long a suspected peer has to show that it can be reached.
    pub suspect_ms: u64,
    /// Between two probes of a peer that is down.
    pub probe_ms: u64,
    /// How long a replica may be silent before another node stands in for it.
    pub stand_in_after_ms: u64,
    /// Hints that are kept.
    pub hints_max: usize,
    /// Bytes of all hints that are kept.
    pub hint_bytes_max: usize,
    /// Before a hint is offered to its home again.
    pub hint_retry_ms: u64,
    /// Hints that are on their way to one node at a time.
    pub hint_window: usize,
    /// Between two rounds of anti-entropy; 0: only on command.
    pub anti_entropy_interval_ms: u64,
    /// Background work backs off when the 99th percentile of requests takes longer.
    pub foreground_p99_ms: u64,
    /// Between two walks in search of tombstones that can go; 0: only on command.
    pub reap_interval_ms: u64,
    /// How long everybody has to know of nothing but the tombstone before it goes.
    pub tombstone_horizon_ms: u64,
    /// How long a key in conflict has to be left alone before it is merged in the background; 0: never.
    pub converge_quiet_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            share: Share::ALL,
            suspect_ms: SUSPECT_MS,
            probe_ms: PROBE_MS,
            stand_in_after_ms: STAND_IN_AFTER_MS,
            hints_max: HINTS_MAX,
            hint_bytes_max: HINT_BYTES_MAX,
            hint_retry_ms: HINT_RETRY_MS,
            hint_window: HINT_WINDOW,
            anti_entropy_interval_ms: ANTI_ENTROPY_INTERVAL_MS_DEFAULT,
            foreground_p99_ms: FOREGROUND_P99_MS_DEFAULT,
            reap_interval_ms: REAP_INTERVAL_MS_DEFAULT,
            tombstone_horizon_ms: TOMBSTONE_HORIZON_MS_DEFAULT,
            converge_quiet_ms: CONVERGE_QUIET_MS_DEFAULT,
        }
    }
}
