//! The default engine: `Storage` on sled 0.34.
//!
//! Dynamo 4.9 and 5. All handles share one database, so that several shards and a committer can each own
//! one. What sled alone does not give is made here: values in chunks (`run`), batches that are atomic
//! without syncing each (`journal`), and, with `storage::durability`, a sync that is one.
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

use crate::dynamo::replica::storage::{Batch, Item, Storage, StorageError};
use crate::storage::changes::last_changes;
use crate::storage::custody::{Custody, corrupt};
use crate::storage::fault::Fault;
use crate::storage::health::{Counters, Health};
use crate::storage::opening::{self, OpenError, Opened, Options};
use crate::storage::scrub::Scrubbed;
use bytes::Bytes;
use open::Started;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use stored::Stored;
use stripes::Stripes;

/// Times that a read starts over because its value was replaced under it.
const READ_ATTEMPTS: usize = 100;

/// A handle to an open database; cheap to clone.
#[derive(Debug, Clone)]
pub struct SledStorage {
    engine: Arc<Engine>,
}

#[derive(Debug)]
struct Engine {
    started: Started,
    stripes: Stripes,
    counters: Counters,
    custody: Custody,
}

impl SledStorage {
    /// Opens the database in `folder`, or creates it; see [`Options`] and [`History`].
    ///
    /// [`History`]: crate::storage::opening::History
    pub fn open(folder: &Path, options: Options) -> Result<Opened<Self>, OpenError> {
        let settled = opening::open::<Started>(folder, &options)?;
        let engine = Engine {
            started: settled.database,
            stripes: Stripes::default(),
            counters: Counters::default(),
            custody: settled.custody,
        };
        Ok(Opened {
            storage: Self {
                engine: Arc::new(engine),
            },
            history: settled.history,
        })
    }

    /// What this engine has counted.
    pub fn health(&self) -> Health {
        self.engine.counters.read()
    }

    /// Whether `sync` survives power loss; if not, `durable` buckets must be refused.
    pub fn is_durable(&self) -> bool {
        self.engine.custody.is_durable()
    }

    /// The folder of this database, for asking how full its disk is.
    pub fn folder(&self) -> &Path {
        self.engine.custody.folder()
    }

    /// An error once anything went wrong; then nothing is written any more.
    pub fn check(&self) -> Result<(), StorageError> {
        self.engine.custody.check()
    }

    /// Reads up to `items_max` items of a range and says which are not believed.
    pub fn scrub(&self, range: Range<Bytes>, items_max: usize) -> Result<Scrubbed, StorageError> {
        let mut scrubbed = Scrubbed::default();
        if range.is_empty() {
            return Ok(scrubbed);
        }
        let mut rest = self.engine.started.trees.items.range(range);
        while let Some((key, _)) = self.engine.call(|_| rest.next().transpose())? {
            let is_good = match self.get(&key) {
                Err(StorageError::Corrupt(_)) => false,
                found => found.map(|_| true)?,
            };
            if scrubbed.add(Bytes::copy_from_slice(&key), is_good, items_max) {
                break;
            }
        }
        Ok(scrubbed)
    }

    /// Writes, syncs and reads something that no caller sees.
    pub fn selftest(&mut self) -> Result<(), StorageError> {
        opening::selftest(&self.engine.custody, &self.engine.started)
    }
}

impl Storage for SledStorage {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        for _ in 0..READ_ATTEMPTS {
            let Some(stored) = self
                .engine
                .call(|engine| engine.started.trees.items.get(key))?
            else {
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
        let mut rest = self.engine.started.trees.items.range(range);
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
        self.custody.check()?;
        let changes = last_changes(batch);
        let _held = self.stripes.hold(changes.keys());
        let count = changes.len();
        self.call(|engine| {
            let Started {
                trees,
                identities,
                tidy,
                ..
            } = &engine.started;
            journal::apply(trees, identities, changes)?;
            tidy.after(count)
        })?;
        self.counters.applied();
        Ok(())
    }

    /// The flush is the sync: the log write inside sled calls fsync, see `storage::durability`.
    fn sync(&self) -> Result<(), StorageError> {
        self.custody.check()?;
        self.call(|engine| engine.started.db.flush())?;
        match database::sync_blobs(&self.custody.engine()) {
            Ok(0) => {}
            Ok(files) => self.counters.stray_blobs(files),
            Err(error) => return Err(self.custody.halted(Fault::System(error.to_string()))),
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
        match self.call(|engine| run.read(&engine.started.trees.chunks))? {
            Ok(value) => Ok(Some(Ok(value))),
            Err(why) => {
                let now = self.call(|engine| engine.started.trees.items.get(key))?;
                Ok((now.as_ref() == Some(stored)).then(|| Err(corrupt(key, &why))))
            }
        }
    }

    /// Runs sled; a fault halts the engine for good.
    fn call<T>(&self, call: impl FnOnce(&Self) -> sled::Result<T>) -> Result<T, StorageError> {
        self.custody.call(|| call(self))
    }
}
