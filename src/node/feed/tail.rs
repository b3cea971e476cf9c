//! The latest changes of one shard: a bounded queue that watchers copy from.
//!
//! Not in the paper. Knows nothing of buckets and of who watches.
//!
//! Invariant: what a tail holds is without gaps and ends with the latest change.

use crate::dynamo::replica::change::Change;
use crate::limits::{WATCH_BYTES_MAX, WATCH_EVENTS_MAX};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Changes that a watcher takes at a time.
pub const TAKEN_MAX: usize = 64;

/// What wakes watchers.
#[derive(Clone, Copy, Default)]
pub struct Tide {
    pub changes: u64,
    pub is_closed: bool,
}

/// The latest changes of one life of one shard.
pub struct Tail {
    pub life: u64,
    /// Guards the changes, for the moment that it takes to append one or to copy a few pointers.
    held: Mutex<Held>,
    tide: Arc<watch::Sender<Tide>>,
}

#[derive(Default)]
struct Held {
    /// Changes since the shard started.
    count: u64,
    latest: VecDeque<Arc<Change>>,
    bytes: usize,
}

impl Tail {
    pub fn new(life: u64, tide: Arc<watch::Sender<Tide>>) -> Self {
        Self {
            life,
            held: Mutex::default(),
            tide,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes since the shard started.
    pub fn count(&self) -> u64 {
        self.held().count
    }

    /// How many of them can still be told.
    pub fn length(&self) -> usize {
        self.held().latest.len()
    }

    /// Appends a change, forgets the oldest beyond the bounds, and wakes who watches.
    pub fn push(&self, change: Change) {
        self.held().push(change);
        self.tide.send_modify(|tide| tide.changes += 1);
    }

    /// What follows the first `count` changes, a few of them. The error: some of it is no longer held, and so
    /// many there are now.
    pub fn after(&self, count: u64) -> Result<VecDeque<Arc<Change>>, u64> {
        let held = self.held();
        let behind = held.count.saturating_sub(count) as usize;
        let skipped = held.latest.len().checked_sub(behind);
        let changes = held.latest.iter().skip(skipped.ok_or(held.count)?);
        Ok(changes.take(TAKEN_MAX).cloned().collect())
    }
}

impl Held {
    fn push(&mut self, change: Change) {
        self.count += 1;
        self.bytes += change.size_bytes();
        self.latest.push_back(Arc::new(change));
        while self.latest.len() > WATCH_EVENTS_MAX || self.bytes > WATCH_BYTES_MAX {
            let Some(oldest) = self.latest.pop_front() else {
                return;
            };
            self.bytes -= oldest.size_bytes();
        }
    }
}
