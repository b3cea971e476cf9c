//! A cluster of machines without a network: what one sends the other has, unless the link is cut. Time is the test's.
//!
//! Plays the part of the membership: progress that a machine tells is known to all at once, or when the test says so.
//!
//! Invariant: messages arrive in the order in which they were sent.

use super::memory::Memory;
use bytes::Bytes;
use rejoin::dynamo::bucket::removed::RemovedBuckets;
use rejoin::dynamo::bucket::{Ack, BucketTable, Properties};
use rejoin::dynamo::causality::dot::Incarnation;
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::coordinator::request::{GetError, GetRequest, PutError, PutRequest, Ttl};
use rejoin::dynamo::machine::effect::Effect;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::machine::router::Machine;
use rejoin::dynamo::names::{BucketName, ClientId, Key, Millis, NodeId, Now, Ticket};
use rejoin::dynamo::reconcile::answer::Answer;
use rejoin::dynamo::reconcile::question::Question;
use rejoin::dynamo::repair::settings::Settings;
use rejoin::dynamo::repair::transfer::Stage;
use rejoin::dynamo::replica::layout::object_key;
use rejoin::dynamo::replica::storage::{Batch, Item, Storage, StorageError};
use rejoin::dynamo::ring::change::{Change, Progress};
use rejoin::dynamo::ring::member::Member;
use rejoin::dynamo::ring::partition::Partitions;
use rejoin::dynamo::ring::placement::Placement;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// A disk that outlives its machine.
#[derive(Debug, Clone, Default)]
pub struct Disk(Rc<RefCell<Memory>>);

impl Storage for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.0.borrow().get(key)
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        self.0.borrow().scan(range, items_max)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        self.0.borrow_mut().apply(batch)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.0.borrow_mut().sync()
    }
}

pub struct Cluster {
    pub machines: BTreeMap<NodeId, Machine<Disk>>,
    pub disks: BTreeMap<NodeId, Disk>,
    pub now_ms: u64,
    pub placement: Arc<Placement>,
    pub sent: Vec<(NodeId, NodeId, Message)>,
    /// Pairs that cannot talk, in either direction.
    pub cut: BTreeSet<(NodeId, NodeId)>,
    /// Whatever is sent to them is lost.
    pub silent: BTreeSet<NodeId>,
    /// What was told of each partition, in order.
    pub told: Vec<(NodeId, u16, Stage)>,
    /// Told progress reaches nobody.
    pub is_mute: bool,
    pub replies: u64,
    /// Puts that were answered well.
    pub acknowledged: u64,
    /// What guests were asked, by whom.
    pub asked: Vec<(NodeId, Ticket, Question)>,
    /// What answers them; nobody does without it.
    pub guest: Option<fn(&Question) -> Answer>,
    answers: VecDeque<(NodeId, Ticket, Answer)>,
    /// Gets and puts that were turned away because there is too much to do.
    pub turned_away: u64,
    /// What puts ask for instead of their bucket's W.
    pub w: Option<u8>,
    /// What puts ask for instead of their bucket's PW.
    pub pw: Option<u8>,
    /// Why puts were not acknowledged, in order.
    pub refused: Vec<PutError>,
    change: Change,
    progress: BTreeMap<NodeId, Progress>,
    buckets: Arc<BucketTable>,
    removed: Arc<RemovedBuckets>,
    settings: Settings,
    queue: VecDeque<(NodeId, NodeId, Message)>,
    clients: u64,
    lives: u64,
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good name")
}

pub fn key(bucket: &str, name: &str) -> Key {
    let bucket = BucketName::new(bucket).expect("a good name");
    Key::new(bucket, Bytes::copy_from_slice(name.as_bytes())).expect("a good key")
}

pub fn members(names: &[&str]) -> Vec<Member> {
    names.iter().map(|name| Member::new(node(name))).collect()
}

/// The bucket `notes` with three copies, and `pairs` with two.
fn buckets() -> BucketTable {
    let properties = |n| Properties {
        n,
        r: 1,
        w: 1,
        ack: Ack::Buffered,
        ..Properties::default()
    };
    let name = |name| BucketName::new(name).expect("a good name");
    BucketTable::from([
        (name("notes"), properties(3)),
        (name("pairs"), properties(2)),
    ])
}

impl Cluster {
    /// Nodes that compare their copies only on command.
    pub fn of(names: &[&str], partitions: u16) -> Self {
        let settings = Settings {
            anti_entropy_interval_ms: 0,
            reap_interval_ms: 0,
            tombstone_horizon_ms: 30_000,
            hints_max: 0, // What is missed is left to anti-entropy.
            ..Settings::default()
        };
        Self::with(names, partitions, settings)
    }

    pub fn with(names: &[&str], partitions: u16, settings: Settings) -> Self {
        let partitions = Partitions::new(partitions).expect("in bounds");
        let change = Change::first(partitions, members(names)).expect("good members");
        let placement = Placement::new(&change, BTreeMap::new()).expect("good members");
        let mut cluster = Self {
            machines: BTreeMap::new(),
            disks: BTreeMap::new(),
            now_ms: 1_000,
            placement: Arc::new(placement),
            sent: Vec::new(),
            cut: BTreeSet::new(),
            silent: BTreeSet::new(),
            told: Vec::new(),
            is_mute: false,
            replies: 0,
            acknowledged: 0,
            asked: Vec::new(),
            guest: None,
            answers: VecDeque::new(),
            turned_away: 0,
            w: None,
            pw: None,
            refused: Vec::new(),
            change,
            progress: BTreeMap::new(),
            buckets: Arc::new(buckets()),
            removed: Arc::default(),
            settings,
            queue: VecDeque::new(),
            clients: 0,
            lives: 0,
        };
        names.iter().for_each(|name| cluster.start(name));
        cluster
    }

    /// A process on the disk that the node has, or on an empty one.
    pub fn start(&mut self, name: &str) {
        self.start_ignorant(name);
        self.tell_buckets(name);
    }

    /// A process that knows the buckets that there were at first, and of no removal.
    pub fn start_as_at_first(&mut self, name: &str) {
        self.start_ignorant(name);
        self.step(&node(name), Event::Buckets(Arc::new(buckets())));
    }

    /// A node hears of the buckets as they are now.
    pub fn tell_buckets(&mut self, name: &str) {
        let removed = Event::Removed(Arc::clone(&self.removed));
        self.step(&node(name), removed);
        let buckets = Event::Buckets(Arc::clone(&self.buckets));
        self.step(&node(name), buckets);
    }

    /// `notes` is removed, and created again as another bucket or not; nobody is told of it yet.
    pub fn remove_notes(&mut self, is_created_again: bool) {
        let mut table = BucketTable::clone(&self.buckets);
        let mut removed = RemovedBuckets::clone(&self.removed);
        let names: Vec<BucketName> = table.keys().cloned().collect();
        for name in names.iter().filter(|name| name.plain() == "notes") {
            let generation = name.generation() + 1;
            removed.note(name, generation);
            if let Some(properties) = table.remove(name)
                && is_created_again
            {
                table.insert(name.of(generation), properties);
            }
        }
        self.buckets = Arc::new(table);
        self.removed = Arc::new(removed);
    }

    /// Everything that a node stores of keys.
    pub fn stored(&self, name: &str) -> usize {
        let disk = &self.disks[&node(name)];
        let whole = Bytes::from_static(b"a")..Bytes::from_static(b"z");
        disk.scan(whole, usize::MAX).expect("a good disk").len()
    }

    /// A process that nobody has told of any bucket.
    pub fn start_ignorant(&mut self, name: &str) {
        let id = node(name);
        self.lives += 1;
        let disk = self.disks.entry(id.clone()).or_default().clone();
        let placement = Arc::clone(&self.placement);
        let mut machine = Machine::new(id.clone(), Incarnation(self.lives), disk, placement);
        let settings = Event::Settings(self.settings);
        machine.step(self.now(), settings, &mut Vec::new());
        self.machines.insert(id, machine);
    }

    pub fn wipe(&mut self, name: &str) {
        self.machines.remove(&node(name));
        self.disks.insert(node(name), Disk::default());
    }

    /// From now on these are the members.
    pub fn change(&mut self, names: &[&str], dead: &[&str]) {
        self.change = Change {
            version: self.placement.version() + 1,
            before: self.placement.current(),
            members: members(names),
            members_before: self.placement.members().to_vec(),
            log: Vec::new(),
            dead: dead.iter().map(|name| node(name)).collect(),
        };
        self.progress.clear();
        let placement = Placement::new(&self.change, BTreeMap::new());
        self.place(placement.expect("good members"));
    }

    fn place(&mut self, placement: Placement) {
        self.placement = Arc::new(placement);
        for id in self.ids() {
            let event = Event::Placement(Arc::clone(&self.placement));
            self.step(&id, event);
        }
    }

    /// Tells everybody what each node has told.
    pub fn spread(&mut self) {
        let placement = self.placement.advanced(self.progress.clone());
        self.place(placement);
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.machines.keys().cloned().collect()
    }

    pub fn now(&self) -> Now {
        Now {
            monotonic: Millis(self.now_ms),
            wall_ms: self.now_ms,
        }
    }

    pub fn step(&mut self, id: &NodeId, event: Event) {
        let now = self.now();
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        let mut effects = Vec::new();
        machine.step(now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send { to, message } | Effect::SendOnceSynced { to, message } => {
                    self.send(id, to, message);
                }
                Effect::Progress {
                    change,
                    partition,
                    stage,
                } => {
                    assert_eq!(change, self.placement.change());
                    self.told.push((id.clone(), partition.0, stage));
                    let partitions = self.placement.partitions();
                    let progress = self.progress.entry(id.clone());
                    let progress = progress.or_insert(Progress::none(change, partitions));
                    match stage {
                        Stage::Released => progress.released.insert(partition),
                        _ => progress.copied.insert(partition),
                    };
                    if !self.is_mute {
                        self.spread();
                    }
                }
                Effect::ReplyPut { outcome, .. } => {
                    self.replies += 1;
                    self.acknowledged += u64::from(outcome.is_ok());
                    let is_away = matches!(outcome, Err(PutError::Overloaded { .. }));
                    self.turned_away += u64::from(is_away);
                    self.refused.extend(outcome.err());
                }
                Effect::ReplyGet { outcome, .. } => {
                    self.replies += 1;
                    let is_away = matches!(outcome, Err(GetError::Overloaded { .. }));
                    self.turned_away += u64::from(is_away);
                }
                Effect::ReplyList { outcome, .. } => {
                    self.replies += 1;
                    let is_away = matches!(outcome, Err(GetError::Overloaded { .. }));
                    self.turned_away += u64::from(is_away);
                }
                Effect::ReplyRestore { .. } | Effect::ReplyUnmerge { .. } => self.replies += 1,
                Effect::Ask {
                    ticket, question, ..
                } => {
                    if let Some(guest) = self.guest {
                        let answer = guest(&question);
                        self.answers.push_back((id.clone(), ticket, answer));
                    }
                    self.asked.push((id.clone(), ticket, question));
                }
                Effect::Changed(_) => {}
            }
        }
    }

    fn send(&mut self, from: &NodeId, to: NodeId, message: Message) {
        self.sent.push((from.clone(), to.clone(), message.clone()));
        let pair = (from.clone().min(to.clone()), from.clone().max(to.clone()));
        if self.silent.contains(&to) {
            return;
        }
        match self.cut.contains(&pair) || !self.machines.contains_key(&to) {
            false => self.queue.push_back((from.clone(), to, message)),
            true => {
                if let Some(answer) = message.undelivered() {
                    self.queue.push_back((to, from.clone(), answer));
                }
            }
        }
    }

    pub fn deliver(&mut self) {
        loop {
            if let Some((id, ticket, answer)) = self.answers.pop_front() {
                self.step(&id, Event::Answered { ticket, answer });
            } else if let Some((from, to, message)) = self.queue.pop_front() {
                self.step(&to, Event::Message { from, message });
            } else {
                return;
            }
        }
    }

    /// From now on these are the buckets.
    pub fn rule(&mut self, buckets: BucketTable) {
        self.buckets = Arc::new(buckets);
        for id in self.ids() {
            let event = Event::Buckets(Arc::clone(&self.buckets));
            self.step(&id, event);
        }
        self.deliver();
    }

    /// Lets everything happen that is due within so many milliseconds.
    pub fn run(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        self.deliver();
        while let Some((at, id)) = self.next_timer().filter(|(at, _)| *at <= end_ms) {
            self.now_ms = self.now_ms.max(at);
            self.step(&id, Event::Tick);
            self.deliver();
        }
        self.now_ms = end_ms;
    }

    /// A millisecond at a time, until something is so.
    pub fn run_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if is_so(self) {
                return;
            }
            self.run(1);
        }
        panic!("it has not come to pass in {} ms", self.now_ms);
    }

    fn next_timer(&self) -> Option<(u64, NodeId)> {
        let machines = self.machines.iter();
        let timers = machines.filter_map(|(id, m)| Some((m.next_deadline()?.0, id.clone())));
        timers.min()
    }

    /// A put that every replica is sent at once. Says whether it was acknowledged at once.
    pub fn put(&mut self, via: &str, key: &Key, value: &str) -> bool {
        let before = self.acknowledged;
        self.begin_put(via, key, value);
        self.deliver();
        self.acknowledged > before
    }

    /// A put of which nothing has arrived anywhere yet.
    pub fn begin_put(&mut self, via: &str, key: &Key, value: &str) {
        self.clients += 1;
        let request = PutRequest {
            key: key.clone(),
            context: Default::default(),
            version: Version::value(value.to_owned(), 0),
            w: self.w,
            pw: self.pw,
            ack: None,
            dw: None,
            ttl: Ttl::Bucket,
        };
        let event = Event::Put {
            client: ClientId(self.clients),
            request: Box::new(request),
            timeout_ms: 5_000,
        };
        self.step(&node(via), event);
    }

    /// A put of a client that has seen all that its coordinator holds.
    pub fn put_over(&mut self, via: &str, key: &Key, value: &str) {
        self.clients += 1;
        let request = PutRequest {
            key: key.clone(),
            context: self.object(&node(via), key).context(),
            version: Version::value(value.to_owned(), 0),
            w: None,
            pw: None,
            ack: None,
            dw: None,
            ttl: Ttl::Bucket,
        };
        let event = Event::Put {
            client: ClientId(self.clients),
            request: Box::new(request),
            timeout_ms: 5_000,
        };
        self.step(&node(via), event);
        self.deliver();
    }

    pub fn get(&mut self, via: &str, key: &Key) {
        self.clients += 1;
        let event = Event::Get {
            client: ClientId(self.clients),
            request: GetRequest {
                key: key.clone(),
                r: None,
                pr: None,
            },
            timeout_ms: 5_000,
        };
        self.step(&node(via), event);
        self.deliver();
    }

    /// Deletes whatever stands under a key, at all replicas.
    pub fn delete(&mut self, via: &str, key: &Key) {
        self.clients += 1;
        let request = PutRequest {
            key: key.clone(),
            context: self.object(&node(via), key).context(),
            version: Version::tombstone(0),
            w: None,
            pw: None,
            ack: None,
            dw: None,
            ttl: Ttl::Bucket,
        };
        let event = Event::Put {
            client: ClientId(self.clients),
            request: Box::new(request),
            timeout_ms: 5_000,
        };
        self.step(&node(via), event);
        self.run(5_000);
    }

    /// A put to which only the first primary is there.
    pub fn put_to_one(&mut self, key: &Key, value: &str) -> NodeId {
        let first = self.primaries(key).remove(0);
        let others = self.ids().into_iter().filter(|id| *id != first);
        let cut = others.map(|id| (id.clone().min(first.clone()), id.max(first.clone())));
        let before = std::mem::replace(&mut self.cut, cut.collect());
        self.put(first.as_str(), key, value);
        self.run(6_000);
        self.cut = before;
        first
    }

    pub fn copies(&self, key: &Key) -> u8 {
        self.buckets[key.bucket()].n
    }

    pub fn primaries(&self, key: &Key) -> Vec<NodeId> {
        let partition = self.placement.partition_of(key);
        self.placement.primaries(partition, self.copies(key))
    }

    pub fn object(&mut self, name: &NodeId, key: &Key) -> Object {
        let machine = self.machines.get_mut(name).expect("it is up");
        machine.inspect(key).expect("a good disk").0.object
    }

    /// Whether anything is stored for a key on the disk of a node.
    pub fn has(&self, name: &NodeId, key: &Key) -> bool {
        let place = object_key(self.placement.partition_of(key), key);
        self.disks[name].get(&place).expect("a good disk").is_some()
    }

    /// The primaries of the keys hold the same, and something; everybody else holds nothing.
    pub fn check_settled(&mut self, keys: &[Key]) {
        for key in keys {
            let primaries = self.primaries(key);
            let first = self.object(&primaries[0], key);
            assert!(!first.is_empty(), "{key} is nowhere");
            for id in self.ids() {
                match primaries.contains(&id) {
                    true => assert_eq!(self.object(&id, key), first, "{key} at {id}"),
                    false => assert!(!self.has(&id, key), "{key} is still at {id}"),
                }
            }
        }
    }

    pub fn storage_writes(&self) -> u64 {
        let machines = self.machines.values();
        machines.map(|m| m.activity().copies.storage_writes).sum()
    }

    pub fn repairs(&self) -> u64 {
        let machines = self.machines.values();
        machines.map(|m| m.activity().anti_entropy_repairs).sum()
    }
}
