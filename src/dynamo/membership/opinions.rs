//! Whom the nodes do not reach, each in its own opinion (Dynamo 4.8.3: there is no global view of failures).
//!
//! Opinions are exchanged with the gossip. Nothing about requests follows from them; only the policy that
//! replaces a dead member asks whether several observers agree.
//!
//! Invariant: an opinion counts only while its observer keeps repeating it.

use super::super::names::{Millis, NodeId};
use crate::limits::{OPINION_LIFE_MS, SUSPECTS_MAX};
use std::collections::BTreeMap;

/// A node that somebody has not reached for so long, in milliseconds.
pub type Suspicion = (NodeId, u64);

/// What every node last said of the others.
#[derive(Debug, Default)]
pub struct Opinions {
    by_observer: BTreeMap<NodeId, Opinion>,
}

#[derive(Debug)]
struct Opinion {
    heard_at: Millis,
    suspects: Vec<Suspicion>,
}

impl Opinions {
    /// Takes over what an observer says now in place of what it said before.
    pub fn note(&mut self, observer: NodeId, mut suspects: Vec<Suspicion>, now: Millis) {
        suspects.truncate(SUSPECTS_MAX);
        let heard_at = now;
        self.by_observer
            .insert(observer, Opinion { heard_at, suspects });
    }

    /// Who has not reached `node` for at least `window_ms`, as far as they still say so.
    pub fn observers(&self, node: &NodeId, window_ms: u64, now: Millis) -> Vec<&NodeId> {
        let agrees = |opinion: &Opinion| {
            let heard_ms = now.since(opinion.heard_at);
            let found = opinion.suspects.iter().find(|(suspect, _)| suspect == node);
            heard_ms <= OPINION_LIFE_MS
                && found.is_some_and(|(_, down_ms)| down_ms.saturating_add(heard_ms) >= window_ms)
        };
        let observers = self.by_observer.iter();
        let agreeing = observers.filter(|(_, opinion)| agrees(opinion));
        agreeing.map(|(observer, _)| observer).collect()
    }

    /// Everybody whom somebody still says not to reach: by whom, and for how many milliseconds by now.
    pub fn all(&self, now: Millis) -> BTreeMap<NodeId, Vec<Suspicion>> {
        let mut all: BTreeMap<NodeId, Vec<Suspicion>> = BTreeMap::new();
        for (observer, opinion) in &self.by_observer {
            let heard_ms = now.since(opinion.heard_at);
            if heard_ms > OPINION_LIFE_MS {
                continue;
            }
            for (suspect, down_ms) in &opinion.suspects {
                let missed_ms = down_ms.saturating_add(heard_ms);
                let observers = all.entry(suspect.clone()).or_default();
                observers.push((observer.clone(), missed_ms));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    #[test]
    fn an_opinion_that_is_not_repeated_is_forgotten() {
        let mut opinions = Opinions::default();
        opinions.note(node("a"), vec![(node("c"), 9_000)], Millis(0));
        let observers = |now| opinions.observers(&node("c"), 9_000, Millis(now)).len();
        assert_eq!(observers(OPINION_LIFE_MS), 1);
        assert_eq!(observers(OPINION_LIFE_MS + 1), 0);
    }

    #[test]
    fn a_node_that_is_reached_again_is_no_suspect() {
        let mut opinions = Opinions::default();
        opinions.note(node("a"), vec![(node("c"), 9_000)], Millis(0));
        opinions.note(node("a"), Vec::new(), Millis(1));
        assert!(opinions.observers(&node("c"), 0, Millis(1)).is_empty());
    }
}
