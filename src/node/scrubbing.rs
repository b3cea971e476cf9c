//! Reads all that this node stores, to find what has rotted while its copies elsewhere are still good.
//!
//! Begun by an operator. A slice of items is read away from the shards, then the walk rests for as long as
//! that took, so that requests have the disk at least half of the time. A corrupt record counts as missing;
//! its shard is told, mistrusts the partition's hash tree, and the next comparison brings the record back.
//!
//! Mends nothing by itself.
//!
//! Invariant: one walk at a time, and none outlives the node.

use super::inbox::Input;
use super::store::Store;
use super::switchboard::Switchboard;
use crate::dynamo::names::Key;
use crate::dynamo::replica::layout::object_at;
use crate::dynamo::replica::storage::StorageError;
use crate::limits::SCRUB_SLICE_ITEMS;
use crate::storage::scrub::Scrubbed;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot, watch};

/// The shortest rest between two slices.
const REST_MIN: Duration = Duration::from_millis(2);

/// How the scrubs of this node fare.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    pub walks_finished: u64,
    pub is_walking: bool,
    /// Items that the walk has read, or the last one had.
    pub items: u64,
    /// Of those, what is not believed.
    pub corrupt: u64,
    /// Why the last walk ended early; empty if it did not.
    pub failed: String,
}

/// Who walks, when he is asked.
pub struct Scrubber {
    store: Store,
    switchboard: Switchboard,
    asked: Notify,
    /// Held to read or to count, never over an await.
    progress: Mutex<Progress>,
}

impl Scrubber {
    pub(super) fn new(store: Store, switchboard: Switchboard) -> Self {
        Self {
            store,
            switchboard,
            asked: Notify::new(),
            progress: Mutex::default(),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.change(|progress| progress.clone())
    }

    /// Has a walk begin, unless one is under way.
    pub fn begin(&self) {
        let begins = self.change(|progress| {
            let begins = !progress.is_walking;
            if begins {
                let walks_finished = progress.walks_finished;
                *progress = Progress {
                    walks_finished,
                    is_walking: true,
                    ..Progress::default()
                };
            }
            begins
        });
        if begins {
            self.asked.notify_one();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut progress)
    }

    /// Walks whenever it is asked to, until the node stops.
    pub(super) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = self.asked.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let walked = self.walk(&stop).await;
            let corrupt = self.change(|progress| {
                progress.is_walking = false;
                match walked {
                    Ok(()) => progress.walks_finished += 1,
                    Err(error) => progress.failed = error.to_string(),
                }
                progress.corrupt
            });
            if corrupt > 0 {
                tracing::warn!(
                    corrupt,
                    "a scrub met corrupt items; the other replicas are compared"
                );
                for inbox in self.switchboard.all() {
                    drop(inbox.send(Input::ExchangeNow).await); // One that has stopped repairs nothing.
                }
            }
        }
    }

    async fn walk(&self, stop: &watch::Receiver<bool>) -> Result<(), StorageError> {
        let mut next = Some(Bytes::new());
        while let Some(from) = next.take() {
            if *stop.borrow() {
                return Err(StorageError::Failed("the node is going down".to_owned()));
            }
            let started = Instant::now();
            let slice = slice(self.store.clone(), from).await?;
            self.change(|progress| {
                progress.items += slice.items as u64;
                progress.corrupt += slice.corrupt.len() as u64;
            });
            for place in &slice.corrupt {
                if let Some(key) = object_at(place) {
                    self.tell(key).await;
                }
            }
            next = slice.next;
            tokio::time::sleep(started.elapsed().max(REST_MIN)).await;
        }
        Ok(())
    }

    /// Reading a record is how its shard learns that it is corrupt.
    async fn tell(&self, key: Key) {
        let (reply, read) = oneshot::channel();
        let inbox = self.switchboard.of_key(&key);
        if inbox.send(Input::Inspect { key, reply }).await.is_ok() {
            drop(read.await);
        }
    }
}

async fn slice(store: Store, from: Bytes) -> Result<Scrubbed, StorageError> {
    let end = Bytes::from_static(&[0xff]); // Kinds of items are letters.
    let reading = tokio::task::spawn_blocking(move || store.scrub(from..end, SCRUB_SLICE_ITEMS));
    let read = reading.await;
    read.unwrap_or_else(|_| Err(StorageError::Failed("the scrub panicked".to_owned())))
}
