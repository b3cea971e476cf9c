//! A shard as the coordinator of puts and deletes: carries out the steps of `coordinator::put` and `forward`.
//!
//! Dynamo 4.5, 4.6. Invariant: the local copy has the write before any other replica is sent it.

use super::super::bucket::{Properties, check_durable};
use super::super::coordinator::forward::{Forward, Resort};
use super::super::coordinator::put::{self, Origin, Put};
use super::super::coordinator::request::{PutError, PutReply, PutRequest};
use super::super::coordinator::seat::Errand;
use super::super::coordinator::unmerge::Unmerged;
use super::super::names::{ClientId, Millis, Ticket};
use super::super::reconcile::question::Question;
use super::super::replica::layout::Place;
use super::super::replica::record::Replaced;
use super::super::replica::storage::{Storage, StorageError};
use super::super::ring::placement::Seats;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::Message;
use super::router::Machine;
use super::seating::needed;
use crate::limits::{PUT_STRAGGLERS_MS, SHARD_WAITING_MAX};

/// A put that was let in: by which rules it goes, and to whom.
pub(super) struct Admitted {
    pub(super) properties: Properties,
    pub(super) seats: Seats,
}

impl<S: Storage> Machine<S> {
    pub(super) fn on_put(
        &mut self,
        client: ClientId,
        request: PutRequest,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        self.activity.puts += 1;
        let deadline = self.desk.deadline(timeout_ms);
        let origin = Origin::Client(client);
        match self.admit(&request) {
            Err(error) => self.reply_put(origin, Err(error), effects),
            Ok(admitted) if !self.has_room_for(&request) => {
                self.leave_for_want_of_room(client, request, admitted, deadline, effects);
            }
            Ok(admitted) if admitted.seats.primaries.contains(&self.me) => {
                self.coordinate(origin, request, admitted, Place::Home, deadline, effects);
            }
            Ok(admitted) => {
                let w = request.w.unwrap_or(admitted.properties.w);
                let primaries = self.in_order(&request, admitted.seats.primaries);
                let resort = Resort::StandIn;
                let forward = Forward::start(client, request, primaries, resort, w, deadline);
                self.pass_on(forward, "no replica could be reached".to_owned(), effects);
            }
        }
    }

    /// Checks a put against its bucket and names the nodes of its key.
    pub(super) fn admit(&self, request: &PutRequest) -> Result<Admitted, PutError> {
        if let Some(limit) = self.overload() {
            return Err(PutError::Overloaded { limit });
        }
        let Some(properties) = self.view.properties(&request.key) else {
            return Err(PutError::NoSuchBucket(request.key.bucket().clone()));
        };
        if let Some(w) = request.w {
            properties.check_quorum("w", w)?;
        }
        if let Some(pw) = request.pw {
            properties.check_primaries("pw", pw)?;
        }
        if let Some(dw) = request.dw {
            check_durable(dw, request.w.unwrap_or(properties.w))?;
        }
        request.version.check(properties.value_bytes_max)?;
        let seats = self.view.seats(&request.key, properties.n);
        Ok(Admitted { properties, seats })
    }

    pub(super) fn coordinate(
        &mut self,
        origin: Origin,
        request: PutRequest,
        admitted: Admitted,
        place: Place,
        deadline: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let needed = needed(&request, &admitted.properties);
        if self.are_too_many_busy(&admitted.seats, needed) {
            let limit = SHARD_WAITING_MAX;
            return self.reply_put(origin, Err(PutError::Overloaded { limit }), effects);
        }
        if let Some(error) = self.too_few_disks(&origin, &request, &admitted.seats, needed) {
            return self.reply_put(origin, Err(error), effects);
        }
        let ticket = self.open_put(origin, request, admitted, place, deadline);
        self.with_put(ticket, effects, |put| put.begin());
    }

    pub(super) fn open_put(
        &mut self,
        origin: Origin,
        mut request: PutRequest,
        admitted: Admitted,
        place: Place,
        deadline: Millis,
    ) -> Ticket {
        let Admitted { properties, seats } = admitted;
        let wall_ms = self.desk.now.wall_ms;
        request.version.written_at_ms = wall_ms;
        request.version.expires_at_ms = match request.version.is_tombstone() {
            true => None,
            false => request.ttl.expires_at_ms(wall_ms, properties.ttl_ms),
        };
        let panel = self.panel(&request, &properties, seats, &place);
        let drawn = (panel, self.view.placement.hash());
        let me = self.me.clone();
        let time = (self.desk.now.monotonic, deadline);
        let put = Put::start(origin, request, properties, me, (drawn, place), time);
        self.desk.open(deadline, Conversation::Put(Box::new(put)))
    }

    pub(super) fn with_put(
        &mut self,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
        turn: impl FnOnce(&mut Put) -> put::Step,
    ) {
        self.turn_put(ticket, effects, turn);
        self.look_after_line(ticket, effects);
    }

    fn turn_put(
        &mut self,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
        turn: impl FnOnce(&mut Put) -> put::Step,
    ) {
        let Some(put) = self.desk.put(ticket) else {
            return; // A late reply to a conversation that has ended.
        };
        let step = turn(put);
        let errands = put.take_errands();
        self.write_at(ticket, errands, effects);
        match step {
            put::Step::Wait => {}
            put::Step::Ask(question) => {
                let now = self.desk.now.monotonic;
                let until = self
                    .desk
                    .put(ticket)
                    .map(|put| put.on_asked(now, &question));
                self.ask(ticket, *question, until.unwrap_or(now), effects);
            }
            put::Step::ReadLocal => self.read_local(ticket, effects),
            put::Step::Store(store) => self.store(ticket, *store, effects),
            put::Step::Answer(reply) => self.answer_put(ticket, Ok(reply), effects),
            put::Step::Fail(error) => self.answer_put(ticket, Err(error), effects),
            put::Step::Close => return self.close_put(ticket),
        }
        let Some(put) = self.desk.put(ticket) else {
            return;
        };
        if put.is_over() {
            return self.close_put(ticket);
        }
        let wakes_at = put.wakes_at();
        self.desk.set_timer(ticket, wakes_at);
    }

    pub(super) fn on_put_timer(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let silent = self.desk.put(ticket).map(|put| put.silent());
        self.on_silence(&silent.unwrap_or_default());
        let now = self.desk.now.monotonic;
        self.with_put(ticket, effects, |put| put.on_timer(now));
    }

    /// Sends what was stored to the replicas, or to those in their place.
    pub(super) fn write_at(
        &mut self,
        ticket: Ticket,
        errands: Vec<Errand>,
        effects: &mut Vec<Effect>,
    ) {
        let me = &self.me;
        let errands = errands.into_iter().filter(|errand| errand.to != *me);
        for Errand { to, hint_for } in errands {
            let Some((put, coordinated)) = self
                .desk
                .put(ticket)
                .and_then(|put| Some((&*put, put.stored()?)))
            else {
                return;
            };
            self.activity.stand_ins += u64::from(hint_for.is_some());
            let message = Message::Write {
                ticket,
                key: put.request.key.clone(),
                object: coordinated.object.clone(),
                replaced: coordinated.replaced.clone().into_iter().collect(),
                ack: put.ack_of(&to),
                hint_for,
                placement_version: self.view.placement.version(),
                is_new: put.is_new_value(),
            };
            effects.push(Effect::Send { to, message });
        }
    }

    /// The client has its answer; the put goes on for a little, if it was stored.
    fn answer_put(
        &mut self,
        ticket: Ticket,
        outcome: Result<Box<PutReply>, PutError>,
        effects: &mut Vec<Effect>,
    ) {
        let closes_at = self.desk.now.monotonic.after(PUT_STRAGGLERS_MS);
        match self.desk.put(ticket) {
            Some(put) if put.stored().is_some() => {
                put.on_replied(closes_at);
                let origin = put.origin.clone();
                let warnings = outcome.as_ref().map_or(0, |reply| reply.warnings.len());
                self.activity.put_warnings += warnings as u64;
                self.reply_put(origin, outcome, effects);
            }
            _ => self.end_put(ticket, outcome, effects),
        }
    }

    /// Nobody is waited for any more: what a primary misses is kept for it here.
    fn close_put(&mut self, ticket: Ticket) {
        let Some(Conversation::Put(put)) = self.desk.close(ticket) else {
            return;
        };
        let Some(coordinated) = put.stored() else {
            return;
        };
        let missing = put.missing().into_iter().filter(|node| *node != self.me);
        for home in missing.collect::<Vec<_>>() {
            let object = coordinated.object.clone();
            let replaced: Vec<Replaced> = coordinated.replaced.clone().into_iter().collect();
            // Beyond the quota it is counted and left to the other ways of repair: it is no acknowledged copy.
            let place = Place::Hint(home);
            let _ = self.write_copy(&place, &put.request.key, object, &replaced);
        }
    }

    pub(super) fn read_local(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        if !self.has_turn(ticket) {
            return;
        }
        let Some(put) = self.desk.put(ticket) else {
            return;
        };
        let key = put.request.key.clone();
        let stands_in = *put.place() != Place::Home;
        let partition = self.view.placement.partition_of(&key);
        let found = match stands_in {
            true => self.copies.known(partition, &key),
            false => self.copies.record(partition, &key).map(|kept| kept.object),
        };
        match found {
            Ok(object) => self.with_put(ticket, effects, |put| put.on_local(&object)),
            Err(error) => self.leave_to_others(ticket, error, effects),
        }
    }

    /// This node cannot store, and has stored nothing: another replica may (law 2).
    pub(super) fn leave_to_others(
        &mut self,
        ticket: Ticket,
        error: StorageError,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Conversation::Put(put)) = self.desk.close(ticket) else {
            return;
        };
        let Put {
            origin,
            request,
            deadline,
            ..
        } = *put;
        let admitted = self.admit(&request);
        match (origin, admitted) {
            (Origin::Client(client), Ok(Admitted { properties, seats })) => {
                let w = request.w.unwrap_or(properties.w);
                let primaries = self.in_order(&request, seats.primaries);
                let resort = Resort::Others(self.in_order(&request, seats.others));
                let forward = Forward::start(client, request, primaries, resort, w, deadline);
                self.pass_on(forward, error.to_string(), effects);
            }
            (origin, _) => {
                let error = PutError::NotStored(error.to_string());
                self.reply_put(origin, Err(error), effects);
            }
        }
    }

    pub(super) fn end_put(
        &mut self,
        ticket: Ticket,
        outcome: Result<Box<PutReply>, PutError>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(Conversation::Put(put)) = self.desk.close(ticket) {
            self.reply_put(put.origin, outcome, effects);
        }
    }

    pub(super) fn reply_put(
        &mut self,
        origin: Origin,
        outcome: Result<Box<PutReply>, PutError>,
        effects: &mut Vec<Effect>,
    ) {
        match origin {
            Origin::Client(client) => effects.push(Effect::ReplyPut { client, outcome }),
            Origin::Forwarded { from, ticket } => {
                self.send(from, Message::ForwardReply { ticket, outcome }, effects);
            }
            Origin::Background(key) => self.on_converged(&key, &outcome),
            Origin::Unmerge { client, is_whole } => {
                let outcome = outcome.map(|reply| Unmerged::Rewritten {
                    dot: reply.dot,
                    is_whole,
                });
                effects.push(Effect::ReplyUnmerge { client, outcome });
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        ticket: Ticket,
        question: Question,
        deadline: Millis,
        effects: &mut Vec<Effect>,
    ) {
        self.activity.guest_calls += 1;
        let timeout_ms = deadline.since(self.desk.now.monotonic);
        effects.push(Effect::Ask {
            ticket,
            question,
            timeout_ms,
        });
    }
}
