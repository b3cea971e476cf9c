//! The storage engine that the configuration chose, behind the core's trait.

use crate::config::{Config, StorageEngine};
use crate::dynamo::replica::storage::{Batch, Item, Storage, StorageError};
use crate::storage::health::Health;
use crate::storage::memory::MemoryStorage;
use crate::storage::opening::{Durability, History, OnLoss, OpenError, Options};
use crate::storage::redb_engine::RedbStorage;
use crate::storage::scrub::Scrubbed;
use crate::storage::sled_engine::SledStorage;
use crate::storage::space::{Space, Watermark};
use bytes::Bytes;
use std::ops::Range;
use std::path::Path;

/// A handle to the node's one store; clones share it.
#[derive(Debug, Clone)]
pub enum Store {
    Sled(SledStorage),
    Redb(RedbStorage),
    Memory(MemoryStorage),
}

impl Store {
    /// Opens what the configuration says, and proves that it syncs.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        match config.storage {
            StorageEngine::Memory => Ok(Self::Memory(MemoryStorage::new())),
            StorageEngine::Sled => {
                let opened = SledStorage::open(&config.data, options(config))?;
                tell(&opened.history);
                Ok(Self::Sled(opened.storage))
            }
            StorageEngine::Redb => {
                let opened = RedbStorage::open(&config.data, options(config))?;
                tell(&opened.history);
                Ok(Self::Redb(opened.storage))
            }
        }
    }

    /// Whether a synced batch survives power loss.
    pub fn is_durable(&self) -> bool {
        match self {
            Self::Sled(sled) => sled.is_durable(),
            Self::Redb(redb) => redb.is_durable(),
            Self::Memory(_) => false,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Sled(_) => "sled",
            Self::Redb(_) => "redb",
            Self::Memory(_) => "memory",
        }
    }

    /// An error once anything went wrong; then nothing is written any more.
    pub fn check(&self) -> Result<(), StorageError> {
        match self {
            Self::Sled(sled) => sled.check(),
            Self::Redb(redb) => redb.check(),
            Self::Memory(_) => Ok(()),
        }
    }

    /// How full the disk under the data folder is, if that can be known. Memory never is; an engine that has met a full
    /// disk is at its end, whatever was freed since.
    pub fn watermark(&self, data: &Path) -> Option<Watermark> {
        if !self.is_durable() {
            return Some(Watermark::Ok);
        }
        if let Err(StorageError::Full(_) | StorageError::ReadOnly(_)) = self.check() {
            return Some(Watermark::Critical);
        }
        let space = Space::of(data).inspect_err(|error| {
            tracing::warn!(%error, "the free space of the disk is unknown");
        });
        space.ok().map(Space::watermark)
    }

    /// Reads some items of a range and says which are not believed. Memory does not rot.
    pub fn scrub(&self, range: Range<Bytes>, items_max: usize) -> Result<Scrubbed, StorageError> {
        match self {
            Self::Sled(sled) => sled.scrub(range, items_max),
            Self::Redb(redb) => redb.scrub(range, items_max),
            Self::Memory(memory) => {
                let mut scrubbed = Scrubbed::default();
                for (key, _) in memory.scan(range, items_max)? {
                    scrubbed.add(key, true, items_max);
                }
                Ok(scrubbed)
            }
        }
    }

    pub fn health(&self) -> Health {
        match self {
            Self::Sled(sled) => sled.health(),
            Self::Redb(redb) => redb.health(),
            Self::Memory(memory) => memory.health(),
        }
    }
}

fn options(config: &Config) -> Options {
    Options {
        cache_bytes: config.cache_bytes,
        durability: Durability::Required,
        on_loss: match config.quarantine {
            true => OnLoss::Quarantine,
            false => OnLoss::Refuse,
        },
    }
}

fn tell(history: &History) {
    match history {
        History::Fresh => tracing::info!("a new database"),
        History::Continued => tracing::info!("an existing database"),
        lost => tracing::error!(
            ?lost,
            "the database was lost and starts empty; the other replicas have its keys"
        ),
    }
}

impl Storage for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match self {
            Self::Sled(sled) => sled.get(key),
            Self::Redb(redb) => redb.get(key),
            Self::Memory(memory) => memory.get(key),
        }
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        match self {
            Self::Sled(sled) => sled.scan(range, items_max),
            Self::Redb(redb) => redb.scan(range, items_max),
            Self::Memory(memory) => memory.scan(range, items_max),
        }
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        match self {
            Self::Sled(sled) => sled.apply(batch),
            Self::Redb(redb) => redb.apply(batch),
            Self::Memory(memory) => memory.apply(batch),
        }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        match self {
            Self::Sled(sled) => sled.sync(),
            Self::Redb(redb) => redb.sync(),
            Self::Memory(memory) => memory.sync(),
        }
    }
}
