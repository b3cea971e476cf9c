//! What a shard has done since it started, for whoever counts.
//!
//! Invariant: a field only grows, but for those that say `now`.

use super::super::replica::counters::Counters;

/// What a shard has done since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    pub copies: Counters,
    pub gets: u64,
    pub puts: u64,
    /// Stale replicas that were sent what they lacked after a get.
    pub read_repairs: u64,
    /// Steps of listings that were coordinated.
    pub lists: u64,
    /// Puts that were passed on to a node that keeps the key.
    pub forwards: u64,
    /// Questions put to guests.
    pub guest_calls: u64,
    /// Guests that gave no usable answer.
    pub guest_failures: u64,
    /// Warnings in the replies to puts.
    pub put_warnings: u64,
    /// Keys in which anti-entropy changed something on either side.
    pub anti_entropy_repairs: u64,
    /// Keys that changed something where a change of the owners took them.
    pub keys_transferred: u64,
    /// Copies that went to their owners, and away from here.
    pub strays_handed_over: u64,
    /// Background items that are admitted in a second, as of now.
    pub background_rate: u64,
    /// Nodes that were asked in the place of a primary.
    pub stand_ins: u64,
    /// Hints that are kept now, for whomever, and their bytes.
    pub hints_pending: u64,
    pub hint_bytes: u64,
    /// Hints that have reached their home.
    pub hints_delivered: u64,
    /// Keys in conflict in this node's own copies, as far as they are known.
    pub conflicts_open: u64,
    /// Merges of cold keys that were stored, and tries that came to nothing.
    pub background_merges: u64,
    pub background_merges_failed: u64,
    /// Keys of which nothing went, because somebody did not vouch for them.
    pub reaps_refused: u64,
}
