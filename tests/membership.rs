//! Members come and go: stewards that gossip over a network that delays, reorders and loses, from one seed.
//!
//! The shards are played: whoever has a duty in a partition says after a while that it is done. Data is moved in
//! the whole-cluster simulator, not here.
//!
//! Invariant: whatever happens, every partition has distinct primaries, and all views agree in the end.

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::membership::gossip::{Gossip, Reply};
use rejoin::dynamo::membership::plan::{PlanError, Wish};
use rejoin::dynamo::membership::snapshot::{CommitError, Effect, Identity, Stage};
use rejoin::dynamo::membership::steward::Steward;
use rejoin::dynamo::metadata::catalog::Catalog;
use rejoin::dynamo::metadata::facts::{MembershipPolicy, NodeFacts};
use rejoin::dynamo::metadata::row::{Fact, Subject};
use rejoin::dynamo::names::{Millis, NodeId, Now};
use rejoin::dynamo::ring::change::{Change, Progress};
use rejoin::dynamo::ring::member::Member;
use rejoin::dynamo::ring::partition::{PartitionId, Partitions};
use rejoin::dynamo::ring::partition_set::PartitionSet;
use rejoin::dynamo::ring::placement::{Duty, Placement};
use std::collections::{BTreeMap, BTreeSet};

const TOKEN: &[u8] = b"open sesame";
const PARTITIONS: u16 = 32;

fn node(place: usize) -> NodeId {
    NodeId::new(&format!("n{place}")).expect("a good name")
}

fn partitions() -> Partitions {
    Partitions::new(PARTITIONS).expect("in bounds")
}

fn members(places: impl IntoIterator<Item = usize>) -> Vec<Member> {
    places
        .into_iter()
        .map(|place| Member::new(node(place)))
        .collect()
}

/// What is on its way, by the time of its arrival.
type Mail = BTreeMap<(u64, u64), (NodeId, NodeId, Gossip)>;

struct Town {
    stewards: BTreeMap<NodeId, Steward>,
    disks: BTreeMap<NodeId, Bytes>,
    mail: Mail,
    sent: u64,
    now_ms: u64,
    loss: f64,
    /// From whom to whom nothing arrives.
    cuts: BTreeSet<(NodeId, NodeId)>,
    dice: ChaCha8Rng,
    told: Vec<String>,
}

impl Town {
    fn of(seed: u64, founders: usize) -> Self {
        let mut town = Self {
            stewards: BTreeMap::new(),
            disks: BTreeMap::new(),
            mail: Mail::new(),
            sent: 0,
            now_ms: 0,
            loss: 0.0,
            cuts: BTreeSet::new(),
            dice: ChaCha8Rng::seed_from_u64(seed),
            told: Vec::new(),
        };
        for place in 0..founders {
            town.found(place, founders);
        }
        town
    }

    /// Starts a founder with an empty disk: it knows what its configuration says.
    fn found(&mut self, place: usize, founders: usize) {
        let mut catalog = Catalog::default();
        let change = Change::first(partitions(), members(0..founders)).expect("good members");
        let fact = Fact::Change(Box::new(change));
        catalog
            .edit(Subject::Change, fact, node(0))
            .expect("in bounds");
        self.start(place, catalog, Some(TOKEN));
    }

    fn now(&self) -> Now {
        Now {
            monotonic: Millis(self.now_ms),
            wall_ms: 1_700_000_000_000 + self.now_ms,
        }
    }

    fn start(&mut self, place: usize, catalog: Catalog, token: Option<&'static [u8]>) {
        let id = node(place);
        let identity = Identity {
            me: id.clone(),
            facts: NodeFacts {
                peer_address: format!("127.0.0.1:{}", 7101 + place),
                weight: 1,
                ..NodeFacts::default()
            },
            token: token.map(|token| Bytes::from_static(token).into()),
            partitions: partitions(),
        };
        let mut steward = Steward::new(identity, catalog, place as u64 * 7919, self.now());
        let mut effects = Vec::new();
        steward
            .introduce(self.now(), &mut effects)
            .expect("in bounds");
        self.stewards.insert(id.clone(), steward);
        self.carry_out(&id, effects);
    }

    /// A node without a catalog that knows one seed.
    fn arrive(&mut self, place: usize, token: Option<&'static [u8]>) {
        self.start(place, Catalog::default(), token);
        let mut effects = Vec::new();
        let now = self.now();
        let steward = self.stewards.get_mut(&node(place)).expect("it was started");
        steward.on_seed(now, node(0), &mut effects);
        self.carry_out(&node(place), effects);
    }

    fn carry_out(&mut self, from: &NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Store(bytes) => drop(self.disks.insert(from.clone(), bytes)),
                Effect::Publish(snapshot) => check(&snapshot.placement),
                Effect::Tell(what) => self.told.push(format!("{from}: {what}")),
                Effect::Send { to, gossip } => {
                    if !self.dice.random_bool(self.loss) {
                        self.sent += 1;
                        let at_ms = self.now_ms + self.dice.random_range(0..300);
                        self.mail
                            .insert((at_ms, self.sent), (from.clone(), to, gossip));
                    }
                }
            }
        }
    }

    /// Lets time pass; whoever has a duty fulfils it sooner or later.
    fn run(&mut self, for_ms: u64) {
        let end_ms = self.now_ms + for_ms;
        while self.now_ms < end_ms {
            self.now_ms += 50;
            self.deliver();
            let now = self.now();
            for id in self.names() {
                self.work(&id);
                let mut effects = Vec::new();
                let steward = self.stewards.get_mut(&id).expect("it runs");
                if steward.next_deadline() <= now.monotonic {
                    steward.tick(now, &mut effects);
                }
                self.carry_out(&id, effects);
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.mail.first_entry() {
            if entry.key().0 > self.now_ms {
                return;
            }
            let (from, to, gossip) = entry.remove();
            let gossip = Gossip::decode(gossip.encode()).expect("what was sent can be read");
            let now = self.now();
            let is_cut = self.cuts.contains(&(from.clone(), to.clone()));
            let Some(steward) = self.stewards.get_mut(&to).filter(|_| !is_cut) else {
                continue;
            };
            let mut effects = Vec::new();
            steward.on_gossip(now, from, gossip, &mut effects);
            self.carry_out(&to, effects);
        }
    }

    fn work(&mut self, id: &NodeId) {
        let now = self.now();
        let steward = self.stewards.get_mut(id).expect("it runs");
        let placement = steward.snapshot().placement.clone();
        if placement.is_settled() {
            return;
        }
        for partition in placement.unsettled() {
            let is_mover = placement.movers(partition).contains(id);
            if !is_mover || self.dice.random_bool(0.7) {
                continue;
            }
            let stage = match placement.is_copied(partition) {
                true => Stage::Released,
                false => Stage::Copied,
            };
            steward.on_moved(now, placement.change(), partition, stage);
        }
    }

    fn names(&self) -> Vec<NodeId> {
        self.stewards.keys().cloned().collect()
    }

    fn commit(&mut self, at: usize, wish: &Wish) -> Result<u64, CommitError> {
        let mut effects = Vec::new();
        let now = self.now();
        let steward = self.stewards.get_mut(&node(at)).expect("it runs");
        let committed = steward.commit(now, wish, None, false, &mut effects);
        self.carry_out(&node(at), effects);
        committed.map(|plan| plan.change.version)
    }

    fn set_policy(&mut self, at: usize, policy: MembershipPolicy) {
        let mut effects = Vec::new();
        let now = self.now();
        let steward = self.stewards.get_mut(&node(at)).expect("it runs");
        let rows = vec![(Subject::Policy, Fact::Policy(policy))];
        steward.edit(now, rows, &mut effects).expect("in bounds");
        self.carry_out(&node(at), effects);
    }

    /// Says to the nodes at `observers` for how long `gone` has not been reached.
    fn miss(&mut self, observers: &[usize], gone: usize, down_ms: u64) {
        let now = self.now();
        for place in observers {
            let steward = self.stewards.get_mut(&node(*place)).expect("it runs");
            steward.on_suspects(now, vec![(node(gone), down_ms)]);
        }
    }

    fn placement(&self, place: usize) -> std::sync::Arc<Placement> {
        self.stewards[&node(place)].snapshot().placement.clone()
    }

    fn member_names(&self, place: usize) -> Vec<String> {
        let placement = self.placement(place);
        placement
            .members()
            .iter()
            .map(|member| member.id.to_string())
            .collect()
    }

    fn all_agree(&self) {
        let hashes: BTreeSet<(u64, u64)> = self
            .stewards
            .values()
            .map(|steward| (steward.snapshot().hash, steward.snapshot().placement.hash()))
            .collect();
        assert_eq!(hashes.len(), 1, "views differ; told: {:?}", self.told);
    }
}

/// Every partition has as many distinct primaries as there can be, whatever the moment.
fn check(placement: &Placement) {
    for partition in placement.partitions().all() {
        for n in 1..=4 {
            let primaries = placement.primaries(partition, n);
            let distinct: BTreeSet<_> = primaries.iter().collect();
            assert_eq!(distinct.len(), primaries.len());
            let pending = placement.seats(partition, n).pending;
            assert!(pending.iter().all(|node| !distinct.contains(node)));
        }
    }
}

#[test]
fn s4_8_d24_histories_are_reconciled_by_gossip_although_messages_are_lost() {
    for seed in 0..8 {
        let mut town = Town::of(seed, 6);
        town.loss = 0.4;
        town.run(2_000);
        town.set_policy(
            3,
            MembershipPolicy {
                replace_after_ms: Some(60_000),
                ..MembershipPolicy::default()
            },
        );
        town.run(20_000);
        town.all_agree();
        let policy = town.stewards[&node(0)].snapshot().catalog.policy();
        assert_eq!(policy.replace_after_ms, Some(60_000));
    }
}

#[test]
fn s4_8_d25_a_seed_lets_a_node_with_the_token_in_and_ignores_one_without() {
    let mut town = Town::of(1, 3);
    town.run(1_000);
    town.arrive(3, Some(TOKEN));
    town.arrive(4, Some(b"a guess"));
    town.arrive(5, None);
    town.run(20_000);
    assert_eq!(town.member_names(0), ["n0", "n1", "n2", "n3"]);
    assert!(town.placement(0).is_settled());
    assert!(!town.stewards[&node(4)].has_cluster());
    assert!(!town.stewards[&node(5)].has_cluster());
    assert!(
        town.told
            .iter()
            .any(|told| told.contains("without the token"))
    );
}

#[test]
fn founders_that_lose_their_disks_hear_again_from_a_node_that_joined_since() {
    let mut town = Town::of(1, 3);
    town.run(1_000);
    town.arrive(3, Some(TOKEN));
    town.run(20_000);
    for place in 0..3 {
        town.found(place, 3);
    }
    assert_eq!(town.member_names(0), ["n0", "n1", "n2"]);
    town.run(20_000);
    assert_eq!(town.member_names(0), ["n0", "n1", "n2", "n3"]);
    town.all_agree();
}

#[test]
fn two_that_refuse_each_other_do_so_once_a_round() {
    let mut town = Town::of(1, 3);
    town.arrive(3, Some(TOKEN));
    town.run(20_000);
    let catalog = town.stewards[&node(3)].snapshot().catalog.clone();
    town.start(3, (*catalog).clone(), Some(b"a guess"));
    for place in 0..3 {
        town.found(place, 3);
    }
    town.told.clear();
    town.run(20_000);
    assert_eq!(town.member_names(0), ["n0", "n1", "n2"]);
    let refusals = town.told.iter().filter(|told| told.contains("without"));
    assert!((1..=60).contains(&refusals.count()), "{:?}", town.told);
}

#[test]
fn nodes_that_arrive_together_join_in_one_change() {
    let mut town = Town::of(2, 3);
    town.run(1_000);
    (3..6).for_each(|place| town.arrive(place, Some(TOKEN)));
    town.run(30_000);
    assert_eq!(town.member_names(0).len(), 6);
    assert_eq!(town.placement(0).version(), 2);
    town.all_agree();
}

#[test]
fn s4_8_d23_without_the_policy_members_change_by_command_only() {
    let mut town = Town::of(3, 3);
    town.run(1_000);
    town.set_policy(
        0,
        MembershipPolicy {
            auto_join: false,
            ..MembershipPolicy::default()
        },
    );
    town.arrive(3, Some(TOKEN));
    town.run(20_000);
    assert_eq!(town.member_names(0).len(), 3);
    town.commit(1, &Wish::Join(BTreeSet::from([node(3)])))
        .expect("it is known");
    town.run(20_000);
    assert_eq!(town.member_names(2).len(), 4);
    assert!(town.placement(3).is_settled());
}

#[test]
fn one_change_is_under_way_at_a_time_and_it_can_be_cancelled() {
    let mut town = Town::of(4, 5);
    town.run(1_000);
    town.commit(0, &Wish::Leave(node(4))).expect("a member");
    town.run(300);
    let second = town.commit(0, &Wish::Leave(node(3)));
    assert!(matches!(
        second,
        Err(CommitError::Plan(PlanError::UnderWay { .. }))
    ));
    town.commit(0, &Wish::Cancel).expect("it is under way");
    town.run(20_000);
    assert_eq!(town.member_names(2).len(), 5);
    assert!(town.placement(2).is_settled());
    town.all_agree();
}

#[test]
fn s4_8_d23_the_history_is_kept_and_a_member_that_has_left_stays_away() {
    let mut town = Town::of(5, 3);
    town.run(1_000);
    town.arrive(3, Some(TOKEN));
    town.run(20_000);
    town.commit(0, &Wish::Leave(node(3))).expect("a member");
    town.run(30_000);
    assert_eq!(town.member_names(0), ["n0", "n1", "n2"]);
    assert!(town.placement(0).is_settled());
    // Nobody waits until it knows what has moved, so it does not say who owns what.
    let outside = town.commit(3, &Wish::Leave(node(2)));
    assert!(matches!(outside, Err(CommitError::Outsider(_))));
    let log = &town.stewards[&node(1)]
        .snapshot()
        .catalog
        .change()
        .expect("a change")
        .log;
    let what: Vec<&str> = log.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(what, ["join n3", "leave n3"]);
}

#[test]
fn a_dead_member_is_replaced_only_after_the_window_and_by_several_observers() {
    let mut town = Town::of(6, 5);
    town.set_policy(
        0,
        MembershipPolicy {
            replace_after_ms: Some(60_000),
            ..MembershipPolicy::default()
        },
    );
    town.run(5_000);
    town.stewards.remove(&node(4));
    for (observers, down_ms, members) in [
        (&[0, 1, 2, 3][..], 30_000, 5), // Too early.
        (&[0][..], 90_000, 5),          // One observer.
        (&[0, 1][..], 90_000, 5),       // Half of the others is no majority.
        (&[0, 1, 2, 3][..], 90_000, 4),
    ] {
        town.miss(&[0, 1, 2, 3], 4, 0);
        town.run(12_000);
        town.miss(observers, 4, down_ms);
        let rest: Vec<usize> = (0..4).filter(|place| !observers.contains(place)).collect();
        let now = town.now();
        for place in rest {
            let steward = town.stewards.get_mut(&node(place)).expect("it runs");
            steward.on_suspects(now, Vec::new());
        }
        town.run(8_000);
        assert_eq!(
            town.member_names(0).len(),
            members,
            "{observers:?} {down_ms}"
        );
    }
    town.run(20_000);
    assert!(town.placement(0).is_settled());
}

#[test]
fn a_standby_takes_the_place_of_a_dead_member() {
    let mut town = Town::of(7, 4);
    town.set_policy(
        0,
        MembershipPolicy {
            auto_join: false,
            replace_after_ms: Some(60_000),
            paused: false,
        },
    );
    town.run(2_000);
    town.arrive(9, Some(TOKEN));
    town.run(10_000);
    town.stewards.remove(&node(2));
    town.miss(&[0, 1, 3], 2, 70_000);
    town.run(4_000);
    assert_eq!(town.member_names(1), ["n0", "n1", "n3", "n9"]);
    town.run(20_000);
    assert!(town.placement(9).is_settled());
}

#[test]
fn the_stop_button_stops_what_happens_by_itself() {
    let mut town = Town::of(8, 3);
    town.set_policy(
        1,
        MembershipPolicy {
            paused: true,
            ..MembershipPolicy::default()
        },
    );
    town.run(2_000);
    town.arrive(3, Some(TOKEN));
    town.run(20_000);
    assert_eq!(town.member_names(0).len(), 3);
}

#[test]
fn two_sides_that_change_the_members_apart_agree_after_the_heal() {
    for seed in 0..8 {
        let mut town = Town::of(seed, 5);
        town.run(1_000);
        for left in [0, 1] {
            for right in [2, 3, 4] {
                town.cuts.insert((node(left), node(right)));
                town.cuts.insert((node(right), node(left)));
            }
        }
        town.commit(0, &Wish::Remove(node(4))).expect("a member");
        town.commit(2, &Wish::Remove(node(1))).expect("a member");
        town.run(10_000);
        town.cuts.clear();
        town.run(30_000);
        town.all_agree();
        assert_eq!(town.member_names(0).len(), 4);
    }
}

/// Plays a change in every order in which it may come about.
fn each_step(seed: u64, mut watch: impl FnMut(&Placement, &Change)) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let count = dice.random_range(3..8);
    let before: Vec<usize> = (0..count).collect();
    let mut after = before.clone();
    match dice.random_range(0..3) {
        0 => after.push(count),
        1 => drop(after.remove(dice.random_range(0..count))),
        _ => after[0] = count,
    }
    let first = Change::first(partitions(), members(before)).expect("good members");
    let still = Placement::new(&first, BTreeMap::new()).expect("good members");
    let change = Change {
        version: 2,
        before: still.current(),
        members: members(after),
        ..first
    };
    let mut progress: BTreeMap<NodeId, Progress> = BTreeMap::new();
    let mut steps: Vec<(PartitionId, NodeId)> = Vec::new();
    let goal = Placement::new(&change, BTreeMap::new()).expect("good members");
    for partition in partitions().all() {
        steps.extend(
            goal.movers(partition)
                .iter()
                .map(|node| (partition, node.clone())),
        );
    }
    while !steps.is_empty() {
        let (partition, node) = steps.swap_remove(dice.random_range(0..steps.len()));
        let progress_of = progress.entry(node);
        let set = progress_of.or_insert_with(|| Progress::none(goal.change(), partitions()));
        set.released.insert(partition);
        watch(&goal.advanced(progress.clone()), &change);
    }
}

#[test]
fn every_moment_of_a_change_has_n_distinct_primaries() {
    for seed in 0..30 {
        let mut last = None;
        each_step(seed, |placement, change| {
            check(placement);
            let smaller = change.members.len().min(change.members_before.len());
            for partition in partitions().all() {
                assert!(placement.primaries(partition, 3).len() >= smaller.min(3));
            }
            last = Some(placement.clone());
        });
        assert!(
            last.is_none_or(|placement| placement.is_settled()),
            "seed {seed}"
        );
    }
}

/// Copies a write from old owners to new ones as the duties say, and counts where it is afterwards.
#[test]
fn a_write_that_w_primaries_have_is_on_w_primaries_after_the_switch() {
    for seed in 0..30 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        each_step(seed, |placement, _| {
            let Some(partition) = placement.unsettled().next() else {
                return;
            };
            let old = placement.primaries(partition, 3);
            let w = dice.random_range(1..=old.len().min(placement.members().len()));
            let holders: BTreeSet<NodeId> = old.iter().take(w).cloned().collect();
            let mut after = holders.clone();
            for (mover, duty) in placement.duties(partition, 3) {
                match duty {
                    Duty::Give(heirs) if holders.contains(&mover) => after.extend(heirs),
                    Duty::Take(sources) if sources.iter().any(|s| holders.contains(s)) => {
                        after.insert(mover);
                    }
                    Duty::Give(_) | Duty::Take(_) => {}
                }
            }
            let goal = placement.goal(partition, 3);
            let kept = goal.iter().filter(|node| after.contains(node)).count();
            assert!(kept >= w.min(goal.len()), "seed {seed}: {kept} of {w}");
        });
    }
}

#[test]
fn a_set_of_partitions_that_is_too_short_names_nothing() {
    let small = PartitionSet::none(Partitions::new(1).expect("in bounds"));
    assert!(!small.contains(PartitionId(4_000)));
}

#[test]
fn a_partition_beyond_the_ring_has_nobody_and_breaks_nothing() {
    let first = Change::first(partitions(), members(0..4)).expect("good members");
    let placement = Placement::new(&first, BTreeMap::new()).expect("good members");
    let beyond = PartitionId(PARTITIONS);
    assert!(placement.primaries(beyond, 3).is_empty());
    assert!(!placement.keeps(beyond, 3, &node(0)));
    assert!(placement.seats(beyond, 3).pending.is_empty());
}

#[test]
fn an_own_row_of_another_size_that_comes_back_from_outside_is_not_built_on() {
    let mut town = Town::of(9, 3);
    town.run(1_000);
    town.commit(0, &Wish::Leave(node(2))).expect("a member");
    let placement = town.placement(0);
    let small = Partitions::new(1).expect("in bounds");
    let mut catalog = Catalog::clone(&town.stewards[&node(0)].snapshot().catalog);
    let row = Fact::Progress(Progress::none(placement.change(), small));
    let edited = catalog.edit(Subject::Progress(node(2)), row, node(1));
    edited.expect("in bounds");
    let gossip = Gossip::Rows {
        rows: catalog.encode(),
        hash: catalog.hash(),
        reply: Reply::Nothing,
    };
    let (now, mut effects) = (town.now(), Vec::new());
    let leaver = town.stewards.get_mut(&node(2)).expect("it runs");
    leaver.on_gossip(now, node(1), gossip, &mut effects);
    town.carry_out(&node(2), effects);
    town.run(20_000);
    assert!(town.placement(0).is_settled());
}
