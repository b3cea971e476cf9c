//! What a backup takes from this node, and how a restore is passed to its shards.
//!
//! Pages are read from the store beside the shards, so no request waits for them; a record is read as a whole, whatever
//! is written meanwhile. Knows no file of a backup: `cli` does.
//!
//! Invariant: reading changes nothing, and a record is restored by a shard like any other write.

use super::inbox::{Input, RestoreOutcome};
use super::server::{GRACE, Node};
use crate::dynamo::coordinator::restore::RestoreError;
use crate::dynamo::replica::saved::{Saved, SavedPage, copies_page, hints_page};
use crate::dynamo::replica::storage::StorageError;
use crate::dynamo::ring::partition::PartitionId;
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::oneshot;

impl Node {
    /// The copies of a partition from a place on.
    pub async fn saved_copies(
        &self,
        partition: PartitionId,
        from: Option<Bytes>,
    ) -> Result<SavedPage, StorageError> {
        let store = self.store.clone();
        apart(move || copies_page(&store, partition, from)).await
    }

    /// What this node keeps for others, from a place on.
    pub async fn saved_hints(&self, from: Option<Bytes>) -> Result<SavedPage, StorageError> {
        let store = self.store.clone();
        apart(move || hints_page(&store, from)).await
    }

    /// Brings a record of a backup back to all its owners.
    pub async fn restore(&self, saved: Saved, timeout_ms: u64) -> RestoreOutcome {
        let key = saved.key.clone();
        let (reply, outcome) = oneshot::channel();
        let inbox = self.switchboard().of_key(&key);
        let input = Input::Restore {
            saved: Box::new(saved),
            timeout_ms,
            reply,
        };
        let lost = |_| RestoreError::Silent {
            key: key.clone(),
            missing: vec![self.id().clone()],
        };
        // It waits for its turn: whoever restores is in no hurry.
        inbox.send(input).await.map_err(|_| lost(()))?;
        let limit = Duration::from_millis(timeout_ms) + GRACE;
        match tokio::time::timeout(limit, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(lost(())), // The node is going down.
        }
    }
}

/// Away from the asynchronous threads: the disk is read.
async fn apart(
    read: impl FnOnce() -> Result<SavedPage, StorageError> + Send + 'static,
) -> Result<SavedPage, StorageError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(page) => page,
        Err(error) => Err(StorageError::Failed(error.to_string())),
    }
}
