//! Members that come and go under load: the stewards beside the machines, and who asks them for changes.
//!
//! Carries out what stewards want as the office of a node would: stored and synced first, then handed to the
//! machine, then told to the others, over the same network as everything else. Judges views in `views`.
//!
//! Invariant: a node that was killed for good never starts again.

use super::disk::Handle;
use super::mutant::Mutant;
use super::network::Route;
use super::plan::Plan;
use super::world::{Happening, World};
use bytes::Bytes;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rejoin::dynamo::bucket::BucketTable;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::membership::gossip::Gossip;
use rejoin::dynamo::membership::plan::Wish;
use rejoin::dynamo::membership::snapshot::{Effect, Identity, Snapshot, Stage as Moved};
use rejoin::dynamo::membership::steward::Steward;
use rejoin::dynamo::metadata::catalog::Catalog;
use rejoin::dynamo::metadata::facts::NodeFacts;
use rejoin::dynamo::metadata::row::{Fact, Subject};
use rejoin::dynamo::names::{NodeId, Now};
use rejoin::dynamo::repair::transfer;
use rejoin::dynamo::replica::storage::{Batch, Storage as _};
use rejoin::dynamo::ring::change::{Change, ChangeId};
use rejoin::dynamo::ring::member::Member;
use rejoin::dynamo::ring::partition::{PartitionId, Partitions};
use rejoin::dynamo::ring::placement::Placement;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// Where the catalog is stored.
const CATALOG_KEY: &[u8] = b"m/catalog";
const TOKEN: &[u8] = b"open sesame";

/// Of a node in a cluster whose members may change.
#[derive(Debug, Default)]
pub struct Office {
    pub steward: Option<Steward>,
    /// It has not come yet.
    pub is_awaited: bool,
    /// It was killed for good.
    pub is_gone: bool,
    /// Whom a newcomer asks to be let in.
    seed: Option<NodeId>,
}

/// The disk failed under the steward, and with it the node.
struct DiskFailed;

impl Office {
    /// Whether the process may run.
    pub fn is_open(&self) -> bool {
        !self.is_awaited && !self.is_gone
    }
}

impl World {
    /// Whether a client may ask this node: it runs, and knows of a cluster.
    pub fn serves(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        let steward = node.office.steward.as_ref();
        node.is_up() && steward.is_none_or(Steward::has_cluster)
    }

    /// What a process starts with: its placement and its buckets.
    pub fn view_at_start(&mut self, node: usize) -> (Arc<Placement>, Arc<BucketTable>) {
        if !self.stage.plan.changes_members {
            let stage = &self.stage;
            return (Arc::clone(&stage.placement), Arc::clone(&stage.buckets));
        }
        let catalog = self.stored_catalog(node);
        let catalog = catalog.unwrap_or_else(|| self.founding_catalog(node));
        let identity = Identity {
            me: self.nodes[node].id.clone(),
            facts: NodeFacts {
                peer_address: format!("n{node}:7101"),
                weight: 1,
                ..NodeFacts::default()
            },
            token: Some(Bytes::from_static(TOKEN).into()),
            partitions: self.stage.placement.partitions(),
        };
        let now = self.nodes[node].now(self.now_ms);
        let steward = Steward::new(identity, catalog, self.dice.next_u64(), now);
        let snapshot = Arc::clone(steward.snapshot());
        self.nodes[node].office.steward = Some(steward);
        self.on_view(node, &snapshot);
        let buckets = Arc::new(snapshot.catalog.bucket_table());
        (self.shown_placement(&snapshot), buckets)
    }

    fn stored_catalog(&self, node: usize) -> Option<Catalog> {
        let disk = Handle(Rc::clone(&self.nodes[node].disk));
        let bytes = disk.get(CATALOG_KEY).ok()??;
        Some(Catalog::decode(bytes).expect("what was stored can be read"))
    }

    /// The same on all founders. A founder that lost its disk has only what its configuration says.
    fn founding_catalog(&self, node: usize) -> Catalog {
        let plan = &self.stage.plan;
        let mut catalog = Catalog::default();
        if node >= plan.founders {
            return catalog;
        }
        let by = plan.nodes[0].clone();
        let members = founders(plan);
        let change = Change::first(self.stage.placement.partitions(), members);
        let change = Fact::Change(Box::new(change.expect("good members")));
        let mut rows = vec![(Subject::Change, change)];
        if self.nodes[node].life == 0 {
            let buckets = plan.buckets.iter();
            rows.extend(buckets.map(|(name, properties)| {
                (
                    Subject::Bucket(name.clone()),
                    Fact::Bucket(properties.clone()),
                )
            }));
        }
        for (subject, fact) in rows {
            catalog
                .edit(subject, fact, by.clone())
                .expect("a small catalog");
        }
        catalog
    }

    /// The first things that a steward does.
    pub fn open_office(&mut self, node: usize) {
        let seed = self.nodes[node].office.seed.clone();
        self.with_steward(node, |steward, now, effects| {
            steward.introduce(now, effects).expect("a small catalog");
            if let Some(seed) = seed.filter(|_| !steward.has_cluster()) {
                steward.on_seed(now, seed, effects);
            }
        });
    }

    /// The operator names another seed to those who wait for one that is dead.
    pub fn name_seeds(&mut self) {
        let founders = 0..self.stage.plan.founders;
        let alive = (founders.start..founders.end).find(|node| !self.nodes[*node].office.is_gone);
        let seed = alive.map(|node| self.nodes[node].id.clone());
        for node in 0..self.nodes.len() {
            let seed = seed.clone().expect("at most one dies for good");
            self.with_steward(node, |steward, now, effects| {
                if !steward.has_cluster() {
                    steward.on_seed(now, seed, effects);
                }
            });
        }
    }

    /// The steward's time has come.
    pub fn tick_steward(&mut self, node: usize) {
        let machine = self.nodes[node].machine.as_ref();
        let suspects = machine
            .map(|machine| machine.opinions())
            .unwrap_or_default();
        self.with_steward(node, |steward, now, effects| {
            steward.on_suspects(now, suspects);
            steward.tick(now, effects);
        });
        if self.mutant == Mutant::WritesIdly && self.queue.is_at_peace {
            let bytes = Bytes::from_static(b"again");
            drop(self.store(node, bytes, b"m/idle"));
        }
    }

    pub fn on_gossip(&mut self, from: usize, to: usize, letter: Bytes) {
        let gossip = Gossip::decode(letter).expect("what was sent can be read");
        let from = self.nodes[from].id.clone();
        self.trace.note(self.now_ms, &[b'l', to as u8], || {
            format!("n{to} <- {from} {}", shown(&gossip))
        });
        self.with_steward(to, |steward, now, effects| {
            steward.on_gossip(now, from, gossip, effects);
        });
    }

    /// A machine has moved a partition that far.
    pub fn on_progress(
        &mut self,
        node: usize,
        change: ChangeId,
        partition: PartitionId,
        stage: transfer::Stage,
    ) {
        let now = self.nodes[node].now(self.now_ms);
        self.trace.note(self.now_ms, &[b'm', node as u8], || {
            format!("n{node} has {stage:?} partition {partition:?} for change {change}")
        });
        let stage = match stage {
            transfer::Stage::Copied => Moved::Copied,
            transfer::Stage::Released => Moved::Released,
            transfer::Stage::Copying | transfer::Stage::Releasing => return,
        };
        if self.mutant == Mutant::HidesProgress {
            return;
        }
        if let Some(steward) = &mut self.nodes[node].office.steward {
            steward.on_moved(now, change, partition, stage);
            self.nodes[node].disturb();
        }
    }

    fn with_steward(
        &mut self,
        node: usize,
        turn: impl FnOnce(&mut Steward, Now, &mut Vec<Effect>),
    ) {
        let now = self.nodes[node].now(self.now_ms);
        let mut effects = Vec::new();
        let Some(steward) = &mut self.nodes[node].office.steward else {
            return;
        };
        turn(steward, now, &mut effects);
        self.nodes[node].disturb();
        if let Err(DiskFailed) = self.oblige(node, effects) {
            self.crash(node);
        }
    }

    fn oblige(&mut self, node: usize, effects: Vec<Effect>) -> Result<(), DiskFailed> {
        for effect in effects {
            match effect {
                Effect::Store(bytes) => self.store(node, bytes, CATALOG_KEY)?,
                Effect::Publish(snapshot) => self.publish(node, &snapshot),
                Effect::Send { to, gossip } => self.post(node, &to, &gossip),
                Effect::Tell(what) => {
                    self.trace
                        .note(self.now_ms, what.as_bytes(), || format!("n{node}: {what}"));
                }
            }
        }
        Ok(())
    }

    /// Applied and synced, and with it whatever was applied before.
    fn store(&mut self, node: usize, bytes: Bytes, key: &'static [u8]) -> Result<(), DiskFailed> {
        let mut batch = Batch::default();
        batch.put(Bytes::from_static(key), bytes);
        let mut disk = Handle(Rc::clone(&self.nodes[node].disk));
        let applied = disk.apply(batch);
        drop(self.nodes[node].disk.borrow_mut().take_log());
        applied.map_err(|_| DiskFailed)?;
        disk.sync().map_err(|_| DiskFailed)?;
        for (_, key, object) in std::mem::take(&mut self.nodes[node].process.unsynced) {
            self.history.on_synced(node, key, &object);
        }
        Ok(())
    }

    fn publish(&mut self, node: usize, snapshot: &Arc<Snapshot>) {
        self.on_view(node, snapshot);
        let placement = self.shown_placement(snapshot);
        if self.mutant == Mutant::LeaversDrop {
            self.drop_what_leaves(node, &snapshot.placement);
        }
        self.step(node, Event::Placement(placement), None);
        let buckets = Arc::new(snapshot.catalog.bucket_table());
        self.step(node, Event::Buckets(buckets), None);
        let is_paused = snapshot.catalog.policy().paused;
        self.step(node, Event::Pause(is_paused), None);
    }

    fn post(&mut self, from: usize, to: &NodeId, gossip: &Gossip) {
        let Some(to) = self.nodes.iter().position(|node| node.id == *to) else {
            return;
        };
        if self.mutant == Mutant::KeepsRowsBack && matches!(gossip, Gossip::Rows { .. }) {
            return;
        }
        let letter = gossip.encode();
        self.trace.note(self.now_ms, &letter, || {
            format!("n{from} -> n{to} {}", shown(gossip))
        });
        let is_up = self.nodes[to].is_up();
        let Route::Arrives { first, again } = self.network.route(from, to, is_up, &mut self.dice)
        else {
            return;
        };
        for delay_ms in std::iter::once(first).chain(again) {
            let letter = letter.clone();
            let happening = Happening::Letter { from, to, letter };
            self.queue.push(self.now_ms + delay_ms, happening);
        }
    }

    /// Somebody wants the members to change, or a newcomer arrives.
    pub fn reshape(&mut self) {
        match self.dice.random_range(0..9) {
            0..3 => self.arrive_new(),
            3 | 4 => self.let_leave(),
            5 => self.kill_for_good(),
            6 => self.cancel(),
            7 => self.resize(),
            _ => self.let_back(),
        }
        self.remove_the_gone(false);
        let pause_ms = self.dice.random_range(200..2_500);
        self.queue.push(self.now_ms + pause_ms, Happening::Reshape);
    }

    fn arrive_new(&mut self) {
        let awaited = self.nodes.iter().position(|node| node.office.is_awaited);
        let founders = self.stage.plan.founders;
        if let Some(node) = awaited {
            let seed = self.dice.random_range(0..founders);
            let seed = Some(self.nodes[seed].id.clone());
            let office = &mut self.nodes[node].office;
            (office.is_awaited, office.seed) = (false, seed);
            self.start(node);
        }
    }

    fn let_leave(&mut self) {
        if let Some(member) = self.any_member() {
            self.commit(&Wish::Leave(member.id), false);
        }
    }

    fn cancel(&mut self) {
        self.commit(&Wish::Cancel, false);
    }

    fn resize(&mut self) {
        if let Some(mut member) = self.any_member() {
            member.weight = 3 - member.weight.min(2);
            self.commit(&Wish::Resize(member), false);
        }
    }

    /// A node that has left, or was not let in by the policy.
    fn let_back(&mut self) {
        let known: Vec<NodeId> = self.nodes.iter().map(|node| node.id.clone()).collect();
        let node = known.choose(&mut self.dice).expect("not empty").clone();
        let is_gone = self.nodes.iter().any(|n| n.id == node && n.office.is_gone);
        if !is_gone {
            self.commit(&Wish::Join(BTreeSet::from([node])), false);
        }
    }

    fn any_member(&mut self) -> Option<Member> {
        let speaker = self.speaker()?;
        let steward = self.nodes[speaker].office.steward.as_ref()?;
        let placement = Arc::clone(&steward.snapshot().placement);
        placement.members().choose(&mut self.dice).cloned()
    }

    /// A node whose steward is asked: any that serves, and where operators make no mistakes a member, if there is one.
    fn speaker(&mut self) -> Option<usize> {
        let mut serving: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.serves(*node))
            .collect();
        if self.stage.plan.is_strict() && serving.iter().any(|node| self.takes_part(*node)) {
            serving.retain(|node| self.takes_part(*node));
        }
        // Two that commit at once are a fault of the operators: one change wins, and the other has moved keys.
        match self.stage.plan.is_strict() {
            true => serving.first().copied(),
            false => serving.choose(&mut self.dice).copied(),
        }
    }

    fn takes_part(&self, node: usize) -> bool {
        let steward = self.nodes[node].office.steward.as_ref();
        steward.is_none_or(Steward::takes_part)
    }

    fn commit(&mut self, wish: &Wish, force: bool) -> bool {
        let Some(speaker) = self.speaker() else {
            return false;
        };
        let nobody_knows_better =
            !(0..self.nodes.len()).any(|node| self.serves(node) && self.takes_part(node));
        let force = force || nobody_knows_better;
        let mut outcome = None;
        self.with_steward(speaker, |steward, now, effects| {
            outcome = Some(steward.commit(now, wish, None, force, effects));
        });
        let refusal = outcome.and_then(Result::err);
        self.trace.note(self.now_ms, b"commit", || match &refusal {
            None => format!("n{speaker} commits: {wish}"),
            Some(refusal) => format!("n{speaker} does not {wish}: {refusal}"),
        });
        refusal.is_none()
    }

    /// A member dies, disk and all. At most one in a run, and only where the others can do without.
    fn kill_for_good(&mut self) {
        let is_calm = self.stage.plan.faults.is_empty();
        if is_calm || self.nodes.iter().any(|node| node.office.is_gone) {
            return;
        }
        let Some(member) = self.any_member() else {
            return;
        };
        if !self.serves(self.stage.place(&member.id)) {
            return;
        }
        let most = self.stage.plan.buckets.values().map(|known| known.n).max();
        let serving = (0..self.nodes.len()).filter(|node| self.serves(*node));
        let left = serving.count().saturating_sub(1);
        if left <= usize::from(most.unwrap_or(0)) {
            return;
        }
        if self.is_the_last_to_stay(&member.id) {
            return; // Nobody could take its place.
        }
        let node = self.stage.place(&member.id);
        self.crash(node);
        self.trace.note(self.now_ms, &[b'k', node as u8], || {
            format!("n{node} is dead for good")
        });
        self.nodes[node].disk.borrow_mut().wipe();
        self.nodes[node].harm.wiped = true;
        self.nodes[node].office.is_gone = true;
    }

    /// Whether everybody else is on the way out.
    fn is_the_last_to_stay(&self, node: &NodeId) -> bool {
        let mut serving = (0..self.nodes.len()).filter(|node| self.serves(*node));
        let steward = serving
            .next()
            .and_then(|first| self.nodes[first].office.steward.as_ref());
        let change = steward.and_then(|steward| steward.snapshot().catalog.change());
        change.is_some_and(|change| change.members.iter().all(|member| member.id == *node))
    }

    /// Says so of those who will not come back.
    pub fn remove_the_gone(&mut self, force: bool) {
        let gone = self.nodes.iter().filter(|node| node.office.is_gone);
        let gone: Vec<NodeId> = gone.map(|node| node.id.clone()).collect();
        for node in gone {
            if !(self.dice.random_bool(0.5) || force) {
                continue;
            }
            let wish = match self.is_the_last_to_stay(&node) {
                true => Wish::Cancel,
                false => Wish::Remove(node),
            };
            self.commit(&wish, force);
        }
    }

    /// What the machine is told of a view; the view itself, unless a mutant says otherwise.
    pub fn shown_placement(&self, snapshot: &Snapshot) -> Arc<Placement> {
        let change = snapshot.catalog.change();
        match (self.mutant, change) {
            (Mutant::CountsPending, Some(change)) => Arc::new(super::views::switched(change)),
            (Mutant::ForgetsPrimaries, Some(change)) => Arc::new(super::views::forgetful(change)),
            _ => Arc::clone(&snapshot.placement),
        }
    }

    fn drop_what_leaves(&mut self, node: usize, placement: &Placement) {
        let id = &self.nodes[node].id;
        for (stored_at, key) in &self.stage.stored_at {
            let key = &self.stage.plan.keys[*key];
            let n = self.stage.buckets[key.bucket()].n;
            let goal = placement.goal(placement.partition_of(key), n);
            if !goal.contains(id) {
                self.nodes[node].disk.borrow_mut().forget(stored_at);
            }
        }
    }
}

/// Those that the cluster was created with.
pub fn founders(plan: &Plan) -> Vec<Member> {
    let founders = plan.nodes[..plan.founders].iter();
    founders.cloned().map(Member::new).collect()
}

pub fn partitions(plan: &Plan) -> Partitions {
    Partitions::new(plan.partitions).expect("in bounds")
}

fn shown(gossip: &Gossip) -> String {
    match gossip {
        Gossip::Rows { rows, hash, reply } => {
            let rows = Catalog::decode(rows.clone()).expect("our own rows are good");
            let change = rows
                .change()
                .map(|change| (change.version, change.log.last()));
            let progress = rows.progress();
            format!("rows of {hash:x}, {reply:?}: change {change:?}, progress {progress:?}")
        }
        other => format!("{other:?}"),
    }
}
