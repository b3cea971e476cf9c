//! Puts that change hands: passed on to a node that keeps the key, taken from one that does not, or, when no
//! primary takes one, coordinated in the place of a primary (Dynamo 4.5, 4.6).
//!
//! Invariant: a put is coordinated by one node; another is tried only after a certain refusal.

use super::super::coordinator::forward::{self, Forward, Pass};
use super::super::coordinator::put::Origin;
use super::super::coordinator::request::{PutError, PutRequest};
use super::super::names::{Millis, NodeId, Ticket};
use super::super::replica::layout::Place;
use super::super::replica::storage::Storage;
use super::super::ring::placement::Seats;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::Message;
use super::puts::Admitted;
use super::router::Machine;

impl<S: Storage> Machine<S> {
    /// Hands a put to another replica; `failure` is what the client is told if there is none.
    pub(super) fn pass_on(&mut self, forward: Forward, failure: String, effects: &mut Vec<Effect>) {
        let deadline = forward.deadline;
        let conversation = Conversation::Forward(Box::new(forward));
        let ticket = self.desk.open(deadline, conversation);
        self.activity.forwards += 1;
        self.with_forward(ticket, effects, |forward| forward.next(failure));
    }

    pub(super) fn on_forwarded(
        &mut self,
        (from, ticket): (NodeId, Ticket),
        request: PutRequest,
        (timeout_ms, stands_in): (u64, bool),
        effects: &mut Vec<Effect>,
    ) {
        if !self.desk.passed.is_first(&from, ticket) {
            return; // The first copy is answered, or will be.
        }
        let deadline = self.desk.deadline(timeout_ms);
        let origin = Origin::Forwarded { from, ticket };
        match self.admit(&request) {
            Err(error) => self.reply_put(origin, Err(error), effects),
            Ok(_) if !self.has_room_for(&request) => {
                let error = PutError::DiskFull(self.no_room());
                self.reply_put(origin, Err(error), effects);
            }
            Ok(admitted) if admitted.seats.primaries.contains(&self.me) => {
                self.coordinate(origin, request, admitted, Place::Home, deadline, effects);
            }
            Ok(admitted) if stands_in => {
                let place = self.vacant(&admitted.seats, &request);
                self.coordinate_in(place, origin, request, admitted, deadline, effects);
            }
            Ok(_) => {
                let error = PutError::NotStored(format!("{} keeps no copy of this key", self.me));
                self.reply_put(origin, Err(error), effects);
            }
        }
    }

    /// No primary takes a put: this node makes its dot in the place of the first that is down, or of the first.
    fn stand_in(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let Some(Conversation::Forward(forward)) = self.desk.close(ticket) else {
            return;
        };
        let Forward {
            client,
            request,
            deadline,
            ..
        } = *forward;
        let origin = Origin::Client(client);
        match self.admit(&request) {
            Err(error) => self.reply_put(origin, Err(error), effects),
            Ok(_) if !self.has_room_for(&request) => {
                let error = PutError::DiskFull(self.no_room());
                self.reply_put(origin, Err(error), effects);
            }
            // It became one while the others were asked, and keeps no hint for itself.
            Ok(admitted) if admitted.seats.primaries.contains(&self.me) => {
                self.coordinate(origin, request, admitted, Place::Home, deadline, effects);
            }
            Ok(admitted) => {
                let place = self.vacant(&admitted.seats, &request);
                self.coordinate_in(place, origin, request, admitted, deadline, effects);
            }
        }
    }

    /// The primary whose place this node takes: one that takes nothing, else the first. The same one for all puts of a
    /// key, as far as can be: what is kept for two is two records.
    fn vacant(&self, seats: &Seats, request: &PutRequest) -> Option<NodeId> {
        let primaries = &seats.primaries;
        let unlikely = primaries
            .iter()
            .find(|node| self.is_unlikely(node, request));
        unlikely.or(primaries.first()).cloned()
    }

    fn coordinate_in(
        &mut self,
        home: Option<NodeId>,
        origin: Origin,
        request: PutRequest,
        admitted: Admitted,
        deadline: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(home) = home else {
            let error = PutError::NotStored("nobody keeps this key".to_owned());
            return self.reply_put(origin, Err(error), effects);
        };
        let place = Place::Hint(home);
        self.coordinate(origin, request, admitted, place, deadline, effects);
    }

    pub(super) fn with_forward(
        &mut self,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
        turn: impl FnOnce(&mut Forward) -> forward::Step,
    ) {
        let now = self.desk.now.monotonic;
        let Some(forward) = self.desk.forward(ticket) else {
            return; // A late reply to a conversation that has ended.
        };
        let before = forward.tried().cloned();
        let step = turn(forward);
        if let (Some(node), false) = (before, step == forward::Step::Wait) {
            self.pressure.on_over(&node, ticket);
        }
        let outcome = match step {
            forward::Step::Wait => return,
            forward::Step::Send(Pass { to, stands_in }) => {
                self.pressure.on_passed(to.clone(), ticket, now);
                let request = Box::new(forward.request.clone());
                let timeout_ms = forward.deadline.since(now);
                let message = Message::Forward {
                    ticket,
                    request,
                    timeout_ms,
                    stands_in,
                };
                effects.push(Effect::Send { to, message });
                return;
            }
            forward::Step::StandIn => return self.stand_in(ticket, effects),
            forward::Step::Answer(reply) => Ok(reply),
            forward::Step::Fail(error) => Err(error),
        };
        let client = forward.client;
        self.desk.close(ticket);
        effects.push(Effect::ReplyPut { client, outcome });
    }

    pub(super) fn on_forward_timer(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let tried = self
            .desk
            .forward(ticket)
            .and_then(|forward| forward.tried());
        let silent: Vec<NodeId> = tried.into_iter().cloned().collect();
        self.on_silence(&silent);
        self.with_forward(ticket, effects, |forward| forward.on_deadline());
    }
}
