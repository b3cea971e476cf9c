//! What a steward does by itself: rounds of gossip, the policy, the news of what has moved (Dynamo 4.8.1, 4.8.2).
//!
//! Invariant: a tick sets every timer that has come to a later time.

use super::super::metadata::catalog::Catalog;
use super::super::metadata::row::{Fact, Subject};
use super::super::names::{NodeId, Now};
use super::super::ring::change::Progress;
use super::gossip::{Gossip, Reply};
use super::policy::{Outlook, decide};
use super::snapshot::{Effect, Snapshot, Stage, placement_of};
use super::steward::Steward;
use crate::limits::{GOSSIP_INTERVAL_MS, JOIN_DELAY_MS, OPINION_LIFE_MS, POLICY_INTERVAL_MS};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Steward {
    /// Time has passed.
    pub fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.now = now;
        let at = now.monotonic;
        if self.timers.progress.is_some_and(|due| due <= at) {
            self.timers.progress = None;
            self.tell_progress(effects);
        }
        if self.timers.gossip <= at {
            self.timers.gossip = at.after(GOSSIP_INTERVAL_MS);
            self.gossip(effects);
        }
        if self.timers.policy <= at {
            self.timers.policy = at.after(POLICY_INTERVAL_MS);
            self.follow_policy(effects);
        }
    }

    fn gossip(&mut self, effects: &mut Vec<Effect>) {
        if !self.has_cluster() {
            for seed in self.seeds.clone() {
                self.knock_at(seed, effects);
            }
            return;
        }
        for node in std::mem::take(&mut self.forgetful) {
            self.knock_at(node, effects);
        }
        let others = self.others();
        if !self.suspects.is_empty() {
            for to in others.iter().cloned() {
                let gossip = self.digest(true);
                effects.push(Effect::Send { to, gossip });
            }
        }
        let places = others.len() as u64;
        if places > 0 {
            let place = self.roll() % places;
            let to = others[place as usize].clone();
            let gossip = self.digest(false);
            effects.push(Effect::Send { to, gossip });
        }
    }

    /// Everybody worth talking to: who takes part, and who wants to.
    pub(super) fn others(&self) -> Vec<NodeId> {
        let Snapshot {
            catalog, placement, ..
        } = &*self.snapshot;
        let nodes = catalog.nodes();
        let wanting = nodes.filter(|(_, facts)| facts.wants_to_join);
        let wanting = wanting.map(|(node, _)| node.clone());
        let all: BTreeSet<NodeId> = placement.nodes().iter().cloned().chain(wanting).collect();
        all.into_iter()
            .filter(|node| *node != self.identity.me)
            .collect()
    }

    /// The next of a fixed sequence of numbers that look random (splitmix64).
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn digest(&self, is_answer: bool) -> Gossip {
        let now = self.suspects.iter();
        Gossip::Digest {
            hash: self.snapshot.hash,
            suspects: now
                .map(|(node, down_ms)| (node.clone(), *down_ms))
                .collect(),
            is_answer,
        }
    }

    /// All rows, or those of some subjects.
    pub(super) fn rows(&self, subjects: Option<&[Subject]>, reply: Reply) -> Gossip {
        let catalog = &self.snapshot.catalog;
        let rows = match subjects {
            Some(subjects) => catalog.only(subjects).encode(),
            None => catalog.encode(),
        };
        let hash = self.snapshot.hash;
        Gossip::Rows { rows, hash, reply }
    }

    /// What has just been edited here goes to everybody at once; what gets lost comes with the next rounds.
    pub(super) fn tell_everybody(&self, subjects: &[Subject], effects: &mut Vec<Effect>) {
        let gossip = self.rows(Some(subjects), Reply::Difference); // Its bytes are shared by all copies.
        for to in self.others() {
            let gossip = gossip.clone();
            effects.push(Effect::Send { to, gossip });
        }
    }

    /// Works by another catalog from now on.
    pub(super) fn adopt(&mut self, catalog: Catalog, effects: &mut Vec<Effect>) {
        let last = Some(&*self.snapshot);
        let placement = Arc::new(placement_of(&catalog, &self.identity, last));
        effects.push(Effect::Store(catalog.encode()));
        self.snapshot = Snapshot::of(catalog, placement);
        effects.push(Effect::Publish(Arc::clone(&self.snapshot)));
    }

    fn tell_progress(&mut self, effects: &mut Vec<Effect>) {
        let Some(change) = self.snapshot.catalog.change() else {
            return self.moved.clear();
        };
        let id = change.id();
        let me = self.identity.me.clone();
        let partitions = self.snapshot.placement.partitions();
        let known = self.snapshot.catalog.progress().remove(&me);
        let current = known.filter(|progress| progress.change == id && progress.fits(partitions));
        let mut progress = current.unwrap_or_else(|| Progress::none(id, partitions));
        let mut is_news = false;
        // What was moved for a change that has been overtaken is nothing to tell.
        self.moved.retain(|(moved_for, ..)| *moved_for == id);
        for (_, partition, stage) in self.moved.iter().copied() {
            is_news |= match stage {
                Stage::Copied => progress.copied.insert(partition),
                Stage::Released => progress.released.insert(partition),
            };
        }
        if is_news {
            let rows = vec![(Subject::Progress(me), Fact::Progress(progress))];
            if let Err(error) = self.edit(self.now, rows, effects) {
                effects.push(Effect::Tell(format!(
                    "what has moved cannot be told: {error}"
                )));
            }
        }
    }

    fn follow_policy(&mut self, effects: &mut Vec<Effect>) {
        let ready = self.ready();
        let suspects: BTreeSet<NodeId> = self.suspects.keys().cloned().collect();
        let Snapshot {
            catalog, placement, ..
        } = &*self.snapshot;
        let wish = decide(&Outlook {
            me: &self.identity.me,
            catalog,
            placement,
            opinions: &self.opinions,
            suspects: &suspects,
            ready: &ready,
            now: self.now.monotonic,
        });
        let Some(wish) = wish else { return };
        if let Err(error) = self.commit(self.now, &wish, None, false, effects) {
            effects.push(Effect::Tell(format!(
                "the policy asks to {wish}, but {error}"
            )));
        }
    }

    /// Nodes that want to join, have been heard of for a while, and lately.
    fn ready(&mut self) -> BTreeSet<NodeId> {
        let now = self.now.monotonic;
        let catalog = &self.snapshot.catalog;
        let members = catalog.change().map_or(&[][..], |change| &change.members);
        let wanting = catalog.nodes().filter(|(node, facts)| {
            facts.wants_to_join && !members.iter().any(|member| member.id == **node)
        });
        let wanting: BTreeSet<NodeId> = wanting.map(|(node, _)| node.clone()).collect();
        self.knocked.retain(|node, _| wanting.contains(node));
        for node in &wanting {
            self.knocked.entry(node.clone()).or_insert(now);
        }
        let heard_lately = |node: &NodeId| {
            let heard = self.heard.get(node);
            heard.is_some_and(|(_, at)| now.since(*at) <= OPINION_LIFE_MS)
        };
        let waited = self
            .knocked
            .iter()
            .filter(|(_, since)| now.since(**since) >= JOIN_DELAY_MS);
        let ready = waited.filter(|(node, _)| heard_lately(node));
        ready.map(|(node, _)| node.clone()).collect()
    }
}
