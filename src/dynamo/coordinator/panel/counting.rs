//! Who of a panel has answered, who may, and who has not (Dynamo 4.5, 4.6).
//!
//! Invariant: a seat counts once, whoever answers in it.

use super::super::super::names::NodeId;
use super::super::seat::{Seat, State};
use super::Panel;

impl Panel {
    /// Who has been waited for and has said nothing.
    pub fn silent(&self) -> Vec<NodeId> {
        let asked = self.seats.iter().flat_map(|seat| &seat.asked);
        asked
            .filter(|asked| asked.state == State::Silent && asked.is_waited_for)
            .map(|asked| asked.node.clone())
            .collect()
    }

    /// Nobody who was asked is still silent.
    pub fn is_complete(&self) -> bool {
        !self.seats.iter().any(|seat| seat.has(State::Silent))
    }

    /// Whether the end of a spell of waiting tells anything: who is late, or who could be asked instead.
    pub fn is_worth_waking(&self) -> bool {
        self.spells == 0 || !self.bench.is_empty()
    }

    /// Seats in which somebody has answered.
    pub fn answered(&self) -> usize {
        // Who has turned the question away may know better, and says so when it has less to do.
        let is_over = self.is_complete() && !self.was_turned_away();
        let counts =
            |seat: &&Seat| seat.has(State::Answered) || (is_over && seat.has(State::Empty));
        self.seats.iter().filter(counts).count()
    }

    pub fn primaries_answered(&self) -> usize {
        let answered = |seat: &&Seat| seat.home_is(State::Answered);
        self.seats.iter().filter(answered).count()
    }

    /// Primaries that have answered or still may.
    pub fn primaries_possible(&self) -> usize {
        let may = |seat: &&Seat| seat.home_is(State::Answered) || seat.home_is(State::Silent);
        self.seats.iter().filter(may).count()
    }

    /// Whether a node keeps the key, rather than standing in for somebody.
    pub fn is_primary(&self, node: &NodeId) -> bool {
        self.seats.iter().any(|seat| seat.home == *node)
    }

    /// The primaries in whose seats nobody has answered.
    pub fn missing(&self) -> Vec<NodeId> {
        let empty = self.seats.iter().filter(|seat| !seat.has(State::Answered));
        empty.map(|seat| seat.home.clone()).collect()
    }

    pub fn asks(&self, node: &NodeId) -> bool {
        let mut asked = self.seats.iter().flat_map(|seat| &seat.asked);
        asked.any(|asked| asked.node == *node)
    }

    pub fn seats(&self) -> usize {
        self.seats.len()
    }
}
