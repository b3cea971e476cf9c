//! The undoing of bad merges on this node: the keys of a partition, and one step of them.
//!
//! The shards decide and store (`coordinator::unmerge`); whoever drives it walks through the partitions.
//!
//! Invariant: every key of a step has an outcome, and no more of them are under way than the window.

use super::inbox::Input;
use super::switchboard::Switchboard;
use crate::dynamo::coordinator::request::PutError;
use crate::dynamo::coordinator::unmerge::{UnmergeError, UnmergeRequest, Unmerged};
use crate::dynamo::names::BucketName;
use crate::dynamo::replica::storage::StorageError;
use crate::dynamo::replica::stretch::{Listed, Stretch, Wanted};
use crate::dynamo::ring::partition::PartitionId;
use crate::limits::DEADLINE_DEFAULT_MS;
use crate::limits::versions::{UNMERGE_KEYS_MAX, UNMERGE_WINDOW};
use crate::wire::unmerging::{Outcome, UnmergeDecodeError};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::sync::oneshot;

/// How much longer than its deadline a key is waited for before it is given up as lost.
const GRACE: Duration = Duration::from_secs(1);

/// Why a step was not made, or nobody knows whether it was; begun again, it finds what it did.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error("the node is going down")]
    Stopped,
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("it cannot be reached; go on when it is back")]
    Unreachable,
    #[error("it did not answer in time; go on later")]
    Late,
    #[error("it refused: {0}")]
    Refused(String),
    #[error("its answer does not fit the question; upgrade the older one of the two nodes")]
    Misfit,
    #[error(transparent)]
    Request(#[from] UnmergeDecodeError),
}

/// The next keys of a partition.
pub fn stretch(bucket: BucketName, partition: PartitionId, after: Bytes) -> Stretch {
    Stretch {
        bucket,
        partition,
        prefix: Bytes::new(),
        after,
        items_max: UNMERGE_KEYS_MAX,
        wanted: Wanted::Live,
    }
}

impl Switchboard {
    /// The keys of this node's own copies, deleted ones included.
    pub async fn list_own(&self, stretch: Stretch) -> Result<Listed, StepError> {
        let (reply, listed) = oneshot::channel();
        let inbox = self.of_partition(stretch.partition).clone();
        let sent = inbox.send(Input::ListOwn { stretch, reply }).await;
        sent.map_err(|_| StepError::Stopped)?;
        Ok(listed.await.map_err(|_| StepError::Stopped)??)
    }

    /// Undoes bad merges of these keys, in their order.
    pub async fn unmerge(&self, requests: Vec<UnmergeRequest>) -> Vec<Outcome> {
        let undone = |request| {
            let switchboard = self.clone();
            async move { switchboard.unmerge_key(request).await }
        };
        let undone: Vec<_> = requests.into_iter().map(undone).collect();
        let outcomes = futures_util::stream::iter(undone).buffered(UNMERGE_WINDOW);
        outcomes.map(Outcome::of).collect().await
    }

    /// Waits while clients come first.
    async fn unmerge_key(&self, request: UnmergeRequest) -> Result<Unmerged, UnmergeError> {
        loop {
            match self.try_unmerge(request.clone()).await {
                Ok(Unmerged::Later { ms }) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_unmerge(&self, request: UnmergeRequest) -> Result<Unmerged, UnmergeError> {
        let (reply, outcome) = oneshot::channel();
        let inbox = self.of_key(&request.key).clone();
        let timeout_ms = DEADLINE_DEFAULT_MS;
        let input = Input::Unmerge {
            request: Box::new(request),
            timeout_ms,
            reply,
        };
        let lost = |reason: &str| PutError::Unknown {
            acknowledged: 0,
            needed: 1,
            reason: reason.to_owned(),
        };
        if inbox.send(input).await.is_err() {
            return Err(PutError::NotStored("the node is going down".to_owned()));
        }
        let limit = Duration::from_millis(timeout_ms) + GRACE;
        match tokio::time::timeout(limit, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(lost("the node is going down")),
        }
    }
}
