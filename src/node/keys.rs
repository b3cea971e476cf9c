//! Asks a shard for a stretch of keys.
//!
//! Invariant: whoever asks is answered, or told that the time is over.

use super::inbox::{INBOX_MAX, Input, ListOutcome};
use super::server::{GRACE, Node};
use crate::dynamo::coordinator::request::GetError;
use crate::dynamo::replica::stretch::Stretch;
use std::time::Duration;
use tokio::sync::oneshot;

impl Node {
    /// One step of a listing, coordinated by the shard of its partition.
    pub async fn list(&self, stretch: Stretch, timeout_ms: u64) -> ListOutcome {
        let (reply, outcome) = oneshot::channel();
        let inbox = self.switchboard.of_partition(stretch.partition);
        let input = Input::List {
            stretch,
            timeout_ms,
            reply,
        };
        if inbox.try_send(input).is_err() {
            return Err(GetError::Overloaded { limit: INBOX_MAX });
        }
        match tokio::time::timeout(Duration::from_millis(timeout_ms) + GRACE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(GetError::Deadline {
                answered: 0,
                needed: 1,
            }), // The node is going down.
        }
    }
}
