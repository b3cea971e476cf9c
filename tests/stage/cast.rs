//! The nodes on the stage, the wires between them, and the guests and disks that the script directs.
//!
//! Invariant: whatever an effect asks for is done, told, or both.

use super::Command;
use super::telling::{Names, listed};
use bytes::Bytes;
use rejoin::dynamo::bucket::{Ack, Binding, BucketTable, Policy, Properties};
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::causality::dot::Incarnation;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::coordinator::request::{GetRequest, PutRequest, Ttl};
use rejoin::dynamo::machine::effect::Effect;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::machine::router::Machine;
use rejoin::dynamo::names::{BucketName, ClientId, Digest, Key, Millis, NodeId, Now, Ticket};
use rejoin::dynamo::reconcile::answer::{Answer, GuestFailure, Judgement, Resolution};
use rejoin::dynamo::reconcile::question::{Ask, Question};
use rejoin::dynamo::repair::settings::Settings;
use rejoin::dynamo::replica::layout::{decode_hint_key, hints_range, object_key};
use rejoin::dynamo::replica::record::Record;
use rejoin::dynamo::replica::room::Room;
use rejoin::dynamo::replica::storage::{Batch, Item, Storage, StorageError};
use rejoin::dynamo::replica::stretch::Stretch;
use rejoin::dynamo::ring::change::{Change, Progress};
use rejoin::dynamo::ring::member::Member;
use rejoin::dynamo::ring::partition::{PartitionId, Partitions};
use rejoin::dynamo::ring::placement::Placement;
use rejoin::dynamo::ring::preference::Ring;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

pub const RESOLVER: Digest = Digest([1; 32]);
pub const VALIDATOR: Digest = Digest([2; 32]);
const TIMEOUT_MS: u64 = 5_000;

/// How a node's engine takes the next batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Good,
    ReadOnly,
    Failing,
}

/// A storage that the script can reach under the machine.
#[derive(Debug)]
struct Disk<S>(Rc<RefCell<(S, Engine)>>);

impl<S: Storage> Storage for Disk<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.0.borrow().0.get(key)
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        self.0.borrow().0.scan(range, items_max)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        let mut disk = self.0.borrow_mut();
        match disk.1 {
            Engine::Good => disk.0.apply(batch),
            Engine::ReadOnly => Err(StorageError::ReadOnly("no space is left".to_owned())),
            Engine::Failing => {
                disk.0.apply(batch)?;
                Err(StorageError::Failed("input/output error".to_owned()))
            }
        }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.0.borrow_mut().0.sync()
    }
}

/// What a wire does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Refuses,
    Swallows,
    Holds,
}

struct Actor<S> {
    machine: Machine<Disk<S>>,
    disk: Rc<RefCell<(S, Engine)>>,
    /// Messages that wait for the disk.
    unsynced: Vec<(NodeId, Message)>,
}

pub struct Cast<S> {
    actors: BTreeMap<NodeId, Actor<S>>,
    names: Names,
    placement: Arc<Placement>,
    buckets: Arc<BucketTable>,
    now_ms: u64,
    wires: BTreeMap<(NodeId, NodeId), Wire>,
    on_the_way: VecDeque<(NodeId, NodeId, Message)>,
    held: Vec<(NodeId, NodeId, Message)>,
    guest: String,
    asked: VecDeque<(NodeId, Ticket, Question)>,
    syncs_by_hand: bool,
    contexts: BTreeMap<String, Context>,
    requests: BTreeMap<ClientId, String>,
    told: Vec<String>,
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good name")
}

fn bucket() -> BucketName {
    BucketName::new("b").expect("a good name")
}

fn key(command: &Command<'_>) -> Key {
    let bytes = Bytes::copy_from_slice(command.text("key").as_bytes());
    Key::new(bucket(), bytes).expect("a good key")
}

fn properties(command: &Command<'_>) -> Properties {
    let policy = match command.get("policy") {
        None => Policy::Siblings,
        Some("last-write-wins") => Policy::LastWriteWins,
        Some("resolver") => Policy::Resolver(Binding::new(RESOLVER)),
        Some(other) => panic!("no policy {other}"),
    };
    let properties = Properties {
        n: command.number("n").unwrap_or(3),
        r: command.number("r").unwrap_or(2),
        w: command.number("w").unwrap_or(2),
        pr: command.number("pr").unwrap_or(0),
        pw: command.number("pw").unwrap_or(0),
        ack: match command.get("ack") {
            Some("durable") => Ack::Durable,
            _ => Ack::Buffered,
        },
        dw: command.number("dw"),
        policy,
        merge_on_put: command.has("merge-on-put"),
        validator: command.has("validator").then(|| Binding::new(VALIDATOR)),
        ttl_ms: command.number("ttl_ms"),
        ..Properties::default()
    };
    properties.check().expect("good properties");
    properties
}

impl<S: Storage> Cast<S> {
    pub fn of(command: &Command<'_>, open: &mut impl FnMut(&str) -> S) -> Self {
        assert_eq!(command.verb, "cluster", "a script starts with its cluster");
        let names: Vec<NodeId> = command.text("nodes").split(',').map(node).collect();
        let members = names.iter().cloned().map(Member::new).collect();
        let partitions = Partitions::new(command.number("partitions").unwrap_or(1));
        let ring = Ring::new(partitions.expect("in bounds"), members).expect("distinct");
        let placement = Arc::new(Placement::still(ring));
        let buckets = Arc::new(BucketTable::from([(bucket(), properties(command))]));
        let table = Arc::clone(&buckets);
        let actors = names.iter().zip(1..).map(|(id, incarnation)| {
            let disk = Rc::new(RefCell::new((open(id.as_str()), Engine::Good)));
            let storage = Disk(Rc::clone(&disk));
            let incarnation = Incarnation(incarnation);
            let mut machine =
                Machine::new(id.clone(), incarnation, storage, Arc::clone(&placement));
            let only_on_command = Settings {
                anti_entropy_interval_ms: 0,
                reap_interval_ms: 0,
                tombstone_horizon_ms: 30_000,
                converge_quiet_ms: 0,
                ..Settings::default()
            };
            let settings = match command.get("full-of-hints") == Some(id.as_str()) {
                true => Settings {
                    hints_max: 0,
                    ..only_on_command
                },
                false => only_on_command,
            };
            let buckets = Event::Buckets(Arc::clone(&buckets));
            for event in [Event::Settings(settings), buckets] {
                machine.step(now(0), event, &mut Vec::new());
            }
            let unsynced = Vec::new();
            let actor = Actor {
                machine,
                disk,
                unsynced,
            };
            (id.clone(), actor)
        });
        Self {
            actors: actors.collect(),
            names: Names::of(&names),
            placement: Arc::clone(&placement),
            buckets: table,
            now_ms: 0,
            wires: BTreeMap::new(),
            on_the_way: VecDeque::new(),
            held: Vec::new(),
            guest: "willing".to_owned(),
            asked: VecDeque::new(),
            syncs_by_hand: command.has("sync-by-hand"),
            contexts: BTreeMap::new(),
            requests: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    /// Carries out one command and tells what it led to.
    pub fn obey(&mut self, command: &Command<'_>) -> Vec<String> {
        match command.verb {
            "get" => self.get(command),
            "put" | "delete" => self.put(command),
            "list" => self.list(command),
            "cut" => self.set_wires(command, Wire::Refuses),
            "lose" => self.set_wires(command, Wire::Swallows),
            "hold" => self.set_wires(command, Wire::Holds),
            "heal" => self.wires.clear(),
            "release" => self.on_the_way.extend(self.held.drain(..)),
            "repeat" => self.on_the_way.extend(self.held.iter().cloned()),
            "advance" => self.advance(command.number("ms").expect("`advance` needs ms=")),
            "guest" => self.guest = command.words[0].to_owned(),
            "answer" => self.answer_all(),
            "sync" => self.release_acknowledgements(&node(command.words[0])),
            "disk" => self.set_engine(command),
            "room" => self.set_room(command),
            "forget" => self.forget(command),
            "reap" => self.step(&node(command.words[0]), Event::ReapNow),
            "repair" => self.step(&node(command.words[0]), Event::ExchangeNow),
            "show" => self.show(&key(command)),
            "hints" => self.show_hints(),
            "opinions" => self.show_opinions(),
            "members" => self.set_members(command),
            "restart" => self.restart(&node(command.words[0])),
            other => panic!("no command `{other}`"),
        }
        self.settle();
        std::mem::take(&mut self.told)
    }

    fn get(&mut self, command: &Command<'_>) {
        let client = self.client(command);
        let request = GetRequest {
            key: key(command),
            r: command.number("r"),
            pr: command.number("pr"),
        };
        let timeout_ms = command.number("timeout_ms").unwrap_or(TIMEOUT_MS);
        let event = Event::Get {
            client,
            request,
            timeout_ms,
        };
        self.step(&node(command.text("via")), event);
    }

    fn put(&mut self, command: &Command<'_>) {
        let client = self.client(command);
        let context = self.contexts.get(&self.requests[&client]).cloned();
        let version = match command.verb {
            "delete" => Version::tombstone(0),
            _ => Version::value(command.text("value").to_owned(), 0),
        };
        let request = PutRequest {
            key: key(command),
            context: context.unwrap_or_default(),
            version,
            w: command.number("w"),
            pw: command.number("pw"),
            ack: None,
            dw: command.number("dw"),
            ttl: Ttl::of(command.number("ttl_ms")).expect("in bounds"),
        };
        let timeout_ms = command.number("timeout_ms").unwrap_or(TIMEOUT_MS);
        let event = Event::Put {
            client,
            request: Box::new(request),
            timeout_ms,
        };
        self.step(&node(command.text("via")), event);
    }

    fn list(&mut self, command: &Command<'_>) {
        let text = |name| Bytes::copy_from_slice(command.get(name).unwrap_or("").as_bytes());
        let stretch = Stretch {
            bucket: bucket(),
            partition: PartitionId(0),
            prefix: text("prefix"),
            after: text("after"),
            items_max: command.number("items").unwrap_or(100),
            wanted: Default::default(),
        };
        let timeout_ms = command.number("timeout_ms").unwrap_or(TIMEOUT_MS);
        let event = Event::List {
            client: self.client(command),
            stretch,
            timeout_ms,
        };
        self.step(&node(command.text("via")), event);
    }

    /// A request of the client `as=`, who keeps the contexts it is given; without a name, of a stranger.
    fn client(&mut self, command: &Command<'_>) -> ClientId {
        let id = ClientId(self.requests.len() as u64);
        let name = command.get("as").unwrap_or("").to_owned();
        self.requests.insert(id, name);
        id
    }

    /// `a>b` is one direction, `a-b` both.
    fn set_wires(&mut self, command: &Command<'_>, wire: Wire) {
        for word in &command.words {
            let (from, to) = word.split_once(['>', '-']).expect("a>b or a-b");
            self.wires.insert((node(from), node(to)), wire);
            if word.contains('-') {
                self.wires.insert((node(to), node(from)), wire);
            }
        }
    }

    fn advance(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some((at, id)) = self.next_timer().filter(|(at, _)| *at <= end_ms) {
            self.now_ms = at;
            self.step(&id, Event::Tick);
            self.settle();
        }
        self.now_ms = end_ms;
    }

    fn next_timer(&self) -> Option<(u64, NodeId)> {
        let timers = self
            .actors
            .iter()
            .filter_map(|(id, actor)| Some((actor.machine.next_deadline()?.0, id.clone())));
        timers.min()
    }

    fn set_engine(&mut self, command: &Command<'_>) {
        let engine = match command.words[1] {
            "good" => Engine::Good,
            "read-only" => Engine::ReadOnly,
            "failing" => Engine::Failing,
            other => panic!("no disk is {other}"),
        };
        self.actors[&node(command.words[0])].disk.borrow_mut().1 = engine;
    }

    fn set_room(&mut self, command: &Command<'_>) {
        let room = match command.words[1] {
            "ample" => Room::Ample,
            "scarce" => Room::Scarce,
            "spent" => Room::Spent,
            other => panic!("no room is {other}"),
        };
        self.step(&node(command.words[0]), Event::Room(room));
        self.settle();
    }

    fn forget(&mut self, command: &Command<'_>) {
        let key = key(command);
        let mut batch = Batch::default();
        batch.delete(object_key(self.placement.partition_of(&key), &key));
        let disk = &self.actors[&node(command.words[0])].disk;
        disk.borrow_mut().0.apply(batch).expect("a good disk");
    }

    fn show(&mut self, key: &Key) {
        for (id, actor) in &mut self.actors {
            let (record, merges) = actor.machine.inspect(key).expect("a good disk");
            let object = self.names.object(&record.object);
            let kept = merges
                .iter()
                .map(|merge| self.names.versions(&merge.inputs));
            let kept: Vec<String> = kept.map(|inputs| format!("  kept {inputs}")).collect();
            self.told
                .push(format!("{id} has {object}{}", kept.join("")));
        }
    }

    /// What each node keeps for others.
    fn show_hints(&mut self) {
        for (id, actor) in &self.actors {
            let hints = actor.disk.borrow().0.scan(hints_range(), usize::MAX);
            for (place, bytes) in hints.expect("a good disk") {
                let (home, _, _) = decode_hint_key(&place).expect("the place of a hint");
                let object = Record::decode(bytes).expect("a record").object;
                let object = self.names.object(&object);
                self.told.push(format!("{id} keeps for {home} {object}"));
            }
        }
    }

    fn show_opinions(&mut self) {
        for (id, actor) in &self.actors {
            for (peer, _) in actor.machine.opinions() {
                self.told.push(format!("{id} holds {peer} to be down"));
            }
        }
    }

    /// A change of the members, all of it moved: `but=` has not heard of it yet. What is moved is not shown.
    fn set_members(&mut self, command: &Command<'_>) {
        let names = command.text("nodes").split(',').map(node);
        let members: Vec<Member> = names.map(Member::new).collect();
        let partitions = self.placement.partitions();
        let change = Change {
            version: self.placement.version() + 1,
            before: self.placement.current(),
            ..Change::first(partitions, members).expect("good members")
        };
        let mut done = Progress::none(change.id(), self.placement.partitions());
        for partition in self.placement.partitions().all() {
            done.copied.insert(partition);
            done.released.insert(partition);
        }
        let everyone = self.actors.keys().cloned();
        let progress = everyone.map(|id| (id, done.clone())).collect();
        let placement = Placement::new(&change, progress).expect("good members");
        self.placement = Arc::new(placement);
        let ignorant = command.get("but").map(node);
        let told: Vec<NodeId> = self.actors.keys().cloned().collect();
        for id in told.into_iter().filter(|id| Some(id) != ignorant.as_ref()) {
            self.step(&id, Event::Placement(Arc::clone(&self.placement)));
        }
    }

    /// The process ends without warning, and the next one starts on what is on the disk.
    fn restart(&mut self, id: &NodeId) {
        let actor = self.actors.get_mut(id).expect("a node of the cluster");
        let incarnation = self.names.born(id);
        let storage = Disk(Rc::clone(&actor.disk));
        let placement = Arc::clone(&self.placement);
        actor.machine = Machine::new(id.clone(), incarnation, storage, placement);
        actor.unsynced.clear();
        let buckets = Event::Buckets(Arc::clone(&self.buckets));
        actor
            .machine
            .step(now(self.now_ms), buckets, &mut Vec::new());
    }

    fn step(&mut self, id: &NodeId, event: Event) {
        let mut effects = Vec::new();
        let actor = self.actors.get_mut(id).expect("a node of the cluster");
        actor.machine.step(now(self.now_ms), event, &mut effects);
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: &NodeId, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(id, to, message),
            Effect::SendOnceSynced { to, message } if self.syncs_by_hand => {
                let line = self.names.message(&message);
                self.told.push(format!("{id} -> {to}  {line}, once synced"));
                let actor = self.actors.get_mut(id).expect("it exists");
                actor.unsynced.push((to, message));
            }
            Effect::SendOnceSynced { to, message } => self.send(id, to, message),
            Effect::Ask {
                ticket, question, ..
            } => {
                let line = self.names.question(&question);
                self.told.push(format!("{id} asks {line}"));
                self.asked.push_back((id.clone(), ticket, question));
                if self.guest != "silent" {
                    self.answer_all();
                }
            }
            Effect::Progress {
                partition, stage, ..
            } => {
                let line = format!("{id} has partition {} {stage:?}", partition.0);
                self.told.push(line);
            }
            Effect::ReplyGet { client, outcome } => {
                if let Ok(reply) = &outcome {
                    self.keep_context(client, &reply.context);
                }
                self.told.push(self.names.got(&outcome));
            }
            Effect::ReplyUnmerge { .. } => unreachable!("no script undoes merges"),
            Effect::ReplyList { outcome, .. } => self.told.push(listed(&outcome)),
            Effect::ReplyPut { client, outcome } => {
                if let Ok(reply) = &outcome {
                    self.keep_context(client, &reply.context);
                }
                self.told.push(self.names.put(&outcome));
            }
            Effect::ReplyRestore { .. } => unreachable!("no client of a transcript restores"),
            Effect::Changed(_) => {} // Nobody watches.
        }
    }

    fn keep_context(&mut self, client: ClientId, context: &Context) {
        let name = self.requests[&client].clone();
        if !name.is_empty() {
            self.contexts.insert(name, context.clone());
        }
    }

    fn send(&mut self, from: &NodeId, to: NodeId, message: Message) {
        let wire = self.wires.get(&(from.clone(), to.clone())).copied();
        let fate = match wire {
            None => "",
            Some(Wire::Refuses) => "  (refused)",
            Some(Wire::Swallows) => "  (lost)",
            Some(Wire::Holds) => "  (held)",
        };
        let line = self.names.message(&message);
        // Probes are many, and `opinions` says what came of them.
        if !matches!(message, Message::Ping { .. } | Message::Pong { .. }) {
            self.told.push(format!("{from} -> {to}  {line}{fate}"));
        }
        match wire {
            None => self.on_the_way.push_back((from.clone(), to, message)),
            Some(Wire::Holds) => self.held.push((from.clone(), to, message)),
            Some(Wire::Swallows) => {}
            Some(Wire::Refuses) => {
                let refusal = message.undelivered();
                let refusal = refusal.map(|message| (to, from.clone(), message));
                self.on_the_way.extend(refusal);
            }
        }
    }

    fn settle(&mut self) {
        while let Some((from, to, message)) = self.on_the_way.pop_front() {
            self.step(&to, Event::Message { from, message });
        }
    }

    fn release_acknowledgements(&mut self, id: &NodeId) {
        let actor = self.actors.get_mut(id).expect("a node of the cluster");
        actor.disk.borrow_mut().0.sync().expect("a good disk");
        for (to, message) in std::mem::take(&mut actor.unsynced) {
            self.send(id, to, message);
        }
    }

    fn answer_all(&mut self) {
        while let Some((id, ticket, question)) = self.asked.pop_front() {
            let answer = answer(&self.guest, &question);
            self.step(&id, Event::Answered { ticket, answer });
        }
    }
}

fn now(ms: u64) -> Now {
    Now {
        monotonic: Millis(ms),
        wall_ms: ms,
    }
}

/// What the guest says in the mood that the script has put it into.
fn answer(mood: &str, question: &Question) -> Answer {
    let digest = question.binding.digest;
    let message = "unreachable executed".to_owned();
    match (mood, &question.ask) {
        ("trapping", _) => Answer::Failed(GuestFailure::Trap { digest, message }),
        ("refusing", Ask::Validate(_))
        | (
            "refusing-merged",
            Ask::Validate(Version {
                merged_by: Some(_), ..
            }),
        ) => Answer::Judged {
            judgement: Judgement::Refused {
                code: "too-sweet".to_owned(),
                message: "no sugar in this cart".to_owned(),
            },
            fuel: 1,
        },
        (_, Ask::Validate(_)) => Answer::Judged {
            judgement: Judgement::Accepted,
            fuel: 1,
        },
        (_, Ask::Resolve(siblings)) => {
            let values = siblings.iter().filter_map(Version::bytes);
            let words: Vec<_> = values.map(|bytes| String::from_utf8_lossy(bytes)).collect();
            Answer::Resolved {
                resolution: Resolution::Merged(words.join("+").into()),
                fuel: 1,
            }
        }
    }
}
