//! What was applied and not yet written to redb's file.
//!
//! redb has one writer at a time, and it syncs while it commits; a shard that had to wait for it would
//! wait for the disk. So batches gather here, and the next sync writes all of them as one transaction.
//!
//! Knows nothing of redb.
//!
//! Invariant: what is being written stays visible here until it can be read there, and newer changes
//! cover older ones.

use crate::storage::changes::Changes;
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

/// A change of one key; `None` deletes.
pub type Entry = (Bytes, Option<Bytes>);

/// The changes that are not in the file.
#[derive(Debug, Default)]
pub struct Buffer {
    waiting: Changes,
    waiting_bytes: usize,
    writing: Arc<Changes>,
}

impl Buffer {
    /// Adds the changes of a batch; says how many bytes wait.
    pub fn add(&mut self, changes: Changes) -> usize {
        for (key, value) in changes {
            self.waiting_bytes += bytes_of(&key, value.as_ref());
            if let Some(before) = self.waiting.insert(key.clone(), value) {
                self.waiting_bytes -= bytes_of(&key, before.as_ref());
            }
        }
        self.waiting_bytes
    }

    /// All that waits is now being written; `None` if nothing waits.
    pub fn begin_writing(&mut self) -> Option<Arc<Changes>> {
        if self.waiting.is_empty() {
            return None;
        }
        assert!(self.writing.is_empty(), "one write at a time");
        self.waiting_bytes = 0;
        self.writing = Arc::new(std::mem::take(&mut self.waiting));
        Some(Arc::clone(&self.writing))
    }

    /// What was being written is in the file.
    pub fn written(&mut self) {
        self.writing = Arc::default();
    }

    /// The newest change of a key; outer `None`: the file knows.
    pub fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let newest = self.waiting.get(key).or_else(|| self.writing.get(key));
        newest.cloned()
    }

    /// The newest changes of a range, up to those that put `puts_max` items.
    pub fn range(&self, range: &Range<Bytes>, puts_max: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut puts = 0;
        for entry in Layered::new(within(&self.waiting, range), within(&self.writing, range)) {
            if puts == puts_max {
                break;
            }
            puts += usize::from(entry.1.is_some());
            entries.push(entry);
        }
        entries
    }
}

/// Two ascending sequences as one, in which the newer covers the older.
pub struct Layered<N: Iterator<Item = Entry>, O: Iterator<Item = Entry>> {
    newer: Peekable<N>,
    older: Peekable<O>,
}

impl<N: Iterator<Item = Entry>, O: Iterator<Item = Entry>> Layered<N, O> {
    pub fn new(newer: N, older: O) -> Self {
        Self {
            newer: newer.peekable(),
            older: older.peekable(),
        }
    }
}

impl<N: Iterator<Item = Entry>, O: Iterator<Item = Entry>> Iterator for Layered<N, O> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let order = match (self.newer.peek(), self.older.peek()) {
            (Some((newer, _)), Some((older, _))) => newer.cmp(older),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        if order == Ordering::Equal {
            self.older.next();
        }
        match order {
            Ordering::Greater => self.older.next(),
            Ordering::Less | Ordering::Equal => self.newer.next(),
        }
    }
}

fn within<'a>(
    changes: &'a BTreeMap<Bytes, Option<Bytes>>,
    range: &Range<Bytes>,
) -> impl Iterator<Item = Entry> + use<'a> {
    let within = changes.range(range.clone());
    within.map(|(key, value)| (key.clone(), value.clone()))
}

fn bytes_of(key: &Bytes, value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changes() -> impl Strategy<Value = Changes> {
        let key = (0..12u8).prop_map(|key| Bytes::from(vec![key]));
        let value = proptest::option::of(any::<u8>().prop_map(|byte| Bytes::from(vec![byte; 3])));
        proptest::collection::btree_map(key, value, 0..8)
    }

    proptest! {
        #[test]
        fn newer_changes_cover_older_ones(older in changes(), newer in changes(), puts_max in 0..10usize) {
            let mut buffer = Buffer::default();
            buffer.add(older.clone());
            buffer.begin_writing();
            buffer.add(newer.clone());
            let mut both = older;
            both.extend(newer);
            for key in 0..12u8 {
                prop_assert_eq!(buffer.get(&[key]), both.get(&[key][..]).cloned());
            }
            let found = buffer.range(&(Bytes::new()..Bytes::from_static(&[255])), puts_max);
            let puts = found.iter().filter(|(_, value)| value.is_some()).count();
            prop_assert!(puts <= puts_max);
            prop_assert!(both.iter().map(|(k, v)| (k.clone(), v.clone())).zip(found.clone()).all(|(a, b)| a == b));
            prop_assert!(puts == puts_max || found.len() == both.len());
        }

        #[test]
        fn the_bytes_that_wait_are_counted(batches in proptest::collection::vec(changes(), 0..5)) {
            let mut buffer = Buffer::default();
            let told: Vec<usize> = batches.into_iter().map(|batch| buffer.add(batch)).collect();
            let bytes: usize = buffer.waiting.iter().map(|(k, v)| bytes_of(k, v.as_ref())).sum();
            prop_assert_eq!(told.last().copied().unwrap_or(0), bytes);
        }
    }
}
