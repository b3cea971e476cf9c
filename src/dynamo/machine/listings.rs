//! A shard as the coordinator of a step of a listing, and as a replica that is asked for one.
//!
//! Invariant: a step ends in one reply, and changes nothing anywhere.

use super::super::coordinator::listing::{Listing, Step};
use super::super::coordinator::panel::Panel;
use super::super::coordinator::quorum::Needed;
use super::super::coordinator::request::GetError;
use super::super::coordinator::seat::Errand;
use super::super::names::{ClientId, NodeId, Ticket};
use super::super::replica::layout::Place;
use super::super::replica::storage::Storage;
use super::super::replica::stretch::Stretch;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::{Message, ReplicaFailure};
use super::router::Machine;

impl<S: Storage> Machine<S> {
    pub(super) fn on_list(
        &mut self,
        client: ClientId,
        stretch: Stretch,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        match self.open_listing(client, stretch, timeout_ms) {
            Ok(ticket) => self.with_listing(ticket, effects, |listing| listing.check()),
            Err(error) => {
                let outcome = Err(error);
                effects.push(Effect::ReplyList { client, outcome });
            }
        }
    }

    fn open_listing(
        &mut self,
        client: ClientId,
        stretch: Stretch,
        timeout_ms: u64,
    ) -> Result<Ticket, GetError> {
        self.activity.lists += 1;
        if let Some(limit) = self.overload() {
            return Err(GetError::Overloaded { limit });
        }
        let Some(properties) = self.view.buckets.get(&stretch.bucket) else {
            return Err(GetError::NoSuchBucket(stretch.bucket.clone()));
        };
        let needed = Needed {
            answers: properties.r,
            primaries: properties.pr,
        };
        let seats = self.view.placement.seats(stretch.partition, properties.n);
        let panel = Panel::new(seats, |node| self.detector.is_down(node), needed);
        let deadline = self.desk.deadline(timeout_ms);
        let listing = Listing::start(client, stretch, panel, self.late(), deadline);
        let conversation = Conversation::List(Box::new(listing));
        Ok(self.desk.open(deadline, conversation))
    }

    pub(super) fn with_listing(
        &mut self,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
        turn: impl FnOnce(&mut Listing) -> Step,
    ) {
        let Some(listing) = self.desk.listing(ticket) else {
            return; // A late reply to a step that has ended.
        };
        let step = turn(listing);
        let (client, wakes_at) = (listing.client, listing.wakes_at());
        let (stretch, errands) = (listing.stretch.clone(), listing.take_errands());
        let outcome = match step {
            Step::Wait => {
                self.desk.set_timer(ticket, wakes_at);
                return self.list_at(ticket, &stretch, errands, effects);
            }
            Step::Answer(keys) => Ok(keys),
            Step::Fail(error) => Err(error),
        };
        self.desk.close(ticket);
        effects.push(Effect::ReplyList { client, outcome });
    }

    fn list_at(
        &mut self,
        ticket: Ticket,
        stretch: &Stretch,
        errands: Vec<Errand>,
        effects: &mut Vec<Effect>,
    ) {
        for Errand { to, hint_for } in errands {
            self.activity.stand_ins += u64::from(hint_for.is_some());
            let message = Message::List {
                ticket,
                stretch: stretch.clone(),
                hint_for,
                placement_version: self.view.placement.version(),
            };
            self.send(to, message, effects);
        }
    }

    /// A spell of waiting is over, or the deadline.
    pub(super) fn on_listing_timer(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let silent = self.desk.listing(ticket).map(|listing| listing.silent());
        self.on_silence(&silent.unwrap_or_default());
        let now = self.desk.now.monotonic;
        self.with_listing(ticket, effects, |listing| listing.on_timer(now));
    }

    /// Answers with the keys of this node's copies, or, where it stands in for another, of all that it knows.
    pub(super) fn serve_list(
        &mut self,
        from: NodeId,
        ticket: Ticket,
        (stretch, hint_for): (&Stretch, Option<NodeId>),
        placement_version: u64,
        effects: &mut Vec<Effect>,
    ) {
        let wall_ms = self.desk.now.wall_ms;
        let place = self.place(hint_for);
        let (partition, bucket) = (stretch.partition, &stretch.bucket);
        if self.turns_away(&from) {
            let outcome = Err(ReplicaFailure::Overloaded);
            return self.send(from, Message::ListReply { ticket, outcome }, effects);
        }
        if !self.may_show(&place, partition, bucket, placement_version) {
            let outcome = Err(ReplicaFailure::NotKept);
            return self.send(from, Message::ListReply { ticket, outcome }, effects);
        }
        let listed = match place {
            Place::Hint(_) => self.copies.list_known(stretch, wall_ms),
            Place::Home => self.copies.list(stretch, wall_ms),
        };
        let outcome = listed.map_err(|error| ReplicaFailure::Storage(error.to_string()));
        self.send(from, Message::ListReply { ticket, outcome }, effects);
    }
}
