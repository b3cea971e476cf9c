//! A shard that keeps writes for others: noting them, offering them, letting go of them (Dynamo 4.6).
//!
//! Goes by the clock and by who can be reached, never by traffic.
//!
//! Invariant: a hint is deleted only after everybody who should have it has said that it is on disk.

use super::super::bucket::Ack;
use super::super::names::Millis;
use super::super::names::{NodeId, Ticket};
use super::super::repair::hints::{Arming, Delivery, Waiting};
use super::super::replica::hinted::Hint;
use super::super::replica::layout::Place;
use super::super::replica::storage::Storage;
use super::desk::Conversation;
use super::effect::Effect;
use super::event::Event;
use super::message::{Message, ReplicaFailure};
use super::router::Machine;
use crate::limits::HINT_DELIVERY_MS;

impl<S: Storage> Machine<S> {
    /// What is kept for whom, and for how long already.
    pub fn hints(&self) -> Vec<Waiting> {
        let now = self.desk.now.monotonic;
        let ledger = self.copies.ledger();
        let homes = ledger.homes().map(|home| {
            let tally = ledger.of(home);
            Waiting {
                home: home.clone(),
                count: tally.count,
                bytes: tally.bytes,
                waiting_ms: self.offers.since(home).map_or(0, |since| now.since(since)),
            }
        });
        homes.collect()
    }

    /// Before the first thing that a shard does, it finds out what it keeps for others: else a read in
    /// somebody's place would not know where to look. Slice by slice, so that values do not pile up.
    pub(super) fn arm(&mut self, event: &Event) {
        if matches!(event, Event::Settings(_)) {
            return; // They say which partitions are its own.
        }
        let share = self.settings.share;
        loop {
            let from = match &self.arming {
                Arming::Done => return,
                Arming::Waiting => None,
                Arming::From(from) => Some(from.clone()),
            };
            match self
                .copies
                .count_hints(from, |partition| share.holds(partition))
            {
                Ok(Some(next)) => self.arming = Arming::From(next),
                Ok(None) => {
                    self.arming = Arming::Done;
                    let homes: Vec<NodeId> = self.copies.ledger().homes().cloned().collect();
                    homes
                        .into_iter()
                        .for_each(|home| self.note_hint(&Place::Hint(home)));
                }
                Err(_) => return, // The next event tries again.
            }
        }
    }

    /// Something is kept for somebody.
    pub(super) fn note_hint(&mut self, place: &Place) {
        if let Place::Hint(home) = place {
            let now = self.desk.now.monotonic;
            self.offers.note(home, now, self.settings.hint_retry_ms);
        }
    }

    pub(super) fn next_offer(&self) -> Option<Millis> {
        let next = self.offers.next_at(|home| self.detector.is_down(home));
        next.filter(|_| !self.is_at_rest()) // What is delivered has to be deleted here.
    }

    /// Sends what is due, as much at a time as the window allows and clients do not notice (6.5).
    pub(super) fn offer_hints(&mut self, effects: &mut Vec<Effect>) {
        if self.is_at_rest() {
            return;
        }
        let now = self.desk.now.monotonic;
        let detector = &self.detector;
        for home in self.offers.due(now, |home| detector.is_down(home)) {
            let (from, room) = self.offers.room(&home, self.settings.hint_window);
            let retry_ms = self.settings.hint_retry_ms;
            let hints = match room {
                0 => Vec::new(),
                room => self.copies.hints_for(&home, from, room).unwrap_or_default(),
            };
            if hints.is_empty() {
                self.offers.on_end(&home, now, retry_ms);
            }
            for hint in hints {
                let admission = &mut self.background.admission;
                if !admission.permit(now) {
                    self.offers.hold(&home, admission.next_permit_at(now));
                    break;
                }
                if self.offers.on_sent(&hint) {
                    self.deliver(hint, effects);
                }
            }
        }
        let ledger = self.copies.ledger();
        self.offers.retain(|home| ledger.of(home).count > 0);
    }

    fn deliver(&mut self, hint: Hint, effects: &mut Vec<Effect>) {
        let replaced = match self.copies.retained_with(&hint) {
            Ok(replaced) => replaced,
            Err(_) => return self.fail_delivery(&hint),
        };
        let (key, object) = (hint.key.clone(), hint.object.clone());
        let to = self.heirs(&hint);
        let deadline = self.desk.deadline(HINT_DELIVERY_MS);
        let delivery = Delivery::new(hint, to.iter().cloned());
        let delivery = Conversation::Delivery(Box::new(delivery));
        let ticket = self.desk.open(deadline, delivery);
        for to in to {
            let message = Message::Write {
                ticket,
                key: key.clone(),
                object: object.clone(),
                replaced: replaced.clone(),
                ack: Ack::Durable,
                hint_for: None,
                placement_version: self.view.placement.version(),
                is_new: false,
            };
            self.send(to, message, effects);
        }
    }

    /// The home of a hint, or, if that keeps the partition no more, everybody who does.
    fn heirs(&self, hint: &Hint) -> Vec<NodeId> {
        let properties = self.view.properties(&hint.key);
        match properties {
            Some(known)
                if !self
                    .view
                    .placement
                    .keeps(hint.partition, known.n, &hint.home) =>
            {
                self.view.placement.primaries(hint.partition, known.n)
            }
            _ => vec![hint.home.clone()],
        }
    }

    pub(super) fn on_hint_answered(
        &mut self,
        from: &NodeId,
        ticket: Ticket,
        outcome: Result<(), ReplicaFailure>,
    ) {
        let Some(delivery) = self.desk.delivery(ticket) else {
            return;
        };
        let is_done = match outcome {
            Ok(()) => delivery.on_stored(from),
            Err(_) => return self.end_delivery(ticket),
        };
        if !is_done {
            return;
        }
        let Some(Conversation::Delivery(delivery)) = self.desk.close(ticket) else {
            return;
        };
        match self.copies.forget_hint(&delivery.hint) {
            Ok(is_gone) => {
                self.activity.hints_delivered += u64::from(is_gone);
                let now = self.desk.now.monotonic;
                self.offers.on_delivered(&delivery.hint, now);
            }
            Err(_) => self.fail_delivery(&delivery.hint),
        }
    }

    pub(super) fn on_delivery_timer(&mut self, ticket: Ticket) {
        let missing = self.desk.delivery(ticket).map(|d| d.missing().clone());
        let silent: Vec<NodeId> = missing.into_iter().flatten().collect();
        self.on_silence(&silent);
        self.end_delivery(ticket);
    }

    fn end_delivery(&mut self, ticket: Ticket) {
        if let Some(Conversation::Delivery(delivery)) = self.desk.close(ticket) {
            self.fail_delivery(&delivery.hint);
        }
    }

    fn fail_delivery(&mut self, hint: &Hint) {
        let now = self.desk.now.monotonic;
        let retry_ms = self.settings.hint_retry_ms;
        self.offers.on_failed(hint, now, retry_ms);
    }
}
