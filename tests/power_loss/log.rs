//! The controls: an append log, with and without a sync of its file.
//!
//! Invariant: a record is believed only as a whole, and nothing after the first that is not.

use bytes::Bytes;
use rejoin::dynamo::replica::storage::{Batch, Change, Item, Storage, StorageError};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use xxhash_rust::xxh3::xxh3_64;

/// Whether `sync` does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncing {
    Honest,
    Pretended,
}

/// A map, and a log of its batches.
#[derive(Debug, Clone)]
pub struct Log {
    inner: Arc<Mutex<Inner>>,
    syncing: Syncing,
}

#[derive(Debug)]
struct Inner {
    file: File,
    map: BTreeMap<Bytes, Bytes>,
}

impl Log {
    pub fn open(folder: &Path, syncing: Syncing) -> std::io::Result<Self> {
        let path = folder.join("log");
        let old = std::fs::read(&path).unwrap_or_default();
        let file = File::options().create(true).append(true).open(&path)?;
        if syncing == Syncing::Honest {
            file.sync_all()?;
            File::open(folder)?.sync_all()?;
        }
        let mut map = BTreeMap::new();
        let mut rest = &old[..];
        while let Some((record, after)) = record(rest) {
            replay(record, &mut map);
            rest = after;
        }
        file.set_len((old.len() - rest.len()) as u64)?;
        let inner = Arc::new(Mutex::new(Inner { file, map }));
        Ok(Self { inner, syncing })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with it")
    }
}

/// The first record of some bytes, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sum, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(u64::from_be_bytes(*length) as usize)?;
    (u64::from_be_bytes(*sum) == xxh3_64(body) && !body.is_empty()).then_some((body, rest))
}

fn replay(mut body: &[u8], map: &mut BTreeMap<Bytes, Bytes>) {
    while let Some((sizes, rest)) = body.split_first_chunk::<12>() {
        let key = u32::from_be_bytes(sizes[..4].try_into().expect("four bytes")) as usize;
        let value = u64::from_be_bytes(sizes[4..].try_into().expect("eight bytes"));
        let (key, rest) = rest.split_at(key);
        let key = Bytes::copy_from_slice(key);
        body = rest;
        if value == u64::MAX {
            map.remove(&key);
            continue;
        }
        let (value, rest) = rest.split_at(value as usize);
        map.insert(key, Bytes::copy_from_slice(value));
        body = rest;
    }
}

impl Storage for Log {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.lock().map.get(key).cloned())
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        let inner = self.lock();
        let items = inner.map.range(range).take(items_max);
        Ok(items.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        let mut body = Vec::new();
        for change in &batch.changes {
            let (key, value) = match change {
                Change::Put { key, value } => (key, Some(value)),
                Change::Delete { key } => (key, None),
            };
            let length = value.map_or(u64::MAX, |value| value.len() as u64);
            body.extend((key.len() as u32).to_be_bytes());
            body.extend(length.to_be_bytes());
            body.extend(&key[..]);
            body.extend(value.map_or(&[][..], |value| &value[..]));
        }
        let head = [
            xxh3_64(&body).to_be_bytes(),
            (body.len() as u64).to_be_bytes(),
        ];
        let mut inner = self.lock();
        replay(&body, &mut inner.map);
        let written = inner.file.write_all(&[&head.concat()[..], &body].concat());
        written.map_err(|error| StorageError::Failed(error.to_string()))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let inner = self.lock();
        let synced = match self.syncing {
            Syncing::Honest => inner.file.sync_data(),
            Syncing::Pretended => Ok(()),
        };
        synced.map_err(|error| StorageError::Failed(error.to_string()))
    }
}
