//! A shard as the coordinator of gets: carries out the steps of `coordinator::get` (Dynamo 4.5, 5).
//!
//! Invariant: a get ends in one reply, and then in at most one repair of each stale replica.

use super::super::bucket::Ack;
use super::super::coordinator::get::{Get, Step};
use super::super::coordinator::panel::Panel;
use super::super::coordinator::quorum::Needed;
use super::super::coordinator::request::{GetError, GetRequest};
use super::super::coordinator::seat::Errand;
use super::super::names::{ClientId, Key, Millis, Ticket};
use super::super::replica::storage::Storage;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::Message;
use super::router::Machine;
use crate::limits::READ_REPAIR_WINDOW_MS;

impl<S: Storage> Machine<S> {
    pub(super) fn on_get(
        &mut self,
        client: ClientId,
        request: GetRequest,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        match self.open_get(client, request, timeout_ms) {
            Ok(ticket) => self.with_get(ticket, effects, |get| get.check()),
            Err(error) => {
                let outcome = Err(error);
                effects.push(Effect::ReplyGet { client, outcome });
            }
        }
    }

    pub(super) fn open_get(
        &mut self,
        client: ClientId,
        request: GetRequest,
        timeout_ms: u64,
    ) -> Result<Ticket, GetError> {
        self.activity.gets += 1;
        if let Some(limit) = self.overload() {
            return Err(GetError::Overloaded { limit });
        }
        let Some(properties) = self.view.properties(&request.key) else {
            return Err(GetError::NoSuchBucket(request.key.bucket().clone()));
        };
        let needed = Needed {
            answers: request.r.unwrap_or(properties.r),
            primaries: request.pr.unwrap_or(properties.pr),
        };
        properties.check_quorum("r", needed.answers)?;
        properties.check_primaries("pr", needed.primaries)?;
        let seats = self.view.seats(&request.key, properties.n);
        let panel = Panel::new(seats, |node| self.detector.is_down(node), needed);
        let deadline = self.desk.deadline(timeout_ms);
        let times = (self.desk.now.wall_ms, deadline);
        let late = self.late();
        let get = Get::start(client, request.key, properties, panel, late, times);
        Ok(self.desk.open(deadline, Conversation::Get(Box::new(get))))
    }

    /// When somebody is asked beside those who are silent, and how long each spell of waiting is.
    pub(super) fn late(&self) -> (Millis, u64) {
        let spell_ms = self.settings.stand_in_after_ms;
        (self.desk.now.monotonic.after(spell_ms), spell_ms)
    }

    pub(super) fn with_get(
        &mut self,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
        turn: impl FnOnce(&mut Get) -> Step,
    ) {
        let Some(get) = self.desk.get(ticket) else {
            return; // A late reply to a conversation that has ended.
        };
        let step = turn(get);
        let client = get.client;
        let (key, errands) = (get.key.clone(), get.take_errands());
        self.read_at(ticket, &key, errands, effects);
        match step {
            Step::Wait => {}
            Step::Reconcile(question) => {
                let now = self.desk.now.monotonic;
                let until = self.desk.get(ticket).map(|get| get.on_asked(now));
                self.ask(ticket, *question, until.unwrap_or(now), effects);
            }
            Step::Answer(reply) => {
                let outcome = Ok(reply);
                effects.push(Effect::ReplyGet { client, outcome });
                let window = self.desk.now.monotonic.after(READ_REPAIR_WINDOW_MS);
                self.desk.set_timer(ticket, window);
            }
            Step::Fail(error) => {
                let outcome = Err(error);
                effects.push(Effect::ReplyGet { client, outcome });
                self.desk.close(ticket);
            }
        }
        let Some(get) = self.desk.get(ticket) else {
            return;
        };
        if get.is_complete() {
            return self.repair(ticket, effects);
        }
        if !get.is_answered() {
            let wakes_at = get.wakes_at();
            self.desk.set_timer(ticket, wakes_at);
        }
    }

    fn read_at(
        &mut self,
        ticket: Ticket,
        key: &Key,
        errands: Vec<Errand>,
        effects: &mut Vec<Effect>,
    ) {
        for Errand { to, hint_for } in errands {
            self.activity.stand_ins += u64::from(hint_for.is_some());
            let message = Message::Read {
                ticket,
                key: key.clone(),
                hint_for,
                placement_version: self.view.placement.version(),
            };
            self.send(to, message, effects);
        }
    }

    /// A spell of waiting is over, or the deadline of a get that has no answer yet, or the end of the wait for stragglers.
    pub(super) fn on_get_timer(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let Some(get) = self.desk.get(ticket) else {
            return;
        };
        let (silent, is_answered) = (get.silent(), get.is_answered());
        self.on_silence(&silent);
        if is_answered {
            return self.repair(ticket, effects);
        }
        let now = self.desk.now.monotonic;
        self.with_get(ticket, effects, |get| get.on_timer(now));
    }

    /// Sends what was gathered to the replicas that lack some of it, and ends the conversation.
    pub(super) fn repair(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let Some(Conversation::Get(get)) = self.desk.close(ticket) else {
            return;
        };
        let (stale, object) = get.stale();
        for to in stale {
            self.activity.read_repairs += 1;
            let message = Message::Write {
                ticket,
                key: get.key.clone(),
                object: object.clone(),
                replaced: Vec::new(),
                ack: Ack::Buffered,
                hint_for: None,
                placement_version: self.view.placement.version(),
                is_new: false,
            };
            self.send(to, message, effects);
        }
    }
}
