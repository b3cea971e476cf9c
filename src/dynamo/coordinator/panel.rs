//! The nodes that are asked for the N copies of a key, who stands in for whom, and what has come back.
//!
//! Dynamo 4.5, 4.6 (sloppy quorum: the first N healthy nodes). Knows nothing of time or network: the
//! coordinator reports answers, failures and silence.
//!
//! Each primary has a seat. If it is down, fails or is late, the next node of the preference list takes the
//! seat beside it. A seat counts once, whoever answers in it, so W answers lead to W copies.
//!
//! Invariant: once decided, later answers never change the verdict. A stand-in that knows nothing of the key counts
//! only when nobody is left who could know better: its silence must not hide an acknowledged write.

use super::super::names::NodeId;
use super::super::ring::placement::Seats;
use super::durable::Durable;
use super::quorum::{Needed, Verdict};
use super::seat::{Asked, Errand, Seat, State, asked, errand};
use std::collections::VecDeque;

mod counting;

/// All seats of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panel {
    needed: Needed,
    durable: Durable,
    seats: Vec<Seat>,
    /// Who may still stand in, best first.
    bench: VecDeque<NodeId>,
    /// Spells of waiting that are over.
    spells: u32,
    /// Answers by those who have too much to do.
    turned_away: usize,
    verdict: Verdict,
}

impl Panel {
    /// Asks the primaries, and for those that are down whoever is next in the list, if there is one.
    pub fn new(seats: Seats, is_down: impl Fn(&NodeId) -> bool, needed: Needed) -> Self {
        let (mut bench, unlikely): (VecDeque<_>, VecDeque<_>) =
            seats.others.into_iter().partition(|node| !is_down(node));
        // Who will keep the key is sent it anyway, and is the last to keep it for somebody else.
        let (last, first): (VecDeque<_>, VecDeque<_>) = bench
            .into_iter()
            .partition(|node| seats.pending.contains(node));
        bench = first;
        bench.extend(last);
        let mut panel = Self {
            needed,
            durable: Durable::nothing(),
            seats: Vec::new(),
            bench,
            spells: 0,
            turned_away: 0,
            verdict: Verdict::Pending,
        };
        for home in seats.primaries {
            let stand_in = match is_down(&home) {
                true => panel.bench.pop_front(),
                false => None,
            };
            let node = stand_in.unwrap_or_else(|| home.clone());
            panel.seats.push(Seat {
                asked: vec![asked(node, true)],
                home,
            });
        }
        panel.bench.extend(unlikely);
        panel.decide();
        panel
    }

    /// The same, with so many durable answers among those that are needed.
    pub fn with_durable(mut self, durable: Durable) -> Self {
        self.durable = durable;
        self
    }

    /// The same, with a seat taken by a coordinator that keeps no copy itself.
    pub fn led_by(mut self, me: &NodeId, seat: &NodeId) -> Self {
        self.bench.retain(|node| node != me);
        let mut freed = Vec::new();
        for taken in &mut self.seats {
            let is_mine = taken.home == *seat;
            let held = taken.asked.iter().any(|asked| asked.node == *me);
            if is_mine {
                freed.extend(taken.asked.drain(..).map(|asked| asked.node));
                taken.asked.push(asked(me.clone(), true));
            } else if held {
                taken.asked.clear();
            }
        }
        freed.retain(|node| node != me && node != seat);
        for node in freed.into_iter().rev() {
            self.bench.push_front(node);
        }
        for empty in self.seats.iter_mut().filter(|seat| seat.asked.is_empty()) {
            let node = self.bench.pop_front();
            let node = node.unwrap_or_else(|| empty.home.clone());
            empty.asked.push(asked(node, true));
        }
        self
    }

    /// Everyone who is asked so far.
    pub fn errands(&self) -> Vec<Errand> {
        let errands = self.seats.iter().flat_map(|seat| {
            seat.asked
                .iter()
                .map(|asked| errand(&seat.home, &asked.node))
        });
        errands.collect()
    }

    /// An answer; `knows` is whether it holds anything of the key.
    pub fn on_answer(&mut self, from: &NodeId, knows: bool) -> Verdict {
        if let Some((is_home, asked)) = self.find(from) {
            asked.state = match knows || is_home {
                true => State::Answered,
                false => State::Empty,
            };
        }
        self.decide()
    }

    /// Somebody will not answer. Another may be asked instead, as long as nothing is decided.
    pub fn on_failure(&mut self, from: &NodeId) -> (Verdict, Option<Errand>) {
        let Some((_, asked)) = self.find(from) else {
            return (self.verdict, None);
        };
        if asked.state != State::Silent {
            return (self.verdict, None);
        }
        asked.state = State::Failed;
        let seat = self.seats.iter().position(|seat| {
            seat.asked.iter().any(|asked| asked.node == *from)
                && !seat.has(State::Answered)
                && !seat.has(State::Silent)
        });
        let errand = match (self.verdict, seat) {
            (Verdict::Pending, Some(seat)) => self.fill(seat),
            _ => None,
        };
        (self.decide(), errand)
    }

    /// Somebody has too much to do. Another is asked instead, but no more than one for each seat in all: where everybody
    /// has too much to do, asking everybody would only make it worse.
    pub fn on_overloaded(&mut self, from: &NodeId) -> (Verdict, Option<Errand>) {
        self.turned_away += 1;
        if self.turned_away > self.seats.len() {
            self.bench.clear();
        }
        self.on_failure(from)
    }

    /// A spell of waiting is over: the seats that nobody has answered in get somebody else beside.
    pub fn on_late(&mut self) -> Vec<Errand> {
        self.spells += 1;
        let late: Vec<usize> = (0..self.seats.len())
            .filter(|seat| {
                let seat = &self.seats[*seat];
                let mut silent = seat.asked.iter().filter(|a| a.state == State::Silent);
                !seat.has(State::Answered) && silent.all(|asked| asked.is_waited_for)
            })
            .collect();
        for asked in self.seats.iter_mut().flat_map(|seat| &mut seat.asked) {
            asked.is_waited_for = true;
        }
        if self.verdict != Verdict::Pending {
            return Vec::new();
        }
        late.into_iter()
            .filter_map(|seat| self.fill(seat))
            .collect()
    }

    fn fill(&mut self, seat: usize) -> Option<Errand> {
        let seat = &mut self.seats[seat];
        // Who counts as down is asked when there is nobody else.
        let last =
            Some(seat.home.clone()).filter(|home| seat.asked.iter().all(|a| a.node != *home));
        let node = self.bench.pop_front().or(last)?;
        seat.asked.push(asked(node.clone(), false));
        Some(errand(&seat.home, &node))
    }

    fn find(&mut self, node: &NodeId) -> Option<(bool, &mut Asked)> {
        self.seats.iter_mut().find_map(|seat| {
            let is_home = seat.home == *node;
            let found = seat.asked.iter_mut().find(|asked| asked.node == *node)?;
            Some((is_home, found))
        })
    }

    fn decide(&mut self) -> Verdict {
        if self.verdict == Verdict::Pending {
            let needed = (
                usize::from(self.needed.answers),
                usize::from(self.needed.primaries),
            );
            let primaries = self.primaries_possible();
            let hopeful = |seat: &&Seat| seat.asked.iter().any(|a| a.state != State::Failed);
            let answers = match self.was_turned_away() && self.is_complete() {
                true => self.answered(),
                false => self.seats.iter().filter(hopeful).count(),
            };
            let durable = usize::from(self.durable.needed);
            let is_reached = self.answered() >= needed.0
                && self.primaries_answered() >= needed.1
                && self.durable_answered() >= durable;
            self.verdict = if is_reached {
                Verdict::Reached
            } else if answers < needed.0
                || primaries < needed.1
                || self.durable_possible() < durable
            {
                Verdict::Impossible
            } else {
                Verdict::Pending
            };
        }
        self.verdict
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub fn needed(&self) -> Needed {
        self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn seats(primaries: &[&str], others: &[&str]) -> Seats {
        Seats {
            primaries: primaries.iter().map(|name| node(name)).collect(),
            pending: Vec::new(),
            others: others.iter().map(|name| node(name)).collect(),
        }
    }

    fn needs(answers: u8, primaries: u8) -> Needed {
        Needed { answers, primaries }
    }

    fn nobody(_: &NodeId) -> bool {
        false
    }

    fn told(errands: Vec<Errand>) -> Vec<String> {
        let tell = |errand: Errand| match errand.hint_for {
            Some(home) => format!("{} for {home}", errand.to),
            None => errand.to.to_string(),
        };
        errands.into_iter().map(tell).collect()
    }

    #[test]
    fn one_replica_that_answers_twice_counts_once() {
        let mut panel = Panel::new(seats(&["a", "b", "c"], &[]), nobody, needs(2, 0));
        assert_eq!(panel.on_answer(&node("a"), true), Verdict::Pending);
        assert_eq!(panel.on_answer(&node("a"), true), Verdict::Pending);
        assert_eq!(panel.on_answer(&node("b"), true), Verdict::Reached);
    }

    #[test]
    fn it_is_impossible_as_soon_as_too_few_are_left() {
        let mut panel = Panel::new(seats(&["a", "b", "c"], &[]), nobody, needs(2, 0));
        assert_eq!(panel.on_failure(&node("a")), (Verdict::Pending, None));
        assert_eq!(panel.on_failure(&node("b")), (Verdict::Impossible, None));
        assert_eq!(panel.on_answer(&node("b"), true), Verdict::Impossible);
    }

    #[test]
    fn a_failure_after_the_quorum_changes_nothing() {
        let mut panel = Panel::new(seats(&["a", "b"], &["c"]), nobody, needs(1, 0));
        assert_eq!(panel.on_answer(&node("a"), true), Verdict::Reached);
        assert_eq!(panel.on_failure(&node("b")), (Verdict::Reached, None));
        assert!(panel.is_complete());
        assert_eq!(panel.missing(), [node("b")]);
    }

    #[test]
    fn a_quorum_beyond_the_replicas_is_impossible_from_the_start() {
        let panel = Panel::new(seats(&["a", "b"], &["c"]), nobody, needs(3, 0));
        assert_eq!(panel.verdict(), Verdict::Impossible);
    }

    #[test]
    fn the_first_healthy_nodes_of_the_list_are_asked() {
        let down = |gone: &NodeId| *gone == node("b") || *gone == node("d");
        let panel = Panel::new(seats(&["a", "b", "c"], &["d", "e"]), down, needs(2, 0));
        assert_eq!(told(panel.errands()), ["a", "e for b", "c"]);
    }

    #[test]
    fn who_is_down_is_asked_all_the_same_if_there_is_nobody_else() {
        let panel = Panel::new(seats(&["a", "b"], &["c"]), |_| true, needs(2, 0));
        assert_eq!(told(panel.errands()), ["a", "b"]);
    }

    #[test]
    fn a_failed_primary_and_a_failed_stand_in_are_replaced_by_the_next() {
        let mut panel = Panel::new(seats(&["a", "b"], &["c", "d"]), nobody, needs(2, 0));
        let (_, first) = panel.on_failure(&node("b"));
        assert_eq!(told(first.into_iter().collect()), ["c for b"]);
        let (_, second) = panel.on_failure(&node("c"));
        assert_eq!(told(second.into_iter().collect()), ["d for b"]);
        panel.on_answer(&node("a"), true);
        assert_eq!(panel.on_answer(&node("d"), true), Verdict::Reached);
        assert_eq!((panel.answered(), panel.primaries_answered()), (2, 1));
        assert_eq!(panel.missing(), []);
    }

    #[test]
    fn who_is_overloaded_is_replaced_and_where_all_are_there_is_an_end_to_it() {
        let others = ["d", "e", "f", "g", "h", "i"];
        let mut panel = Panel::new(seats(&["a", "b", "c"], &others), nobody, needs(2, 0));
        let mut asked: VecDeque<NodeId> = panel.errands().into_iter().map(|e| e.to).collect();
        let mut count = asked.len();
        while let Some(node) = asked.pop_front() {
            let (_, errand) = panel.on_overloaded(&node);
            count += usize::from(errand.is_some());
            asked.extend(errand.map(|errand| errand.to));
        }
        assert_eq!((count, panel.verdict()), (6, Verdict::Impossible));
        assert!(panel.was_turned_away());
    }

    #[test]
    fn a_stand_in_that_knows_nothing_does_not_speak_for_who_is_overloaded() {
        let mut panel = Panel::new(seats(&["a", "b"], &["c", "d"]), nobody, needs(1, 0));
        panel.on_overloaded(&node("a"));
        panel.on_overloaded(&node("b"));
        assert_eq!(panel.on_answer(&node("c"), false), Verdict::Pending);
        let mut found = panel.clone();
        assert_eq!(found.on_answer(&node("d"), true), Verdict::Reached);
        assert_eq!(panel.on_answer(&node("d"), false), Verdict::Impossible);
    }

    #[test]
    fn a_late_primary_and_its_stand_in_count_as_one() {
        let mut panel = Panel::new(seats(&["a", "b", "c"], &["d"]), nobody, needs(2, 0));
        panel.on_answer(&node("a"), true);
        assert_eq!(told(panel.on_late()), ["d for b"]);
        assert_eq!(panel.silent(), [node("b"), node("c")]);
        let mut both = panel.clone();
        assert_eq!(both.on_answer(&node("d"), true), Verdict::Reached);
        let mut narrow = Panel::new(seats(&["a", "b"], &["d"]), nobody, needs(2, 0));
        narrow.on_late();
        narrow.on_answer(&node("a"), true);
        assert_eq!(narrow.on_answer(&node("d"), true), Verdict::Pending);
    }

    #[test]
    fn a_stand_in_that_knows_nothing_counts_only_when_nobody_could_know_better() {
        let down = |gone: &NodeId| *gone == node("b");
        let mut panel = Panel::new(seats(&["a", "b"], &["c"]), down, needs(1, 0));
        assert_eq!(panel.on_answer(&node("c"), false), Verdict::Pending);
        let mut answered = panel.clone();
        assert_eq!(answered.on_answer(&node("a"), false), Verdict::Reached);
        assert_eq!(panel.on_failure(&node("a")).0, Verdict::Reached);
        assert_eq!(panel.answered(), 1);
    }

    #[test]
    fn primaries_that_are_needed_are_waited_for_and_their_loss_is_final() {
        let mut panel = Panel::new(seats(&["a", "b", "c"], &["d", "e"]), nobody, needs(2, 2));
        panel.on_failure(&node("b"));
        assert_eq!(panel.on_answer(&node("d"), true), Verdict::Pending);
        assert_eq!(panel.on_answer(&node("a"), true), Verdict::Pending);
        assert_eq!(panel.clone().on_answer(&node("c"), true), Verdict::Reached);
        assert_eq!(panel.on_failure(&node("c")).0, Verdict::Impossible);
    }

    #[test]
    fn a_coordinator_without_a_copy_takes_the_seat_of_a_primary() {
        let down = |gone: &NodeId| ["a", "b"].contains(&gone.as_str());
        let panel = Panel::new(seats(&["a", "b"], &["c", "d", "e"]), down, needs(2, 0));
        assert_eq!(told(panel.errands()), ["c for a", "d for b"]);
        let led = panel.led_by(&node("d"), &node("a"));
        assert_eq!(told(led.errands()), ["d for a", "c for b"]);
    }
}
