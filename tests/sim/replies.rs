//! What clients are told, held against what happened.
//!
//! Invariant: every request has one reply, by its deadline; a connection that broke counts as an unknown
//! outcome, known to the client.

use super::clients::{Pending, Token};
use super::guests;
use super::history::{Check, Fate, Told};
use super::marks::Marks;
use super::mutant::{Mutant, widened};
use super::plan::Manners;
use super::world::World;
use rejoin::dynamo::bucket::Policy;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::coordinator::request::{GetError, GetReply, PutError, PutReply, Resolved};
use rejoin::dynamo::names::ClientId;

impl World {
    pub fn on_get_reply(&mut self, id: ClientId, outcome: Result<Box<GetReply>, GetError>) {
        self.trace
            .note(self.now_ms, &[b'g', u8::from(outcome.is_ok())], || {
                format!("client {} got {outcome:?}", id.0)
            });
        let Some(pending) = self.close(id) else {
            return;
        };
        if let Ok(mut reply) = outcome {
            if self.mutant == Mutant::WidensContexts {
                reply.context = widened(&reply.context);
            }
            self.check_view(pending.key, &reply);
            let key = pending.key;
            let seen = self.history.on_shown(key, &reply.siblings, &reply.context);
            self.check_seen(&pending, &seen);
            let token = Token::new(&reply.context, &self.stage.plan.keys[key], seen);
            if let Some(client) = pending.client {
                self.clients.all[client].remember(key, token);
            }
        }
        self.think(&pending);
    }

    pub fn on_put_reply(&mut self, id: ClientId, outcome: Result<Box<PutReply>, PutError>) {
        self.trace
            .note(self.now_ms, &[b'p', u8::from(outcome.is_ok())], || {
                format!("client {} got {outcome:?}", id.0)
            });
        if self.mutant == Mutant::SwallowsReplies {
            return;
        }
        let Some(pending) = self.close(id) else {
            return;
        };
        if self.mutant == Mutant::RepeatsReplies {
            self.close(id);
        }
        let attempt = pending.attempt.expect("puts are answered as puts");
        match outcome {
            Ok(reply) => self.on_acknowledged(&pending, attempt, &reply),
            Err(PutError::Unknown { .. }) if self.mutant != Mutant::DeniesStoring => {
                self.history.attempts[attempt].fate = Fate::Unknown;
            }
            Err(_) => self.history.attempts[attempt].fate = Fate::NotStored,
        }
        self.think(&pending);
    }

    fn on_acknowledged(&mut self, pending: &Pending, attempt: usize, reply: &PutReply) {
        let told = Told {
            replicas: reply.replicas_answered,
            primaries: reply.primaries_answered,
            durable: reply.durable_answered,
            homes: &self.stage.homes_ever(pending.key),
        };
        let seen = self
            .history
            .on_acknowledged(attempt, reply.dot, &reply.context, &told);
        let key = pending.key;
        let token = Token::new(&reply.context, &self.stage.plan.keys[key], seen);
        if let Some(client) = pending.client.filter(|_| !reply.context.is_empty()) {
            self.clients.all[client].remember(key, token);
        }
    }

    /// Where nothing goes wrong, a strict read sees all that was acknowledged when it was asked.
    fn check_seen(&mut self, pending: &Pending, seen: &Marks) {
        if let Some(must_see) = &pending.must_see
            && !must_see.is_within(seen)
        {
            let (key, node) = (pending.key, pending.node);
            let what = format!("a get of key {key} by n{node} missed an acknowledged put");
            self.history.accuse(Check::Missed, what);
        }
    }

    /// Takes the request off the list: in time, and for the first time.
    fn close(&mut self, id: ClientId) -> Option<Pending> {
        let Some(pending) = self.clients.pending.remove(&id) else {
            let what = format!("request {} was answered twice, or never asked", id.0);
            self.history.accuse(Check::Replies, what);
            return None;
        };
        if self.now_ms > pending.due_ms {
            let late_ms = self.now_ms - pending.due_ms;
            let what = format!("request {} was answered {late_ms} ms late", id.0);
            self.history.accuse(Check::Replies, what);
        }
        Some(pending)
    }

    fn think(&mut self, pending: &Pending) {
        if let Some(client) = pending.client {
            self.act_again(client, 200);
        }
    }

    /// The connection to a node broke: its clients know that they do not know.
    pub fn break_connections(&mut self, node: usize) {
        let broken: Vec<ClientId> = self
            .clients
            .pending
            .iter()
            .filter(|(_, pending)| pending.node == node)
            .map(|(id, _)| *id)
            .collect();
        for id in broken {
            let pending = self.clients.pending.remove(&id).expect("just found");
            if let Some(attempt) = pending.attempt {
                self.history.attempts[attempt].fate = Fate::Unknown;
            }
            self.think(&pending);
        }
    }

    /// The values of a reply are those of its siblings, or what a lawful policy makes of them.
    fn check_view(&mut self, key: usize, reply: &GetReply) {
        let siblings = reply.siblings.iter().map(|(_, version)| version);
        let live: Vec<&Version> = siblings.filter(|version| !version.is_tombstone()).collect();
        let policy = &self.stage.plan.properties(key).policy;
        let lawful = *policy == Policy::Resolver(guests::Guest::Union.binding());
        let is_right = match &reply.resolved {
            Resolved::Single => live.len() < 2 && reply.versions.iter().collect::<Vec<_>>() == live,
            Resolved::Siblings { .. } => {
                let mut sorted = live.clone();
                sorted.sort();
                live.len() > 1 && reply.versions.iter().collect::<Vec<_>>() == sorted
            }
            Resolved::Merged { .. } if lawful => {
                let wanted = guests::union(live.iter().copied());
                reply.versions.len() == 1 && reply.versions[0].bytes() == Some(&wanted)
            }
            Resolved::Merged { .. } => reply.versions.len() < 2 && *policy != Policy::Siblings,
        };
        if !is_right {
            let what = format!("a get of key {key} was answered {reply:?}");
            self.history.accuse(Check::Resolved, what);
        }
    }

    /// Polite clients never leave more siblings than there are of them.
    pub fn check_siblings(&mut self) {
        let plan = &self.stage.plan;
        if plan.manners != Manners::Polite {
            return;
        }
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let most = machines
            .map(|machine| machine.activity().copies.siblings_max)
            .max();
        if most.is_some_and(|most| most > plan.clients as u64) {
            let what = format!("{most:?} siblings of {} polite clients", plan.clients);
            self.history.accuse(Check::Siblings, what);
        }
    }
}
