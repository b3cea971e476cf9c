//! What nodes believe about the owners, held against the laws; and the end, when they all have to agree.
//!
//! Invariant: a view is judged when a node begins to work by it, not when somebody asks.

use super::disk::Handle;
use super::history::Check;
use super::node::Node;
use super::world::World;
use rejoin::dynamo::membership::snapshot::Snapshot;
use rejoin::dynamo::membership::steward::Steward;
use rejoin::dynamo::names::NodeId;
use rejoin::dynamo::replica::storage::Storage as _;
use rejoin::dynamo::ring::change::{Change, Holders};
use rejoin::dynamo::ring::placement::Placement;
use rejoin::dynamo::ring::preference::Ring;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// Time in which a healed cluster has to come to rest: several retries of whatever had failed.
const REUNION_MS: u64 = 180_000;
/// Longer than a policy waits for company before it lets a newcomer in.
const STEP_MS: u64 = 4_000;

impl World {
    /// A node works by this from now on.
    pub fn on_view(&mut self, node: usize, snapshot: &Snapshot) {
        let Some(change) = snapshot.catalog.change() else {
            return; // It serves nothing yet.
        };
        let placement = self.shown_placement(snapshot);
        let before = match change.members_before.is_empty() {
            true => usize::MAX,
            false => change.members_before.len(),
        };
        self.trace
            .note(self.now_ms, &placement.hash().to_be_bytes(), || {
                format!("n{node} works by {}", shown(&placement))
            });
        for key in 0..self.stage.plan.keys.len() {
            let n = self.stage.plan.properties(key).n;
            let partition = placement.partition_of(&self.stage.plan.keys[key]);
            let primaries = placement.primaries(partition, n);
            let pending = placement.seats(partition, n).pending;
            let distinct: BTreeSet<_> = primaries.iter().collect();
            let wanted = usize::from(n).min(change.members.len()).min(before);
            let is_double = pending.iter().any(|node| distinct.contains(node));
            if distinct.len() != primaries.len() || distinct.len() < wanted || is_double {
                let what = format!(
                    "n{node} believes that the {n} copies of key {key} are on {primaries:?}, soon on {pending:?}"
                );
                self.history.accuse(Check::Owners, what);
            }
            let homes = primaries.iter().map(|id| self.stage.place(id));
            let homes: Vec<usize> = homes.collect();
            self.stage.homes[key].extend(homes);
        }
    }

    /// After the heal: whoever is dead is removed, and all that moves arrives.
    pub fn reunite(&mut self) {
        if !self.stage.plan.changes_members {
            return;
        }
        let end_ms = self.now_ms + REUNION_MS;
        let mut is_whole = false;
        while self.now_ms < end_ms {
            self.name_seeds();
            if self.has_dead_members() {
                self.remove_the_gone(true);
            }
            self.run_to(self.now_ms + STEP_MS);
            let was_whole = std::mem::replace(&mut is_whole, self.unrest().is_none());
            if was_whole && is_whole {
                break;
            }
        }
        if let Some((check, what)) = self.unrest() {
            self.history.accuse(check, what);
        }
        let placement = self.stewards().next();
        let placement = placement.map(|steward| Arc::clone(&steward.snapshot().placement));
        self.stage.placement = placement.expect("founders have a cluster");
        let members = self.stage.placement.nodes().iter();
        let is_down = |id: &&NodeId| !self.nodes[self.stage.place(id)].is_up();
        let down: Vec<&NodeId> = members.filter(is_down).collect();
        if !down.is_empty() {
            let what = format!("{down:?} are down and take part");
            self.history.accuse(Check::Unsettled, what);
        }
    }

    fn stewards(&self) -> impl Iterator<Item = &Steward> {
        let stewards = self.nodes.iter();
        let stewards = stewards.filter_map(|node| node.office.steward.as_ref());
        stewards.filter(|steward| steward.has_cluster())
    }

    fn has_dead_members(&self) -> bool {
        let gone = self.nodes.iter().filter(|node| node.office.is_gone);
        let gone: Vec<_> = gone.map(|node| &node.id).collect();
        self.stewards().any(|steward| {
            let nodes = steward.snapshot().placement.nodes();
            nodes.iter().any(|node| gone.contains(&node))
        })
    }

    /// What keeps the cluster from being at rest.
    fn unrest(&self) -> Option<(Check, String)> {
        let views = self.stewards().map(Steward::snapshot);
        let hashes: BTreeSet<_> = views.map(|s| (s.hash, s.placement.hash())).collect();
        if hashes.len() != 1 {
            return Some((Check::Views, format!("{} views are left", hashes.len())));
        }
        if let Some(node) = self.nodes.iter().find(|node| waits(node)) {
            let what = format!("{} waits to be let in", node.id);
            return Some((Check::Unsettled, what));
        }
        for node in &self.nodes {
            let (Some(steward), Some(machine)) = (&node.office.steward, &node.machine) else {
                continue;
            };
            let placement = &steward.snapshot().placement;
            let transfers = machine.transfers();
            if !placement.is_settled() || !transfers.is_empty() {
                let what = format!("{} moves {transfers:?} in {}", node.id, shown(placement));
                return Some((Check::Unsettled, what));
            }
        }
        let strays = self.strays();
        (!strays.is_empty()).then(|| (Check::Strays, strays.join(", ")))
    }

    /// Records where they do not belong.
    fn strays(&self) -> Vec<String> {
        let mut strays = Vec::new();
        for node in self.nodes.iter().filter(|node| node.is_up()) {
            let Some(steward) = &node.office.steward else {
                continue;
            };
            let placement = &steward.snapshot().placement;
            let disk = Handle(Rc::clone(&node.disk));
            for (stored_at, key) in &self.stage.stored_at {
                let is_stored = matches!(disk.get(stored_at), Ok(Some(_)));
                let name = &self.stage.plan.keys[*key];
                let n = self.stage.plan.properties(*key).n;
                let primaries = placement.primaries(placement.partition_of(name), n);
                if is_stored && !primaries.contains(&node.id) {
                    strays.push(format!("key {key} is still on {}", node.id));
                }
            }
        }
        strays
    }
}

/// Whether a node will become a member without being told to.
fn waits(node: &Node) -> bool {
    let Some(steward) = &node.office.steward else {
        return false;
    };
    let catalog = &steward.snapshot().catalog;
    let members = steward.snapshot().placement.members();
    let is_member = members.iter().any(|member| member.id == node.id);
    let facts = catalog.node(&node.id);
    let wants = facts.is_some_and(|facts| facts.wants_to_join);
    !steward.has_cluster() || (wants && !is_member && catalog.policy().auto_join)
}

/// The change as if all of it were over.
pub fn switched(change: &Change) -> Placement {
    let partitions = change.before.partitions() as u16;
    let partitions = rejoin::dynamo::ring::partition::Partitions::new(partitions).expect("a ring");
    let ring = Ring::new(partitions, change.members.clone()).expect("good members");
    let over = Change {
        before: Holders::of(&ring),
        ..change.clone()
    };
    Placement::new(&over, BTreeMap::new()).expect("good members")
}

/// The change with one owner everywhere.
pub fn forgetful(change: &Change) -> Placement {
    let partitions = change.before.partitions() as u16;
    let partitions = rejoin::dynamo::ring::partition::Partitions::new(partitions).expect("a ring");
    let before = Holders::gather(partitions, |partition| {
        change
            .before
            .of_partition(partition)
            .take(1)
            .cloned()
            .collect()
    });
    let less = Change {
        before,
        ..change.clone()
    };
    Placement::new(&less, BTreeMap::new()).expect("good members")
}

fn shown(placement: &Placement) -> String {
    let partitions = placement.partitions().all();
    let lists: Vec<String> = partitions
        .map(|partition| {
            let names = placement.holders(partition);
            let names: Vec<&str> = names.iter().map(|node| node.as_str()).collect();
            let mark = if placement.is_switched(partition) {
                ""
            } else {
                "*"
            };
            format!("{mark}{}", names.join(" "))
        })
        .collect();
    let (version, hash) = (placement.version(), placement.hash());
    format!("change {version} {hash:x}: {}", lists.join(", "))
}
