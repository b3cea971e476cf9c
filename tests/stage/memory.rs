//! A storage in memory that never fails: an ordered map.
//!
//! Invariant: a clone is a backup; what happens to one does not touch the other.

use bytes::Bytes;
use rejoin::dynamo::replica::storage::{Batch, Change, Item, Storage, StorageError};
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Debug, Clone, Default)]
pub struct Memory {
    items: BTreeMap<Bytes, Bytes>,
}

impl Storage for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.items.get(key).cloned())
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        let items = self.items.range(range).take(items_max);
        Ok(items.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        for change in batch.changes {
            match change {
                Change::Put { key, value } => self.items.insert(key, value),
                Change::Delete { key } => self.items.remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}
