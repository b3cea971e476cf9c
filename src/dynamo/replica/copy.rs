//! One node's copy of the keys: reads, merges what arrives, and makes the dots of coordinated writes.
//!
//! Dynamo 4.4, 4.5. Does not talk to anyone and does not wait for the disk: the caller holds
//! acknowledgements back until the storage has synced.
//!
//! Invariant: a dot is made only under an actor that this process drew for this life of the record (law 4).

use super::super::bucket::activation::Retention;
use super::super::bucket::removed::RemovedBuckets;
use super::super::causality::context::Context;
use super::super::causality::dot::{Actor, ActorSource, Dot, Incarnation};
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::names::{BucketName, Key, Millis};
use super::super::ring::partition::PartitionId;
use super::change::Change;
use super::counters::Counters;
use super::fingerprint::{Noted, fingerprint};
use super::layout::Place;
use super::ledger::Ledger;
use super::record::{Provenance, Record, Replaced};
pub use super::refusal::{CoordinateError, WriteError};
use super::room::Room;
use super::storage::{Batch, Storage, StorageError};
use super::vouches::Vouches;
use crate::limits::{ACTORS_MAX, CLOCK_SKEW_MS_MAX, OBJECT_BYTES_MAX, SIBLINGS_MAX, SIBLINGS_WARN};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A coordinated write as it now stands in the local copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinated {
    pub dot: Dot,
    pub object: Object,
    /// For the other replicas: what a merge replaced.
    pub replaced: Option<Replaced>,
}

/// What a merge on put took in, before its dot is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeInputs {
    pub merged_by: Option<super::super::names::Digest>,
    pub merged_at_ms: u64,
    pub inputs: Vec<Version>,
    pub provenance: Option<Provenance>,
}

/// The copies of one shard.
#[derive(Debug)]
pub struct Copies<S> {
    pub(super) storage: S,
    actors: ActorSource,
    pub(super) counters: Counters,
    pub(super) ledger: Ledger,
    /// For the hash trees; whoever drives the copies takes it at every turn.
    pub(super) noted: Vec<Noted>,
    /// Keys that nothing may be written of unnoticed.
    pub(super) vouches: Vouches,
    /// How much is kept of what merges replaced, where a bucket says so.
    pub(super) retentions: BTreeMap<BucketName, Retention>,
    /// Buckets of which this node takes no writes any more, by partition: it has given them away.
    pub(super) frozen: BTreeMap<PartitionId, BTreeSet<BucketName>>,
    /// Of these nothing is taken, in whatever role.
    pub(super) removed: Arc<RemovedBuckets>,
    /// What changed since somebody asked; the machine asks after every step.
    changes: Vec<Change>,
    pub(super) room: Room,
}

impl<S: Storage> Copies<S> {
    pub fn new(storage: S, incarnation: Incarnation) -> Self {
        Self {
            storage,
            actors: ActorSource::new(incarnation),
            counters: Counters::default(),
            changes: Vec::new(),
            ledger: Ledger::default(),
            noted: Vec::new(),
            vouches: Vouches::default(),
            frozen: BTreeMap::new(),
            removed: Arc::default(),
            retentions: BTreeMap::new(),
            room: Room::Ample,
        }
    }

    /// What has happened to the copies since this was last asked.
    pub fn take_noted(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.noted)
    }

    /// From now on no write is taken of these buckets in these partitions.
    pub fn freeze(&mut self, frozen: BTreeMap<PartitionId, BTreeSet<BucketName>>) {
        self.frozen = frozen;
    }

    /// From now on nothing is taken of these buckets.
    pub fn set_removed(&mut self, removed: Arc<RemovedBuckets>) {
        self.removed = removed;
    }

    pub fn removed(&self) -> &RemovedBuckets {
        &self.removed
    }

    pub fn incarnation(&self) -> Incarnation {
        self.actors.incarnation()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What this node has vouched for.
    pub fn vouches(&mut self) -> &mut Vouches {
        &mut self.vouches
    }

    /// When time has to be told to the vouches.
    pub fn wakes_at(&self) -> Option<Millis> {
        self.vouches.wakes_at()
    }

    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The records that changed since the last call, in the order in which they did.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// This node's own record of a key; empty if there is none or it cannot be believed.
    pub fn record(&mut self, partition: PartitionId, key: &Key) -> Result<Record, StorageError> {
        self.record_at(&Place::Home, partition, key)
    }

    /// What this node keeps of a key in one of its roles.
    pub fn record_at(
        &mut self,
        place: &Place,
        partition: PartitionId,
        key: &Key,
    ) -> Result<Record, StorageError> {
        match self.storage.get(&place.storage_key(partition, key)) {
            Ok(None) => Ok(Record::default()),
            Ok(Some(bytes)) => {
                Ok(Record::decode(bytes).unwrap_or_else(|_| self.corrupt(partition)))
            }
            Err(StorageError::Corrupt(_)) => Ok(self.corrupt(partition)),
            Err(error) => Err(error),
        }
    }

    /// A record that cannot be believed is a missing one; the other replicas have it.
    fn corrupt(&mut self, partition: PartitionId) -> Record {
        self.counters.checksum_errors += 1;
        self.noted.push(Noted::Doubtful(partition));
        Record::default()
    }

    /// Merges an object that arrived by any path. Says whether anything changed.
    pub fn write(
        &mut self,
        place: &Place,
        partition: PartitionId,
        key: &Key,
        incoming: Object,
        replaced: &[Replaced],
    ) -> Result<bool, WriteError> {
        self.check_open(place, partition, key)?;
        let mut record = self.record_at(place, partition, key)?;
        self.forget_overtaken_header(&mut record, |actor| incoming.count_of(actor));
        let before = record.clone();
        record.object.sync(incoming);
        let fresh = self.not_retained(partition, key, replaced)?;
        if record == before && fresh.is_empty() {
            return Ok(false);
        }
        check_readable(&record.object)?;
        self.store(place, partition, key, &record, fresh)?;
        self.note(
            place,
            partition,
            key,
            fingerprint(key, &before.object),
            &record,
        );
        Ok(true)
    }

    /// Makes the next dot for a client's version: `event(discard(local, context), actor, version)`.
    ///
    /// A node that stands in starts from all that it knows, and writes for the node whose place it takes.
    pub fn coordinate(
        &mut self,
        place: &Place,
        partition: PartitionId,
        key: &Key,
        context: &Context,
        version: Version,
        merge: Option<MergeInputs>,
    ) -> Result<Coordinated, CoordinateError> {
        self.check_open(place, partition, key)?;
        let mut record = self.record_at(place, partition, key)?;
        let before = fingerprint(key, &record.object);
        if let Place::Hint(_) = place {
            record.object.sync(self.known(partition, key)?);
        }
        self.forget_overtaken_header(&mut record, |actor| context.count_of(actor));
        let size_before = record.object.size_bytes();
        record.object.discard(context);
        // A write is the time to forget what expired so long ago that no clock still shows it.
        let forgotten_ms = version.written_at_ms.saturating_sub(CLOCK_SKEW_MS_MAX);
        record.object.discard(&record.object.expired(forgotten_ms));
        let actor = match record.header.filter(|actor| self.actors.owns(*actor)) {
            Some(actor) => actor,
            None => self.unnamed_actor(&record.object),
        };
        record.header = Some(actor);
        let dot = record.object.event(actor, version);
        let found = record.object.size_bytes();
        if found > OBJECT_BYTES_MAX && found > size_before {
            let siblings = record.object.values().count();
            return Err(CoordinateError::ObjectTooLarge { found, siblings });
        }
        if record.object.actors() > ACTORS_MAX {
            let found = record.object.actors();
            return Err(CoordinateError::TooManyActors { found });
        }
        let replaced = merge.map(|merge| Replaced {
            dot,
            merged_by: merge.merged_by,
            merged_at_ms: merge.merged_at_ms,
            inputs: merge.inputs,
            provenance: merge.provenance,
        });
        let fresh: Vec<Replaced> = replaced.clone().into_iter().collect();
        self.store(place, partition, key, &record, fresh)
            .map_err(|error| match error {
                StorageError::Failed(why) | StorageError::Full(why) => {
                    CoordinateError::MaybeStored(why)
                }
                error => error.into(),
            })?;
        self.note(place, partition, key, before, &record);
        Ok(Coordinated {
            dot,
            object: record.object,
            replaced,
        })
    }

    /// Somebody knows of writes under our name that we do not: our record is not what it was.
    fn forget_overtaken_header(&mut self, record: &mut Record, named: impl Fn(Actor) -> u64) {
        let Some(actor) = record.header else { return };
        if self.actors.owns(actor) && named(actor) > record.object.count_of(actor) {
            record.header = None;
            self.counters.amnesia_detected += 1;
        }
    }

    /// An actor that the object does not name. A forged context can name one before it is given out, with
    /// a count that leaves no room for a next one.
    fn unnamed_actor(&mut self, object: &Object) -> Actor {
        loop {
            let actor = self.actors.fresh();
            if !object.names(actor) {
                return actor;
            }
        }
    }

    /// Applies a record, and what was replaced in it, in one batch.
    fn store(
        &mut self,
        place: &Place,
        partition: PartitionId,
        key: &Key,
        record: &Record,
        replaced: Vec<Replaced>,
    ) -> Result<(), StorageError> {
        self.vouches.strike(key);
        let bytes = record.encode();
        let hint = self.admit_hint(place, partition, key, bytes.len())?;
        let mut batch = Batch::default();
        batch.put(place.storage_key(partition, key), bytes);
        if !replaced.is_empty() {
            self.retain(partition, key, replaced, &mut batch)?;
        }
        let applied = self.apply(batch, record);
        if applied.is_err() {
            self.noted.push(Noted::Doubtful(partition));
        }
        match (hint, &applied) {
            (Some(entry), Ok(())) => self.ledger.enter(entry),
            (Some(entry), Err(error)) if error.is_in_doubt() => self.ledger.doubt(entry.home),
            _ => {}
        }
        applied
    }

    /// After a failure nobody knows which dots are on the disk, so none of their actors is used again:
    /// what a restart brings back could else be another value under the same dot (law 4).
    fn apply(&mut self, batch: Batch, record: &Record) -> Result<(), StorageError> {
        if let Err(error) = self.storage.apply(batch) {
            if error.is_in_doubt() {
                self.actors.retire_all();
            }
            return Err(error);
        }
        self.counters.storage_writes += 1;
        self.count_siblings(record.object.values().count());
        Ok(())
    }

    /// For the hash trees and for those who watch: both are about this node's own copies.
    fn note(
        &mut self,
        place: &Place,
        partition: PartitionId,
        key: &Key,
        before: u128,
        record: &Record,
    ) {
        let after = fingerprint(key, &record.object);
        if *place == Place::Home && before != after {
            self.changes.push(Change::of(key, &record.object));
            let key = key.clone();
            self.noted.push(Noted::Changed {
                partition,
                key,
                before,
                after,
                values: record.object.values().count(),
            });
        }
    }

    /// Takes away what is not needed any more.
    pub(super) fn delete(&mut self, batch: Batch) -> Result<(), StorageError> {
        self.check_room()?;
        if let Err(error) = self.storage.apply(batch) {
            if error.is_in_doubt() {
                self.actors.retire_all();
            }
            return Err(error);
        }
        self.counters.storage_writes += 1;
        Ok(())
    }

    fn count_siblings(&mut self, siblings: usize) {
        self.counters.siblings_max = self.counters.siblings_max.max(siblings as u64);
        self.counters.siblings_warnings += u64::from(siblings > SIBLINGS_WARN);
    }
}

/// Law 11 binds us too: a record beyond the decoder's bounds would be taken for a corrupt one, and lost.
fn check_readable(object: &Object) -> Result<(), WriteError> {
    let (actors, siblings) = (object.actors(), object.versions().count());
    if actors > ACTORS_MAX || siblings > SIBLINGS_MAX {
        return Err(WriteError::Unreadable { actors, siblings });
    }
    Ok(())
}
