//! Merges that nobody asked for: they come to an end, and with them the conflicts.
//!
//! Invariant: what is judged here is judged without a single read after the heal.

use super::guests::Guest;
use super::history::Check;
use super::plan::{Fault, Manners, Plan};
use super::world::World;
use rejoin::dynamo::bucket::Policy;
use rejoin::dynamo::reconcile::question::distinct;
use std::collections::BTreeSet;

/// A plan in which every bucket merges on put by a lawful resolver, and links break so that several owners do so at once.
pub fn lawful(seed: u64) -> Plan {
    let mut plan = Plan::of(seed);
    plan.manners = Manners::Any;
    plan.faults = BTreeSet::from([Fault::Partition, Fault::Crash]);
    plan.anti_entropy_interval_ms = 5_000;
    plan.converge_quiet_ms = 300;
    for properties in plan.buckets.values_mut() {
        (properties.pr, properties.pw) = (0, 0);
        properties.policy = Policy::Resolver(Guest::Union.binding());
        properties.merge_on_put = true;
        properties.validator = None;
    }
    plan
}

impl World {
    /// Merges in the background, by the processes that run now.
    pub fn background_merges(&self) -> u64 {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        machines.map(|machine| machine.converged().merged).sum()
    }

    /// What stands under each key says one thing, and nobody takes it for a conflict.
    pub fn check_converged(&mut self) {
        for key in 0..self.stage.plan.keys.len() {
            let policy = self.stage.plan.properties(key).policy.clone();
            for object in self.copies(key) {
                let left = distinct(&object, &policy, u64::MAX / 2);
                if left.len() > 1 {
                    let what = format!("key {key} is still in conflict: {left:?}");
                    self.history.accuse(Check::Conflicted, what);
                }
            }
        }
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let open: u64 = machines.map(|machine| machine.converged().open).sum();
        if open > 0 {
            let what = format!("{open} keys are taken to be in conflict");
            self.history.accuse(Check::Conflicted, what);
        }
    }
}
