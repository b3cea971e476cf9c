//! The steps of single requests, as their shard sees them, for clients that ask.
//!
//! Kept beside the machine: it is told what goes in and what comes out, and changes nothing of it. What a shard says to
//! its own copy does not leave the machine and is not seen.
//!
//! Invariant: a request that nobody traces costs one look at an empty map, and no trace grows beyond its bound.

use crate::dynamo::machine::effect::Effect;
use crate::dynamo::machine::event::Event;
use crate::dynamo::machine::message::Message;
use crate::dynamo::names::{ClientId, Key, NodeId, Ticket};
use crate::dynamo::reconcile::answer::Answer;
use crate::limits::operations::TRACE_STEPS_MAX;
use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

tokio::task_local! {
    static CURRENT: Arc<Trace>;
}

/// What happened to one request, and when.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    /// Held to add a step or to read them all; never over an await.
    steps: Mutex<Vec<String>>,
}

impl Trace {
    pub fn begin() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            steps: Mutex::default(),
        })
    }

    /// The trace of the request that this task serves, if it has one.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Serves a request under this trace.
    pub async fn scope<T>(self: Arc<Self>, request: impl Future<Output = T>) -> T {
        CURRENT.scope(self, request).await
    }

    /// In the order in which they happened, each with its milliseconds.
    pub fn steps(&self) -> Vec<String> {
        let steps = self.steps.lock();
        steps.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, what: impl Display) {
        let ms = self.begun.elapsed().as_secs_f64() * 1000.0;
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() < TRACE_STEPS_MAX {
            steps.push(format!("{ms:.1} ms: {what}"));
        }
    }
}

/// The traced requests of one shard.
#[derive(Debug, Default)]
pub struct Traced {
    clients: HashMap<ClientId, Arc<Trace>>,
    tickets: HashMap<Ticket, (ClientId, Arc<Trace>)>,
    /// The request that the machine is taking in.
    fresh: Option<(ClientId, Key)>,
}

impl Traced {
    /// A client asks for a trace of its request; before the machine is told of it.
    pub fn begin(&mut self, client: ClientId, trace: Option<Arc<Trace>>) {
        if let Some(trace) = trace {
            self.clients.insert(client, trace);
        }
    }

    /// What the machine is told.
    pub fn on_event(&mut self, event: &Event) {
        if self.clients.is_empty() {
            return;
        }
        match event {
            Event::Get {
                client, request, ..
            } => self.fresh = Some((*client, request.key.clone())),
            Event::Put {
                client, request, ..
            } => self.fresh = Some((*client, request.key.clone())),
            Event::Message { from, message } => {
                if let Some((_, trace)) = self.tickets.get(&message.ticket())
                    && let Some(what) = answered(from, message)
                {
                    trace.note(what);
                }
            }
            Event::Answered { ticket, answer } => {
                if let Some((_, trace)) = self.tickets.get(ticket) {
                    trace.note(judged(answer));
                }
            }
            _ => {}
        }
    }

    /// What the machine wants done because of it.
    pub fn on_effects(&mut self, effects: &[Effect]) {
        if self.clients.is_empty() {
            return;
        }
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    self.adopt(message.ticket(), message.key());
                    self.note(message.ticket(), || sent(to, message));
                }
                Effect::SendOnceSynced { to, message } => {
                    self.note(message.ticket(), || {
                        Some(format!("{to} is answered when this disk is synced"))
                    });
                }
                Effect::Ask {
                    ticket, question, ..
                } => {
                    self.adopt(*ticket, Some(&question.key));
                    let digest = question.binding.digest;
                    self.note(*ticket, || Some(format!("the plugin {digest} is asked")));
                }
                Effect::ReplyGet { client, .. } | Effect::ReplyPut { client, .. } => {
                    self.end(*client);
                }
                _ => {}
            }
        }
        self.fresh = None;
    }

    /// A conversation that begins while a traced request is taken in, about its key, is that request's.
    fn adopt(&mut self, ticket: Ticket, key: Option<&Key>) {
        let Some((client, of)) = &self.fresh else {
            return;
        };
        if key == Some(of)
            && let Some(trace) = self.clients.get(client)
        {
            let named = (*client, Arc::clone(trace));
            self.tickets.entry(ticket).or_insert(named);
        }
    }

    fn note(&self, ticket: Ticket, what: impl FnOnce() -> Option<String>) {
        if let Some((_, trace)) = self.tickets.get(&ticket)
            && let Some(what) = what()
        {
            trace.note(what);
        }
    }

    fn end(&mut self, client: ClientId) {
        if let Some(trace) = self.clients.remove(&client) {
            trace.note("the client is answered");
            self.tickets.retain(|_, (of, _)| *of != client);
        }
    }
}

fn sent(to: &NodeId, message: &Message) -> Option<String> {
    match message {
        Message::Read { hint_for, .. } => Some(match hint_for {
            Some(home) => format!("{to} is asked in the place of {home}"),
            None => format!("{to} is asked"),
        }),
        Message::Write { hint_for, .. } => Some(match hint_for {
            Some(home) => format!("{to} is sent the write, as a hint for {home}"),
            None => format!("{to} is sent the write"),
        }),
        Message::Forward { .. } => Some(format!("{to} is passed the put")),
        _ => None,
    }
}

fn answered(from: &NodeId, message: &Message) -> Option<String> {
    match message {
        Message::ReadReply {
            outcome: Ok(object),
            ..
        } => {
            let versions = object.versions().count();
            Some(format!("{from} has {versions} versions"))
        }
        Message::ReadReply {
            outcome: Err(failure),
            ..
        }
        | Message::WriteReply {
            outcome: Err(failure),
            ..
        } => Some(format!("{from} failed: {failure}")),
        Message::WriteReply {
            outcome: Ok(()), ..
        } => Some(format!("{from} has the write")),
        Message::ForwardReply { outcome: Ok(_), .. } => Some(format!("{from} has coordinated it")),
        Message::ForwardReply {
            outcome: Err(error),
            ..
        } => Some(format!("{from} has not coordinated it: {error}")),
        _ => None,
    }
}

fn judged(answer: &Answer) -> String {
    match answer {
        Answer::Resolved { fuel, .. } => format!("the plugin resolved with {fuel} units of fuel"),
        Answer::Judged { fuel, .. } => format!("the plugin judged with {fuel} units of fuel"),
        Answer::Failed(failure) => format!("the plugin gave no answer: {failure}"),
    }
}
