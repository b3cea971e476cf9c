//! What may be set of the work beside the requests; the defaults are in `limits`.

use crate::limits::{
    HINT_BYTES_MAX, HINT_RETRY_MS, HINT_WINDOW, HINTS_MAX, PROBE_MS, STAND_IN_AFTER_MS, SUSPECT_MS,
};

/// Times and bounds of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Which of how many shards of its node it is: partition `p` is served by shard `p % shards`.
    pub shard: (u16, u16),
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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shard: (0, 1),
            suspect_ms: SUSPECT_MS,
            probe_ms: PROBE_MS,
            stand_in_after_ms: STAND_IN_AFTER_MS,
            hints_max: HINTS_MAX,
            hint_bytes_max: HINT_BYTES_MAX,
            hint_retry_ms: HINT_RETRY_MS,
            hint_window: HINT_WINDOW,
        }
    }
}
