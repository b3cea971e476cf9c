//! Stewards that gossip in one thread, in a time that is counted and not waited for (Dynamo 4.8.1, 6.6).
//!
//! The network delays by 1 to 10 ms and loses what it is told to. Data is not moved: whoever has a duty in a
//! partition has fulfilled it as soon as it knows of it. Bytes are those of the gossip alone, without what streams add.
//!
//! Invariant: the same seed gives the same messages.

use super::layouts::members;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::membership::gossip::Gossip;
use rejoin::dynamo::membership::plan::Wish;
use rejoin::dynamo::membership::snapshot::{Effect, Identity, Stage};
use rejoin::dynamo::membership::steward::Steward;
use rejoin::dynamo::metadata::catalog::Catalog;
use rejoin::dynamo::metadata::facts::{MembershipPolicy, NodeFacts};
use rejoin::dynamo::metadata::row::{Fact, Subject};
use rejoin::dynamo::names::{Millis, NodeId, Now};
use rejoin::dynamo::ring::change::Change;
use rejoin::dynamo::ring::partition::Partitions;
use rejoin::dynamo::ring::placement::Placement;
use std::collections::{BTreeMap, BTreeSet};

/// A cluster of stewards, the last of which is not a member yet.
pub struct Town {
    names: Vec<NodeId>,
    stewards: Vec<Steward>,
    /// What is on its way, by the time of its arrival: from whom, to whom, what.
    mail: BTreeMap<(u64, u64), (usize, usize, Gossip)>,
    /// When each steward wants to be told of the time.
    due: BTreeSet<(Millis, usize)>,
    pub now_ms: u64,
    pub sent: Sent,
    loss: f64,
    dice: ChaCha8Rng,
    /// Whether duties are fulfilled.
    does_work: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    pub messages: u64,
    pub bytes: u64,
}

impl Sent {
    pub fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
        }
    }

    pub fn over(self, seconds: u64) -> Self {
        Self {
            messages: self.messages / seconds,
            bytes: self.bytes / seconds,
        }
    }
}

/// How the others are told of a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Telling {
    /// By the push at once, and rounds for what this share of the messages has lost.
    Push { loss: f64 },
    /// As if the whole push were lost.
    RoundsAlone,
}

/// The first catalog of a cluster in which every node is known and all but the last are members.
pub fn catalog(nodes: u16, partitions: Partitions) -> Catalog {
    let numbers: Vec<u16> = (0..nodes).collect();
    let members = members(0, &numbers);
    let by = members[0].id.clone();
    let mut catalog = Catalog::default();
    let mut edit = |subject, fact| catalog.edit(subject, fact, by.clone()).expect("in bounds");
    for (number, member) in members.iter().enumerate() {
        let facts = facts(number);
        edit(Subject::Node(member.id.clone()), Fact::Node(facts));
    }
    let policy = MembershipPolicy {
        auto_join: false,
        ..MembershipPolicy::default()
    };
    edit(Subject::Policy, Fact::Policy(policy));
    let founders = members[..members.len() - 1].to_vec();
    let change = Change::first(partitions, founders).expect("good members");
    edit(Subject::Change, Fact::Change(Box::new(change)));
    catalog
}

/// Nodes that have to move something.
pub fn movers(placement: &Placement) -> usize {
    let all = placement.partitions().all();
    let movers: BTreeSet<&NodeId> = all.flat_map(|p| placement.movers(p)).collect();
    movers.len()
}

fn facts(number: usize) -> NodeFacts {
    NodeFacts {
        peer_address: format!("10.0.{}.{}:7101", number / 250, number % 250 + 1),
        client_address: format!("10.0.{}.{}:7001", number / 250, number % 250 + 1),
        weight: 1,
        ..NodeFacts::default()
    }
}

impl Town {
    pub fn new(nodes: u16, partitions: Partitions, seed: u64) -> Self {
        let catalog = catalog(nodes, partitions);
        let numbers: Vec<u16> = (0..nodes).collect();
        let names: Vec<NodeId> = members(0, &numbers).into_iter().map(|m| m.id).collect();
        let mut town = Self {
            names,
            stewards: Vec::new(),
            mail: BTreeMap::new(),
            due: BTreeSet::new(),
            now_ms: 0,
            sent: Sent::default(),
            loss: 0.0,
            dice: ChaCha8Rng::seed_from_u64(seed),
            does_work: false,
        };
        for number in 0..usize::from(nodes) {
            let identity = Identity {
                me: town.names[number].clone(),
                facts: facts(number),
                token: None,
                partitions,
            };
            let dice = seed.wrapping_mul(1_000_003) + number as u64 * 7919;
            let steward = Steward::new(identity, catalog.clone(), dice, town.now());
            town.due.insert((steward.next_deadline(), number));
            town.stewards.push(steward);
        }
        town
    }

    fn now(&self) -> Now {
        Now {
            monotonic: Millis(self.now_ms),
            wall_ms: 1_700_000_000_000 + self.now_ms,
        }
    }

    /// What lets the last node in.
    pub fn joining(&self) -> Wish {
        let newcomer = self.names.last().expect("a town has nodes").clone();
        Wish::Join(BTreeSet::from([newcomer]))
    }

    /// The first node commits a change, and the others are told of it so. Gives its version.
    pub fn commit(&mut self, wish: &Wish, telling: Telling) -> u64 {
        let (now, mut effects) = (self.now(), Vec::new());
        let committed = self.stewards[0].commit(now, wish, None, false, &mut effects);
        self.loss = 0.0;
        match telling {
            Telling::Push { loss } => self.loss = loss,
            Telling::RoundsAlone => {
                effects.retain(|effect| !matches!(effect, Effect::Send { .. }));
            }
        }
        self.carry_out(0, effects);
        committed.expect("the wish can be fulfilled").change.version
    }

    /// Everybody misses one node, or nobody, and says so.
    pub fn miss(&mut self, gone: Option<usize>) {
        let now = self.now();
        let name = |gone: usize| (self.names[gone].clone(), 5_000);
        let suspects: Vec<_> = gone.map(name).into_iter().collect();
        for (number, steward) in self.stewards.iter_mut().enumerate() {
            if Some(number) != gone {
                steward.on_suspects(now, suspects.clone());
            }
        }
    }

    /// Duties are fulfilled from now on.
    pub fn work(&mut self) {
        self.does_work = true;
        (0..self.stewards.len()).for_each(|number| self.fulfil(number));
    }

    pub fn run_for(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.step(end_ms) {}
        self.now_ms = end_ms;
    }

    /// Runs until all see this change, or until time is up; says whether they do.
    pub fn run_until_all_know(&mut self, version: u64, limit_ms: u64) -> bool {
        let knows = |steward: &Steward| steward.snapshot().placement.version() == version;
        self.run_until(limit_ms, knows)
    }

    /// Runs until all see that nothing moves any more.
    pub fn run_until_all_are_settled(&mut self, limit_ms: u64) -> bool {
        self.run_until(limit_ms, |steward| {
            steward.snapshot().placement.is_settled()
        })
    }

    /// Looks only at the stewards that have not got there.
    fn run_until(&mut self, limit_ms: u64, is_there: impl Fn(&Steward) -> bool) -> bool {
        let mut missing: Vec<usize> = (0..self.stewards.len()).collect();
        loop {
            while missing
                .last()
                .is_some_and(|last| is_there(&self.stewards[*last]))
            {
                missing.pop();
            }
            if missing.is_empty() || !self.step(limit_ms) {
                return missing.is_empty();
            }
        }
    }

    /// Whether all catalogs and placements are equal.
    pub fn all_agree(&self) -> bool {
        let view = |steward: &Steward| {
            let snapshot = steward.snapshot();
            (snapshot.hash, snapshot.placement.hash())
        };
        let views: BTreeSet<(u64, u64)> = self.stewards.iter().map(view).collect();
        views.len() == 1
    }

    /// Nodes that have to move something for the change that the first node knows.
    pub fn movers(&self) -> usize {
        movers(&self.stewards[0].snapshot().placement)
    }

    /// The next thing that happens, if it happens by then.
    fn step(&mut self, end_ms: u64) -> bool {
        let mail_ms = self.mail.first_key_value().map(|((at_ms, _), _)| *at_ms);
        let tick_ms = self.due.first().map_or(u64::MAX, |(at, _)| at.0);
        let at_ms = mail_ms.unwrap_or(u64::MAX).min(tick_ms);
        if at_ms > end_ms {
            return false;
        }
        self.now_ms = self.now_ms.max(at_ms);
        match mail_ms.filter(|mail_ms| *mail_ms <= tick_ms) {
            Some(_) => self.deliver(),
            None => self.tick(),
        }
        true
    }

    fn tick(&mut self) {
        let Some((_, number)) = self.due.pop_first() else {
            return;
        };
        let (now, mut effects) = (self.now(), Vec::new());
        self.stewards[number].tick(now, &mut effects);
        self.due
            .insert((self.stewards[number].next_deadline(), number));
        self.carry_out(number, effects);
    }

    fn deliver(&mut self) {
        let Some((_, (from, to, gossip))) = self.mail.pop_first() else {
            return;
        };
        let gossip = Gossip::decode(gossip.encode()).expect("what was sent can be read");
        let (now, mut effects) = (self.now(), Vec::new());
        let from = self.names[from].clone();
        let due = self.stewards[to].next_deadline();
        self.stewards[to].on_gossip(now, from, gossip, &mut effects);
        self.due.remove(&(due, to));
        self.due.insert((self.stewards[to].next_deadline(), to));
        self.carry_out(to, effects);
    }

    fn carry_out(&mut self, from: usize, effects: Vec<Effect>) {
        let is_news = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Publish(_)));
        for effect in effects {
            let Effect::Send { to, gossip } = effect else {
                continue;
            };
            self.sent.messages += 1;
            self.sent.bytes += gossip.encode().len() as u64;
            if !self.dice.random_bool(self.loss) {
                let to = self.names.binary_search(&to).expect("it is in town");
                let at_ms = self.now_ms + self.dice.random_range(1..=10);
                let key = (at_ms, self.sent.messages);
                self.mail.insert(key, (from, to, gossip));
            }
        }
        if is_news && self.does_work {
            self.fulfil(from);
        }
    }

    /// What a node has to move is moved, and it says so as far as the others let it.
    fn fulfil(&mut self, number: usize) {
        let (now, me) = (self.now(), self.names[number].clone());
        let steward = &mut self.stewards[number];
        let placement = steward.snapshot().placement.clone();
        let due = steward.next_deadline();
        for partition in placement.unsettled() {
            if !placement.movers(partition).contains(&me) {
                continue;
            }
            let stage = match placement.is_copied(partition) {
                true if placement.has_released(&me, partition) => continue,
                true => Stage::Released,
                false if placement.has_copied(&me, partition) => continue,
                false => Stage::Copied,
            };
            steward.on_moved(now, placement.change(), partition, stage);
        }
        self.due.remove(&(due, number));
        self.due.insert((steward.next_deadline(), number));
    }
}
