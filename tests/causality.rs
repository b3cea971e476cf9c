//! `dynamo::causality` against an oracle of explicit causal histories (Dynamo 4.4).
//!
//! The oracle knows no vectors: a write is a number and the set of numbers that its context had seen, and a
//! replica is the set of numbers that it has heard of. What is live must be what no other known write has
//! seen. Replicas here also forget records and restart from old backups.
//!
//! Invariant: the oracle and the objects are compared after every single step.

#[path = "stage/memory.rs"]
mod memory;

use bytes::Bytes;
use memory::Memory;
use proptest::collection::vec;
use proptest::prelude::*;
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::causality::dot::{Actor, Dot, Incarnation};
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::codec::{Reader, Writer};
use rejoin::dynamo::names::{BucketName, Digest, Key, NodeId};
use rejoin::dynamo::replica::copy::Copies;
use rejoin::dynamo::replica::layout::Place;
use rejoin::dynamo::replica::record::{Provenance, Record, Replaced};
use rejoin::dynamo::replica::storage::{Batch, Item, Storage, StorageError};
use rejoin::dynamo::ring::partition::PartitionId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use xxhash_rust::xxh3::Xxh3;

const REPLICAS: usize = 3;
const PARTITION: PartitionId = PartitionId(0);

/// Numbers of writes.
type Ids = BTreeSet<u64>;

fn key() -> Key {
    let bucket = BucketName::new("carts").expect("a good name");
    Key::new(bucket, Bytes::from_static(b"cart")).expect("a good key")
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    Nothing,
    /// What the replica that is written to holds now.
    Here,
    /// What another replica holds now.
    There(usize),
    /// What some get or put saw earlier.
    Earlier(usize),
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Put {
        at: usize,
        seen: Seen,
    },
    Delete {
        at: usize,
        seen: Seen,
    },
    /// The object leaves now and arrives later, perhaps never, perhaps often.
    Send {
        from: usize,
    },
    Arrive {
        sent: usize,
        at: usize,
    },
    Backup {
        at: usize,
    },
    Forget {
        at: usize,
    },
    /// A new process, over an earlier backup.
    RollBack {
        at: usize,
        backup: usize,
    },
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        Just(Seen::Nothing),
        Just(Seen::Here),
        (0..REPLICAS).prop_map(Seen::There),
        (0..64usize).prop_map(Seen::Earlier),
    ]
}

fn calm() -> impl Strategy<Value = Act> {
    let at = 0..REPLICAS;
    prop_oneof![
        4 => (at.clone(), seen()).prop_map(|(at, seen)| Act::Put { at, seen }),
        1 => (at.clone(), seen()).prop_map(|(at, seen)| Act::Delete { at, seen }),
        3 => at.clone().prop_map(|from| Act::Send { from }),
        5 => (0..64usize, at).prop_map(|(sent, at)| Act::Arrive { sent, at }),
    ]
}

fn rough() -> impl Strategy<Value = Act> {
    let at = 0..REPLICAS;
    prop_oneof![
        8 => calm(),
        1 => at.clone().prop_map(|at| Act::Backup { at }),
        1 => at.clone().prop_map(|at| Act::Forget { at }),
        1 => (at, 0..16usize).prop_map(|(at, backup)| Act::RollBack { at, backup }),
    ]
}

/// A storage that the test can reach under the running process, and how it takes the next batch.
#[derive(Debug, Clone, Default)]
struct Shared(Rc<RefCell<(Memory, Engine)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Engine {
    #[default]
    Works,
    /// It fails; whether the batch is on the disk is open.
    Fails,
}

impl Storage for Shared {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.0.borrow().0.get(key)
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        self.0.borrow().0.scan(range, items_max)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        let mut shared = self.0.borrow_mut();
        match shared.1 {
            Engine::Works => shared.0.apply(batch),
            Engine::Fails => Err(StorageError::Failed("simulated".to_owned())),
        }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

impl Shared {
    fn over(memory: Memory) -> Self {
        Self(Rc::new(RefCell::new((memory, Engine::Works))))
    }
}

/// A copy, and what the oracle says that it has heard of.
struct Replica {
    storage: Shared,
    copies: Copies<Shared>,
    known: Ids,
}

/// The replicas, what is on its way, and the oracle.
struct World {
    replicas: Vec<Replica>,
    sent: Vec<(Object, Ids)>,
    contexts: Vec<(Context, Ids)>,
    backups: Vec<(usize, Memory, Ids)>,
    pasts: BTreeMap<u64, Ids>,
    values: BTreeMap<Dot, Version>,
    starts: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            replicas: Vec::new(),
            sent: Vec::new(),
            contexts: Vec::new(),
            backups: Vec::new(),
            pasts: BTreeMap::new(),
            values: BTreeMap::new(),
            starts: 0,
        };
        for _ in 0..REPLICAS {
            let replica = world.start(Memory::default(), Ids::new());
            world.replicas.push(replica);
        }
        world
    }

    fn after(acts: &[Act]) -> Self {
        let mut world = Self::new();
        acts.iter().for_each(|act| world.act(*act));
        world
    }

    fn start(&mut self, memory: Memory, known: Ids) -> Replica {
        self.starts += 1;
        let storage = Shared::over(memory);
        Replica {
            copies: Copies::new(storage.clone(), Incarnation(self.starts)),
            storage,
            known,
        }
    }

    fn object(&mut self, at: usize) -> Object {
        let record = self.replicas[at].copies.record(PARTITION, &key());
        record.expect("memory does not fail").object
    }

    fn seen(&mut self, at: usize, seen: Seen) -> (Context, Ids) {
        match seen {
            Seen::Nothing => (Context::default(), Ids::new()),
            Seen::Here => (self.object(at).context(), self.replicas[at].known.clone()),
            Seen::There(other) => self.seen(other, Seen::Here),
            Seen::Earlier(place) => match self.contexts.len() {
                0 => (Context::default(), Ids::new()),
                count => self.contexts[place % count].clone(),
            },
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Put { at, seen } => {
                self.write(at, seen, |id| Version::value(format!("w{id}"), id));
            }
            Act::Delete { at, seen } => self.write(at, seen, Version::tombstone),
            Act::Send { from } => {
                let known = self.replicas[from].known.clone();
                let object = self.object(from);
                self.sent.push((object, known));
            }
            Act::Arrive { sent, at } => self.arrive(sent, at),
            Act::Backup { at } => {
                let memory = self.replicas[at].storage.0.borrow().0.clone();
                let known = self.replicas[at].known.clone();
                self.backups.push((at, memory, known));
            }
            Act::Forget { at } => self.forget(at),
            Act::RollBack { at, backup } => self.roll_back(at, backup),
        }
        (0..REPLICAS).for_each(|at| self.check(at));
    }

    fn write(&mut self, at: usize, seen: Seen, version: impl Fn(u64) -> Version) {
        let (context, past) = self.seen(at, seen);
        let id = self.pasts.len() as u64;
        let replica = &mut self.replicas[at];
        let written =
            replica
                .copies
                .coordinate(&Place::Home, PARTITION, &key(), &context, version(id), None);
        let object = written.expect("memory does not fail").object;
        replica.known.extend(past.iter().copied());
        replica.known.insert(id);
        self.pasts.insert(id, past);
        let known = self.replicas[at].known.clone();
        self.contexts.push((object.context(), known));
    }

    fn arrive(&mut self, sent: usize, at: usize) {
        if self.sent.is_empty() {
            return;
        }
        let (object, known) = self.sent[sent % self.sent.len()].clone();
        let replica = &mut self.replicas[at];
        let written = replica
            .copies
            .write(&Place::Home, PARTITION, &key(), object, &[]);
        written.expect("memory does not fail");
        replica.known.extend(known);
    }

    /// The record is gone under a running process, as after a checksum error.
    fn forget(&mut self, at: usize) {
        self.replicas[at].known.clear();
        self.replicas[at].storage.0.borrow_mut().0 = Memory::default();
    }

    fn roll_back(&mut self, at: usize, backup: usize) {
        let mine: Vec<_> = self.backups.iter().filter(|(of, ..)| *of == at).collect();
        let (memory, known) = match mine.len() {
            0 => (Memory::default(), Ids::new()),
            count => {
                let (_, memory, known) = mine[backup % count];
                (memory.clone(), known.clone())
            }
        };
        self.replicas[at] = self.start(memory, known);
    }

    /// The known writes that no known write has seen.
    fn maximal(&self, known: &Ids) -> Ids {
        let is_seen = |id: &u64| known.iter().any(|later| self.pasts[later].contains(id));
        known.iter().copied().filter(|id| !is_seen(id)).collect()
    }

    /// Versions carry their number as write time, which no clock of an object reads.
    fn check(&mut self, at: usize) {
        let object = self.object(at);
        let held: Ids = object.versions().map(|(_, v)| v.written_at_ms).collect();
        assert_eq!(held, self.maximal(&self.replicas[at].known), "{object:?}");
        for (dot, version) in object.versions() {
            let first = self.values.entry(dot).or_insert_with(|| version.clone());
            assert_eq!(first, version, "{dot} names two values");
        }
    }

    fn objects(&mut self) -> Vec<Object> {
        let held: Vec<Object> = (0..REPLICAS).map(|at| self.object(at)).collect();
        held.into_iter()
            .chain(self.sent.iter().map(|(object, _)| object.clone()))
            .collect()
    }
}

fn synced(a: &Object, b: &Object) -> Object {
    let mut a = a.clone();
    a.sync(b.clone());
    a
}

proptest! {
    #[test]
    fn sync_is_commutative_associative_and_idempotent_in_canonical_bytes(
        acts in vec(rough(), 1..60),
        places in vec(0..64usize, 3),
    ) {
        let objects = World::after(&acts).objects();
        let [a, b, c] = [0, 1, 2].map(|i| &objects[places[i] % objects.len()]);
        prop_assert_eq!(synced(a, b).encode(), synced(b, a).encode());
        let (left, right) = (synced(&synced(a, b), c), synced(a, &synced(b, c)));
        prop_assert_eq!(left.encode(), right.encode());
        prop_assert_eq!(synced(a, a).encode(), a.encode());
        prop_assert!(synced(a, b).descends(a) && synced(a, b).descends(b));
    }

    #[test]
    fn what_is_live_is_what_no_known_write_has_seen(acts in vec(calm(), 1..80)) {
        World::after(&acts);
    }

    #[test]
    fn replicas_that_forget_or_roll_back_lose_nothing_that_others_hold_and_reuse_no_dot(
        acts in vec(rough(), 1..120),
    ) {
        let mut world = World::after(&acts);
        for from in 0..REPLICAS {
            world.act(Act::Send { from });
            let sent = world.sent.len() - 1;
            (0..REPLICAS).for_each(|at| world.act(Act::Arrive { sent, at }));
        }
    }

    #[test]
    fn a_sequential_client_never_sees_two_siblings(
        steps in vec((0..REPLICAS, 0..REPLICAS, 0..REPLICAS), 1..40),
    ) {
        let mut world = World::new();
        for (number, (at, copied, read)) in steps.into_iter().enumerate() {
            quorum_write(&mut world, at, copied, Seen::Earlier(number.wrapping_sub(1)));
            let other = (read + 1) % REPLICAS;
            let view = synced(&world.object(read), &world.object(other));
            prop_assert_eq!(view.live(0).count(), 1);
            let value = Bytes::from(format!("w{number}"));
            prop_assert_eq!(view.live(0).next().and_then(Version::bytes), Some(&value));
            remember(&mut world, number, &view);
        }
    }

    #[test]
    fn two_interleaved_clients_never_make_more_than_two_siblings(
        steps in vec((any::<bool>(), 0..REPLICAS, 0..REPLICAS, 0..REPLICAS), 1..60),
    ) {
        let mut world = World::new();
        let mut views = [Context::default(), Context::default()];
        for (client, at, copied, read) in steps {
            let view = &mut views[usize::from(client)];
            world.contexts = vec![(view.clone(), Ids::new())];
            quorum_write_unjudged(&mut world, at, copied, view);
            let other = (read + 1) % REPLICAS;
            let seen = synced(&world.object(read), &world.object(other));
            prop_assert!(seen.live(0).count() <= 2, "{seen:?}");
            *view = seen.context();
        }
    }
}

/// A put at one replica that reaches a second one before it is acknowledged (N = 3, W = 2).
fn quorum_write(world: &mut World, at: usize, copied: usize, seen: Seen) {
    let seen = match world.contexts.is_empty() {
        true => Seen::Nothing,
        false => seen,
    };
    world.act(Act::Put { at, seen });
    world.act(Act::Send { from: at });
    let sent = world.sent.len() - 1;
    let copied = if copied == at {
        (at + 1) % REPLICAS
    } else {
        copied
    };
    world.act(Act::Arrive { sent, at: copied });
}

/// What a quorum read showed is the context of the next put.
fn remember(world: &mut World, number: usize, view: &Object) {
    let known = (0..=number as u64).collect();
    world.contexts.truncate(number);
    world.contexts.push((view.context(), known));
}

fn quorum_write_unjudged(world: &mut World, at: usize, copied: usize, context: &Context) {
    let copied = if copied == at {
        (at + 1) % REPLICAS
    } else {
        copied
    };
    let version = Version::value(format!("w{}", world.starts), 0);
    let written = world.replicas[at].copies.coordinate(
        &Place::Home,
        PARTITION,
        &key(),
        context,
        version,
        None,
    );
    let object = written.expect("memory does not fail").object;
    let arrived = world.replicas[copied]
        .copies
        .write(&Place::Home, PARTITION, &key(), object, &[]);
    arrived.expect("memory does not fail");
}

/// Any bytes, and good bytes with a few of them changed, cut off or added: the ones that come far.
fn nearly(good: Bytes) -> impl Strategy<Value = Bytes> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let changed = (
        changes,
        any::<prop::sample::Index>(),
        vec(any::<u8>(), 0..3),
    );
    prop_oneof![
        vec(any::<u8>(), 0..80).prop_map(Bytes::from),
        changed.prop_map(move |(changes, end, more)| {
            let mut bytes = good.to_vec();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes.truncate(bytes.len() - end.index(bytes.len()) * usize::from(more.is_empty()));
            bytes.extend(more);
            Bytes::from(bytes)
        }),
    ]
}

fn actor(epoch: u64) -> Actor {
    let incarnation = Incarnation(7);
    Actor { incarnation, epoch }
}

fn version() -> Version {
    let mut version = Version::value("milk", 300);
    version.content_type = "text/plain".to_owned();
    version.metadata.insert("a".to_owned(), "1".to_owned());
    version.metadata.insert("b".to_owned(), "2".to_owned());
    version.merged_by = Some(Digest([9; 32]));
    version
}

fn object() -> Object {
    let mut object = Object::default();
    object.event(actor(1), version());
    object.event(actor(1), Version::tombstone(5));
    object.event(actor(2), Version::value("eggs", 7));
    object
}

fn record() -> Record {
    let header = Some(actor(2));
    let object = object();
    Record { header, object }
}

fn replaced() -> Replaced {
    Replaced {
        dot: Dot {
            actor: actor(3),
            counter: 200,
        },
        merged_by: Some(Digest([9; 32])),
        merged_at_ms: 500,
        inputs: vec![version(), Version::tombstone(1)],
        provenance: Some(Provenance {
            dots: vec![
                Some(Dot {
                    actor: actor(4),
                    counter: 3,
                }),
                None,
            ],
            shown: 1,
            epoch: 7,
            fuel: 12_345,
            node: NodeId::new("node-a").expect("a good name"),
            result: 1 << 100,
        }),
    }
}

fn encoded(version: &Version) -> Bytes {
    let mut writer = Writer::default();
    version.encode(&mut writer);
    writer.finish()
}

/// A body of a context under the checksum that it needs to be looked at.
fn sealed(body: &[u8]) -> Bytes {
    let key = key();
    let mut hasher = Xxh3::new();
    hasher.update(key.bucket().as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(key.bytes());
    hasher.update(body);
    let mut writer = Writer::default();
    writer.raw(body);
    writer.fixed(hasher.digest());
    writer.finish()
}

fn context_body() -> Bytes {
    let mut context = object().context();
    context.fastest = Some(NodeId::new("node-a").expect("a good name"));
    let bytes = context.encode(&key());
    bytes.slice(..bytes.len() - 8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes_are_an_object_of_these_bytes_or_an_error(bytes in nearly(object().encode())) {
        if let Ok(object) = Object::decode(bytes.clone()) {
            prop_assert_eq!(object.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_a_record_of_these_bytes_or_an_error(bytes in nearly(record().encode())) {
        if let Ok(record) = Record::decode(bytes.clone()) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_a_merge_of_these_bytes_or_an_error(bytes in nearly(replaced().encode())) {
        if let Ok(replaced) = Replaced::decode(bytes.clone()) {
            prop_assert_eq!(replaced.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_a_version_of_these_bytes_or_an_error(bytes in nearly(encoded(&version()))) {
        let mut reader = Reader::new(bytes.clone());
        if let Ok(version) = Version::decode(&mut reader) {
            let used = bytes.len() - reader.remaining();
            prop_assert_eq!(encoded(&version), bytes.slice(..used));
        }
    }

    #[test]
    fn any_bytes_are_a_context_of_these_bytes_or_an_error(body in nearly(context_body())) {
        let bytes = sealed(&body);
        if let Ok(context) = Context::decode(bytes.clone(), &key()) {
            prop_assert_eq!(context.encode(&key()), bytes);
        }
        let _ = Context::decode(body, &key());
    }
}

#[test]
fn what_an_older_release_kept_of_a_merge_is_still_read() {
    let plain = Replaced {
        provenance: None,
        ..replaced()
    };
    let bytes = plain.encode();
    assert_eq!(bytes.first(), Some(&1), "the format that it had");
    assert_eq!(Replaced::decode(bytes), Ok(plain));
}

#[test]
fn a_context_of_another_key_is_refused() {
    let bucket = BucketName::new("carts").expect("a good name");
    let other = Key::new(bucket, Bytes::from_static(b"other")).expect("a good key");
    let bytes = object().context().encode(&key());
    assert!(Context::decode(bytes.clone(), &key()).is_ok());
    assert!(Context::decode(bytes, &other).is_err());
}

#[test]
fn counts_that_the_input_cannot_hold_are_refused_before_anything_is_allocated() {
    for what in [object().encode(), record().encode(), replaced().encode()] {
        for place in 0..what.len() {
            let mut bytes = what.slice(..place).to_vec();
            bytes.extend([0xff; 9]);
            bytes.push(1);
            let bytes = Bytes::from(bytes);
            assert!(Object::decode(bytes.clone()).is_err());
            assert!(Record::decode(bytes.clone()).is_err());
            assert!(Replaced::decode(bytes).is_err());
        }
    }
}

#[test]
fn a_context_with_a_count_of_zero_is_refused_for_no_replica_could_read_its_object() {
    let zero = Context::from_clock([(actor(1), 1)].into_iter()).encode(&key());
    let mut body = zero.slice(..zero.len() - 8).to_vec();
    *body.last_mut().expect("not empty") = 0;
    assert!(Context::decode(sealed(&body), &key()).is_err());
}

#[test]
fn a_forged_context_that_names_the_next_actor_does_not_stop_the_next_write() {
    let mut copies = Copies::new(Memory::default(), Incarnation(7));
    let forged = Context::from_clock((1..4).map(|epoch| (actor(epoch), u64::MAX)));
    let written = copies.coordinate(&Place::Home, PARTITION, &key(), &forged, version(), None);
    let dot = written.expect("memory does not fail").dot;
    assert_eq!((dot.actor, dot.counter), (actor(4), 1));
    let held = copies
        .record(PARTITION, &key())
        .expect("memory does not fail");
    assert_eq!(held.object.live(0).count(), 1);
}

#[test]
fn more_siblings_than_a_careless_bound_can_still_be_read() {
    let mut object = Object::default();
    for number in 0..70_000 {
        object.event(actor(1), Version::value("", number));
    }
    let mut copies = Copies::new(Memory::default(), Incarnation(8));
    let written = copies.write(&Place::Home, PARTITION, &key(), object, &[]);
    assert_eq!(written, Ok(true));
    let held = copies
        .record(PARTITION, &key())
        .expect("memory does not fail");
    assert_eq!(held.object.live(0).count(), 70_000);
    assert_eq!(copies.counters().checksum_errors, 0);
}

#[test]
fn an_object_that_could_not_be_read_again_is_not_stored() {
    let half = |first: u64| {
        let clock = (first..first + 9_000).map(|epoch| (actor(epoch), 1));
        let mut object = Object::default();
        object.discard(&Context::from_clock(clock));
        object
    };
    let mut copies = Copies::new(Memory::default(), Incarnation(8));
    assert_eq!(
        copies.write(&Place::Home, PARTITION, &key(), half(0), &[]),
        Ok(true)
    );
    assert!(
        copies
            .write(&Place::Home, PARTITION, &key(), half(9_000), &[])
            .is_err()
    );
    let held = copies
        .record(PARTITION, &key())
        .expect("memory does not fail");
    assert_eq!(held.object.actors(), 9_000);
}

/// What the failed batch held may come back with a restart, under its dot.
#[test]
fn after_a_failed_write_no_dot_is_given_out_that_it_may_have_used() {
    let storage = Shared::default();
    let mut copies = Copies::new(storage.clone(), Incarnation(7));
    let blind = Context::default();
    let mut put = |engine| {
        storage.0.borrow_mut().1 = engine;
        copies.coordinate(&Place::Home, PARTITION, &key(), &blind, version(), None)
    };
    let first = put(Engine::Works).expect("it works").dot;
    assert!(put(Engine::Fails).is_err());
    let next = put(Engine::Works).expect("it works again").dot;
    assert_ne!(next.actor, first.actor);
}
