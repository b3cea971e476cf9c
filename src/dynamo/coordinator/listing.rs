//! One step of a listing: ask the first N healthy nodes of a partition for a stretch of keys, wait for R, unite.
//!
//! Not in the paper, but for who is asked (4.6). A key is listed if one of the R shows a value under it, so with R + W > N
//! no acknowledged key is missing; a key that was deleted moments ago may still show, and a get tells. Who stands in
//! knows only what came while its primary was away, so it counts when nobody is left who could know more. Repairs
//! nothing and asks no resolver.
//!
//! Invariant: what a step names as its end was reached by each of the R replicas, so no key before it is left out.

use super::super::names::{ClientId, Millis, NodeId};
use super::super::replica::stretch::{Listed, Stretch};
use super::panel::Panel;
use super::quorum::Verdict;
use super::request::GetError;
use super::seat::Errand;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The live keys of a stretch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    /// In ascending order.
    pub live: Vec<Bytes>,
    /// Where the next step goes on; none: the partition has no more.
    pub next: Option<Bytes>,
}

/// What the router has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait,
    Answer(Box<Keys>),
    Fail(GetError),
}

/// A step of a listing on its way.
#[derive(Debug)]
pub struct Listing {
    pub client: ClientId,
    pub stretch: Stretch,
    deadline: Millis,
    panel: Panel,
    errands: Vec<Errand>,
    /// When those who are silent get somebody beside them, and how long a spell of waiting is.
    late: (Millis, u64),
    found: BTreeMap<NodeId, Listed>,
}

impl Listing {
    /// A step that asks a panel, and after each so many milliseconds of silence one more node.
    pub fn start(
        client: ClientId,
        stretch: Stretch,
        panel: Panel,
        late: (Millis, u64),
        deadline: Millis,
    ) -> Self {
        Self {
            client,
            stretch,
            deadline,
            errands: panel.errands(),
            panel,
            late,
            found: BTreeMap::new(),
        }
    }

    /// Whom the router has to ask, each once.
    pub fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    /// Fails at once where the cluster is too small for R.
    pub fn check(&mut self) -> Step {
        self.advance(self.panel.verdict())
    }

    pub fn on_reply(&mut self, from: &NodeId, listed: Listed) -> Step {
        if !self.is_sound(&listed) {
            return self.on_failure(from);
        }
        if self.found.contains_key(from) || !self.panel.asks(from) {
            return Step::Wait; // The network delivered it twice.
        }
        self.found.insert(from.clone(), listed);
        // Only a primary can know all keys.
        let verdict = self.panel.on_answer(from, false);
        self.advance(verdict)
    }

    pub fn on_failure(&mut self, from: &NodeId) -> Step {
        let (verdict, errand) = self.panel.on_failure(from);
        self.errands.extend(errand);
        self.advance(verdict)
    }

    /// Somebody has too much to do.
    pub fn on_overloaded(&mut self, from: &NodeId) -> Step {
        let (verdict, errand) = self.panel.on_overloaded(from);
        self.errands.extend(errand);
        self.advance(verdict)
    }

    fn advance(&mut self, verdict: Verdict) -> Step {
        match verdict {
            Verdict::Reached => Step::Answer(Box::new(self.unite())),
            Verdict::Pending => Step::Wait,
            Verdict::Impossible => Step::Fail(GetError::too_few(&self.panel)),
        }
    }

    /// When `on_timer` is due.
    pub fn wakes_at(&self) -> Millis {
        match self.panel.is_worth_waking() {
            true => self.late.0.min(self.deadline),
            false => self.deadline,
        }
    }

    /// Time has passed: the client's, or only a spell of waiting.
    pub fn on_timer(&mut self, now: Millis) -> Step {
        if now >= self.deadline {
            return Step::Fail(GetError::deadline(&self.panel));
        }
        self.late.0 = now.after(self.late.1.max(1));
        self.errands.extend(self.panel.on_late());
        Step::Wait
    }

    /// Who has been waited for in vain.
    pub fn silent(&self) -> Vec<NodeId> {
        self.panel.silent()
    }

    pub fn asks(&self, node: &NodeId) -> bool {
        self.panel.asks(node)
    }

    /// A reply that named no end, or keys out of order, would make a listing leave keys out or never end.
    fn is_sound(&self, listed: &Listed) -> bool {
        let keys = listed.keys.iter().map(|listed| &listed.key);
        let is_ascending = listed.keys.is_sorted_by(|a, b| a.key < b.key);
        let goes_on = !(listed.more && listed.keys.is_empty());
        is_ascending && goes_on && keys.into_iter().all(|key| self.stretch.contains(key))
    }

    fn unite(&mut self) -> Keys {
        let found = std::mem::take(&mut self.found);
        let ends = found.values().filter(|listed| listed.more);
        let ends = ends.filter_map(|listed| listed.keys.last());
        let end = ends.map(|listed| listed.key.clone()).min();
        let keys = found.into_values().flat_map(|listed| listed.keys);
        let live: BTreeSet<Bytes> = keys
            .filter(|listed| listed.is_live)
            .map(|listed| listed.key)
            .filter(|key| end.as_ref().is_none_or(|end| key <= end))
            .collect();
        Keys {
            live: live.into_iter().collect(),
            next: end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::names::BucketName;
    use super::super::super::replica::stretch::ListedKey;
    use super::super::super::ring::partition::PartitionId;
    use super::super::super::ring::placement::Seats;
    use super::super::quorum::Needed;
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    /// Keys in order; one behind a `-` is not live; `...` at the end: there are more.
    fn listed(text: &'static str) -> Listed {
        let mut listed = Listed::default();
        for word in text.split_whitespace() {
            match word {
                "..." => listed.more = true,
                _ => listed.keys.push(ListedKey {
                    key: Bytes::from(word.trim_start_matches('-')),
                    is_live: !word.starts_with('-'),
                }),
            }
        }
        listed
    }

    fn listing(r: u8, down: &[&str]) -> Listing {
        let stretch = Stretch {
            bucket: BucketName::new("b").expect("a good name"),
            partition: PartitionId(0),
            prefix: Bytes::new(),
            after: Bytes::from("a"),
            items_max: 10,
            wanted: Default::default(),
        };
        let seats = Seats {
            primaries: ["x", "y", "z"].map(node).to_vec(),
            pending: Vec::new(),
            others: vec![node("s"), node("t")],
        };
        let needed = Needed {
            answers: r,
            primaries: 0,
        };
        let panel = Panel::new(seats, |node| down.contains(&node.as_str()), needed);
        Listing::start(ClientId(1), stretch, panel, (Millis(10), 10), Millis(99))
    }

    fn united(replies: [&'static str; 2]) -> (Vec<Bytes>, Option<Bytes>) {
        let mut listing = listing(2, &[]);
        assert_eq!(listing.on_reply(&node("x"), listed(replies[0])), Step::Wait);
        match listing.on_reply(&node("y"), listed(replies[1])) {
            Step::Answer(keys) => (keys.live, keys.next),
            other => panic!("{other:?}"),
        }
    }

    fn keys(text: &'static str) -> Vec<Bytes> {
        text.split_whitespace().map(Bytes::from).collect()
    }

    #[test]
    fn a_key_is_listed_if_one_replica_shows_it() {
        assert_eq!(united(["b -c -e", "b c d -e"]), (keys("b c d"), None));
    }

    #[test]
    fn a_step_ends_where_the_first_replica_stopped() {
        let after_c = Some(Bytes::from("c"));
        assert_eq!(united(["b c ...", "b d e f ..."]), (keys("b c"), after_c));
        // What a replica that stopped does not name may still be there behind its end.
        let after_b = Some(Bytes::from("b"));
        assert_eq!(united(["-b ...", "c d"]), (keys(""), after_b));
    }

    #[test]
    fn a_reply_that_would_leave_keys_out_is_a_failure() {
        for unsound in ["...", "c b", "b b", "a"] {
            let mut listing = listing(3, &["s", "t"]);
            listing.take_errands();
            listing.on_reply(&node("x"), listed(unsound));
            let asked = listing.take_errands();
            assert_eq!(asked[0].hint_for, Some(node("x")), "{unsound}: {asked:?}");
        }
    }

    #[test]
    fn a_reply_that_comes_twice_counts_once() {
        let mut listing = listing(2, &[]);
        assert_eq!(listing.on_reply(&node("x"), listed("b")), Step::Wait);
        assert_eq!(listing.on_reply(&node("x"), listed("b")), Step::Wait);
    }

    #[test]
    fn who_stands_in_counts_when_nobody_is_left_who_could_know_more() {
        let mut listing = listing(2, &["x"]);
        let asked: Vec<String> = (listing.take_errands().iter())
            .map(|errand| errand.to.to_string())
            .collect();
        assert_eq!(asked, ["s", "y", "z"]);
        assert_eq!(listing.on_reply(&node("s"), listed("d")), Step::Wait);
        assert_eq!(listing.on_reply(&node("y"), listed("b")), Step::Wait);
        match listing.on_reply(&node("z"), listed("c")) {
            Step::Answer(found) => assert_eq!(found.live, keys("b c d")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_is_silent_gets_somebody_beside() {
        let mut listing = listing(2, &[]);
        listing.take_errands();
        assert_eq!(listing.on_reply(&node("y"), listed("b")), Step::Wait);
        assert_eq!(listing.wakes_at(), Millis(10));
        assert_eq!(listing.on_timer(Millis(10)), Step::Wait);
        let beside: Vec<_> = listing.take_errands();
        assert_eq!(beside.len(), 2, "{beside:?}");
        assert!(matches!(
            listing.on_timer(Millis(99)),
            Step::Fail(GetError::Deadline { .. })
        ));
    }
}
