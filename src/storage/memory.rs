//! Storage in memory, for tests, the simulator and development.
//!
//! Honest about `sync`: it remembers what was not yet synced, and `lose_unsynced` takes it back as a
//! power failure would. Clones share one map, as handles of a disk engine share one database.
//!
//! Invariant: after `lose_unsynced` the map is what it was at the last `sync`.

use crate::dynamo::replica::storage::{Batch, Change, Item, Storage, StorageError};
use crate::storage::health::{Counters, Health};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A `Storage` that forgets everything when its last handle is dropped.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    // Guards the map and its undo list; held for one call, never over an await.
    map: Arc<Mutex<Map>>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Map {
    live: BTreeMap<Bytes, Bytes>,
    /// What each key that changed since the last sync held then.
    unsynced: BTreeMap<Bytes, Option<Bytes>>,
}

impl MemoryStorage {
    /// An empty map with one handle.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes back whatever was applied since the last `sync`, as a power failure would.
    pub fn lose_unsynced(&mut self) {
        let mut map = self.lock();
        for (key, before) in std::mem::take(&mut map.unsynced) {
            map.set_live(key, before);
        }
    }

    /// The counters of this store.
    pub fn health(&self) -> Health {
        self.counters.read()
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.lock().live.get(key).cloned())
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let map = self.lock();
        let items = map.live.range(range).take(items_max);
        Ok(items.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        let mut map = self.lock();
        for change in batch.changes {
            match change {
                Change::Put { key, value } => map.set(key, Some(value)),
                Change::Delete { key } => map.set(key, None),
            }
        }
        self.counters.applied();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.lock().unsynced.clear();
        self.counters.synced();
        Ok(())
    }
}

impl Map {
    fn set(&mut self, key: Bytes, value: Option<Bytes>) {
        let before = self.set_live(key.clone(), value);
        self.unsynced.entry(key).or_insert(before);
    }

    fn set_live(&mut self, key: Bytes, value: Option<Bytes>) -> Option<Bytes> {
        match value {
            Some(value) => self.live.insert(key, value),
            None => self.live.remove(&key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(storage: &mut MemoryStorage, key: &'static str, value: &'static str) {
        let mut batch = Batch::default();
        batch.put(Bytes::from(key), Bytes::from(value));
        storage.apply(batch).expect("memory applies");
    }

    #[test]
    fn what_was_not_synced_is_lost_and_what_was_synced_is_not() {
        let mut storage = MemoryStorage::new();
        put(&mut storage, "cart", "milk");
        storage.sync().expect("memory syncs");
        put(&mut storage, "cart", "bread");
        put(&mut storage, "cart", "wine");
        put(&mut storage, "other", "new");
        storage.lose_unsynced();
        assert_eq!(storage.get(b"cart"), Ok(Some(Bytes::from("milk"))));
        assert_eq!(storage.get(b"other"), Ok(None));
    }

    #[test]
    fn clones_share_one_map() {
        let mut storage = MemoryStorage::new();
        let other = storage.clone();
        put(&mut storage, "cart", "milk");
        assert_eq!(other.get(b"cart"), Ok(Some(Bytes::from("milk"))));
    }
}
