//! Carries the shards' opinions of the peers to the steward, every second (Dynamo 4.8.3).
//!
//! Decides nothing: the policy that replaces a dead member asks whether several nodes agree.
//!
//! Invariant: the steward is told again and again, so that what is no longer the case is forgotten.

use super::inbox::Input;
use super::server::Node;
use crate::dynamo::membership::opinions::Suspicion;
use crate::dynamo::names::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// A tenth of the life of an opinion, so that a few may be lost.
const INTERVAL: Duration = Duration::from_secs(1);

impl Node {
    pub(super) async fn tell_suspects(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let suspects = together(self.opinions().await);
            self.registry.suspect(suspects);
        }
    }

    async fn opinions(&self) -> Vec<Vec<Suspicion>> {
        let mut all = Vec::new();
        for inbox in self.switchboard().all() {
            let (reply, opinions) = oneshot::channel();
            if inbox.send(Input::Opinions(reply)).await.is_ok()
                && let Ok(opinions) = opinions.await
            {
                all.push(opinions);
            }
        }
        all
    }
}

/// A peer is suspected if any shard does, for the longest time that one says.
fn together(shards: Vec<Vec<Suspicion>>) -> Vec<Suspicion> {
    let mut longest: BTreeMap<NodeId, u64> = BTreeMap::new();
    for (peer, down_ms) in shards.into_iter().flatten() {
        let known = longest.entry(peer).or_default();
        *known = down_ms.max(*known);
    }
    longest.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_is_enough_and_the_longest_silence_counts() {
        let node = |name| NodeId::new(name).expect("a good name");
        let shards = vec![
            vec![(node("b"), 3)],
            vec![],
            vec![(node("c"), 2), (node("b"), 7)],
        ];
        assert_eq!(together(shards), [(node("b"), 7), (node("c"), 2)]);
    }
}
