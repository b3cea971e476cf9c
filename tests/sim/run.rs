//! One run from its seed to the verdict: work under faults, heal, read everything, judge.
//!
//! Invariant: every loop here is bounded, so a run that does not settle is reported and not waited for.

use super::clients::Wish;
use super::disk::Defect;
use super::history::{Check, Violation};
use super::mutant::Mutant;
use super::plan::{Fault, Plan};
use super::trace::Trace;
use super::world::World;
use rejoin::dynamo::bucket::Ack;
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::repair::hints::Waiting;

/// Longer than any run takes: clients x requests x the longest timeout.
const WORK_MS_MAX: u64 = 3_600_000;
/// Longer than any conversation lives.
const SETTLE_MS: u64 = 30_000;
/// Rounds of reads after which the replicas have to be equal.
const ROUNDS_MAX: usize = 3;
/// Several rounds of anti-entropy, and what they wait for.
const UNREAD_MS: u64 = 60_000;
const UNREAD_STEP_MS: u64 = 2_000;
/// Longer than the shortest rounds of anti-entropy are apart.
const REST_MS: u64 = 12_000;
const READ_TIMEOUT_MS: u64 = 5_000;

/// What came of a run.
pub struct Report {
    pub violations: Vec<Violation>,
    pub trace: Trace,
    pub background_merges: u64,
}

pub fn run(seed: u64, mutant: Mutant, trace: Trace) -> Report {
    run_plan(Plan::of(seed), mutant, trace)
}

pub fn run_plan(plan: Plan, mutant: Mutant, trace: Trace) -> Report {
    let mut world = World::new(plan, mutant, trace);
    while !world.clients.are_done() && world.now_ms < WORK_MS_MAX && !world.is_idle() {
        world.run_to(world.now_ms + 1_000);
    }
    world.make_peace();
    world.reunite();
    world.settle();
    world.compare_unread();
    if mutant == Mutant::LosesDisks {
        let disks = world.nodes.iter().map(|node| &node.disk);
        disks.for_each(|disk| disk.borrow_mut().wipe());
    }
    if mutant == Mutant::SwallowsWrites {
        for node in &world.nodes {
            node.disk.borrow_mut().defect = Defect::Swallows;
        }
        world.nodes[0].disk.borrow_mut().wipe();
    }
    world.converge();
    world.rest();
    world.judge();
    Report {
        background_merges: world.background_merges(),
        violations: world.history.violations,
        trace: world.trace,
    }
}

/// A run after which nobody reads: anti-entropy has to make the replicas equal, and then to leave them alone.
pub fn run_unread(plan: Plan, trace: Trace) -> Report {
    let mut world = World::new(plan, Mutant::None, trace);
    while !world.clients.are_done() && world.now_ms < WORK_MS_MAX && !world.is_idle() {
        world.run_to(world.now_ms + 1_000);
    }
    world.make_peace();
    world.reunite();
    world.settle();
    world.run_to(world.now_ms + UNREAD_MS);
    world.check_equal();
    let before = (world.storage_writes(), world.repairs());
    world.run_to(world.now_ms + UNREAD_MS);
    let after = (world.storage_writes(), world.repairs());
    if before != after {
        let what = format!("{before:?} writes and repairs became {after:?} between equal replicas");
        world.history.accuse(Check::ReadWrote, what);
    }
    let is_lawful =
        |key| world.stage.is_lawful(key) && world.stage.plan.properties(key).merge_on_put;
    if world.stage.plan.converge_quiet_ms > 0 && (0..world.stage.plan.keys.len()).all(is_lawful) {
        world.check_converged();
    }
    world.judge();
    Report {
        background_merges: world.background_merges(),
        violations: world.history.violations,
        trace: world.trace,
    }
}

impl World {
    /// Everything that is under way comes to its end, and nothing else happens.
    pub fn settle(&mut self) {
        self.run_to(self.now_ms + SETTLE_MS);
        // A background merge that comes to nothing is tried again now and then; each try ends soon, and its hints are taken soon.
        let end_ms = self.now_ms + SETTLE_MS;
        while self.now_ms < end_ms && !(self.is_idle() && self.hints().is_empty()) {
            self.run_to(self.now_ms + 100);
        }
        let open: usize = self
            .nodes
            .iter()
            .filter_map(|node| node.machine.as_ref())
            .map(|machine| machine.conversations())
            .sum();
        if open > 0 || !self.is_idle() {
            let what = format!("{open} conversations are left after everything has settled");
            self.history.accuse(Check::Leaked, what);
        }
        let hints = self.hints();
        if !hints.is_empty() {
            let what = format!("hints are left after everything has settled: {hints:?}");
            self.history.accuse(Check::Hints, what);
        }
        let unanswered = self.clients.pending.len();
        if unanswered > 0 {
            let what = format!("{unanswered} requests were never answered");
            self.history.accuse(Check::Replies, what);
            self.clients.pending.clear();
        }
    }

    fn hints(&self) -> Vec<Waiting> {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        machines.flat_map(|machine| machine.hints()).collect()
    }

    /// Reads every key from every node at R = N until a round of reads changes nothing.
    fn converge(&mut self) {
        let mut written = 1;
        for _ in 0..=ROUNDS_MAX {
            if written == 0 {
                break;
            }
            let before = self.storage_writes();
            self.read_everything();
            written = self.storage_writes() - before;
        }
        self.check_equal();
        if written > 0 {
            let what = format!("{written} storage writes by reads of equal replicas");
            self.history.accuse(Check::ReadWrote, what);
        }
    }

    fn read_everything(&mut self) {
        for key in 0..self.stage.plan.keys.len() {
            let r = Some(self.stage.replicas(key).len() as u8);
            for node in self.members() {
                let timeout_ms = READ_TIMEOUT_MS;
                let wish = Wish::Get {
                    key,
                    r,
                    pr: None,
                    timeout_ms,
                };
                self.ask(None, node, wish);
            }
        }
        self.settle();
    }

    /// Those who take part at the end.
    fn members(&self) -> Vec<usize> {
        let nodes = self.stage.placement.nodes().iter();
        nodes.map(|id| self.stage.place(id)).collect()
    }

    /// Where anti-entropy goes on by itself, replicas become equal although nobody reads.
    fn compare_unread(&mut self) {
        let interval_ms = self.stage.plan.anti_entropy_interval_ms;
        // A record that vanishes under a running process is found when its tree is built anew.
        if interval_ms == 0 || self.stage.plan.faults.contains(&Fault::Forget) {
            return;
        }
        let end_ms = self.now_ms + 2 * interval_ms + UNREAD_MS;
        while self.now_ms < end_ms && self.unequal().is_some() {
            self.run_to(self.now_ms + UNREAD_STEP_MS);
        }
        self.check_equal();
    }

    /// Nothing is stored and nothing repaired while nobody asks for anything.
    fn rest(&mut self) {
        let before = (self.batches(), self.repairs());
        self.run_to(self.now_ms + REST_MS);
        let after = (self.batches(), self.repairs());
        if before != after {
            let what = format!("{before:?} batches and repairs became {after:?} while at rest");
            self.history.accuse(Check::Restless, what);
        }
    }

    fn batches(&self) -> u64 {
        let disks = self.nodes.iter().map(|node| node.disk.borrow().batches());
        disks.sum()
    }

    fn storage_writes(&self) -> u64 {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        machines
            .map(|machine| machine.activity().copies.storage_writes)
            .sum()
    }

    fn repairs(&self) -> u64 {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        machines
            .map(|machine| machine.anti_entropy().keys_repaired)
            .sum()
    }

    /// What the replicas of a key hold at the end.
    pub fn copies(&mut self, key: usize) -> Vec<Object> {
        let name = self.stage.plan.keys[key].clone();
        let replicas = self.stage.replicas(key);
        let mut copies = Vec::new();
        for node in replicas {
            let Some(machine) = self.nodes[node].machine.as_mut() else {
                continue; // Reported when the members were looked at.
            };
            let (record, _) = machine.inspect(&name).expect("all disks are good");
            copies.push(record.object);
        }
        copies
    }

    /// A key whose replicas differ.
    fn unequal(&mut self) -> Option<usize> {
        (0..self.stage.plan.keys.len()).find(|key| {
            let copies = self.copies(*key);
            copies.iter().any(|copy| *copy != copies[0])
        })
    }

    pub fn check_equal(&mut self) {
        for key in 0..self.stage.plan.keys.len() {
            let copies = self.copies(key);
            let Some(first) = copies.first().map(Object::encode) else {
                continue; // As above.
            };
            self.trace.note(self.now_ms, &first, || {
                format!("key {key} ends as {:?}", copies[0])
            });
            if copies.iter().any(|copy| copy.encode() != first) {
                let replicas = self.stage.replicas(key);
                let what = format!("key {key} on nodes {replicas:?} is {copies:?}");
                self.history.accuse(Check::Diverged, what);
            }
        }
    }

    pub fn judge(&mut self) {
        self.check_siblings();
        let finals: Vec<Vec<Object>> = (0..self.stage.plan.keys.len())
            .map(|key| self.copies(key))
            .collect();
        let nodes = &self.nodes;
        let destroyed = |key: usize, ack: Ack| {
            let harmed = nodes.iter().filter(|node| node.harm.touches(key, ack));
            harmed.count()
        };
        self.history.judge(&finals, destroyed);
    }
}
