//! The storage engine that the configuration chose, behind the core's trait.

use crate::config::{Config, StorageEngine};
use crate::dynamo::replica::storage::{Batch, Item, Storage, StorageError};
use crate::storage::health::Health;
use crate::storage::memory::MemoryStorage;
use crate::storage::sled_engine::{Durability, History, OnLoss, OpenError, Options, SledStorage};
use bytes::Bytes;
use std::ops::Range;

/// A handle to the node's one store; clones share it.
#[derive(Debug, Clone)]
pub enum Store {
    Sled(SledStorage),
    Memory(MemoryStorage),
}

impl Store {
    /// Opens what the configuration says, and proves that it syncs.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        match config.storage {
            StorageEngine::Memory => Ok(Self::Memory(MemoryStorage::new())),
            StorageEngine::Sled => open_sled(config),
        }
    }

    /// Whether a synced batch survives power loss.
    pub fn is_durable(&self) -> bool {
        match self {
            Self::Sled(sled) => sled.is_durable(),
            Self::Memory(_) => false,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Sled(_) => "sled",
            Self::Memory(_) => "memory",
        }
    }

    pub fn health(&self) -> Health {
        match self {
            Self::Sled(sled) => sled.health(),
            Self::Memory(memory) => memory.health(),
        }
    }
}

fn open_sled(config: &Config) -> Result<Store, OpenError> {
    let options = Options {
        cache_bytes: config.cache_bytes,
        durability: Durability::Required,
        on_loss: if config.quarantine {
            OnLoss::Quarantine
        } else {
            OnLoss::Refuse
        },
    };
    let opened = SledStorage::open(&config.data, options)?;
    match opened.history {
        History::Fresh => tracing::info!("a new database"),
        History::Continued => tracing::info!("an existing database"),
        lost => tracing::error!(
            ?lost,
            "the database was lost and starts empty; the other replicas have its keys"
        ),
    }
    Ok(Store::Sled(opened.storage))
}

impl Storage for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match self {
            Self::Sled(sled) => sled.get(key),
            Self::Memory(memory) => memory.get(key),
        }
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        match self {
            Self::Sled(sled) => sled.scan(range, items_max),
            Self::Memory(memory) => memory.scan(range, items_max),
        }
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        match self {
            Self::Sled(sled) => sled.apply(batch),
            Self::Memory(memory) => memory.apply(batch),
        }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        match self {
            Self::Sled(sled) => sled.sync(),
            Self::Memory(memory) => memory.sync(),
        }
    }
}
