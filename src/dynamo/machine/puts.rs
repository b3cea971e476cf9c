//! A shard as the coordinator of puts and deletes: carries out the steps of `coordinator::put` and `forward`.
//!
//! Dynamo 4.5. Invariant: the local copy has the write before any other replica is sent it.

use super::super::bucket::{Ack, Properties};
use super::super::coordinator::forward::{self, Forward};
use super::super::coordinator::merge::Store;
use super::super::coordinator::put::{self, Origin, Put};
use super::super::coordinator::request::{PutError, PutReply, PutRequest};
use super::super::coordinator::warning::Warning;
use super::super::names::{ClientId, Key, Millis, NodeId, Ticket};
use super::super::reconcile::question::Question;
use super::super::replica::copy::{CoordinateError, Coordinated};
use super::super::replica::storage::{Storage, StorageError};
use super::super::ring::partition::PartitionId;
use super::desk::Conversation;
use super::effect::Effect;
use super::message::Message;
use super::router::Machine;
use crate::limits::CONVERSATIONS_MAX;
use bytes::Bytes;

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
        match self.admit(&request) {
            Err(error) => self.reply_put(Origin::Client(client), Err(error), effects),
            Ok((properties, replicas)) if replicas.contains(&self.me) => {
                self.coordinate(
                    Origin::Client(client),
                    request,
                    properties,
                    replicas.len(),
                    deadline,
                    effects,
                );
            }
            Ok((properties, replicas)) => {
                let w = request.w.unwrap_or(properties.w);
                let forward = Forward::start(client, request, replicas.into_iter(), w, deadline);
                self.pass_on(forward, "no replica could be reached".to_owned(), effects);
            }
        }
    }

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
        from: NodeId,
        ticket: Ticket,
        request: PutRequest,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        if !self.desk.passed.is_first(&from, ticket) {
            return; // The first copy is answered, or will be.
        }
        let deadline = self.desk.deadline(timeout_ms);
        let origin = Origin::Forwarded { from, ticket };
        match self.admit(&request) {
            Err(error) => self.reply_put(origin, Err(error), effects),
            Ok((properties, replicas)) if replicas.contains(&self.me) => {
                self.coordinate(
                    origin,
                    request,
                    properties,
                    replicas.len(),
                    deadline,
                    effects,
                );
            }
            Ok(_) => {
                let error = PutError::NotStored(format!("{} keeps no copy of this key", self.me));
                self.reply_put(origin, Err(error), effects);
            }
        }
    }

    /// Checks a put against its bucket and names the replicas of its key.
    pub(super) fn admit(
        &self,
        request: &PutRequest,
    ) -> Result<(Properties, Vec<NodeId>), PutError> {
        if self.desk.is_full() {
            let limit = CONVERSATIONS_MAX;
            return Err(PutError::Overloaded { limit });
        }
        let Some(properties) = self.view.properties(&request.key) else {
            return Err(PutError::NoSuchBucket(request.key.bucket().clone()));
        };
        if let Some(w) = request.w {
            properties.check_quorum("w", w)?;
        }
        request.version.check(properties.value_bytes_max)?;
        let replicas = self.view.primaries(&request.key, properties.n);
        Ok((properties, replicas))
    }

    pub(super) fn coordinate(
        &mut self,
        origin: Origin,
        mut request: PutRequest,
        properties: Properties,
        replicas: usize,
        deadline: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let wall_ms = self.desk.now.wall_ms;
        request.version.written_at_ms = wall_ms;
        request.version.expires_at_ms = match request.version.is_tombstone() {
            true => None,
            false => request.ttl.expires_at_ms(wall_ms, properties.ttl_ms),
        };
        let me = self.me.clone();
        let time = (self.desk.now.monotonic, deadline);
        let put = Put::start(origin, request, properties, me, replicas, time);
        let ticket = self.desk.open(deadline, Conversation::Put(Box::new(put)));
        self.with_put(ticket, effects, |put| put.begin());
    }

    pub(super) fn with_put(
        &mut self,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
        turn: impl FnOnce(&mut Put) -> put::Step,
    ) {
        let Some(put) = self.desk.put(ticket) else {
            return; // A late reply to a conversation that has ended.
        };
        let step = turn(put);
        let until = put.wakes_at();
        match step {
            put::Step::Wait => {}
            put::Step::Ask(question) => self.ask(ticket, *question, until, effects),
            put::Step::ReadLocal => self.read_local(ticket, effects),
            put::Step::Store(store) => self.store(ticket, *store, effects),
            put::Step::Answer(reply) => self.end_put(ticket, Ok(reply), effects),
            put::Step::Fail(error) => self.end_put(ticket, Err(error), effects),
        }
        if let Some(wakes_at) = self.desk.put(ticket).map(|put| put.wakes_at()) {
            self.desk.set_timer(ticket, wakes_at);
        }
    }

    pub(super) fn read_local(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let Some(key) = self.desk.put(ticket).map(|put| put.request.key.clone()) else {
            return;
        };
        let partition = self.view.placement.partition_of(&key);
        match self.copies.record(partition, &key) {
            Ok(record) => self.with_put(ticket, effects, |put| put.on_local(&record.object)),
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
        let replicas = self.admit(&request);
        match (origin, replicas) {
            (Origin::Client(client), Ok((properties, replicas))) => {
                let w = request.w.unwrap_or(properties.w);
                let others = replicas.into_iter().filter(|node| *node != self.me);
                let forward = Forward::start(client, request, others, w, deadline);
                self.pass_on(forward, error.to_string(), effects);
            }
            (origin, _) => {
                let error = PutError::NotStored(error.to_string());
                self.reply_put(origin, Err(error), effects);
            }
        }
    }

    pub(super) fn store(&mut self, ticket: Ticket, store: Store, effects: &mut Vec<Effect>) {
        let Some(put) = self.desk.put(ticket) else {
            return;
        };
        let (key, ack) = (put.request.key.clone(), put.ack());
        let partition = self.view.placement.partition_of(&key);
        let Store {
            context,
            version,
            merge,
        } = store;
        match self
            .copies
            .coordinate(partition, &key, &context, version, merge)
        {
            Ok(coordinated) => {
                self.replicate(ticket, &key, partition, coordinated, ack, effects);
            }
            Err(CoordinateError::Storage(error)) => self.leave_to_others(ticket, error, effects),
            Err(CoordinateError::MaybeStored(reason)) => {
                self.with_put(ticket, effects, |put| put.on_maybe_stored(reason));
            }
            Err(error) => {
                let error = PutError::TooLarge(error.to_string());
                self.end_put(ticket, Err(error), effects);
            }
        }
    }

    /// Sends the stored object to the other replicas; the local copy acknowledges like a remote one.
    pub(super) fn replicate(
        &mut self,
        ticket: Ticket,
        key: &Key,
        partition: PartitionId,
        coordinated: Coordinated,
        ack: Ack,
        effects: &mut Vec<Effect>,
    ) {
        let Some(put) = self.desk.put(ticket) else {
            return;
        };
        put.on_stored(coordinated.clone());
        let n = self
            .view
            .properties(key)
            .map_or(0, |properties| properties.n);
        for to in self.view.replicas(partition, n) {
            if to == self.me {
                continue;
            }
            let message = Message::Write {
                ticket,
                key: key.clone(),
                object: coordinated.object.clone(),
                replaced: coordinated.replaced.clone().map(Box::new),
                ack,
            };
            effects.push(Effect::Send { to, message });
        }
        self.acknowledge(self.me.clone(), ticket, Ok(()), ack, effects);
    }

    pub(super) fn end_put(
        &mut self,
        ticket: Ticket,
        outcome: Result<Box<PutReply>, PutError>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(Conversation::Put(put)) = self.desk.close(ticket) {
            let outcome = outcome.map(|reply| self.warned(&put.request, reply));
            self.reply_put(put.origin, outcome, effects);
        }
    }

    /// The reply with what its writer should look into.
    fn warned(&mut self, request: &PutRequest, mut reply: Box<PutReply>) -> Box<PutReply> {
        let Some(properties) = self.view.buckets.get(request.key.bucket()) else {
            return reply; // Only its properties say what is too large.
        };
        let stored = reply.merged.as_ref().unwrap_or(&request.version);
        let value_bytes = stored.bytes().map_or(0, Bytes::len);
        reply.warnings = Warning::of(properties, value_bytes, reply.siblings);
        self.activity.put_warnings += reply.warnings.len() as u64;
        reply
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
        }
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
        let step = turn(forward);
        let outcome = match step {
            forward::Step::Wait => return,
            forward::Step::Send(to) => {
                let request = Box::new(forward.request.clone());
                let timeout_ms = forward.deadline.since(now);
                let message = Message::Forward {
                    ticket,
                    request,
                    timeout_ms,
                };
                effects.push(Effect::Send { to, message });
                return;
            }
            forward::Step::Answer(reply) => Ok(reply),
            forward::Step::Fail(error) => Err(error),
        };
        let client = forward.client;
        self.desk.close(ticket);
        effects.push(Effect::ReplyPut { client, outcome });
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
