//! Group commit: one sync of the disk for all acknowledgements that wait for one (Dynamo 5, durable writes).
//!
//! A thread of its own, because a sync blocks. What is handed in while it syncs waits for the next.
//!
//! Invariant: a message is released only after a sync that began after it was handed in (law 8). After a
//! sync that failed, or never returned, nothing is released any more, and the node stops: a retry could
//! report a success that the disk does not know of.

use super::failure::Failure;
use super::inbox::{Inbox, Input};
use super::peers::Peers;
use crate::dynamo::machine::message::Message;
use crate::dynamo::names::NodeId;
use crate::dynamo::replica::storage::Storage;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A message that waits for the disk.
pub struct Release {
    pub to: NodeId,
    pub message: Message,
    /// Of the shard that sends it, for messages to this very node.
    pub inbox: Inbox,
}

/// The committing thread.
pub struct Committer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

/// Hands messages to the committing thread.
#[derive(Clone)]
pub struct Committing {
    queue: Arc<Queue>,
}

struct Queue {
    /// Held to add or to take, never while syncing. Bounded by the conversations and peer queues that feed it.
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    releases: Vec<Release>,
    stopping: bool,
    /// A sync is wanted, whether or not anything waits for it.
    is_due: bool,
    /// A sync has failed: nothing is released any more.
    has_failed: bool,
    /// When the sync that is under way began.
    syncing_since: Option<Instant>,
}

impl Committer {
    /// Starts the thread. `failed` is told of a sync that failed.
    pub fn start<S: Storage + Send + 'static>(
        storage: S,
        peers: Arc<Peers>,
        failed: watch::Sender<Option<Failure>>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("commit".to_owned())
            .spawn(move || commit(&own, storage, &peers, &failed))?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    pub fn handle(&self) -> Committing {
        Committing {
            queue: Arc::clone(&self.queue),
        }
    }

    /// Syncs what waits, then ends the thread.
    pub fn stop(&mut self) {
        self.queue.lock().stopping = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committing thread panicked");
        }
    }
}

impl Committing {
    /// Releases the messages after the next sync.
    pub fn after_sync(&self, releases: impl IntoIterator<Item = Release>) {
        let mut waiting = self.queue.lock();
        if waiting.has_failed {
            return; // Who waits for these runs into a deadline.
        }
        waiting.releases.extend(releases);
        self.queue.changed.notify_one();
    }

    /// Syncs what is applied, though nobody waits for it: later there may be no room to.
    pub fn sync_soon(&self) {
        self.queue.lock().is_due = true;
        self.queue.changed.notify_one();
    }

    /// How long the sync that is under way has taken so far.
    pub fn syncing_for(&self) -> Option<Duration> {
        let since = self.queue.lock().syncing_since;
        since.map(|since| since.elapsed())
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that waits; none when the thread has to end.
    fn take(&self) -> Option<Vec<Release>> {
        let mut waiting = self.lock();
        while waiting.releases.is_empty() && !waiting.is_due {
            if waiting.stopping {
                return None;
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.syncing_since = Some(Instant::now());
        waiting.is_due = false;
        Some(std::mem::take(&mut waiting.releases))
    }

    fn synced(&self) {
        self.lock().syncing_since = None;
    }

    fn has_failed(&self) {
        let mut waiting = self.lock();
        waiting.releases.clear();
        (waiting.syncing_since, waiting.has_failed) = (None, true);
    }
}

fn commit<S: Storage>(
    queue: &Queue,
    mut storage: S,
    peers: &Peers,
    failed: &watch::Sender<Option<Failure>>,
) {
    while let Some(releases) = queue.take() {
        if let Err(error) = storage.sync() {
            tracing::error!(%error, "the disk cannot be synced; nothing is acknowledged any more");
            queue.has_failed();
            Failure::of(error).tell(failed);
            return;
        }
        queue.synced();
        for release in releases {
            deliver(release, peers);
        }
    }
    if let Err(error) = storage.sync() {
        tracing::error!(%error, "the last sync failed");
        Failure::of(error).tell(failed);
    }
}

fn deliver(release: Release, peers: &Peers) {
    let Release { to, message, inbox } = release;
    if to == *peers.me() {
        let from = to;
        // A shard never blocks, so there is room soon; one that has stopped needs no acknowledgements.
        let _ = inbox.blocking_send(Input::Message { from, message });
        return;
    }
    if peers.send(&to, message).is_err() {
        tracing::debug!(%to, "an acknowledgement had nowhere to go");
    }
}
