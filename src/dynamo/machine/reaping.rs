//! A shard that lets go of what everybody is done with: as steward, as witness and as owner (law 9).
//!
//! Not in the paper. Carries out the steps of `repair::reaping`, and answers those of others.
//!
//! Invariant: nobody vouches for a key of which it has a hint, a put on its way, or a copy that differs, nor while it
//! sees the owners change.

use super::super::names::{Key, NodeId, Ticket};
use super::super::repair::hints::Arming;
use super::super::repair::inquiry::{Answer, Ask};
use super::super::repair::reaping::{Batch, Reaping};
use super::super::replica::storage::Storage;
use super::super::ring::partition::PartitionId;
use super::background::Swept;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::Message;
use super::router::Machine;
use std::collections::BTreeSet;

/// Questions about removal are about a partition as a whole.
const ANY_NUMBER_OF_COPIES: u8 = 1;

impl<S: Storage> Machine<S> {
    /// How removal has fared.
    pub fn reaping(&self) -> Reaping {
        self.background.reaper.status()
    }

    /// Walks over the partitions of which this node is the steward, from now on.
    pub(super) fn begin_walk(&mut self) {
        let (me, placement) = (&self.me, &self.view.placement);
        let background = &mut self.background;
        let share = background.share();
        let all = placement.partitions().all();
        let mine = all.filter(|partition| {
            let holders = placement.holders(*partition);
            share.holds(*partition) && placement.is_settled() && holders.first() == Some(me)
        });
        background.reaper.begin(self.desk.now.monotonic, mine);
    }

    /// A bounded piece of the walk, and what has waited for its time.
    pub(super) fn reap(&mut self, effects: &mut Vec<Effect>) -> Swept {
        let now = self.desk.now.monotonic;
        let version = self.view.placement.version();
        self.copies.vouches().set_version(version);
        self.background.reaper.set_version(version);
        self.background.reaper.on_time(now);
        while let Some(batch) = self.background.reaper.rested(now) {
            self.ask_everybody(batch, self.background.reaper.horizon_ms(), effects);
        }
        if self.background.reaper.is_due(now) {
            self.begin_walk();
        }
        self.look_for_tombstones(effects)
    }

    fn look_for_tombstones(&mut self, effects: &mut Vec<Effect>) -> Swept {
        let background = &mut self.background;
        let Some((partition, from)) = background.reaper.place() else {
            return Swept::Nothing;
        };
        if !background.admission.permit(self.desk.now.monotonic) {
            return Swept::Held;
        }
        // What cannot be read now is passed over; the next walk comes by again.
        let survey = self.copies.survey(partition, from).unwrap_or_default();
        let reaper = &mut background.reaper;
        reaper.on_looked(survey.next);
        let found = survey.found.into_iter();
        let keys: Vec<(Key, u128)> = found
            .filter(|(key, _)| !reaper.is_pending(key) && self.view.copies_of(key).is_some())
            .collect();
        let nodes = self.view.placement.nodes();
        let is_one_down = nodes.iter().any(|node| self.detector.is_down(node));
        if is_one_down || !self.view.placement.is_settled() {
            reaper.refuse(keys.len());
        } else if !keys.is_empty() {
            self.ask_everybody(Batch { partition, keys }, 0, effects);
        }
        Swept::Some
    }

    /// Asks all nodes whether they vouch for these keys, and have for so long; 0 in the first round.
    fn ask_everybody(&mut self, batch: Batch, standing_ms: u64, effects: &mut Vec<Effect>) {
        let (now, ticket) = (self.desk.now.monotonic, self.desk.ticket());
        let placement = &self.view.placement;
        let nodes = placement.nodes().to_vec();
        let partition = batch.partition;
        let ask = Ask::Vouch {
            placement_version: placement.version(),
            standing_ms,
            keys: batch.keys.clone(),
        };
        let reaper = &mut self.background.reaper;
        match standing_ms {
            0 => reaper.ask(now, ticket, batch, &nodes),
            _ => reaper.again(now, ticket, batch, &nodes),
        }
        self.tell_all(&nodes, ticket, partition, ask, effects);
    }

    fn tell_all(
        &mut self,
        nodes: &[NodeId],
        ticket: Ticket,
        partition: PartitionId,
        ask: Ask,
        effects: &mut Vec<Effect>,
    ) {
        for node in nodes {
            let message = Message::Repair {
                ticket,
                partition,
                n: ANY_NUMBER_OF_COPIES,
                ask: Box::new(ask.clone()),
            };
            self.send(node.clone(), message, effects);
        }
    }

    /// An answer to a question of this steward.
    pub(super) fn on_granted(
        &mut self,
        from: &NodeId,
        ticket: Ticket,
        answer: &Answer,
        effects: &mut Vec<Effect>,
    ) {
        let granted = match answer {
            Answer::Granted(granted) => Some(granted.as_slice()),
            _ => None,
        };
        let now = self.desk.now.monotonic;
        let reaper = &mut self.background.reaper;
        if let Some(batch) = reaper.on_answer(now, ticket, from, granted) {
            let (ticket, partition) = (self.desk.ticket(), batch.partition);
            let owners = self.owners(&batch);
            let keys = batch.keys.clone();
            self.background.reaper.remove(now, ticket, batch, &owners);
            self.tell_all(&owners, ticket, partition, Ask::Reap { keys }, effects);
        }
        self.background_turn(effects);
    }

    fn owners(&self, batch: &Batch) -> Vec<NodeId> {
        let copies = batch.keys.iter();
        let copies = copies.filter_map(|(key, _)| self.view.copies_of(key));
        let most = copies.max().unwrap_or(0);
        self.view.placement.primaries(batch.partition, most)
    }

    /// Which of these keys this node vouches for.
    pub(super) fn vouch(
        &mut self,
        partition: PartitionId,
        placement_version: u64,
        standing_ms: u64,
        keys: &[(Key, u128)],
    ) -> Answer {
        let version = self.view.placement.version();
        self.copies.vouches().set_version(version);
        let is_agreed = placement_version == version && self.view.placement.is_settled();
        if !is_agreed || !matches!(self.arming, Arming::Done) {
            return Answer::Granted(vec![false; keys.len()]);
        }
        let written: BTreeSet<Key> = self.keys_being_put();
        let granted = keys.iter().map(|(key, fingerprint)| {
            let copies = self.view.copies_of(key);
            let is_here = self.view.placement.partition_of(key) == partition;
            let Some(n) = copies.filter(|_| is_here && !written.contains(key)) else {
                self.copies.vouches().strike(key);
                return false;
            };
            let is_primary = self
                .view
                .placement
                .primaries(partition, n)
                .contains(&self.me);
            let now = self.desk.now;
            let vouched = self
                .copies
                .vouch(partition, (key, *fingerprint), is_primary, now);
            vouched.is_some_and(|standing| standing >= standing_ms)
        });
        Answer::Granted(granted.collect())
    }

    /// Until a put has ended it may write again, and keep what others lack.
    fn keys_being_put(&self) -> BTreeSet<Key> {
        let conversations = self.desk.conversations.values();
        let puts = conversations.filter_map(|(_, conversation)| match conversation {
            Conversation::Put(put) => Some(put.request.key.clone()),
            _ => None,
        });
        puts.collect()
    }

    /// Lets go of what can go from these keys. Says of which it did; buckets with fewer copies have less to let go of.
    pub(super) fn let_go(&mut self, partition: PartitionId, keys: &[(Key, u128)]) -> Answer {
        let now = self.desk.now;
        let granted = keys.iter().map(|(key, fingerprint)| {
            let n = self.view.copies_of(key).unwrap_or(0);
            if !self
                .view
                .placement
                .primaries(partition, n)
                .contains(&self.me)
            {
                return true;
            }
            let gone = self.copies.reap(partition, key, *fingerprint, now);
            gone.unwrap_or(false)
        });
        Answer::Granted(granted.collect())
    }
}
