//! One step of a listing: ask all N replicas of a partition for a stretch of keys, wait for R, unite.
//!
//! Not in the paper. A key is listed if one of the R replicas shows a value under it, so with R + W > N no
//! acknowledged key is missing; a key that was deleted moments ago may still show, and a get tells. Repairs
//! nothing and asks no resolver.
//!
//! Invariant: what a step names as its end was reached by each of the R replicas, so no key before it is left out.

use super::super::names::{ClientId, NodeId};
use super::super::replica::stretch::{Listed, Stretch};
use super::quorum::{Quorum, Verdict};
use super::request::GetError;
use bytes::Bytes;
use std::collections::BTreeSet;

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
    stretch: Stretch,
    quorum: Quorum,
    found: Vec<Listed>,
}

impl Listing {
    /// A step that waits for `r` of `asked` replicas.
    pub fn start(client: ClientId, stretch: Stretch, r: u8, asked: usize) -> Self {
        Self {
            client,
            stretch,
            quorum: Quorum::new(r, asked),
            found: Vec::new(),
        }
    }

    /// Fails at once where the cluster is too small for R.
    pub fn check(&self) -> Step {
        match self.quorum.verdict() {
            Verdict::Impossible => self.too_few(),
            Verdict::Pending | Verdict::Reached => Step::Wait,
        }
    }

    pub fn on_reply(&mut self, from: NodeId, listed: Listed) -> Step {
        if !self.is_sound(&listed) {
            return self.on_failure(from);
        }
        if self.quorum.has_answered(&from) {
            return Step::Wait; // The network delivered it twice.
        }
        self.found.push(listed);
        match self.quorum.count(from) {
            Verdict::Reached => Step::Answer(Box::new(self.unite())),
            Verdict::Pending => Step::Wait,
            Verdict::Impossible => self.too_few(),
        }
    }

    pub fn on_failure(&mut self, from: NodeId) -> Step {
        self.quorum.count_failure(from);
        self.check()
    }

    pub fn on_deadline(&self) -> Step {
        Step::Fail(GetError::Deadline {
            answered: self.quorum.answered(),
            needed: self.quorum.needed(),
        })
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
        let ends = found.iter().filter(|listed| listed.more);
        let ends = ends.filter_map(|listed| listed.keys.last());
        let end = ends.map(|listed| listed.key.clone()).min();
        let keys = found.into_iter().flat_map(|listed| listed.keys);
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

    fn too_few(&self) -> Step {
        Step::Fail(GetError::TooFewReplicas {
            answered: self.quorum.answered(),
            asked: self.quorum.asked(),
            needed: self.quorum.needed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::names::BucketName;
    use super::super::super::replica::stretch::ListedKey;
    use super::super::super::ring::partition::PartitionId;
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

    fn listing(r: u8) -> Listing {
        let stretch = Stretch {
            bucket: BucketName::new("b").expect("a good name"),
            partition: PartitionId(0),
            prefix: Bytes::new(),
            after: Bytes::from("a"),
            items_max: 10,
        };
        Listing::start(ClientId(1), stretch, r, 3)
    }

    fn united(replies: [&'static str; 2]) -> (Vec<Bytes>, Option<Bytes>) {
        let mut listing = listing(2);
        assert_eq!(listing.on_reply(node("x"), listed(replies[0])), Step::Wait);
        match listing.on_reply(node("y"), listed(replies[1])) {
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
            let mut listing = listing(3);
            let step = listing.on_reply(node("x"), listed(unsound));
            assert!(matches!(step, Step::Fail(_)), "{unsound}: {step:?}");
        }
    }

    #[test]
    fn a_reply_that_comes_twice_counts_once() {
        let mut listing = listing(2);
        assert_eq!(listing.on_reply(node("x"), listed("b")), Step::Wait);
        assert_eq!(listing.on_reply(node("x"), listed("b")), Step::Wait);
    }
}
