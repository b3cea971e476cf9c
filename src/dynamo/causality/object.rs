//! The object: the set of siblings under a key, with the clock that orders them.
//!
//! Dynamo 4.4, with dots: a DVVSet keeps one counter per actor and the versions of the newest counts.
//! Two interleaved writers make two siblings, never more. Chooses no winner: `reconcile` asks for one.
//!
//! Invariant: `sync` is commutative, associative and idempotent in canonical bytes, and every path that
//! brings versions together goes through it (law 5).

use super::super::codec::{DecodeError, Reader, Writer};
use super::context::Context;
use super::dot::{Actor, Dot};
use super::version::Version;
use crate::limits::{ACTORS_MAX, SIBLINGS_MAX};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const FORMAT: u8 = 1;

/// What an object knows of one actor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Writes of the actor that are known: dots 1 to `n` exist.
    n: u64,
    /// The versions of dots `n`, `n - 1`, ..., newest first. The older ones are covered.
    versions: VecDeque<Version>,
}

impl Entry {
    /// The greatest dot that is known to be covered.
    fn covered(&self) -> u64 {
        self.n - self.versions.len() as u64
    }

    /// Keeps what neither side knows to be covered.
    fn sync(&mut self, other: Entry) {
        let covered = self.covered().max(other.covered());
        if other.n > self.n {
            *self = other;
        }
        self.versions
            .truncate((self.n.saturating_sub(covered)) as usize);
    }
}

/// The siblings under one key. Empty: nothing was ever stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    entries: BTreeMap<Actor, Entry>,
}

impl Object {
    /// An object that holds no version, but knows of all that `context` covers.
    fn covering(context: &Context) -> Self {
        let entry = |n: u64| Entry {
            n,
            versions: VecDeque::new(),
        };
        Self {
            entries: context
                .clock()
                .map(|(actor, n)| (actor, entry(n)))
                .collect(),
        }
    }

    /// Nothing was ever stored here, not even a tombstone.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Brings two histories together: no version is lost that the other side does not cover.
    pub fn sync(&mut self, other: Object) {
        for (actor, entry) in other.entries {
            match self.entries.get_mut(&actor) {
                Some(mine) => mine.sync(entry),
                None => {
                    self.entries.insert(actor, entry);
                }
            }
        }
    }

    /// Drops the versions that `context` covers, and remembers that it covers them.
    pub fn discard(&mut self, context: &Context) {
        self.sync(Self::covering(context));
    }

    /// Adds a version as the next write of `actor`.
    pub fn event(&mut self, actor: Actor, version: Version) -> Dot {
        let entry = self.entries.entry(actor).or_insert(Entry {
            n: 0,
            versions: VecDeque::new(),
        });
        entry.n += 1;
        entry.versions.push_front(version);
        Dot {
            actor,
            counter: entry.n,
        }
    }

    /// A context that covers what had expired at `wall_ms`: of each actor the oldest versions, for covering
    /// one covers all before it.
    pub fn expired(&self, wall_ms: u64) -> Context {
        Context::from_clock(self.entries.iter().map(|(actor, entry)| {
            let oldest_first = entry.versions.iter().rev();
            let expired = oldest_first.take_while(|version| version.is_expired(wall_ms));
            (*actor, entry.covered() + expired.count() as u64)
        }))
    }

    /// A context that covers everything known here: the paper's `join`.
    pub fn context(&self) -> Context {
        Context::from_clock(self.entries.iter().map(|(actor, entry)| (*actor, entry.n)))
    }

    /// Whether `actor` is in the clock, with however many writes.
    pub fn names(&self, actor: Actor) -> bool {
        self.entries.contains_key(&actor)
    }

    /// How many writes of `actor` are known.
    pub fn count_of(&self, actor: Actor) -> u64 {
        self.entries.get(&actor).map_or(0, |entry| entry.n)
    }

    /// Actors in the clock.
    pub fn actors(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is an actor of whom no version stands.
    pub fn has_idle_actors(&self) -> bool {
        self.entries.values().any(|entry| entry.versions.is_empty())
    }

    /// Forgets the actors of whom no version stands. Only with proof that none of their versions is left anywhere:
    /// one that came back would look like a new write.
    pub fn retire_idle_actors(&mut self) -> BTreeSet<Actor> {
        let idle = self.entries.iter();
        let idle = idle.filter(|(_, entry)| entry.versions.is_empty());
        let idle: BTreeSet<Actor> = idle.map(|(actor, _)| *actor).collect();
        self.entries.retain(|actor, _| !idle.contains(actor));
        idle
    }

    /// Every version, tombstones included, with its dot.
    pub fn versions(&self) -> impl Iterator<Item = (Dot, &Version)> {
        self.entries.iter().flat_map(|(actor, entry)| {
            let dot = |age: usize| Dot {
                actor: *actor,
                counter: entry.n - age as u64,
            };
            entry
                .versions
                .iter()
                .enumerate()
                .map(move |(age, version)| (dot(age), version))
        })
    }

    /// The version of one dot, if it is not covered.
    pub fn version(&self, dot: Dot) -> Option<&Version> {
        let mut versions = self.versions().filter(|(named, _)| *named == dot);
        versions.next().map(|(_, version)| version)
    }

    /// The versions that hold a value, also those whose time has passed.
    pub fn values(&self) -> impl Iterator<Item = &Version> {
        self.versions()
            .map(|(_, version)| version)
            .filter(|version| !version.is_tombstone())
    }

    /// The versions that a reader at this wall-clock time is shown.
    pub fn live(&self, wall_ms: u64) -> impl Iterator<Item = &Version> {
        self.values()
            .filter(move |version| version.is_live(wall_ms))
    }

    /// More than one live version: somebody has to choose or merge.
    pub fn has_siblings(&self, wall_ms: u64) -> bool {
        self.live(wall_ms).nth(1).is_some()
    }

    /// Whether everything that `other` knows is known here, and nothing it holds is missing.
    pub fn descends(&self, other: &Object) -> bool {
        let mut synced = self.clone();
        synced.sync(other.clone());
        synced == *self
    }

    /// Bytes of all versions, roughly.
    pub fn size_bytes(&self) -> usize {
        self.versions()
            .map(|(_, version)| version.size_bytes())
            .sum()
    }

    pub fn write(&self, writer: &mut Writer) {
        writer.byte(FORMAT);
        writer.number(self.entries.len() as u64);
        for (actor, entry) in &self.entries {
            actor.encode(writer);
            writer.number(entry.n);
            writer.number(entry.versions.len() as u64);
            for version in &entry.versions {
                version.encode(writer);
            }
        }
    }

    pub fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.format(FORMAT)?;
        let actors = reader.number_max("actors", ACTORS_MAX)?;
        let mut object = Self::default();
        let mut siblings = 0;
        for _ in 0..actors {
            let actor = Actor::decode(reader)?;
            if object
                .entries
                .last_key_value()
                .is_some_and(|(last, _)| *last >= actor)
            {
                return Err(DecodeError::Malformed("the order of actors"));
            }
            let entry = read_entry(reader, SIBLINGS_MAX - siblings)?;
            siblings += entry.versions.len();
            object.entries.insert(actor, entry);
        }
        Ok(object)
    }

    /// Canonical bytes: equal objects, equal bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::with_capacity(self.size_bytes() + 16 * self.actors());
        self.write(&mut writer);
        writer.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let object = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(object)
    }
}

fn read_entry(reader: &mut Reader, siblings_left: usize) -> Result<Entry, DecodeError> {
    let n = reader.number()?;
    let length = reader.number_max("siblings", siblings_left)?;
    if n == 0 || length as u64 > n {
        return Err(DecodeError::Malformed("an actor's count"));
    }
    let mut versions = VecDeque::new();
    for _ in 0..length {
        versions.push_back(Version::decode(reader)?);
    }
    Ok(Entry { n, versions })
}
