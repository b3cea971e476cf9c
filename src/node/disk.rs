//! Looks at the disk of the node: whether it still syncs, whether its engine goes on, how much room it has.
//!
//! Repairs nothing, and decides nothing about requests: the shards are told how much room there is.
//!
//! Invariant: a disk that cannot be synced ends the node; a full one only stops what would write on it.

use super::commit::Committing;
use super::failure::Failure;
use super::inbox::Input;
use super::server::Node;
use crate::limits::disk::{DISK_LOOK_MS, DISK_LOOK_NEAR_MS};
use crate::storage::space::Watermark;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A sync that takes longer will not end: the engine's own thread has died, or the disk has.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// How long there has to be more room before it is believed.
const ROOMIER_FOR: Duration = Duration::from_millis(DISK_LOOK_MS);

impl Node {
    /// Notices a sync that does not end, an engine that has failed, and a disk that is nearly full.
    pub(super) async fn watch_disk(
        self: Arc<Self>,
        committing: Committing,
        failing: watch::Sender<Option<Failure>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut roomier_since = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.look_interval()) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            if committing
                .syncing_for()
                .is_some_and(|taken| taken > SYNC_TIMEOUT)
            {
                let seconds = SYNC_TIMEOUT.as_secs();
                Failure::Disk(format!("a sync of the disk has taken {seconds} s")).tell(&failing);
            }
            // Whoever only buffers asks for no sync that could fail.
            if let Err(error) = self.store.check() {
                Failure::of(error).tell(&failing);
            }
            self.look_at_disk(&committing, &mut roomier_since).await;
        }
    }

    /// A disk that is nearly full is full soon.
    fn look_interval(&self) -> Duration {
        Duration::from_millis(match *self.watermark.borrow() {
            Watermark::Ok => DISK_LOOK_MS,
            Watermark::Warn | Watermark::Full | Watermark::Critical => DISK_LOOK_NEAR_MS,
        })
    }

    /// Less room counts at once; more only when it has stayed, or a disk at a mark would cross it at every look.
    async fn look_at_disk(&self, committing: &Committing, roomier_since: &mut Option<Instant>) {
        let Some(found) = self.store.watermark(&self.config.data) else {
            return;
        };
        let before = *self.watermark.borrow();
        if found >= Watermark::Full && before < Watermark::Critical {
            committing.sync_soon(); // What an engine holds back has to be written while there is room for it.
        }
        if found >= before {
            *roomier_since = None;
        } else if roomier_since.get_or_insert_with(Instant::now).elapsed() < ROOMIER_FOR {
            return;
        }
        if before == found {
            return;
        }
        self.watermark.send_replace(found);
        tracing::warn!(watermark = ?found, "the disk of the data folder");
        if before.room() != found.room() {
            for inbox in self.switchboard().all() {
                // A shard that has stopped writes nothing.
                drop(inbox.send(Input::Room(found.room())).await);
            }
        }
    }

    /// Whether clients' values are left to others; deletes and repairs are still taken, up to a point.
    pub fn is_disk_full(&self) -> bool {
        *self.watermark.borrow() >= Watermark::Full
    }
}
