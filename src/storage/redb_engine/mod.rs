//! The second engine: `Storage` on redb 4, a copy-on-write tree in one file.
//!
//! Dynamo 4.9 and 5. All handles share one database. What redb alone does not give is made here: batches
//! that do not sync each (`buffer`), an envelope around every item, errors that stay (`storage::custody`).
//! See `docs/decisions/0013-two-engines.md` for whom it is.
//!
//! Does not decide when to sync, but for a buffer that is full.
//!
//! Invariant: after a fault of redb no write is acknowledged until the database is opened again.

mod buffer;
mod fault;
mod file;

use crate::dynamo::replica::storage::{Batch, Item, Storage, StorageError};
use crate::limits::STORAGE_BUFFER_BYTES_MAX;
use crate::storage::changes::last_changes;
use crate::storage::custody::{Custody, corrupt};
use crate::storage::envelope;
use crate::storage::fault::Fault;
use crate::storage::health::{Counters, Health};
use crate::storage::opening::{self, OpenError, Opened, Options};
use crate::storage::scrub::Scrubbed;
use buffer::{Buffer, Layered};
use bytes::Bytes;
use file::{RedbFile, next};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A handle to an open database; cheap to clone.
#[derive(Debug, Clone)]
pub struct RedbStorage {
    engine: Arc<Engine>,
}

#[derive(Debug)]
struct Engine {
    file: RedbFile,
    /// Held to look or to add, never while the disk works.
    buffer: RwLock<Buffer>,
    /// Held by who writes to the file; nobody awaits under it.
    turn: Mutex<()>,
    counters: Counters,
    custody: Custody,
}

impl RedbStorage {
    /// Opens the database in `folder`, or creates it; see [`Options`] and [`History`].
    ///
    /// [`History`]: crate::storage::opening::History
    pub fn open(folder: &Path, options: Options) -> Result<Opened<Self>, OpenError> {
        let settled = opening::open::<RedbFile>(folder, &options)?;
        let engine = Engine {
            file: settled.database,
            buffer: RwLock::default(),
            turn: Mutex::default(),
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

    /// Reads up to `items_max` items of the file, in a range, and says which are not believed.
    ///
    /// redb checks no page that it reads. If a walk meets a key that a search does not find, the tree itself
    /// is broken, and so is the database.
    pub fn scrub(&self, range: Range<Bytes>, items_max: usize) -> Result<Scrubbed, StorageError> {
        let mut scrubbed = Scrubbed::default();
        if range.is_empty() {
            return Ok(scrubbed);
        }
        let engine = &self.engine;
        let view = engine.custody.call(|| engine.file.view())?;
        let mut rest = engine
            .custody
            .call(|| view.range(&range.start[..]..&range.end[..]))?;
        while let Some((key, stored)) = engine.custody.call(|| next(&mut rest))? {
            if engine.custody.call(|| view.get(&key))?.as_ref() != Some(&stored) {
                let key = hex::encode(&key);
                let text = format!("redb: key {key} is met by a walk and not found by a search");
                return Err(engine.custody.halted(Fault::Broken(text)));
            }
            let is_good = engine.believe(&key, &stored).is_ok();
            if scrubbed.add(key, is_good, items_max) {
                break;
            }
        }
        Ok(scrubbed)
    }

    /// Writes, syncs and reads something that no caller sees.
    pub fn selftest(&mut self) -> Result<(), StorageError> {
        opening::selftest(&self.engine.custody, &self.engine.file)
    }
}

impl Storage for RedbStorage {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if let Some(newest) = self.engine.buffered().get(key) {
            return Ok(newest);
        }
        let engine = &self.engine;
        let Some(stored) = engine.custody.call(|| engine.file.view()?.get(key))? else {
            return Ok(None);
        };
        engine.believe(key, &stored).map(Some)
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        if range.is_empty() || items_max == 0 {
            return Ok(Vec::new());
        }
        let engine = &self.engine;
        // Both are looked at under one lock: what leaves the buffer is in the file by then.
        let (buffered, file) = {
            let buffer = engine.buffered();
            let file = || engine.file.view()?.range(&range.start[..]..&range.end[..]);
            (buffer.range(&range, items_max), engine.custody.call(file)?)
        };
        let mut failed = None;
        let stored = Stored {
            engine,
            file,
            failed: &mut failed,
        };
        let items = Layered::new(buffered.into_iter(), stored);
        let items = items.filter_map(|(key, value)| Some((key, value?)));
        let items = items.take(items_max).collect();
        failed.map_or(Ok(items), Err)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        self.engine.custody.check()?;
        let waiting = self.engine.buffered_mut().add(last_changes(batch));
        self.engine.counters.applied();
        if waiting > STORAGE_BUFFER_BYTES_MAX {
            self.engine.write()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.engine.write()?;
        self.engine.counters.synced();
        Ok(())
    }
}

impl Engine {
    fn buffered(&self) -> RwLockReadGuard<'_, Buffer> {
        self.buffer.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn buffered_mut(&self) -> RwLockWriteGuard<'_, Buffer> {
        self.buffer.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what waits into the file, synced.
    fn write(&self) -> Result<(), StorageError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.custody.check()?;
        let Some(changes) = self.buffered_mut().begin_writing() else {
            return Ok(()); // Every write before was synced.
        };
        self.custody.call(|| self.file.write(&changes))?;
        self.buffered_mut().written();
        Ok(())
    }

    fn believe(&self, key: &[u8], stored: &Bytes) -> Result<Bytes, StorageError> {
        match envelope::open(key, stored) {
            Ok(value) => Ok(stored.slice_ref(value)),
            Err(error) => {
                self.counters.corrupt_item();
                Err(corrupt(key, &error.to_string()))
            }
        }
    }
}

impl Drop for Engine {
    /// As sled does; who needs to know whether it worked has synced.
    fn drop(&mut self) {
        if let Err(error) = self.write() {
            tracing::error!(%error, "the last writes did not reach the disk");
        }
    }
}

/// The items of a range of the file that can be believed, until one cannot be read.
struct Stored<'a> {
    engine: &'a Engine,
    file: file::Range,
    failed: &'a mut Option<StorageError>,
}

impl Iterator for Stored<'_> {
    type Item = buffer::Entry;

    fn next(&mut self) -> Option<buffer::Entry> {
        while self.failed.is_none() {
            match self.engine.custody.call(|| next(&mut self.file)) {
                Ok(Some((key, stored))) => match self.engine.believe(&key, &stored) {
                    Ok(value) => return Some((key, Some(value))),
                    Err(_) => continue, // Passed over, and counted.
                },
                Ok(None) => return None,
                Err(error) => *self.failed = Some(error),
            }
        }
        None
    }
}
