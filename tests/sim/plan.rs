//! One seed, unfolded: the cluster, its buckets, its faults and its weather.
//!
//! Every kind of fault is on in half of the runs, so that no fault always hides behind another.
//!
//! Invariant: a plan is a pure function of its seed.

use super::guests::{Guest, RESOLVERS, VALIDATORS};
use bytes::Bytes;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::bucket::{Ack, BucketTable, Policy, Properties};
use rejoin::dynamo::names::{BucketName, Key, NodeId};
use rejoin::dynamo::repair::settings::Settings;
use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Loss,
    Duplication,
    Partition,
    OneWay,
    Crash,
    Wipe,
    Forget,
    SlowSync,
    FailedSync,
    FailedApply,
    ReadOnly,
    /// A disk that is put back to what it once was.
    Rollback,
    /// A disk that stays full for a while.
    Full,
    SlowLink,
}

const FAULTS: [Fault; 11] = [
    Fault::Loss,
    Fault::Duplication,
    Fault::Partition,
    Fault::OneWay,
    Fault::Crash,
    Fault::Wipe,
    Fault::Forget,
    Fault::SlowSync,
    Fault::FailedSync,
    Fault::FailedApply,
    Fault::ReadOnly,
];

/// Those that came later: a seed below `NEWER_FROM` is to unfold to what it always has.
const NEWER_FAULTS: [Fault; 3] = [Fault::Rollback, Fault::Full, Fault::SlowLink];
const NEWER_FROM: u64 = 1_000;
/// As much for changes of what is bound: fresh seeds are nanoseconds since 1970.
const REBINDS_FROM: u64 = 1_795_371_000_000_000_000;
/// Nodes that may join later.
const SPARES_MAX: usize = 2;

/// How the clients behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Blind, stale and fresh contexts, deletes, timeouts of any length.
    Any,
    /// Every put is preceded by a get of its key, quorums of primaries overlap, nothing but the network's order is
    /// against them: the siblings of a key are bounded by the clients.
    Polite,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// Those that the cluster is created with, then those that may join.
    pub nodes: Vec<NodeId>,
    pub founders: usize,
    /// Nodes come and go, and gossip.
    pub changes_members: bool,
    pub partitions: u16,
    pub buckets: BucketTable,
    pub keys: Vec<Key>,
    pub clients: usize,
    pub requests_per_client: usize,
    pub manners: Manners,
    pub faults: BTreeSet<Fault>,
    pub delay_ms_max: u64,
    /// 0: replicas become equal by reads alone.
    pub anti_entropy_interval_ms: u64,
    /// How long a conflict has to be left alone before it is merged in the background; 0: it never is.
    pub converge_quiet_ms: u64,
    /// Between two walks in search of tombstones, 0 for none, and the horizon.
    pub reaping_ms: (u64, u64),
    /// Per node, how far its wall clock is ahead, and what its monotonic clock started from.
    pub clocks: Vec<(i64, u64)>,
    pub settings: Settings,
    /// Whether nodes notice that a process at the other end has died or started.
    pub tells_of_connections: bool,
    /// What is bound to buckets changes meanwhile: other versions, rollbacks, pauses.
    pub rebinds: bool,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let manners = match dice.random_bool(0.12) {
            true => Manners::Polite,
            false => Manners::Any,
        };
        let nodes: Vec<NodeId> = (0..dice.random_range(3..=6)).map(node).collect();
        let buckets: BucketTable = (0..dice.random_range(1..=3))
            .map(|place| (bucket(place), properties(manners, nodes.len(), &mut dice)))
            .collect();
        let keys = keys(&buckets, dice.random_range(1..=5), &mut dice);
        let mut plan = Self {
            seed,
            partitions: *[1, 4, 8].choose(&mut dice).expect("not empty"),
            keys,
            clients: dice.random_range(2..=5),
            requests_per_client: dice.random_range(10..=40),
            manners,
            faults: faults(manners, &mut dice),
            // Not from the dice: what a seed unfolds to is to last.
            anti_entropy_interval_ms: [0, 5_000, 20_000, 60_000][(seed % 4) as usize],
            converge_quiet_ms: 0,
            reaping_ms: (0, 30_000),
            delay_ms_max: *[2, 20, 300].choose(&mut dice).expect("not empty"),
            clocks: nodes.iter().map(|_| clock(&mut dice)).collect(),
            founders: nodes.len(),
            changes_members: false,
            buckets,
            nodes,
            settings: Settings::default(),
            tells_of_connections: false,
            rebinds: false,
        };
        plan.tells_of_connections = dice.random_bool(0.5);
        // Polite clients are not to be told that a slow node is down.
        if manners == Manners::Any {
            plan.settings = settings(&mut dice);
        }
        if seed >= NEWER_FROM {
            plan.take_newer();
        }
        plan
    }

    fn take_newer(&mut self) {
        let mut dice = ChaCha8Rng::seed_from_u64(self.seed.rotate_left(17));
        if self.manners == Manners::Polite {
            return;
        }
        if !self.faults.is_empty() {
            let newer = NEWER_FAULTS.into_iter();
            self.faults.extend(newer.filter(|_| dice.random_bool(0.3)));
        }
        self.rebinds = self.seed >= REBINDS_FROM && self.seed % 3 == 1;
        if self.seed.is_multiple_of(3) {
            self.change_members(dice.random_range(0..=SPARES_MAX));
            if dice.random_bool(0.25) {
                self.calm_down();
            }
        }
        // A guest that answers in time only now and then would write at any time, also when all is to be at rest.
        let is_slow = |p: &Properties| {
            let bound = p.policy.resolver().into_iter().chain(p.validator.as_ref());
            let slow = [Guest::Slow, Guest::AcceptsSlowly].map(|guest| guest.binding().digest);
            bound
                .into_iter()
                .any(|binding| slow.contains(&binding.digest))
        };
        if !self.buckets.values().any(is_slow) {
            self.converge_quiet_ms = [0, 300, 3_000][(self.seed % 3) as usize];
        }
    }

    /// Nodes come and go in this run, and so many more may come.
    pub fn change_members(&mut self, spares: usize) {
        if self.changes_members {
            return;
        }
        self.changes_members = true;
        self.founders = self.nodes.len();
        self.nodes
            .extend((self.founders..self.founders + spares).map(node));
        let mut dice = ChaCha8Rng::seed_from_u64(self.seed.rotate_left(23));
        let missing = self.founders..self.nodes.len();
        self.clocks.extend(missing.map(|_| clock(&mut dice)));
    }

    /// Nothing goes wrong, and every read sees every acknowledged write: quorums of primaries overlap.
    pub fn calm_down(&mut self) {
        self.faults.clear();
        self.settings = Settings::default();
        for properties in self.buckets.values_mut() {
            properties.w = properties.n + 1 - properties.r;
            (properties.pr, properties.pw) = (properties.r, properties.w);
        }
    }

    /// Whether a read has to see what was acknowledged before it.
    pub fn is_strict(&self) -> bool {
        let strict = |p: &Properties| p.pr + p.pw > p.n;
        self.faults.is_empty() && self.changes_members && self.buckets.values().all(strict)
    }

    /// What the shards are told.
    pub fn settings(&self) -> Settings {
        let (reap_interval_ms, tombstone_horizon_ms) = self.reaping_ms;
        Settings {
            anti_entropy_interval_ms: self.anti_entropy_interval_ms,
            reap_interval_ms,
            tombstone_horizon_ms,
            converge_quiet_ms: self.converge_quiet_ms,
            ..self.settings
        }
    }

    pub fn properties(&self, key: usize) -> &Properties {
        &self.buckets[self.keys[key].bucket()]
    }
}

fn node(place: usize) -> NodeId {
    NodeId::new(&format!("n{place}")).expect("a good name")
}

fn bucket(place: usize) -> BucketName {
    BucketName::new(&format!("b{place}")).expect("a good name")
}

fn keys(buckets: &BucketTable, count: usize, dice: &mut ChaCha8Rng) -> Vec<Key> {
    let names: Vec<&BucketName> = buckets.keys().collect();
    let bucket = |dice: &mut ChaCha8Rng| (*names.choose(dice).expect("not empty")).clone();
    let key = |place: usize| Bytes::from(format!("k{place}"));
    (0..count)
        .map(|place| Key::new(bucket(dice), key(place)).expect("a good key"))
        .collect()
}

fn clock(dice: &mut ChaCha8Rng) -> (i64, u64) {
    let skew_ms = *[0, 0, -3_600_000, 3_600_000, 400]
        .choose(dice)
        .expect("not empty");
    (skew_ms, dice.random_range(0..1_000_000))
}

fn faults(manners: Manners, dice: &mut ChaCha8Rng) -> BTreeSet<Fault> {
    let wanted: BTreeSet<Fault> = FAULTS
        .into_iter()
        .filter(|_| dice.random_bool(0.5))
        .collect();
    match manners {
        Manners::Any if dice.random_bool(0.9) => wanted,
        Manners::Any => BTreeSet::new(),
        Manners::Polite => BTreeSet::from([Fault::Duplication]),
    }
}

fn properties(manners: Manners, nodes: usize, dice: &mut ChaCha8Rng) -> Properties {
    let n = dice.random_range(1..=nodes.min(5)) as u8;
    let r = dice.random_range(1..=n);
    let (w, policy) = match manners {
        Manners::Any => (dice.random_range(1..=n), policy(dice)),
        Manners::Polite => (n + 1 - r, Policy::Siblings),
    };
    let validator = match manners == Manners::Any && dice.random_bool(0.25) {
        true => VALIDATORS.choose(dice).map(|guest| guest.binding()),
        false => None,
    };
    // Only strict quorums bound the siblings.
    let (pr, pw) = match manners {
        Manners::Any => (0, 0),
        Manners::Polite => (r, w),
    };
    Properties {
        n,
        r,
        w,
        pr,
        pw,
        ack: match dice.random_bool(0.6) {
            true => Ack::Durable,
            false => Ack::Buffered,
        },
        merge_on_put: policy != Policy::Siblings && dice.random_bool(0.6),
        policy,
        validator,
        ..Properties::default()
    }
}

fn settings(dice: &mut ChaCha8Rng) -> Settings {
    let defaults = Settings::default();
    let any = |choices: [u64; 2], dice: &mut ChaCha8Rng| choices[dice.random_range(0..2)];
    Settings {
        suspect_ms: any([60, defaults.suspect_ms], dice),
        probe_ms: any([50, defaults.probe_ms], dice),
        stand_in_after_ms: any([10, defaults.stand_in_after_ms], dice),
        hint_retry_ms: any([30, defaults.hint_retry_ms], dice),
        hints_max: any([2, defaults.hints_max as u64], dice) as usize,
        hint_window: any([1, defaults.hint_window as u64], dice) as usize,
        ..defaults
    }
}

fn policy(dice: &mut ChaCha8Rng) -> Policy {
    match dice.random_range(0..10) {
        0..=2 => Policy::Siblings,
        3 => Policy::LastWriteWins,
        4..=6 => Policy::Resolver(Guest::Union.binding()),
        _ => Policy::Resolver(RESOLVERS.choose(dice).expect("not empty").binding()),
    }
}
