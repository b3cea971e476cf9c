//! A shard as the coordinator of gets: carries out the steps of `coordinator::get` (Dynamo 4.5, 5).
//!
//! Invariant: a get ends in one reply, and then in at most one repair of each stale replica.

use super::super::bucket::Ack;
use super::super::coordinator::get::{Get, Step};
use super::super::coordinator::request::{GetError, GetRequest};
use super::super::names::{ClientId, NodeId, Ticket};
use super::super::replica::storage::Storage;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::Message;
use super::router::Machine;
use crate::limits::{CONVERSATIONS_MAX, READ_REPAIR_WINDOW_MS};

impl<S: Storage> Machine<S> {
    pub(super) fn on_get(
        &mut self,
        client: ClientId,
        request: GetRequest,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let key = request.key.clone();
        match self.open_get(client, request, timeout_ms) {
            Ok((ticket, replicas)) => {
                for to in replicas {
                    let key = key.clone();
                    self.send(to, Message::Read { ticket, key }, effects);
                }
                self.with_get(ticket, effects, |get| get.check());
            }
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
    ) -> Result<(Ticket, Vec<NodeId>), GetError> {
        self.activity.gets += 1;
        if self.desk.is_full() {
            let limit = CONVERSATIONS_MAX;
            return Err(GetError::Overloaded { limit });
        }
        let Some(properties) = self.view.properties(&request.key) else {
            return Err(GetError::NoSuchBucket(request.key.bucket().clone()));
        };
        let r = request.r.unwrap_or(properties.r);
        properties.check_quorum("r", r)?;
        let replicas = self.view.primaries(&request.key, properties.n);
        let deadline = self.desk.deadline(timeout_ms);
        let times = (self.desk.now.wall_ms, deadline);
        let get = Get::start(client, request.key, properties, r, replicas.len(), times);
        let ticket = self.desk.open(deadline, Conversation::Get(Box::new(get)));
        Ok((ticket, replicas))
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
        let (client, deadline) = (get.client, get.deadline);
        match step {
            Step::Wait => {}
            Step::Reconcile(question) => self.ask(ticket, *question, deadline, effects),
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
        if self.desk.get(ticket).is_some_and(|get| get.is_complete()) {
            self.repair(ticket, effects);
        }
    }

    /// The deadline of a get that has no answer yet, or the end of the wait for stragglers.
    pub(super) fn on_get_timer(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        match self.desk.get(ticket).is_some_and(|get| get.is_answered()) {
            true => self.repair(ticket, effects),
            false => self.with_get(ticket, effects, |get| get.on_deadline()),
        }
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
                replaced: None,
                ack: Ack::Buffered,
            };
            self.send(to, message, effects);
        }
    }
}
