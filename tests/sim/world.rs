//! The whole cluster in one thread: virtual time, one queue of what is to happen, one set of dice.
//!
//! Carries out the effects of the machines as a faithful shell would, unless a mutant tells it not to.
//! Faults come from the nemesis, requests from the clients, judgement from the history.
//!
//! Invariant: the same plan and mutant give the same trace.

use super::clients::{Clients, Pending, Wish};
use super::disk::{Applied, Defect, Handle};
use super::guests::{self, Guest};
use super::history::{Check, History, Meant, Stored};
use super::members;
use super::mutant::Mutant;
use super::network::{Network, Route};
use super::node::{Held, Node};
use super::plan::{Fault, Manners, Plan};
use super::trace::Trace;
use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::bucket::{Ack, BucketTable, Policy};
use rejoin::dynamo::causality::dot::Dot;
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::coordinator::request::{GetRequest, PutRequest, Ttl};
use rejoin::dynamo::machine::effect::Effect;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::names::{NodeId, Ticket};
use rejoin::dynamo::reconcile::answer::Answer;
use rejoin::dynamo::repair::convergence::Converged;
use rejoin::dynamo::repair::inquiry::Answer as Finding;
use rejoin::dynamo::replica::layout::{decode_hint_key, hints_range, object_key};
use rejoin::dynamo::replica::record::{Record, Replaced};
use rejoin::dynamo::replica::room::Room;
use rejoin::dynamo::replica::storage::{Change, Storage as _};
use rejoin::dynamo::ring::placement::Placement;
use rejoin::dynamo::ring::preference::Ring;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A client's version carries the number of its put, so that the oracle knows it again.
const PUT_NAME: &str = "put";

/// Something that will happen.
pub enum Happening {
    Arrival {
        from: usize,
        to: usize,
        message: Message,
        /// A second copy dies with the connection, that is with the receiver's process.
        life: Option<u64>,
    },
    Answer {
        node: usize,
        life: u64,
        ticket: Ticket,
        answer: Answer,
    },
    Synced {
        node: usize,
        life: u64,
        batches: u64,
    },
    Start {
        node: usize,
    },
    Crash {
        node: usize,
        life: u64,
    },
    Act {
        client: usize,
    },
    Strike,
    /// A letter between two stewards.
    Letter {
        from: usize,
        to: usize,
        letter: Bytes,
    },
    /// The members are to change.
    Reshape,
    /// An operator binds another version somewhere, goes back, or pauses.
    Rebind,
    /// A node hears of it.
    Hear {
        node: usize,
    },
    /// A full disk has room again.
    Emptied {
        node: usize,
    },
}

impl Happening {
    /// Whether nobody's request is behind it.
    fn is_background(&self) -> bool {
        match self {
            Happening::Arrival { message, .. } => {
                matches!(message, Message::Repair { .. } | Message::Repaired { .. })
            }
            Happening::Synced { .. } | Happening::Letter { .. } | Happening::Emptied { .. } => true,
            _ => false,
        }
    }
}

/// What is known of the cluster before anything happens.
pub struct Stage {
    pub plan: Plan,
    pub placement: Arc<Placement>,
    pub buckets: Arc<BucketTable>,
    /// Where the disks keep the object of each key.
    pub stored_at: BTreeMap<Bytes, usize>,
    /// By key, everybody who was one of its primaries in any view.
    pub homes: Vec<BTreeSet<usize>>,
}

pub struct World {
    pub stage: Stage,
    pub mutant: Mutant,
    pub dice: ChaCha8Rng,
    pub now_ms: u64,
    pub queue: Queue,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub clients: Clients,
    pub history: History,
    pub trace: Trace,
}

/// What is to happen, in the order of its time.
#[derive(Default)]
pub struct Queue {
    pub is_at_peace: bool,
    entries: BTreeMap<(u64, u64), Happening>,
    used: u64,
}

impl Queue {
    pub fn push(&mut self, at_ms: u64, happening: Happening) {
        self.used += 1;
        self.entries.insert((at_ms, self.used), happening);
    }

    fn next_ms(&self) -> Option<u64> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    fn pop(&mut self) -> Option<Happening> {
        self.entries.pop_first().map(|(_, happening)| happening)
    }
}

impl Stage {
    fn new(plan: Plan) -> Self {
        let ring = Ring::new(members::partitions(&plan), members::founders(&plan))
            .expect("distinct members");
        let placement = Arc::new(Placement::still(ring));
        let keys = plan.keys.iter().enumerate();
        Self {
            stored_at: keys
                .map(|(place, key)| (object_key(placement.partition_of(key), key), place))
                .collect(),
            buckets: Arc::new(plan.buckets.clone()),
            homes: plan.keys.iter().map(|_| BTreeSet::new()).collect(),
            placement,
            plan,
        }
    }

    /// The nodes that keep a key.
    pub fn replicas(&self, key: usize) -> Vec<usize> {
        let partition = self.placement.partition_of(&self.plan.keys[key]);
        let primaries = self
            .placement
            .primaries(partition, self.plan.properties(key).n);
        primaries.iter().map(|id| self.place(id)).collect()
    }

    /// The nodes that may have counted as primaries of a key.
    pub fn homes_ever(&self, key: usize) -> Vec<usize> {
        match self.plan.changes_members {
            true => self.homes[key].iter().copied().collect(),
            false => self.replicas(key),
        }
    }

    pub fn place(&self, id: &NodeId) -> usize {
        let found = self.plan.nodes.iter().position(|node| node == id);
        found.expect("a member")
    }

    pub fn is_lawful(&self, key: usize) -> bool {
        let union = Policy::Resolver(Guest::Union.binding());
        self.plan.properties(key).policy == union
    }
}

impl World {
    pub fn new(plan: Plan, mutant: Mutant, trace: Trace) -> Self {
        let defect = match mutant {
            Mutant::DropsSiblings => Defect::DropsSiblings,
            Mutant::Hoards => Defect::Hoards,
            _ => Defect::None,
        };
        let stage = Stage::new(plan);
        let plan = &stage.plan;
        let nodes = plan.nodes.iter().zip(&plan.clocks);
        let mut world = Self {
            mutant,
            dice: ChaCha8Rng::seed_from_u64(!plan.seed),
            now_ms: 0,
            queue: Queue::default(),
            nodes: nodes
                .map(|(id, clocks)| Node::new(id.clone(), *clocks, defect))
                .collect(),
            network: Network::new(
                weather(plan, Fault::Loss, 0.05),
                weather(plan, Fault::Duplication, 0.1),
                plan.delay_ms_max,
            ),
            clients: Clients::new(plan),
            history: History::new(
                plan.nodes.len(),
                (0..plan.keys.len())
                    .map(|key| stage.is_lawful(key))
                    .collect(),
            ),
            trace,
            stage,
        };
        for node in 0..world.nodes.len() {
            world.nodes[node].office.is_awaited = node >= world.stage.plan.founders;
            world.start(node);
        }
        for client in 0..world.stage.plan.clients {
            world.queue.push(0, Happening::Act { client });
        }
        if world.stage.plan.manners == Manners::Any {
            world.queue.push(50, Happening::Strike);
        }
        if world.stage.plan.changes_members {
            world.queue.push(400, Happening::Reshape);
        }
        if world.stage.plan.rebinds {
            world.queue.push(200, Happening::Rebind);
        }
        world
    }

    pub fn start(&mut self, node: usize) {
        if self.nodes[node].is_up() || !self.nodes[node].office.is_open() {
            return;
        }
        let incarnation = match self.mutant {
            Mutant::ReusesIncarnation => node as u64,
            _ => self.dice.next_u64(),
        };
        let view = self.view_at_start(node);
        let (now_ms, settings) = (self.now_ms, self.stage.plan.settings());
        let effects = self.nodes[node].start(incarnation, view, settings, now_ms);
        self.trace.note(self.now_ms, &[b's', node as u8], || {
            format!("n{node} starts as {incarnation:x}")
        });
        for effect in effects {
            self.carry_out(node, effect, None);
        }
        self.tell_of(node, true);
        self.open_office(node);
    }

    /// The others notice that a connection came up or broke, if that is to be noticed at all.
    pub fn tell_of(&mut self, peer: usize, is_connected: bool) {
        if !self.stage.plan.tells_of_connections {
            return;
        }
        let id = self.nodes[peer].id.clone();
        for node in (0..self.nodes.len()).filter(|node| *node != peer) {
            let node_id = id.clone();
            let event = Event::Peer {
                node: node_id,
                is_connected,
            };
            self.step(node, event, None);
        }
    }

    /// Lets everything happen that is due by `end_ms`.
    pub fn run_to(&mut self, end_ms: u64) {
        loop {
            let wakes = self.next_timer();
            let timer_ms = wakes.map(|(at, _)| at);
            let at_ms = timer_ms.into_iter().chain(self.queue.next_ms()).min();
            let Some(at_ms) = at_ms.filter(|at| *at <= end_ms) else {
                break;
            };
            self.now_ms = self.now_ms.max(at_ms);
            match wakes.filter(|(timer_ms, _)| *timer_ms <= at_ms) {
                Some((_, node)) if self.nodes[node].wakes_steward(self.now_ms) => {
                    self.tick_steward(node);
                }
                Some((_, node)) => self.step(node, Event::Tick, None),
                None => {
                    let happening = self.queue.pop().expect("it is due");
                    self.happen(happening);
                }
            }
        }
        self.now_ms = end_ms;
    }

    /// Nothing is left but what nodes do by themselves.
    pub fn is_idle(&self) -> bool {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let open: usize = machines.map(|machine| machine.conversations()).sum();
        open == 0 && self.queue.entries.values().all(Happening::is_background)
    }

    fn next_timer(&self) -> Option<(u64, usize)> {
        if self.mutant == Mutant::StopsTimers {
            return None;
        }
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter_map(|(place, node)| Some((node.wakes_at()?, place)))
            .min()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival {
                from,
                to,
                message,
                life,
            } => {
                let is_same = life.is_none_or(|life| life == self.nodes[to].life);
                if is_same {
                    self.arrive(from, to, message);
                }
            }
            Happening::Answer {
                node,
                life,
                ticket,
                answer,
            } if life == self.nodes[node].life => {
                let attempt = self.nodes[node].process.asks.get(&ticket).copied();
                self.step(node, Event::Answered { ticket, answer }, attempt);
            }
            Happening::Synced {
                node,
                life,
                batches,
            } if life == self.nodes[node].life => self.on_synced(node, batches),
            Happening::Crash { node, life } if life == self.nodes[node].life => self.crash(node),
            Happening::Answer { .. } | Happening::Synced { .. } | Happening::Crash { .. } => {}
            Happening::Start { node } => self.start(node),
            Happening::Act { client } => self.act(client),
            Happening::Strike if self.queue.is_at_peace => {}
            Happening::Strike => self.strike(),
            Happening::Letter { from, to, letter } => self.on_gossip(from, to, letter),
            Happening::Reshape if self.queue.is_at_peace => {}
            Happening::Reshape => self.reshape(),
            Happening::Rebind if self.queue.is_at_peace => {}
            Happening::Rebind => self.rebind(),
            Happening::Hear { node } => self.hear(node),
            Happening::Emptied { node } => self.empty(node),
        }
    }

    fn arrive(&mut self, from: usize, to: usize, message: Message) {
        let attempt = match &message {
            Message::Forward { request, .. } => named(&request.version),
            // A refusal makes the node go on with the put itself.
            Message::ForwardReply { ticket, .. } => {
                self.nodes[to].process.asks.get(ticket).copied()
            }
            _ => None,
        };
        let again = match (&message, self.mutant) {
            (
                Message::Forward {
                    ticket,
                    request,
                    timeout_ms,
                    stands_in,
                },
                Mutant::ForwardsTwice,
            ) => Some(Message::Forward {
                ticket: Ticket {
                    count: !ticket.count,
                    ..*ticket
                },
                request: request.clone(),
                timeout_ms: *timeout_ms,
                stands_in: *stands_in,
            }),
            _ => None,
        };
        let from = self.nodes[from].id.clone();
        for message in std::iter::once(message).chain(again) {
            let from = from.clone();
            self.step(to, Event::Message { from, message }, attempt);
        }
    }

    /// One event for one machine, and all that follows from it.
    pub fn step(&mut self, node: usize, event: Event, attempt: Option<usize>) {
        let now = self.nodes[node].now(self.now_ms);
        self.trace.note(self.now_ms, &[node as u8], || {
            format!("n{node} <- {event:?}")
        });
        let mut effects = Vec::new();
        let Some(machine) = &mut self.nodes[node].machine else {
            return;
        };
        // One whose write failed counts too: it may be there all the same.
        let merges = |converged: Converged| converged.merged + converged.failed;
        let before = merges(machine.converged());
        machine.step(now, event, &mut effects);
        let has_merged = merges(machine.converged()) > before;
        self.nodes[node].disturb();
        let log = self.nodes[node].disk.borrow_mut().take_log();
        if self.nodes[node].room == Room::Spent && !log.is_empty() {
            let what = format!("n{node} wrote {} batches without room", log.len());
            self.history.accuse(Check::Overfull, what);
        }
        for (count, applied) in (1..).zip(&log) {
            self.on_applied(node, (applied, &log[count..]), attempt, has_merged);
        }
        for effect in effects {
            self.carry_out(node, effect, attempt);
        }
        if !self.history.violations.is_empty() {
            self.trace.freeze();
        }
    }

    /// `has_merged`: in this step a node has merged siblings although nobody asked it to.
    fn on_applied(
        &mut self,
        node: usize,
        (applied, later): (&Applied, &[Applied]),
        attempt: Option<usize>,
        has_merged: bool,
    ) {
        self.on_removed(node, applied);
        let mut object = None;
        let mut replaced = None;
        for change in &applied.batch.changes {
            let Change::Put { key, value } = change else {
                self.note_deleted(node, change);
                continue;
            };
            match self.stage.stored_at.get(key) {
                Some(place) => object = Some((*place, key, value)),
                None => match self.hinted_key(key) {
                    Some(place) => object = Some((place, key, value)),
                    None => replaced = Replaced::decode(value.clone()).ok(),
                },
            }
        }
        let Some((key, place, bytes)) = object else {
            return;
        };
        self.trace.note(self.now_ms, bytes, || {
            format!(
                "n{node} stores key {key}: {:?}",
                Record::decode(bytes.clone())
            )
        });
        let Ok(after) = Record::decode(bytes.clone()) else {
            let what = format!("n{node} stores a record of key {key} that cannot be read");
            return self.history.accuse(Check::Lost, what);
        };
        let before = applied.before.get(place).cloned();
        let before = before.and_then(|bytes| Record::decode(bytes).ok());
        let mut before = before.unwrap_or_default().object;
        let is_new = |(dot, _): (Dot, _)| !self.history.knows(key, dot);
        let stands_in = self.hinted_key(place).is_some();
        if stands_in && after.object.versions().any(is_new) {
            // Who stands in makes a dot from all that it knows.
            before.sync(self.known_elsewhere(node, key, place, later));
        }
        // A put that waited for another's merge may go on in that one's step: what is stored names its put.
        let merged = replaced.iter().flat_map(|replaced| &replaced.inputs);
        let merged = merged
            .filter_map(named)
            .find(|put| self.history.is_unstored(*put));
        let is_unasked = has_merged && replaced.is_some() && merged.is_none() && attempt.is_none();
        let plain = match replaced {
            Some(_) => None,
            None => self.newest_named(key, &after.object),
        };
        self.history.on_stored(&Stored {
            is_unasked,
            node,
            key,
            before: &before,
            after: &after.object,
            replaced: replaced.as_ref(),
            attempt: merged
                .or(plain)
                .or(attempt)
                .or_else(|| self.newest_named(key, &after.object)),
        });
        let unsynced = &mut self.nodes[node].process.unsynced;
        unsynced.push((applied.number, key, after.object));
    }

    fn note_deleted(&mut self, node: usize, change: &Change) {
        if let Change::Delete { key: place } = change
            && let Some(key) = self.stage.stored_at.get(place).copied()
        {
            self.trace
                .note(self.now_ms, &[b'D', node as u8, key as u8], || {
                    format!("n{node} deletes key {key}")
                });
        }
    }

    /// The key that a hint stored here is about.
    pub fn hinted_key(&self, place: &Bytes) -> Option<usize> {
        let (_, _, key) = decode_hint_key(place).ok()?;
        let mut keys = self.stage.plan.keys.iter();
        keys.position(|planned| *planned == key)
    }

    /// What a node's disk held of a key before these batches, but for one record.
    fn known_elsewhere(
        &self,
        node: usize,
        key: usize,
        besides: &Bytes,
        later: &[Applied],
    ) -> Object {
        let disk = Handle(std::rc::Rc::clone(&self.nodes[node].disk));
        let mut known = Object::default();
        let hints = disk.scan(hints_range(), usize::MAX).expect("scans work");
        let hints = hints
            .into_iter()
            .filter(|(place, _)| place != besides && self.hinted_key(place) == Some(key));
        let homes = self.stage.stored_at.iter();
        let homes = homes.filter(|(place, found)| **found == key && *place != besides);
        let homes =
            homes.filter_map(|(place, _)| Some((place.clone(), disk.get(place).ok().flatten()?)));
        for (place, now) in hints.chain(homes) {
            let is_there = |change: &Change| match change {
                Change::Put { key, .. } | Change::Delete { key } => *key == place,
            };
            // One step may store two puts of a key, each in the place of another primary.
            let overwritten = later.iter().find(|l| l.batch.changes.iter().any(is_there));
            let then = match overwritten {
                Some(overwritten) => overwritten.before.get(&place).cloned(),
                None => Some(now),
            };
            let record = then.and_then(|bytes| Record::decode(bytes).ok());
            known.sync(record.unwrap_or_default().object);
        }
        known
    }

    /// On a timer's turn the put is known by what it stores.
    fn newest_named(&self, key: usize, object: &Object) -> Option<usize> {
        let fresh = object
            .versions()
            .find(|(dot, _)| !self.history.knows(key, *dot));
        fresh.and_then(|(_, version)| named(version))
    }

    fn carry_out(&mut self, node: usize, effect: Effect, attempt: Option<usize>) {
        match effect {
            Effect::Send { to, message } => {
                if self.mutant == Mutant::ConfirmsHintsUnseen && attempt.is_none() {
                    return self.confirm_unseen(node, &to, message);
                }
                if self.mutant == Mutant::ReapsUnasked && super::reaping::is_vouch(&message) {
                    return self.vouch_unasked(node, &to, &message);
                }
                self.send(node, &to, message);
            }
            Effect::SendOnceSynced { to, message } => self.hold(node, to, message),
            Effect::Ask {
                ticket,
                question,
                timeout_ms,
            } => {
                if let Some(attempt) = attempt {
                    let asks = &mut self.nodes[node].process.asks;
                    asks.entry(ticket).or_insert(attempt);
                }
                let answer = guests::answer(&question, timeout_ms, &mut self.dice);
                if let Some((delay_ms, mut answer)) = answer {
                    if self.mutant == Mutant::MergesNothing {
                        answer = super::mutant::emptied(answer);
                    }
                    let life = self.nodes[node].life;
                    let answer = Happening::Answer {
                        node,
                        life,
                        ticket,
                        answer,
                    };
                    self.queue.push(self.now_ms + delay_ms, answer);
                }
            }
            Effect::ReplyGet { client, outcome } => self.on_get_reply(client, outcome),
            Effect::ReplyPut { client, outcome } => self.on_put_reply(client, outcome),
            Effect::ReplyRestore { .. } => unreachable!("no client of this world restores"),
            Effect::ReplyList { .. } => unreachable!("no client of this world lists keys"),
            Effect::ReplyUnmerge { .. } => unreachable!("nobody undoes merges here"),
            Effect::Progress {
                change,
                partition,
                stage,
            } => self.on_progress(node, change, partition, stage),
            Effect::Changed(_) => {} // Nobody watches.
        }
    }

    /// A hint that is handed over is confirmed, and never arrives.
    fn confirm_unseen(&mut self, node: usize, to: &NodeId, message: Message) {
        let Message::Write {
            ticket,
            hint_for: None,
            ack: Ack::Durable,
            ..
        } = message
        else {
            return self.send(node, to, message);
        };
        let outcome = Ok(());
        let confirmation = Happening::Arrival {
            from: self.stage.place(to),
            to: node,
            message: Message::WriteReply { ticket, outcome },
            life: Some(self.nodes[node].life),
        };
        self.queue.push(self.now_ms, confirmation);
    }

    fn send(&mut self, from: usize, to: &NodeId, message: Message) {
        self.trace.note(self.now_ms, &feed(&message), || {
            format!("n{from} -> {to} {message:?}")
        });
        if let Message::Forward {
            ticket, request, ..
        } = &message
            && let Some(attempt) = named(&request.version)
        {
            self.nodes[from].process.asks.insert(*ticket, attempt);
        }
        let to = self.stage.place(to);
        if to == from {
            let arrival = Happening::Arrival {
                from,
                to,
                message,
                life: Some(self.nodes[to].life),
            };
            return self.queue.push(self.now_ms, arrival);
        }
        let is_up = self.nodes[to].is_up();
        match self.network.route(from, to, is_up, &mut self.dice) {
            Route::Swallowed => {}
            Route::Refused => {
                if let Some(message) = message.undelivered() {
                    let life = Some(self.nodes[from].life);
                    let refusal = Happening::Arrival {
                        from: to,
                        to: from,
                        message,
                        life,
                    };
                    self.queue.push(self.now_ms, refusal);
                }
            }
            Route::Arrives { first, again } => {
                if let Some(later) = again {
                    let copy = Happening::Arrival {
                        from,
                        to,
                        message: message.clone(),
                        life: Some(self.nodes[to].life),
                    };
                    self.queue.push(self.now_ms + later, copy);
                }
                let life = None;
                let arrival = Happening::Arrival {
                    from,
                    to,
                    message,
                    life,
                };
                self.queue.push(self.now_ms + first, arrival);
            }
        }
    }

    /// An acknowledgement waits for a sync that starts after everything applied so far.
    fn hold(&mut self, node: usize, to: NodeId, message: Message) {
        if self.mutant == Mutant::AcknowledgesEarly {
            return self.send(node, &to, message);
        }
        let batches = self.nodes[node].disk.borrow().batches();
        self.nodes[node].process.held.push(Held {
            batches,
            to,
            message,
        });
        self.sync(node);
    }

    fn sync(&mut self, node: usize) {
        if self.nodes[node].process.syncing || self.nodes[node].process.held.is_empty() {
            return;
        }
        self.nodes[node].process.syncing = true;
        let slow = self.stage.plan.faults.contains(&Fault::SlowSync) && !self.queue.is_at_peace;
        let delay_ms = match slow && self.dice.random_bool(0.2) {
            true => self.dice.random_range(0..2_000),
            false => self.dice.random_range(0..5),
        };
        let batches = self.nodes[node].disk.borrow().batches();
        let life = self.nodes[node].life;
        let fails = self.stage.plan.faults.contains(&Fault::FailedSync)
            && !self.queue.is_at_peace
            && self.dice.random_bool(0.02);
        let end = match fails {
            true => Happening::Crash { node, life },
            false => Happening::Synced {
                node,
                life,
                batches,
            },
        };
        self.queue.push(self.now_ms + delay_ms, end);
    }

    fn on_synced(&mut self, node: usize, batches: u64) {
        self.nodes[node].disk.borrow_mut().sync_to(batches);
        self.nodes[node].process.syncing = false;
        let unsynced = std::mem::take(&mut self.nodes[node].process.unsynced);
        for (number, key, object) in unsynced {
            match number <= batches {
                true => self.history.on_synced(node, key, &object),
                false => self.nodes[node]
                    .process
                    .unsynced
                    .push((number, key, object)),
            }
        }
        let held = std::mem::take(&mut self.nodes[node].process.held);
        for held in held {
            match held.batches <= batches {
                true => self.send(node, &held.to, held.message),
                false => self.nodes[node].process.held.push(held),
            }
        }
        self.sync(node);
    }

    fn act(&mut self, client: usize) {
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.serves(*node))
            .collect();
        if self.clients.all[client].left == 0 {
            return;
        }
        if up.is_empty() {
            return self.act_again(client, 500);
        }
        self.clients.all[client].left -= 1;
        let node = up[self.dice.random_range(0..up.len())];
        let wish = self.clients.wish(client, &self.stage.plan, &mut self.dice);
        self.ask(Some(client), node, wish);
    }

    /// The client thinks, and then asks for the next thing.
    pub fn act_again(&mut self, client: usize, pause_ms: u64) {
        let pause_ms = self.dice.random_range(0..=pause_ms);
        let act = Happening::Act { client };
        self.queue.push(self.now_ms + pause_ms, act);
    }

    /// Sends a client's request to a node.
    pub fn ask(&mut self, client: Option<usize>, node: usize, wish: Wish) {
        match wish {
            Wish::Get {
                key,
                r,
                pr,
                timeout_ms,
            } => {
                let is_strict = self.stage.plan.is_strict();
                let pending = Pending {
                    client,
                    node,
                    key,
                    due_ms: self.now_ms + timeout_ms,
                    attempt: None,
                    must_see: is_strict.then(|| self.history.acknowledged(key)),
                };
                let id = self.clients.open(pending);
                let key = self.stage.plan.keys[key].clone();
                let event = Event::Get {
                    client: id,
                    request: GetRequest { key, r, pr },
                    timeout_ms,
                };
                self.step(node, event, None);
            }
            Wish::Put {
                key,
                mut token,
                delete,
                w,
                pw,
                ack,
                timeout_ms,
            } => {
                if self.mutant == Mutant::ForgetsContexts {
                    token = super::clients::Token::default();
                }
                let name = self.stage.plan.keys[key].clone();
                let context = token.context(&name);
                let properties = self.stage.plan.properties(key);
                let (w_meant, ack_meant) =
                    (w.unwrap_or(properties.w), ack.unwrap_or(properties.ack));
                let sweeps = delete && context.is_empty();
                let meant = Meant {
                    w: usize::from(w_meant),
                    pw: usize::from(pw.unwrap_or(properties.pw)),
                    ack: ack_meant,
                    dw: match (ack, properties.dw) {
                        (None, Some(dw)) => usize::from(dw.min(w_meant)),
                        _ => 0,
                    },
                };
                let attempt = self.history.begin(key, token.seen, sweeps, meant);
                let pending = Pending {
                    client,
                    node,
                    key,
                    due_ms: self.now_ms + timeout_ms,
                    attempt: Some(attempt),
                    must_see: None,
                };
                let id = self.clients.open(pending);
                let request = PutRequest {
                    key: name,
                    context,
                    version: version(attempt, delete),
                    w,
                    pw,
                    ack,
                    dw: None,
                    ttl: Ttl::default(),
                };
                let request = Box::new(request);
                let event = Event::Put {
                    client: id,
                    request,
                    timeout_ms,
                };
                self.step(node, event, Some(attempt));
            }
        }
    }
}

fn weather(plan: &Plan, fault: Fault, probability: f64) -> f64 {
    match plan.faults.contains(&fault) {
        true => probability,
        false => 0.0,
    }
}

fn version(attempt: usize, delete: bool) -> Version {
    let mut version = match delete {
        true => Version::tombstone(0),
        false => Version::value(format!("w{attempt}"), 0),
    };
    let name = PUT_NAME.to_owned();
    version.metadata.insert(name, attempt.to_string());
    version
}

fn named(version: &Version) -> Option<usize> {
    version.metadata.get(PUT_NAME)?.parse().ok()
}

/// What of a message goes into the trace's hash.
fn feed(message: &Message) -> Vec<u8> {
    let ticket = message.ticket();
    let mut bytes = ticket.life.to_be_bytes().to_vec();
    bytes.extend(ticket.count.to_be_bytes());
    match message {
        Message::ReadReply {
            outcome: Ok(object),
            ..
        }
        | Message::Write { object, .. } => bytes.extend(object.encode()),
        Message::Read { .. } => bytes.push(1),
        Message::ReadReply { .. } => bytes.push(2),
        Message::WriteReply { outcome, .. } => bytes.push(3 + u8::from(outcome.is_ok())),
        Message::Forward { .. } => bytes.push(5),
        Message::ForwardReply { outcome, .. } => bytes.push(6 + u8::from(outcome.is_ok())),
        Message::Repair { ask, .. } => bytes.extend(ask.size_bytes().to_be_bytes()),
        Message::Repaired { answer, .. } => match &**answer {
            Finding::Root(root) => bytes.extend(root.to_be_bytes()),
            Finding::Copy { object, .. } => bytes.extend(object.encode()),
            other => bytes.extend(other.size_bytes().to_be_bytes()),
        },
        Message::Ping { .. } => bytes.push(8),
        Message::Pong { .. } => bytes.push(9),
        Message::List { .. } | Message::ListReply { .. } => bytes.push(10),
    }
    bytes
}
