//! A shard that has too much to do says so at once, and turns to others where they have (Dynamo 5, 6).
//!
//! Invariant: what was begun is finished: only what is new is turned away, and what this shard asks itself never is.

use super::super::coordinator::quorum::Needed;
use super::super::coordinator::request::PutRequest;
use super::super::names::NodeId;
use super::super::replica::storage::Storage;
use super::super::ring::placement::Seats;
use super::router::Machine;
use crate::limits::{CONVERSATIONS_MAX, SHARD_WAITING_MAX};

impl<S: Storage> Machine<S> {
    /// The limit beyond which this shard is, if it is beyond one.
    pub(super) fn overload(&self) -> Option<usize> {
        match (self.desk.is_full(), self.desk.waiting >= SHARD_WAITING_MAX) {
            (true, _) => Some(CONVERSATIONS_MAX),
            (false, true) => Some(SHARD_WAITING_MAX),
            (false, false) => None,
        }
    }

    /// Whether a node that asks for a copy has to ask another.
    pub(super) fn turns_away(&self, from: &NodeId) -> bool {
        *from != self.me && self.desk.waiting >= SHARD_WAITING_MAX
    }

    /// The others of these nodes that can be reached, those that will answer soonest first.
    pub(super) fn in_order(&self, request: &PutRequest, nodes: Vec<NodeId>) -> Vec<NodeId> {
        let others = nodes.into_iter();
        let others = others.filter(|node| *node != self.me && !self.detector.is_down(node));
        let fastest = request.context.fastest.as_ref();
        let now = self.desk.now.monotonic;
        self.pressure.order(others.collect(), fastest, now)
    }

    /// Whether so many nodes have lately turned something away that what is stored here would not get to enough others:
    /// better to say so before anything is stored than to leave the outcome open.
    pub(super) fn are_too_many_busy(&self, seats: &Seats, needed: Needed) -> bool {
        let now = self.desk.now.monotonic;
        let is_free = |node: &&NodeId| {
            **node == self.me || (!self.pressure.is_busy(node, now) && !self.detector.is_down(node))
        };
        let is_any_busy = |nodes: &[NodeId]| nodes.iter().any(|n| self.pressure.is_busy(n, now));
        let free = seats.primaries.iter().chain(&seats.others).filter(is_free);
        let has_busy = is_any_busy(&seats.primaries) || is_any_busy(&seats.others);
        has_busy && free.count() < usize::from(needed.answers)
    }
}
