//! The steward of one node: keeps its catalog, gossips, commits changes of the members, follows the policy.
//!
//! Dynamo 4.8. One per node, beside the shards; told of time and messages, it says what is to be sent and stored.
//! Moves no data: the shards do, and tell it how far they are.
//!
//! Invariant: a catalog is stored before it is published, and published before the others hear of it.

use super::super::metadata::catalog::{Catalog, EditError};
use super::super::metadata::facts::NodeFacts;
use super::super::metadata::row::{Fact, Subject};
use super::super::names::{Millis, NodeId, Now};
use super::super::ring::change::ChangeId;
use super::super::ring::partition::PartitionId;
use super::gossip::{Gossip, Reply};
use super::opinions::{Opinions, Suspicion};
use super::plan::{Asked, Plan, PlanError, Wish, plan};
use super::snapshot::{CommitError, Effect, Identity, Snapshot, Stage, placement_of};
use crate::limits::{GOSSIP_INTERVAL_MS, POLICY_INTERVAL_MS, PROGRESS_INTERVAL_MS};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The steward of one node.
#[derive(Debug)]
pub struct Steward {
    pub(super) identity: Identity,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) now: Now,
    pub(super) opinions: Opinions,
    pub(super) suspects: BTreeMap<NodeId, u64>,
    /// What the others last said their catalog was, and when.
    pub(super) heard: BTreeMap<NodeId, (u64, Millis)>,
    /// When a node that wants to join was first heard of.
    pub(super) knocked: BTreeMap<NodeId, Millis>,
    pub(super) seeds: BTreeSet<NodeId>,
    /// Known nodes that have not heard of this one: they have lost their disks, or the news of it.
    pub(super) forgetful: BTreeSet<NodeId>,
    /// What the shards have told of the change that is under way, for as long as the process lives.
    pub(super) moved: Vec<(ChangeId, PartitionId, Stage)>,
    pub(super) timers: Timers,
    pub(super) dice: u64,
}

#[derive(Debug)]
pub(super) struct Timers {
    pub(super) gossip: Millis,
    pub(super) policy: Millis,
    pub(super) progress: Option<Millis>,
}

impl Steward {
    /// With the catalog that the disk holds, or the first of a cluster, or an empty one.
    pub fn new(identity: Identity, catalog: Catalog, seed: u64, now: Now) -> Self {
        let placement = Arc::new(placement_of(&catalog, &identity, None));
        Self {
            snapshot: Snapshot::of(catalog, placement),
            identity,
            now,
            opinions: Opinions::default(),
            suspects: BTreeMap::new(),
            heard: BTreeMap::new(),
            knocked: BTreeMap::new(),
            seeds: BTreeSet::new(),
            forgetful: BTreeSet::new(),
            moved: Vec::new(),
            timers: Timers {
                gossip: now.monotonic.after(seed % GOSSIP_INTERVAL_MS),
                policy: now.monotonic.after(POLICY_INTERVAL_MS),
                progress: None,
            },
            dice: seed,
        }
    }

    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Whether the node has been told of a cluster, be it as one of its members or not.
    pub fn has_cluster(&self) -> bool {
        self.snapshot.catalog.change().is_some()
    }

    /// When `tick` is due.
    pub fn next_deadline(&self) -> Millis {
        let due = self.timers.gossip.min(self.timers.policy);
        self.timers.progress.map_or(due, |at| due.min(at))
    }

    /// Nodes whose catalog was equal to this one's when they last spoke, this one included.
    pub fn agreeing(&self) -> usize {
        let hash = self.snapshot.hash;
        1 + self
            .heard
            .values()
            .filter(|(theirs, _)| *theirs == hash)
            .count()
    }

    /// Makes known where this node is found now, if the catalog says otherwise.
    pub fn introduce(&mut self, now: Now, effects: &mut Vec<Effect>) -> Result<(), EditError> {
        let mine = NodeFacts {
            wants_to_join: false,
            ..self.identity.facts.clone()
        };
        let known = self.snapshot.catalog.node(&self.identity.me);
        let is_known = known.is_some_and(|known| {
            NodeFacts {
                wants_to_join: false,
                ..known.clone()
            } == mine
        });
        if is_known || !self.has_cluster() {
            return Ok(());
        }
        let subject = Subject::Node(self.identity.me.clone());
        self.edit(now, vec![(subject, Fact::Node(mine))], effects)
    }

    /// Edits rows here and tells everybody.
    pub fn edit(
        &mut self,
        now: Now,
        rows: Vec<(Subject, Fact)>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), EditError> {
        self.now = now;
        let mut catalog = Catalog::clone(&self.snapshot.catalog);
        let mut subjects = Vec::new();
        for (subject, fact) in rows {
            catalog.edit(subject.clone(), fact, self.identity.me.clone())?;
            subjects.push(subject);
        }
        self.adopt(catalog, effects);
        self.tell_everybody(&subjects, effects);
        Ok(())
    }

    /// What a change would be, and cost.
    pub fn plan(&self, wish: &Wish, asked: Asked) -> Result<Plan, PlanError> {
        let Snapshot {
            catalog, placement, ..
        } = &*self.snapshot;
        plan(catalog, placement, wish, asked)
    }

    /// Makes it so. `expected` is the version that a plan was looked at for; none: whatever it is.
    pub fn commit(
        &mut self,
        now: Now,
        wish: &Wish,
        expected: Option<u64>,
        force: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<Plan, CommitError> {
        let asked = Asked {
            by: self.identity.me.clone(),
            at_ms: now.wall_ms,
            force,
        };
        let plan = self.plan(wish, asked)?;
        if !force && !self.takes_part() {
            return Err(CommitError::Outsider(self.identity.me.clone()));
        }
        if let Some(expected) = expected.filter(|expected| *expected != plan.change.version) {
            let found = plan.change.version;
            return Err(CommitError::Overtaken { expected, found });
        }
        let change = Box::new(plan.change.clone());
        let mut rows = vec![(Subject::Change, Fact::Change(change))];
        rows.extend(self.consequences(wish));
        self.edit(now, rows, effects)?;
        let version = plan.change.version;
        effects.push(Effect::Tell(format!(
            "change {version} of the members: {wish}"
        )));
        Ok(plan)
    }

    /// Whether members that give copies away wait until this node knows of it.
    pub fn takes_part(&self) -> bool {
        let (me, snapshot) = (&self.identity.me, &self.snapshot);
        let change = snapshot.catalog.change();
        let is_dead = change.is_some_and(|change| change.dead.contains(me));
        snapshot.placement.nodes().contains(me) && !is_dead
    }

    /// Who has left does not come back by itself, and what was stopped does not start again.
    fn consequences(&self, wish: &Wish) -> Option<(Subject, Fact)> {
        let catalog = &self.snapshot.catalog;
        match wish {
            Wish::Leave(node) | Wish::Remove(node) | Wish::Replace { gone: node, .. } => {
                let mut facts = catalog.node(node)?.clone();
                facts.wants_to_join = false;
                Some((Subject::Node(node.clone()), Fact::Node(facts)))
            }
            Wish::Cancel => {
                let mut policy = catalog.policy();
                policy.auto_join = false;
                Some((Subject::Policy, Fact::Policy(policy)))
            }
            Wish::Join(_) | Wish::Resize(_) => None,
        }
    }

    /// A shard has moved a partition that far, for this change.
    pub fn on_moved(&mut self, now: Now, change: ChangeId, partition: PartitionId, stage: Stage) {
        self.now = now;
        self.moved.push((change, partition, stage));
        let at = now.monotonic.after(PROGRESS_INTERVAL_MS);
        self.timers.progress.get_or_insert(at);
    }

    /// Whom the shards of this node do not reach, in place of what they said before.
    pub fn on_suspects(&mut self, now: Now, suspects: Vec<Suspicion>) {
        self.now = now;
        let me = self.identity.me.clone();
        self.opinions.note(me, suspects.clone(), now.monotonic);
        self.suspects = suspects.into_iter().collect();
    }

    /// Whom the nodes do not reach: by name, who says so, and for how many milliseconds.
    pub fn suspected(&self, now: Now) -> BTreeMap<NodeId, Vec<Suspicion>> {
        self.opinions.all(now.monotonic)
    }

    /// A node that the configuration names as a seed can be spoken to (4.8.2).
    pub fn on_seed(&mut self, now: Now, seed: NodeId, effects: &mut Vec<Effect>) {
        self.now = now;
        self.seeds.insert(seed.clone());
        if !self.has_cluster() {
            self.knock_at(seed, effects);
        }
    }

    /// Shows the token to a node that may not have heard of this one.
    pub(super) fn knock_at(&self, to: NodeId, effects: &mut Vec<Effect>) {
        let Some(token) = self.identity.token.clone() else {
            return;
        };
        let facts = match self.snapshot.catalog.node(&self.identity.me) {
            // Whoever has left does not ask to be let in again.
            Some(known) => known.clone(),
            None => NodeFacts {
                wants_to_join: true,
                ..self.identity.facts.clone()
            },
        };
        let gossip = Gossip::Knock { facts, token };
        effects.push(Effect::Send { to, gossip });
    }

    pub fn on_gossip(&mut self, now: Now, from: NodeId, gossip: Gossip, effects: &mut Vec<Effect>) {
        self.now = now;
        match gossip {
            Gossip::Knock { facts, token } => self.on_knock(from, facts, &token, effects),
            Gossip::Refused { why } => {
                effects.push(Effect::Tell(format!(
                    "{from} does not let this node in: {why}"
                )));
                if self.has_cluster() && self.knows(&from) {
                    self.forgetful.insert(from); // Knocked at in the next round, so that two do not refuse each other without end.
                }
            }
            _ if !self.knows(&from) => self.refuse(from, "it has not heard of you", effects),
            Gossip::Digest {
                hash,
                suspects,
                is_answer,
            } => {
                self.hear(&from, hash);
                self.opinions.note(from.clone(), suspects, now.monotonic);
                if !is_answer {
                    self.answer_digest(from, hash, effects);
                }
            }
            Gossip::Rows { rows, hash, reply } => self.on_rows(from, rows, hash, reply, effects),
        }
    }

    /// A newcomer believes the seeds that it was given; a member believes those of whom it has heard.
    fn knows(&self, node: &NodeId) -> bool {
        match self.has_cluster() {
            true => {
                let nodes = self.snapshot.placement.nodes(); // In ascending order.
                let is_member = nodes.binary_search(node).is_ok();
                is_member || self.snapshot.catalog.node(node).is_some()
            }
            false => self.seeds.contains(node),
        }
    }

    fn hear(&mut self, from: &NodeId, hash: u64) {
        let at = self.now.monotonic;
        self.heard.insert(from.clone(), (hash, at));
    }

    fn answer_digest(&mut self, to: NodeId, theirs: u64, effects: &mut Vec<Effect>) {
        let gossip = match theirs == self.snapshot.hash {
            true => self.digest(true),
            false => self.rows(None, Reply::Rows),
        };
        effects.push(Effect::Send { to, gossip });
    }

    fn on_rows(
        &mut self,
        from: NodeId,
        rows: Bytes,
        theirs: u64,
        reply: Reply,
        effects: &mut Vec<Effect>,
    ) {
        let incoming = match Catalog::decode(rows) {
            Ok(incoming) => incoming,
            Err(error) => {
                let what = format!("rows of {from} are not believed: they {error}");
                return effects.push(Effect::Tell(what));
            }
        };
        let mut catalog = Catalog::clone(&self.snapshot.catalog);
        let merged = catalog.merge(incoming);
        if let Err(error) = &merged {
            let what = format!("rows of {from} are not taken: {error}");
            effects.push(Effect::Tell(what));
        }
        if merged == Ok(true) {
            self.adopt(catalog, effects);
            if !self.moved.is_empty() {
                // A row of an earlier life of this node may have taken the place of what it has told since.
                let at = self.now.monotonic.after(PROGRESS_INTERVAL_MS);
                self.timers.progress.get_or_insert(at);
            }
        }
        self.hear(&from, theirs);
        let is_equal = theirs == self.snapshot.hash;
        let gossip = match reply {
            Reply::Nothing => return,
            Reply::Difference if !is_equal => self.rows(None, Reply::Rows),
            Reply::Rows if !is_equal => self.rows(None, Reply::Hash),
            Reply::Difference | Reply::Rows | Reply::Hash => self.digest(true),
        };
        effects.push(Effect::Send { to: from, gossip });
    }

    fn on_knock(
        &mut self,
        from: NodeId,
        facts: NodeFacts,
        token: &[u8],
        effects: &mut Vec<Effect>,
    ) {
        let admits = self
            .identity
            .token
            .as_ref()
            .is_some_and(|ours| is_equal(ours, token));
        if !admits {
            effects.push(Effect::Tell(format!(
                "{from} wants to join without the token; ignored"
            )));
            return self.refuse(from, "the join token is not this cluster's", effects);
        }
        if !self.has_cluster() {
            return; // It waits to be let in itself.
        }
        if self.snapshot.catalog.node(&from) != Some(&facts) {
            let rows = vec![(Subject::Node(from.clone()), Fact::Node(facts))];
            if let Err(error) = self.edit(self.now, rows, effects) {
                return self.refuse(from, &error.to_string(), effects);
            }
        }
        let gossip = self.rows(None, Reply::Hash);
        effects.push(Effect::Send { to: from, gossip });
    }

    fn refuse(&self, to: NodeId, why: &str, effects: &mut Vec<Effect>) {
        let why = why.to_owned();
        let gossip = Gossip::Refused { why };
        effects.push(Effect::Send { to, gossip });
    }
}

/// Takes equally long wherever two secrets differ.
fn is_equal(ours: &[u8], theirs: &[u8]) -> bool {
    let differing = ours.iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
    ours.len() == theirs.len() && differing == 0
}
