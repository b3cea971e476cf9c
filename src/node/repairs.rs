//! What the shards of this node have done, and what they repair and move, as operators see and steer it.
//!
//! The shards do it; here they are asked.

use super::inbox::{Input, Repairs};
use super::server::Node;
use crate::dynamo::machine::activity::Activity;
use crate::dynamo::names::BucketName;
use crate::dynamo::repair::reaping::Reaping;
use crate::dynamo::repair::schedule::AntiEntropy;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

impl Node {
    /// Has all copies of this node compared with everybody's, from now on.
    pub async fn repair_now(&self) {
        for inbox in self.switchboard().all() {
            // A shard that has stopped repairs nothing; the node is going down.
            drop(inbox.send(Input::ExchangeNow).await);
        }
    }

    /// Has every shard look for tombstones that can go, from now on.
    pub async fn reap_now(&self) {
        for inbox in self.switchboard().all() {
            drop(inbox.send(Input::ReapNow).await); // As above.
        }
    }

    /// What each shard repairs, and what it has to move.
    pub async fn repairs(&self) -> Vec<Repairs> {
        let mut all = Vec::new();
        for inbox in self.switchboard().all() {
            let (reply, repairs) = oneshot::channel();
            if inbox.send(Input::Repairs(reply)).await.is_ok()
                && let Ok(repairs) = repairs.await
            {
                all.push(repairs);
            }
        }
        all
    }

    /// What each shard has done since it started.
    pub async fn activity(&self) -> Vec<Activity> {
        let mut activities = Vec::new();
        for inbox in self.switchboard().all() {
            let (reply, activity) = oneshot::channel();
            if inbox.send(Input::Activity(reply)).await.is_ok()
                && let Ok(activity) = activity.await
            {
                activities.push(activity);
            }
        }
        activities
    }

    /// Keys of this node's copies in conflict, by bucket.
    pub async fn conflicts(&self) -> BTreeMap<BucketName, u64> {
        let mut all = BTreeMap::new();
        for inbox in self.switchboard().all() {
            let (reply, conflicts) = oneshot::channel();
            if inbox.send(Input::Conflicts(reply)).await.is_ok()
                && let Ok(conflicts) = conflicts.await
            {
                for (bucket, count) in conflicts {
                    *all.entry(bucket).or_insert(0) += count;
                }
            }
        }
        all
    }
}

/// The rounds of all shards as those of one node: finished is what all have finished.
pub fn together(shards: &[Repairs]) -> AntiEntropy {
    let all = || shards.iter().map(|repairs| repairs.anti_entropy);
    AntiEntropy {
        rounds_finished: all().map(|one| one.rounds_finished).min().unwrap_or(0),
        finished_at_ms: all().map(|one| one.finished_at_ms).max().unwrap_or(0),
        keys_repaired: all().map(|one| one.keys_repaired).sum(),
        exchanges: all().map(|one| one.exchanges).sum(),
        exchanges_failed: all().map(|one| one.exchanges_failed).sum(),
        is_in_progress: all().any(|one| one.is_in_progress),
    }
}

/// The walks of all shards as those of one node.
pub fn reaping(shards: &[Repairs]) -> Reaping {
    let all = || shards.iter().map(|repairs| repairs.reaping);
    Reaping {
        walks_finished: all().map(|one| one.walks_finished).min().unwrap_or(0),
        is_walking: all().any(|one| one.is_walking),
        pending: all().map(|one| one.pending).sum(),
        granted: all().map(|one| one.granted).sum(),
        refused: all().map(|one| one.refused).sum(),
    }
}
