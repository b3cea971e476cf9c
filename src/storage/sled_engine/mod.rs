//! The default engine: `Storage` on sled 0.34.
//!
//! Dynamo 4.9 and 5. All handles share one database, so that several shards and a committer can each own
//! one. What sled alone does not give is made here: values in chunks (`run`), batches that are atomic
//! without syncing each (`journal`), loss that is noticed (`open`), errors that stay (`fault`), and, with
//! `storage::durability`, a sync that is one.
//!
//! Does not decide when to sync, nor how full the disk may be.
//!
//! Invariant: after a fault of sled no write is acknowledged until the database is opened again.

mod database;
mod fault;
mod journal;
mod open;
pub(in crate::storage) mod probe;
mod run;
mod stored;
mod stripes;
mod tidy;

pub use open::{Durability, History, OnLoss, OpenError, Opened, Options};
pub use run::KEY_BYTES_MAX;

use crate::dynamo::replica::storage::{Batch, Change, Item, Storage, StorageError};
use crate::storage::folder::DataFolder;
use crate::storage::health::{Counters, Health};
use crate::storage::marker::Marker;
use bytes::Bytes;
use fault::{Fault, Halt, guarded};
use journal::{Identities, Trees};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use stored::Stored;
use stripes::Stripes;
use tidy::Tidy;

/// Times that a read starts over because its value was replaced under it.
const READ_ATTEMPTS: usize = 100;

/// A handle to an open database; cheap to clone.
#[derive(Debug, Clone)]
pub struct SledStorage {
    engine: Arc<Engine>,
}

#[derive(Debug)]
struct Engine {
    db: sled::Db,
    trees: Trees,
    identities: Identities,
    stripes: Stripes,
    tidy: Tidy,
    halt: Halt,
    counters: Counters,
    durability: Durability,
    marker: Marker,
    /// Dropped last: the lock outlives the database.
    folder: DataFolder,
}

impl SledStorage {
    /// Opens the database in `folder`, or creates it; see [`Options`] and [`History`].
    pub fn open(folder: &Path, options: Options) -> Result<Opened, OpenError> {
        open::open(folder, options)
    }

    /// What this engine has counted.
    pub fn health(&self) -> Health {
        self.engine.counters.read()
    }

    /// Whether `sync` survives power loss; if not, `durable` buckets must be refused.
    pub fn is_durable(&self) -> bool {
        self.engine.durability == Durability::Required
    }

    /// The folder of this database, for asking how full its disk is.
    pub fn folder(&self) -> &Path {
        self.engine.folder.path()
    }

    /// Writes, syncs and reads an item that no caller sees, and syncs nothing else than usual.
    pub fn selftest(&mut self) -> Result<(), StorageError> {
        let key = b"selftest";
        let content = rand::random::<u64>().to_be_bytes();
        self.engine.apply_raw(key, &content)?;
        self.sync()?;
        match self.engine.call(|engine| engine.db.get(key))? {
            Some(found) if *found == content => Ok(()),
            found => Err(StorageError::Failed(format!(
                "the self-test wrote {content:?} and read {found:?}; the disk, the memory or sled is \
                 broken, do not run a node here"
            ))),
        }
    }
}

impl Storage for SledStorage {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        for _ in 0..READ_ATTEMPTS {
            let Some(stored) = self.engine.call(|engine| engine.trees.items.get(key))? else {
                return Ok(None);
            };
            if let Some(read) = self.engine.value(key, &stored)? {
                return read
                    .map(Some)
                    .inspect_err(|_| self.engine.counters.corrupt_item());
            }
        }
        Err(StorageError::Failed(format!(
            "a value was replaced {READ_ATTEMPTS} times while it was read; this node is overloaded"
        )))
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        let mut items = Vec::new();
        if range.is_empty() {
            return Ok(items);
        }
        let mut rest = self.engine.trees.items.range(range);
        while items.len() < items_max {
            let Some((key, stored)) = self.engine.call(|_| rest.next().transpose())? else {
                break;
            };
            let value = match self.engine.value(&key, &stored)? {
                Some(read) => read
                    .map(Some)
                    .inspect_err(|_| self.engine.counters.corrupt_item()),
                None => self.get(&key),
            };
            match value {
                Ok(Some(value)) => items.push((Bytes::copy_from_slice(&key), value)),
                Ok(None) | Err(StorageError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(items)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        self.engine.apply(batch)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.engine.sync()
    }
}

impl Engine {
    fn apply(&self, batch: Batch) -> Result<(), StorageError> {
        self.halt.check()?;
        let changes = last_changes(batch);
        let _held = self.stripes.hold(changes.keys());
        let count = changes.len();
        self.call(|engine| {
            journal::apply(&engine.trees, &engine.identities, changes)?;
            engine.tidy.after(count)
        })?;
        self.counters.applied();
        Ok(())
    }

    fn apply_raw(&self, key: &[u8], content: &[u8]) -> Result<(), StorageError> {
        self.halt.check()?;
        self.call(|engine| engine.db.insert(key, content).map(drop))
    }

    /// The flush is the sync: the log write inside sled calls fsync, see `storage::durability`.
    fn sync(&self) -> Result<(), StorageError> {
        self.halt.check()?;
        self.call(|engine| engine.db.flush())?;
        match database::sync_blobs(&self.folder.engine()) {
            Ok(0) => {}
            Ok(files) => self.counters.stray_blobs(files),
            Err(error) => return Err(self.halted(Fault::System(error.to_string()))),
        }
        self.counters.synced();
        Ok(())
    }

    /// The value that was read under a key; `None` if it was replaced meanwhile.
    fn value(
        &self,
        key: &[u8],
        stored: &sled::IVec,
    ) -> Result<Option<Result<Bytes, StorageError>>, StorageError> {
        let run = match Stored::open(key, stored) {
            Ok(Stored::Inline(value)) => return Ok(Some(Ok(Bytes::copy_from_slice(value)))),
            Ok(Stored::Run(run)) => run,
            Err(error) => return Ok(Some(Err(corrupt(key, &error.to_string())))),
        };
        match self.call(|engine| run.read(&engine.trees.chunks))? {
            Ok(value) => Ok(Some(Ok(value))),
            Err(why) => {
                let now = self.call(|engine| engine.trees.items.get(key))?;
                Ok((now.as_ref() == Some(stored)).then(|| Err(corrupt(key, &why))))
            }
        }
    }

    /// Runs sled; a fault halts the engine for good.
    fn call<T>(&self, call: impl FnOnce(&Self) -> sled::Result<T>) -> Result<T, StorageError> {
        guarded(|| call(self)).map_err(|fault| self.halted(fault))
    }

    fn halted(&self, fault: Fault) -> StorageError {
        let error = fault.to_storage_error();
        let condemned = matches!(fault, Fault::Broken(_));
        if self.halt.set(fault) {
            tracing::error!(%error, "the storage engine stopped taking writes");
            if condemned {
                self.condemn(&error.to_string());
            }
        }
        error
    }

    /// Has the next start put this database aside; if even that fails, sled fails again then.
    fn condemn(&self, reason: &str) {
        let marker = Marker {
            condemned: Some(reason.to_owned()),
            ..self.marker.clone()
        };
        if let Err(error) = self.folder.mark(&marker) {
            tracing::error!(%error, "the broken database could not be marked as such");
        }
    }
}

/// What the batch leaves under each key.
fn last_changes(batch: Batch) -> BTreeMap<Bytes, Option<Bytes>> {
    let changes = batch.changes.into_iter().map(|change| match change {
        Change::Put { key, value } => (key, Some(value)),
        Change::Delete { key } => (key, None),
    });
    let changes: BTreeMap<_, _> = changes.collect();
    let longest = changes.keys().map(Bytes::len).max().unwrap_or_default();
    assert!(
        longest <= KEY_BYTES_MAX,
        "a storage key has {longest} bytes, at most {KEY_BYTES_MAX}"
    );
    changes
}

fn corrupt(key: &[u8], why: &str) -> StorageError {
    StorageError::Corrupt(format!("key {}: {why}", hex::encode(key)))
}
