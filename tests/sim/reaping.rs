//! Deleted keys that go while everything else goes wrong, and a delete that must stay one (law 9).
//!
//! The horizon is longer than anything is on its way here: a get lives six seconds, and the second copy of what it sends
//! comes a second and a half later.
//!
//! Invariant: a run in which tombstones are left, or a value comes back, is reported.

use super::disk::Applied;
use super::history::Check;
use super::mutant::Mutant;
use super::plan::{Fault, Manners, Plan};
use super::run::Report;
use super::trace::Trace;
use super::world::{Happening, World};
use rejoin::dynamo::bucket::Ack;
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::names::NodeId;
use rejoin::dynamo::repair::inquiry::{Answer, Ask};
use rejoin::dynamo::replica::record::Record;
use rejoin::dynamo::replica::removal::is_deleted;
use rejoin::dynamo::replica::storage::Change;
use std::collections::BTreeSet;

const SEEDS: u64 = 24;
const INTERVAL_MS: u64 = 2_000;
const HORIZON_MS: u64 = 9_000;
/// Walks, two rounds and their horizon, several times over.
const REST_MS: u64 = 90_000;
/// Two rounds and their horizon, a few times over.
const IDLE_MS: u64 = 40_000;
/// Longer than any run takes.
const WORK_MS_MAX: u64 = 3_600_000;

impl World {
    /// What a batch takes away from the copies of the owners. Where owners change, nothing is reaped, and whoever is
    /// none any more lets go of what the others have; whether they do is seen at the end.
    pub fn on_removed(&mut self, node: usize, applied: &Applied) {
        if self.stage.plan.changes_members {
            return;
        }
        for change in &applied.batch.changes {
            let Change::Delete { key: place } = change else {
                continue;
            };
            let Some(key) = self.stage.stored_at.get(place).copied() else {
                continue;
            };
            let before = applied.before.get(place).cloned();
            let before = before.and_then(|bytes| Record::decode(bytes).ok());
            if let Some(before) = before.filter(|_| self.stage.replicas(key).contains(&node)) {
                self.trace.note(self.now_ms, place, || {
                    format!("n{node} lets go of key {key}: {before:?}")
                });
                self.history.on_reaped(node, key, &before.object);
            }
        }
    }

    /// Nobody is asked, and everybody is said to have vouched.
    pub fn vouch_unasked(&mut self, node: usize, to: &NodeId, message: &Message) {
        let Message::Repair { ticket, ask, .. } = message else {
            return;
        };
        let Ask::Vouch { keys, .. } = &**ask else {
            return;
        };
        let granted = Answer::Granted(vec![true; keys.len()]);
        let answer = Happening::Arrival {
            from: self.stage.place(to),
            to: node,
            message: Message::Repaired {
                ticket: *ticket,
                answer: Box::new(granted),
            },
            life: Some(self.nodes[node].life),
        };
        self.queue.push(self.now_ms, answer);
    }

    fn reaped(&self) -> u64 {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let counts = machines.map(|machine| machine.activity().copies.tombstones_reaped);
        counts.sum()
    }

    /// Keys of which nothing but tombstones is left, and of which no merge has to be kept.
    fn check_reaped(&mut self) {
        for key in 0..self.stage.plan.keys.len() {
            let name = self.stage.plan.keys[key].clone();
            let machines = self
                .nodes
                .iter_mut()
                .filter_map(|node| node.machine.as_mut());
            let mut records = machines.map(|machine| machine.inspect(&name).expect("good disks"));
            let is_kept = records.any(|(_, retained)| !retained.is_empty());
            let copies = self.copies(key);
            if !is_kept && copies.iter().any(is_deleted) {
                let what = format!("key {key} is still {copies:?}");
                self.history.accuse(Check::Unreaped, what);
            }
        }
    }

    fn check_dead(&mut self) {
        let keys = 0..self.stage.plan.keys.len();
        let finals: Vec<Vec<Object>> = keys.map(|key| self.copies(key)).collect();
        let nodes = &self.nodes;
        let destroyed = |key: usize, ack: Ack| {
            let harmed = nodes.iter().filter(|node| node.harm.touches(key, ack));
            harmed.count()
        };
        self.history.check_resurrected(&finals, destroyed);
    }
}

pub fn is_vouch(message: &Message) -> bool {
    match message {
        Message::Repair { ask, .. } => matches!(**ask, Ask::Vouch { .. }),
        _ => false,
    }
}

/// One with deletes, and with nothing that only a read or a day would find.
fn plan(seed: u64) -> Plan {
    let mut plans = (seed * 1_000..).map(Plan::of);
    let mut plan = plans
        .find(|plan| plan.manners == Manners::Any && !plan.changes_members)
        .expect("most are");
    plan.faults.remove(&Fault::Forget);
    plan.anti_entropy_interval_ms = 5_000;
    plan.reaping_ms = (INTERVAL_MS, HORIZON_MS);
    if seed.is_multiple_of(3) {
        // Nothing goes while a node is down; here all of them answer most of the time.
        plan.faults
            .retain(|fault| matches!(fault, Fault::Loss | Fault::Duplication | Fault::SlowSync));
    }
    if seed.is_multiple_of(2) {
        plan.buckets
            .values_mut()
            .for_each(|bucket| bucket.merge_on_put = false);
    }
    plan
}

/// Works under faults, makes peace, and waits. Says what was broken, and how many records went before peace was made.
fn run(plan: Plan, mutant: Mutant) -> (Report, [u64; 2]) {
    let mut world = World::new(plan, mutant, Trace::hashed());
    while !world.clients.are_done() && world.now_ms < WORK_MS_MAX && !world.is_idle() {
        world.run_to(world.now_ms + 1_000);
    }
    // Nobody writes for a while, and faults go on; then keys are written anew where others may still be reaping.
    world.run_to(world.now_ms + IDLE_MS);
    let reaped_at_work = world.reaped();
    for client in 0..world.stage.plan.clients {
        world.clients.all[client].left = world.stage.plan.requests_per_client;
        world.queue.push(world.now_ms, Happening::Act { client });
    }
    while !world.clients.are_done() && world.now_ms < WORK_MS_MAX && !world.is_idle() {
        world.run_to(world.now_ms + 1_000);
    }
    world.make_peace();
    world.settle();
    world.run_to(world.now_ms + REST_MS);
    world.check_equal();
    world.check_reaped();
    world.check_dead();
    world.judge();
    let reaped = [reaped_at_work, world.reaped()];
    let report = Report {
        background_merges: world.background_merges(),
        violations: world.history.violations,
        trace: world.trace,
    };
    (report, reaped)
}

#[test]
fn deleted_keys_go_from_every_disk_and_no_law_breaks() {
    let (mut at_work, mut in_all) = (0, 0);
    for seed in 0..super::number("REJOIN_SEEDS").unwrap_or(SEEDS) {
        let (report, [early, all]) = run(plan(seed), Mutant::None);
        let shown: Vec<String> = report.violations.iter().map(super::shown).collect();
        assert!(shown.is_empty(), "seed {seed}: {}", shown.join("\n"));
        at_work += early;
        in_all += all;
    }
    println!("{in_all} tombstones went, {at_work} of them amid faults");
    assert!(at_work > 0 && in_all > at_work, "{at_work} of {in_all}");
}

#[test]
fn tombstones_that_go_by_age_alone_are_caught() {
    let mut found = BTreeSet::new();
    for seed in 0..super::MUTANT_SEEDS {
        let mut plan = plan(seed);
        plan.faults = BTreeSet::from([Fault::Partition]);
        plan.reaping_ms = (100, 100);
        plan.settings.hints_max = 0;
        let (report, _) = run(plan, Mutant::ReapsUnasked);
        found.extend(report.violations.iter().map(|violation| violation.check));
        if found.contains(&Check::Resurrected) {
            return;
        }
    }
    panic!("only {found:?}");
}
