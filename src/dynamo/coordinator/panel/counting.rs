//! Who of a panel has answered, who may, and who has not (Dynamo 4.5, 4.6).
//!
//! Invariant: a seat counts once, whoever answers in it.

use super::super::super::bucket::Ack;
use super::super::super::names::NodeId;
use super::super::seat::{Asked, Seat, State};
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

    /// Seats in which somebody has answered durably.
    pub fn durable_answered(&self) -> usize {
        self.durable_seats(|state| state == State::Answered)
    }

    /// Those, and seats in which somebody may.
    pub(super) fn durable_possible(&self) -> usize {
        self.durable_seats(|state| state != State::Failed)
    }

    fn durable_seats(&self, counts: impl Fn(State) -> bool) -> usize {
        let is_durable =
            |asked: &Asked| counts(asked.state) && self.ack_of(&asked.node) == Ack::Durable;
        let seats = self.seats.iter();
        seats
            .filter(|seat| seat.asked.iter().any(is_durable))
            .count()
    }

    /// Durable answers that are needed.
    pub fn durable_needed(&self) -> usize {
        usize::from(self.durable.needed)
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

    /// Whether anybody had too much to do.
    pub fn was_turned_away(&self) -> bool {
        self.turned_away > 0
    }

    /// How a node is asked to acknowledge.
    pub fn ack_of(&self, node: &NodeId) -> Ack {
        self.durable.ack_of(node)
    }
}
