//! Looks at the disk of the node: whether it still syncs, whether its engine goes on, whether it is nearly full.
//!
//! Repairs nothing.
//!
//! Invariant: a disk that cannot be synced ends the node; a full one only turns values of clients away.

use super::commit::Committing;
use super::server::Node;
use crate::dynamo::replica::storage::StorageError;
use crate::storage::space::{Space, Watermark};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// A sync that takes longer will not end: the engine's own thread has died, or the disk has.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the disk is looked at.
const DISK_INTERVAL: Duration = Duration::from_secs(1);

impl Node {
    /// Notices a sync that does not end, an engine that has failed, and a disk that is nearly full.
    pub(super) async fn watch_disk(
        self: Arc<Self>,
        committing: Committing,
        failing: watch::Sender<Option<String>>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(DISK_INTERVAL) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            if committing
                .syncing_for()
                .is_some_and(|taken| taken > SYNC_TIMEOUT)
            {
                let seconds = SYNC_TIMEOUT.as_secs();
                failing.send_replace(Some(format!("a sync of the disk has taken {seconds} s")));
            }
            // Whoever only buffers asks for no sync that could fail.
            if let Err(StorageError::Failed(why)) = self.store.check() {
                failing.send_replace(Some(why));
            }
            self.look_at_disk();
        }
    }

    fn look_at_disk(&self) {
        let watermark = match Space::of(&self.config.data) {
            Ok(space) => space.watermark(),
            Err(error) => return tracing::warn!(%error, "the free space of the disk is unknown"),
        };
        let is_full = watermark == Watermark::Full && self.store.is_durable();
        if is_full != self.disk_full.swap(is_full, Ordering::Relaxed) {
            tracing::warn!(?watermark, "the disk of the data folder");
        }
    }

    /// Whether clients' values are turned away; deletes and repairs are still taken.
    pub fn is_disk_full(&self) -> bool {
        self.disk_full.load(Ordering::Relaxed)
    }
}
