//! Counts the answers to one read or write and says when the outcome is decided.
//!
//! Dynamo 4.5. Knows nothing of time or network: the coordinator reports answers and failures.
//!
//! Invariant: once decided, later answers never change the verdict.

use super::super::names::NodeId;
use std::collections::BTreeSet;

/// Where a quorum stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pending,
    Reached,
    /// Too many replicas failed for the rest to be enough.
    Impossible,
}

/// The replicas asked, and what has come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    needed: usize,
    asked: usize,
    answered: BTreeSet<NodeId>,
    failed: BTreeSet<NodeId>,
    verdict: Verdict,
}

impl Quorum {
    /// Waits for `needed` of the `asked` replicas.
    pub fn new(needed: u8, asked: usize) -> Self {
        let mut quorum = Self {
            needed: usize::from(needed),
            asked,
            answered: BTreeSet::new(),
            failed: BTreeSet::new(),
            verdict: Verdict::Pending,
        };
        quorum.decide();
        quorum
    }

    pub fn count(&mut self, from: NodeId) -> Verdict {
        self.failed.remove(&from);
        self.answered.insert(from);
        self.decide()
    }

    pub fn count_failure(&mut self, from: NodeId) -> Verdict {
        if !self.answered.contains(&from) {
            self.failed.insert(from);
        }
        self.decide()
    }

    fn decide(&mut self) -> Verdict {
        if self.verdict == Verdict::Pending {
            self.verdict = if self.answered.len() >= self.needed {
                Verdict::Reached
            } else if self.asked - self.failed.len() < self.needed {
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

    pub fn has_answered(&self, node: &NodeId) -> bool {
        self.answered.contains(node)
    }

    /// Nobody who was asked is still silent.
    pub fn is_complete(&self) -> bool {
        self.answered.len() + self.failed.len() >= self.asked
    }

    pub fn answered(&self) -> usize {
        self.answered.len()
    }

    pub fn needed(&self) -> usize {
        self.needed
    }

    pub fn asked(&self) -> usize {
        self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    #[test]
    fn one_replica_that_answers_twice_counts_once() {
        let mut quorum = Quorum::new(2, 3);
        assert_eq!(quorum.count(node("a")), Verdict::Pending);
        assert_eq!(quorum.count(node("a")), Verdict::Pending);
        assert_eq!(quorum.count(node("b")), Verdict::Reached);
    }

    #[test]
    fn it_is_impossible_as_soon_as_too_few_are_left() {
        let mut quorum = Quorum::new(2, 3);
        assert_eq!(quorum.count_failure(node("a")), Verdict::Pending);
        assert_eq!(quorum.count_failure(node("b")), Verdict::Impossible);
        assert_eq!(quorum.count(node("b")), Verdict::Impossible);
        assert_eq!(quorum.count(node("c")), Verdict::Impossible);
    }

    #[test]
    fn a_failure_after_the_quorum_changes_nothing() {
        let mut quorum = Quorum::new(1, 2);
        assert_eq!(quorum.count(node("a")), Verdict::Reached);
        assert_eq!(quorum.count_failure(node("b")), Verdict::Reached);
        assert!(quorum.is_complete());
    }

    #[test]
    fn a_quorum_beyond_the_replicas_is_impossible_from_the_start() {
        assert_eq!(Quorum::new(3, 2).verdict(), Verdict::Impossible);
    }
}
