//! The puts that other nodes passed on to this shard: a second copy of one must not make a second dot.
//!
//! A network may deliver twice. What a process had taken dies with it, and so do the connections on which
//! a second copy could come.
//!
//! Invariant: at most `FORWARDS_REMEMBERED_MAX` are remembered, the latest ones.

use super::super::names::{NodeId, Ticket};
use crate::limits::FORWARDS_REMEMBERED_MAX;
use std::collections::{BTreeSet, VecDeque};

/// Who passed a put on, and under which ticket.
type Name = (NodeId, Ticket);

#[derive(Debug, Default)]
pub(super) struct Passed {
    known: BTreeSet<Name>,
    oldest_first: VecDeque<Name>,
}

impl Passed {
    /// Notes a put. False: this is a second copy.
    pub(super) fn is_first(&mut self, from: &NodeId, ticket: Ticket) -> bool {
        let name = (from.clone(), ticket);
        if !self.known.insert(name.clone()) {
            return false;
        }
        self.oldest_first.push_back(name);
        if self.oldest_first.len() > FORWARDS_REMEMBERED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
