//! What a shard has seen of how busy the others are, and whom it therefore passes a put on to.
//!
//! Dynamo 5: any of the first N nodes may coordinate a put, so that load is shared; one that read the key just now comes
//! first. Nothing is measured for it: a node that is slow, for whatever reason, has puts of ours that it has not answered, and
//! one that has too much to do says so.
//!
//! Invariant: every node of the list stays in it; pressure decides the order alone.

use super::super::names::{Millis, NodeId, Ticket};
use crate::limits::disk::FULL_REMEMBERED_MS;
use crate::limits::{BUSY_MS, STAND_IN_AFTER_MS};
use std::collections::BTreeMap;

/// Unanswered puts by which one node has to be ahead of another before that is passed the next put: fewer are noise.
const PASSED_ON_CLASS: usize = 8;

/// How one shard sees the others.
#[derive(Debug, Default)]
pub struct Pressure {
    /// Puts that a node was passed and has not answered, since when. Tickets count up, so the first is the oldest.
    passed: BTreeMap<NodeId, BTreeMap<Ticket, Millis>>,
    /// Who has said that it has too much to do, and until when that is believed.
    busy: BTreeMap<NodeId, Millis>,
    /// Who has said that its disk is full, and until when that is believed.
    full: BTreeMap<NodeId, Millis>,
}

impl Pressure {
    pub fn on_passed(&mut self, to: NodeId, ticket: Ticket, now: Millis) {
        self.passed.entry(to).or_default().insert(ticket, now);
    }

    /// The put was answered, or is not waited for any more.
    pub fn on_over(&mut self, to: &NodeId, ticket: Ticket) {
        if let Some(open) = self.passed.get_mut(to) {
            open.remove(&ticket);
            if open.is_empty() {
                self.passed.remove(to);
            }
        }
    }

    /// A node has turned something away. Believed for a moment only, so that it is asked again.
    pub fn on_busy(&mut self, node: NodeId, now: Millis) {
        self.busy.retain(|_, until| *until > now);
        self.busy.insert(node, now.after(BUSY_MS));
    }

    pub fn is_busy(&self, node: &NodeId, now: Millis) -> bool {
        self.busy.get(node).is_some_and(|until| *until > now)
    }

    /// A node has no room. Believed for a moment only, so that it is asked again.
    pub fn on_full(&mut self, node: NodeId, now: Millis) {
        self.full.retain(|_, until| *until > now);
        self.full.insert(node, now.after(FULL_REMEMBERED_MS));
    }

    pub fn is_full(&self, node: &NodeId, now: Millis) -> bool {
        self.full.get(node).is_some_and(|until| *until > now)
    }

    /// The same nodes, those that will answer soonest first. Among equals `fastest` comes first, then who came first.
    pub fn order(
        &self,
        mut nodes: Vec<NodeId>,
        fastest: Option<&NodeId>,
        now: Millis,
    ) -> Vec<NodeId> {
        nodes.sort_by_cached_key(|node| {
            let open = self.passed.get(node);
            let oldest = open.and_then(|open| open.values().next());
            let is_late = oldest.is_some_and(|at| now.since(*at) >= STAND_IN_AFTER_MS);
            let class = open.map_or(0, BTreeMap::len) / PASSED_ON_CLASS;
            (
                is_late || self.is_busy(node, now) || self.is_full(node, now),
                class,
                Some(node) != fastest,
            )
        });
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn ticket(count: u64) -> Ticket {
        Ticket { life: 1, count }
    }

    fn order(pressure: &Pressure, fastest: Option<&str>, now: u64) -> String {
        let nodes = ["a", "b", "c"].map(node).to_vec();
        let fastest = fastest.map(node);
        let ordered = pressure.order(nodes, fastest.as_ref(), Millis(now));
        ordered.iter().map(NodeId::as_str).collect()
    }

    #[test]
    fn without_pressure_the_fastest_comes_first_and_the_list_stays_as_it_is() {
        let pressure = Pressure::default();
        assert_eq!(order(&pressure, None, 0), "abc");
        assert_eq!(order(&pressure, Some("c"), 0), "cab");
        assert_eq!(order(&pressure, Some("x"), 0), "abc");
    }

    #[test]
    fn a_node_that_does_not_answer_comes_last_until_it_does() {
        let mut pressure = Pressure::default();
        pressure.on_passed(node("a"), ticket(1), Millis(0));
        assert_eq!(order(&pressure, Some("a"), STAND_IN_AFTER_MS - 1), "abc");
        assert_eq!(order(&pressure, Some("a"), STAND_IN_AFTER_MS), "bca");
        pressure.on_over(&node("a"), ticket(1));
        assert_eq!(order(&pressure, Some("a"), STAND_IN_AFTER_MS), "abc");
        assert!(pressure.passed.is_empty());
    }

    #[test]
    fn puts_are_shared_out_before_anybody_is_late() {
        let mut pressure = Pressure::default();
        let mut firsts = BTreeMap::new();
        for count in 0..3 * PASSED_ON_CLASS as u64 {
            let first = order(&pressure, None, 0).remove(0).to_string();
            pressure.on_passed(node(&first), ticket(count), Millis(0));
            *firsts.entry(first).or_insert(0) += 1;
        }
        assert!(
            firsts.values().all(|puts| *puts == PASSED_ON_CLASS),
            "{firsts:?}"
        );
    }

    #[test]
    fn a_node_whose_disk_is_full_comes_last_for_a_moment() {
        let mut pressure = Pressure::default();
        pressure.on_full(node("a"), Millis(0));
        assert_eq!(order(&pressure, Some("a"), FULL_REMEMBERED_MS - 1), "bca");
        assert_eq!(order(&pressure, Some("a"), FULL_REMEMBERED_MS), "abc");
    }

    #[test]
    fn a_node_that_is_busy_comes_last_for_a_moment() {
        let mut pressure = Pressure::default();
        pressure.on_busy(node("a"), Millis(0));
        assert_eq!(order(&pressure, Some("a"), BUSY_MS - 1), "bca");
        assert_eq!(order(&pressure, Some("a"), BUSY_MS), "abc");
    }
}
