//! A shard's opinion of its peers: what counts as evidence, and what follows from it (Dynamo 4.8.3).
//!
//! Invariant: only an answer proves that a peer can be reached; a request from it proves one direction.

use super::super::coordinator::request::PutError;
use super::super::names::{NodeId, Ticket};
use super::super::repair::inquiry::{Answer, Refusal};
use super::super::repair::settings::Settings;
use super::super::replica::storage::Storage;
use super::super::ring::placement::Placement;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::{Message, ReplicaFailure};
use super::router::Machine;
use std::sync::Arc;

impl<S: Storage> Machine<S> {
    /// The peers that are down in this shard's opinion, and for how many milliseconds nothing came back from them.
    pub fn opinions(&self) -> Vec<(NodeId, u64)> {
        self.detector.opinions(self.desk.now.monotonic)
    }

    pub(super) fn set(&mut self, settings: Settings) {
        self.detector.set(settings.suspect_ms, settings.probe_ms);
        let (count, bytes) = (settings.hints_max, settings.hint_bytes_max);
        self.copies.set_hints_max(count, bytes);
        self.background.set(self.desk.now.monotonic, &settings);
        self.settings = settings;
    }

    pub(super) fn on_placement(&mut self, placement: Arc<Placement>) {
        let nodes = placement.nodes();
        self.detector.retain(|peer| nodes.contains(peer));
        self.view.placement = placement;
    }

    pub(super) fn on_peer(&mut self, peer: &NodeId, is_connected: bool) {
        let now = self.desk.now.monotonic;
        match is_connected {
            true => {
                self.detector.on_sign(peer, now);
                self.offers.on_up(peer, now); // No pause after failures that are over.
            }
            false => self.on_silence(std::slice::from_ref(peer)),
        }
    }

    /// What a message says of its sender.
    pub(super) fn weigh(&mut self, from: &NodeId, message: &Message) {
        if *from == self.me {
            return;
        }
        if is_turned_away(message) {
            self.pressure.on_busy(from.clone(), self.desk.now.monotonic);
        }
        if is_out_of_room(message) {
            self.pressure.on_full(from.clone(), self.desk.now.monotonic);
        }
        let unreachable = Err(ReplicaFailure::Unreachable);
        let is_lost = match message {
            Message::ReadReply { outcome, .. } => {
                matches!(outcome, Err(ReplicaFailure::Unreachable))
            }
            Message::ListReply { outcome, .. } => {
                matches!(outcome, Err(ReplicaFailure::Unreachable))
            }
            Message::WriteReply { outcome, .. } => *outcome == unreachable,
            Message::Repaired { answer, .. } => {
                matches!(**answer, Answer::Refused(Refusal::Unreachable))
            }
            Message::ForwardReply { outcome: Ok(_), .. } | Message::Pong { .. } => false,
            // A put that got nowhere is told in words.
            Message::ForwardReply {
                outcome: Err(_), ..
            } => return,
            Message::Read { .. }
            | Message::Write { .. }
            | Message::Forward { .. }
            | Message::List { .. }
            | Message::Repair { .. }
            | Message::Ping { .. } => {
                return self.detector.on_sign(from, self.desk.now.monotonic);
            }
        };
        match is_lost {
            true => self.on_silence(std::slice::from_ref(from)),
            false => self.on_answer(from),
        }
    }

    fn on_answer(&mut self, peer: &NodeId) {
        if self.detector.on_answer(peer) {
            self.offers.on_up(peer, self.desk.now.monotonic);
        }
    }

    /// These have been waited for in vain. Who takes no part any more is not waited for again, so nothing would
    /// ever end a doubt about it, and what is kept for it would never be offered to its heirs.
    pub(super) fn on_silence(&mut self, peers: &[NodeId]) {
        let nodes = self.view.placement.nodes();
        let others = peers.iter().filter(|peer| **peer != self.me);
        for peer in others.filter(|peer| nodes.contains(peer)) {
            self.detector.on_silence(peer, self.desk.now.monotonic);
        }
    }

    pub(super) fn on_probe_timer(&mut self, effects: &mut Vec<Effect>) {
        let turn = self.detector.on_time(self.desk.now.monotonic);
        for to in turn.probes {
            let ticket = self.desk.ticket();
            let message = Message::Ping { ticket };
            effects.push(Effect::Send { to, message });
        }
        for peer in turn.down {
            self.give_up_on(&peer, effects);
        }
    }

    /// A peer is down: nobody waits for its answer any longer.
    fn give_up_on(&mut self, peer: &NodeId, effects: &mut Vec<Effect>) {
        let conversations = self.desk.conversations.iter();
        let waiting: Vec<Ticket> = conversations
            .filter(|(_, (_, conversation))| match conversation {
                Conversation::Get(get) => get.asks(peer),
                Conversation::Put(put) => put.asks(peer),
                Conversation::List(listing) => listing.asks(peer),
                Conversation::Restore(restore) => restore.missing().any(|node| node == peer),
                Conversation::Forward(_) | Conversation::Delivery(_) => false,
            })
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in waiting {
            match self.desk.conversation(ticket) {
                Some(Conversation::Get(_)) => {
                    self.with_get(ticket, effects, |get| get.on_failure(peer));
                }
                Some(Conversation::Put(_)) => {
                    self.with_put(ticket, effects, |put| put.on_failure(peer));
                }
                Some(Conversation::List(_)) => {
                    self.with_listing(ticket, effects, |listing| listing.on_failure(peer));
                }
                Some(Conversation::Restore(_)) => {
                    let outcome = Err(ReplicaFailure::Unreachable);
                    self.on_restore_answered(peer, ticket, outcome, effects);
                }
                _ => {}
            }
        }
    }
}

/// Whether its sender has too much to do.
fn is_turned_away(message: &Message) -> bool {
    match message {
        Message::ReadReply { outcome, .. } => *outcome == Err(ReplicaFailure::Overloaded),
        Message::WriteReply { outcome, .. } => *outcome == Err(ReplicaFailure::Overloaded),
        Message::ListReply { outcome, .. } => *outcome == Err(ReplicaFailure::Overloaded),
        Message::ForwardReply { outcome, .. } => {
            matches!(outcome, Err(PutError::Overloaded { .. }))
        }
        _ => false,
    }
}

/// Whether its sender has no room on its disk.
fn is_out_of_room(message: &Message) -> bool {
    match message {
        Message::WriteReply { outcome, .. } => *outcome == Err(ReplicaFailure::Full),
        Message::ForwardReply { outcome, .. } => matches!(outcome, Err(PutError::DiskFull(_))),
        _ => false,
    }
}
