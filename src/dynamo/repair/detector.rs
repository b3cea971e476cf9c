//! Who can be reached, in this shard's own opinion (Dynamo 4.8.3).
//!
//! Purely local and driven by traffic: while everybody answers, nobody is asked. What is not answered makes a
//! peer suspected, a suspected one is probed, and one that shows nothing for a while is down until it answers
//! a probe. Tells nobody: joins and leaves are explicit, so no common view is needed.
//!
//! Invariant: a peer is up again only after a full round trip, so a link that works one way does not flap.

use super::super::names::{Millis, NodeId};
use std::collections::BTreeMap;

/// One peer that is not simply up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Doubt {
    /// Since when nothing came back.
    since: Millis,
    is_down: bool,
    probe_at: Millis,
    probed_at: Option<Millis>,
}

/// What the passing of time leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    /// To be probed now.
    pub probes: Vec<NodeId>,
    /// Down from now on.
    pub down: Vec<NodeId>,
}

/// The peers that are suspected or down; all others are up.
#[derive(Debug)]
pub struct Detector {
    suspect_ms: u64,
    probe_ms: u64,
    doubts: BTreeMap<NodeId, Doubt>,
}

impl Detector {
    pub fn new(suspect_ms: u64, probe_ms: u64) -> Self {
        Self {
            suspect_ms,
            probe_ms,
            doubts: BTreeMap::new(),
        }
    }

    /// New times, from the next doubt on.
    pub fn set(&mut self, suspect_ms: u64, probe_ms: u64) {
        self.suspect_ms = suspect_ms;
        self.probe_ms = probe_ms;
    }

    /// A peer answered something that was asked of it. Says whether it was down until now.
    pub fn on_answer(&mut self, peer: &NodeId) -> bool {
        let doubt = self.doubts.remove(peer);
        doubt.is_some_and(|doubt| doubt.is_down)
    }

    /// Something that was asked of a peer got nowhere, or was not answered in time.
    pub fn on_silence(&mut self, peer: &NodeId, now: Millis) {
        self.doubts.entry(peer.clone()).or_insert(Doubt {
            since: now,
            is_down: false,
            probe_at: now,
            probed_at: None,
        });
    }

    /// A sign of life that proves one direction only: worth a probe, no more often than a suspected peer is probed.
    pub fn on_sign(&mut self, peer: &NodeId, now: Millis) {
        let pause_ms = self.suspect_ms / 4;
        if let Some(doubt) = self.doubts.get_mut(peer) {
            let earliest = doubt
                .probed_at
                .map_or(now, |probed_at| probed_at.after(pause_ms));
            doubt.probe_at = doubt.probe_at.min(earliest.max(now));
        }
    }

    pub fn is_down(&self, peer: &NodeId) -> bool {
        self.doubts.get(peer).is_some_and(|doubt| doubt.is_down)
    }

    /// The peers that are down, and for how long nothing has come back from them.
    pub fn opinions(&self, now: Millis) -> Vec<(NodeId, u64)> {
        let down = self.doubts.iter().filter(|(_, doubt)| doubt.is_down);
        down.map(|(peer, doubt)| (peer.clone(), now.since(doubt.since)))
            .collect()
    }

    /// Forgets peers that are no longer of interest.
    pub fn retain(&mut self, is_known: impl Fn(&NodeId) -> bool) {
        self.doubts.retain(|peer, _| is_known(peer));
    }

    /// When `on_time` has something to do.
    pub fn next_at(&self) -> Option<Millis> {
        let times = self.doubts.values().map(|doubt| match doubt.is_down {
            true => doubt.probe_at,
            false => doubt.probe_at.min(doubt.since.after(self.suspect_ms)),
        });
        times.min()
    }

    pub fn on_time(&mut self, now: Millis) -> Turn {
        let mut turn = Turn::default();
        for (peer, doubt) in &mut self.doubts {
            if !doubt.is_down && doubt.since.after(self.suspect_ms) <= now {
                doubt.is_down = true;
                turn.down.push(peer.clone());
            }
            if doubt.probe_at <= now {
                let pause_ms = match doubt.is_down {
                    true => self.probe_ms,
                    false => self.suspect_ms / 4,
                };
                doubt.probed_at = Some(now);
                doubt.probe_at = now.after(pause_ms.max(1));
                turn.probes.push(peer.clone());
            }
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    /// Lets time pass, and says what was down and probed on the way.
    fn pass(detector: &mut Detector, from: u64, to: u64) -> (usize, usize) {
        let (mut downs, mut probes) = (0, 0);
        for now in from..to {
            if detector.next_at().is_some_and(|at| at.0 <= now) {
                let turn = detector.on_time(Millis(now));
                downs += turn.down.len();
                probes += turn.probes.len();
                assert!(detector.next_at().is_none_or(|at| at.0 > now));
            }
        }
        (downs, probes)
    }

    #[test]
    fn a_cluster_in_which_all_answer_is_left_alone() {
        let mut detector = Detector::new(1_000, 1_000);
        assert!(!detector.on_answer(&node("a")));
        assert_eq!(detector.next_at(), None);
    }

    #[test]
    fn a_silent_peer_is_down_after_its_time_and_is_probed_on() {
        let mut detector = Detector::new(1_000, 500);
        detector.on_silence(&node("a"), Millis(0));
        assert_eq!(pass(&mut detector, 0, 1_000), (0, 4));
        assert!(!detector.is_down(&node("a")));
        assert_eq!(pass(&mut detector, 1_000, 6_000), (1, 10));
        assert_eq!(detector.opinions(Millis(6_000)), [(node("a"), 6_000)]);
    }

    #[test]
    fn more_silence_does_not_put_off_the_verdict() {
        let mut detector = Detector::new(1_000, 500);
        for now in 0..1_000 {
            detector.on_silence(&node("a"), Millis(now));
        }
        pass(&mut detector, 0, 1_001);
        assert!(detector.is_down(&node("a")));
    }

    #[test]
    fn a_peer_that_only_speaks_stays_down_and_is_probed_at_a_bounded_rate() {
        let mut detector = Detector::new(1_000, 5_000);
        detector.on_silence(&node("a"), Millis(0));
        pass(&mut detector, 0, 2_000);
        let mut probes = 0;
        for now in 2_000..12_000 {
            detector.on_sign(&node("a"), Millis(now));
            probes += pass(&mut detector, now, now + 1).1;
        }
        assert!(detector.is_down(&node("a")));
        assert!((30..=41).contains(&probes), "{probes} probes in 10 s");
    }

    #[test]
    fn an_answer_ends_all_doubt() {
        let mut detector = Detector::new(1_000, 500);
        detector.on_silence(&node("a"), Millis(0));
        pass(&mut detector, 0, 2_000);
        assert!(detector.on_answer(&node("a")));
        assert!(!detector.is_down(&node("a")));
        assert_eq!(detector.next_at(), None);
    }

    proptest! {
        #[test]
        fn whatever_happens_a_peer_that_falls_silent_is_down_in_time(
            events in proptest::collection::vec((0u64..5_000, 0u8..3), 0..60),
        ) {
            let mut detector = Detector::new(1_000, 500);
            let mut events = events;
            events.sort_unstable();
            let mut last = 0;
            for (at, event) in events {
                pass(&mut detector, last, at);
                last = at;
                match event {
                    0 => drop(detector.on_answer(&node("a"))),
                    1 => detector.on_silence(&node("a"), Millis(at)),
                    _ => detector.on_sign(&node("a"), Millis(at)),
                }
            }
            detector.on_silence(&node("a"), Millis(last));
            pass(&mut detector, last, last + 1_001);
            prop_assert!(detector.is_down(&node("a")));
        }
    }
}
