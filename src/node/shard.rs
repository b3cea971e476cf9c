//! A shard's thread: feeds the machine and carries out its effects.
//!
//! Reads of the disk happen here, in microseconds as a rule; syncs, peers and guests elsewhere.
//!
//! Invariant: never blocks on another thread, so nobody who blocks on a shard's inbox waits for ever.

use super::clock::Clock;
use super::commit::{Committing, Release};
use super::feed::tail::Tail;
use super::guests::Guests;
use super::inbox::{
    GetOutcome, Inbox, Input, ListOutcome, Progress, PutOutcome, Repairs, RestoreOutcome,
    UnmergeOutcome,
};
use super::peers::Peers;
use super::shadows::Shadows;
use super::store::Store;
use super::traces::Traced;
use crate::dynamo::machine::effect::Effect;
use crate::dynamo::machine::event::Event;
use crate::dynamo::machine::router::Machine;
use crate::dynamo::names::{ClientId, Ticket};
use crate::dynamo::reconcile::question::Question;
use crate::limits::SHARD_WAITING_MAX;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Inputs taken before the effects are carried out.
const TURN_MAX: usize = 256;

/// What a shard needs to carry out effects.
pub struct Outlets {
    pub inbox: Inbox,
    pub peers: Arc<Peers>,
    pub committing: Committing,
    pub guests: Arc<Guests>,
    /// Who tells the other nodes how far this one is with its transfers.
    pub progress: mpsc::Sender<Progress>,
    pub tail: Arc<Tail>,
    pub shadows: Arc<Shadows>,
    /// Where guests' answers are waited for.
    pub runtime: tokio::runtime::Handle,
}

/// One shard and the clients that wait for it.
pub struct Shard {
    machine: Machine<Store>,
    outlets: Outlets,
    clock: Clock,
    clients: Clients,
    traced: Traced,
    /// Requests that certainly never left, to be told to the machine.
    undelivered: VecDeque<Event>,
    effects: Vec<Effect>,
    /// How long the queue was when the machine was told of it.
    waiting: usize,
}

#[derive(Default)]
struct Clients {
    used: u64,
    gets: HashMap<ClientId, oneshot::Sender<GetOutcome>>,
    puts: HashMap<ClientId, oneshot::Sender<PutOutcome>>,
    lists: HashMap<ClientId, oneshot::Sender<ListOutcome>>,
    restores: HashMap<ClientId, oneshot::Sender<RestoreOutcome>>,
    unmerges: HashMap<ClientId, oneshot::Sender<UnmergeOutcome>>,
}

impl Shard {
    pub fn new(machine: Machine<Store>, outlets: Outlets, clock: Clock) -> Self {
        Self {
            machine,
            outlets,
            clock,
            clients: Clients::default(),
            traced: Traced::default(),
            undelivered: VecDeque::new(),
            effects: Vec::new(),
            waiting: 0,
        }
    }

    /// Serves until it is told to stop. Runs on a thread of its own.
    pub fn run(mut self, mut inbox: mpsc::Receiver<Input>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        runtime.block_on(async {
            while self.turn(&mut inbox).await {
                self.carry_out();
            }
        });
        Ok(())
    }

    /// Waits for something to happen and tells the machine. False: it is time to stop.
    async fn turn(&mut self, inbox: &mut mpsc::Receiver<Input>) -> bool {
        let input = match self.machine.next_deadline() {
            None => inbox.recv().await,
            Some(at) => {
                let at = self.clock.instant(at).into();
                match tokio::time::timeout_at(at, inbox.recv()).await {
                    Ok(input) => input,
                    Err(_) => {
                        self.step(Event::Tick);
                        return true;
                    }
                }
            }
        };
        let mut next = input;
        for _ in 0..TURN_MAX {
            match next {
                None | Some(Input::Stop) => return false,
                Some(input) => self.take(input),
            }
            next = match inbox.try_recv() {
                Ok(input) => Some(input),
                Err(_) => break,
            };
        }
        if self.is_due() {
            self.step(Event::Tick);
        }
        self.look_at_queue(inbox.len());
        true
    }

    /// The machine is told when the queue becomes too long, and when it is not any more.
    fn look_at_queue(&mut self, waiting: usize) {
        if (waiting >= SHARD_WAITING_MAX) != (self.waiting >= SHARD_WAITING_MAX) {
            self.waiting = waiting;
            self.step(Event::Waiting(waiting));
        }
    }

    fn is_due(&self) -> bool {
        let now = self.clock.now().monotonic;
        self.machine.next_deadline().is_some_and(|at| at <= now)
    }

    fn step(&mut self, event: Event) {
        self.traced.on_event(&event);
        let before = self.effects.len();
        self.machine
            .step(self.clock.now(), event, &mut self.effects);
        self.traced.on_effects(&self.effects[before..]);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Get {
                request,
                timeout_ms,
                reply,
                trace,
            } => {
                let client = self.clients.next();
                self.traced.begin(client, trace);
                self.clients.gets.insert(client, reply);
                self.step(Event::Get {
                    client,
                    request,
                    timeout_ms,
                });
            }
            Input::Put {
                request,
                timeout_ms,
                reply,
                trace,
            } => {
                let client = self.clients.next();
                self.traced.begin(client, trace);
                self.clients.puts.insert(client, reply);
                self.step(Event::Put {
                    client,
                    request,
                    timeout_ms,
                });
            }
            Input::List {
                stretch,
                timeout_ms,
                reply,
            } => {
                let client = self.clients.next();
                self.clients.lists.insert(client, reply);
                self.step(Event::List {
                    client,
                    stretch,
                    timeout_ms,
                });
            }
            Input::Restore {
                saved,
                timeout_ms,
                reply,
            } => {
                let client = self.clients.next();
                self.clients.restores.insert(client, reply);
                self.step(Event::Restore {
                    client,
                    saved,
                    timeout_ms,
                });
            }
            Input::Unmerge {
                request,
                timeout_ms,
                reply,
            } => {
                let client = self.clients.next();
                self.clients.unmerges.insert(client, reply);
                self.step(Event::Unmerge {
                    client,
                    request,
                    timeout_ms,
                });
            }
            Input::ListOwn { stretch, reply } => {
                drop(reply.send(self.machine.list_own(&stretch))); // As with `Inspect`.
            }
            Input::Message { from, message } => self.step(Event::Message { from, message }),
            Input::Answered { ticket, answer } => self.step(Event::Answered { ticket, answer }),
            Input::Buckets(buckets) => {
                self.outlets.shadows.learn(&buckets);
                self.step(Event::Buckets(buckets));
            }
            Input::Removed(removed) => self.step(Event::Removed(removed)),
            Input::Peer { node, is_connected } => self.step(Event::Peer { node, is_connected }),
            Input::Placement(placement) => self.step(Event::Placement(placement)),
            // Whoever asked may have gone; then nobody misses the answer.
            Input::Inspect { key, reply } => drop(reply.send(self.machine.inspect(&key))),
            Input::ExchangeNow => self.step(Event::ExchangeNow),
            Input::ReapNow => self.step(Event::ReapNow),
            Input::Room(room) => self.step(Event::Room(room)),
            Input::Pause(is_paused) => self.step(Event::Pause(is_paused)),
            Input::Repairs(reply) => drop(reply.send(Repairs {
                anti_entropy: self.machine.anti_entropy(),
                transfers: self.machine.transfers(),
                hints: self.machine.hints(),
                reaping: self.machine.reaping(),
            })),
            Input::Opinions(reply) => drop(reply.send(self.machine.opinions())),
            Input::Activity(reply) => drop(reply.send(self.machine.activity())),
            Input::Conflicts(reply) => drop(reply.send(self.machine.conflicts())),
            Input::Stop => {}
        }
    }

    fn carry_out(&mut self) {
        loop {
            let mut releases = Vec::new();
            for effect in std::mem::take(&mut self.effects) {
                self.apply(effect, &mut releases);
            }
            if !releases.is_empty() {
                self.outlets.committing.after_sync(releases);
            }
            if self.undelivered.is_empty() {
                return;
            }
            while let Some(event) = self.undelivered.pop_front() {
                self.step(event);
            }
        }
    }

    fn apply(&mut self, effect: Effect, releases: &mut Vec<Release>) {
        match effect {
            Effect::Send { to, message } => {
                if let Err(Some(message)) = self.outlets.peers.send(&to, message) {
                    let (from, message) = (to, *message);
                    self.undelivered.push_back(Event::Message { from, message });
                }
            }
            Effect::SendOnceSynced { to, message } => releases.push(Release {
                to,
                message,
                inbox: self.outlets.inbox.clone(),
            }),
            Effect::Ask {
                ticket,
                question,
                timeout_ms,
            } => self.ask(ticket, question, timeout_ms),
            Effect::Progress {
                change,
                partition,
                stage,
            } => {
                let progress = Progress {
                    change,
                    partition,
                    stage,
                };
                // There is room for every stage of every partition; without a reader the node goes down.
                if self.outlets.progress.try_send(progress).is_err() {
                    tracing::warn!(?progress, "nobody hears how far a transfer is");
                }
            }
            // A client that has hung up misses nothing.
            Effect::ReplyGet { client, outcome } => {
                if let Some(reply) = self.clients.gets.remove(&client) {
                    drop(reply.send(outcome));
                }
            }
            Effect::ReplyUnmerge { client, outcome } => {
                if let Some(reply) = self.clients.unmerges.remove(&client) {
                    drop(reply.send(outcome));
                }
            }
            Effect::ReplyList { client, outcome } => {
                if let Some(reply) = self.clients.lists.remove(&client) {
                    drop(reply.send(outcome));
                }
            }
            Effect::ReplyRestore { client, outcome } => {
                if let Some(reply) = self.clients.restores.remove(&client) {
                    drop(reply.send(outcome));
                }
            }
            Effect::ReplyPut { client, outcome } => {
                if let Some(reply) = self.clients.puts.remove(&client) {
                    drop(reply.send(outcome));
                }
            }
            Effect::Changed(change) => self.outlets.tail.push(change),
        }
    }

    /// Detached on purpose: the workers answer every question, and a shard that has stopped needs none.
    fn ask(&self, ticket: Ticket, question: Question, timeout_ms: u64) {
        let guests = Arc::clone(&self.outlets.guests);
        let inbox = self.outlets.inbox.clone();
        let shadows = Arc::clone(&self.outlets.shadows);
        let tried = shadows.sample(&question);
        self.outlets.runtime.spawn(async move {
            let answer = guests.ask(question, timeout_ms).await;
            let said = tried.is_some().then(|| answer.clone());
            drop(inbox.send(Input::Answered { ticket, answer }).await);
            // The client has its answer already.
            if let (Some(tried), Some(said)) = (tried, said) {
                shadows.compare(tried, said, guests.workers()).await;
            }
        });
    }
}

impl Clients {
    fn next(&mut self) -> ClientId {
        self.used += 1;
        ClientId(self.used)
    }
}
