//! All that this node has of one key: its copy, asked of the shard, and what it keeps for others, read from the disk.
//!
//! Invariant: changes nothing.

use super::inbox::Input;
use super::registry::Registry;
use super::store::Store;
use super::switchboard::Switchboard;
use crate::dynamo::causality::dot::Actor;
use crate::dynamo::causality::object::Object;
use crate::dynamo::names::{Key, NodeId};
use crate::dynamo::replica::record::Replaced;
use crate::dynamo::replica::saved::hints_of;
use crate::dynamo::replica::storage::StorageError;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What one node has of a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspected {
    pub object: Object,
    /// Under which it would write the key, as it is shown.
    pub actor: String,
    pub replaced: Vec<Replaced>,
    /// What it keeps for others.
    pub hints: Vec<(NodeId, Object)>,
}

/// What is needed to look at a key.
#[derive(Clone)]
pub struct Inspector {
    pub(super) switchboard: Switchboard,
    pub(super) store: Store,
    pub(super) registry: Arc<Registry>,
}

impl Inspector {
    /// What this node has of a key.
    pub async fn here(&self, key: Key) -> Result<Inspected, StorageError> {
        let (reply, inspection) = oneshot::channel();
        let stopped = || StorageError::Failed("the node is going down".to_owned());
        let input = Input::Inspect {
            key: key.clone(),
            reply,
        };
        let inbox = self.switchboard.of_key(&key);
        inbox.send(input).await.map_err(|_| stopped())?;
        let (record, replaced) = inspection.await.unwrap_or_else(|_| Err(stopped()))?;
        let snapshot = self.registry.snapshot();
        let store = self.store.clone();
        let hints = tokio::task::spawn_blocking(move || {
            let partition = snapshot.placement.partition_of(&key);
            let homes = snapshot.catalog.nodes().map(|(node, _)| node);
            hints_of(&store, homes, partition, &key)
        });
        Ok(Inspected {
            object: record.object,
            actor: record
                .header
                .as_ref()
                .map(Actor::to_string)
                .unwrap_or_default(),
            replaced,
            hints: hints.await.map_err(|_| stopped())?,
        })
    }
}
