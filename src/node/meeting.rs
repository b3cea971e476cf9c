//! Keeps this node connected to everybody who takes part in the cluster, and to its seeds until it does.
//!
//! Follows the published catalog: who joins is dialled, who has left is not dialled again. Dials nothing itself.
//!
//! Invariant: one task per address that is dialled, and none is left when this one ends.

use super::dialing::{Exchange, Target, keep_connected};
use crate::config::Config;
use crate::dynamo::membership::snapshot::Snapshot;
use crate::dynamo::names::NodeId;
use std::collections::BTreeMap;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Dials whom it should until told to stop.
pub async fn meet_everybody(
    config: Config,
    exchange: Exchange,
    mut stopping: watch::Receiver<bool>,
) {
    let mut meeting = Meeting {
        config,
        exchange,
        dialled: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    meeting.dial_seeds(&stopping);
    let mut published = meeting.exchange.registry.watch();
    loop {
        let wanted = meeting.wanted(&published.borrow_and_update());
        meeting.dial(wanted);
        tokio::select! {
            changed = published.changed() => {
                if changed.is_err() {
                    break;
                }
            }
            _ = stopping.wait_for(|stop| *stop) => break,
        }
    }
    meeting.end().await;
}

struct Meeting {
    config: Config,
    exchange: Exchange,
    /// By node, where it is dialled, and what ends that.
    dialled: BTreeMap<NodeId, (String, watch::Sender<bool>)>,
    tasks: JoinSet<()>,
}

impl Meeting {
    fn dial_seeds(&mut self, stopping: &watch::Receiver<bool>) {
        for seed in &self.config.seeds {
            let stopping = stopping.clone();
            let (address, exchange) = (seed.clone(), self.exchange.clone());
            self.tasks
                .spawn(keep_connected(Target::Seed, address, exchange, stopping));
        }
    }

    /// Everybody who takes part or wants to, with the address to dial.
    fn wanted(&self, snapshot: &Snapshot) -> BTreeMap<NodeId, String> {
        let nodes = snapshot.placement.nodes().iter();
        let wanting = snapshot.catalog.nodes();
        let wanting = wanting.filter(|(_, facts)| facts.wants_to_join);
        let all = nodes.chain(wanting.map(|(node, _)| node));
        let me = self.exchange.peers.me();
        all.filter(|node| *node != me)
            .filter_map(|node| Some((node.clone(), self.address(node, snapshot)?)))
            .collect()
    }

    /// A route of our own before what the node says of itself, and that before what it was founded with.
    fn address(&self, node: &NodeId, snapshot: &Snapshot) -> Option<String> {
        let route = self.config.routes.get(node.as_str()).cloned();
        let said = snapshot.catalog.node(node);
        let said = said.map(|facts| facts.peer_address.clone());
        let founded = self.config.members.iter().find(|m| m.node == node.as_str());
        let founded = founded.map(|member| member.peer.clone());
        route
            .or(said.filter(|address| !address.is_empty()))
            .or(founded)
    }

    fn dial(&mut self, wanted: BTreeMap<NodeId, String>) {
        self.dialled
            .retain(|node, (address, _)| wanted.get(node) == Some(address));
        for (node, address) in wanted {
            if self.dialled.contains_key(&node) {
                continue;
            }
            // The task ends when its sender is dropped or says so.
            let (ending, ended) = watch::channel(false);
            let target = Target::Node(node.clone());
            let exchange = self.exchange.clone();
            self.tasks
                .spawn(keep_connected(target, address.clone(), exchange, ended));
            self.dialled.insert(node, (address, ending));
        }
        while self.tasks.try_join_next().is_some() {}
    }

    async fn end(mut self) {
        self.dialled.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}
