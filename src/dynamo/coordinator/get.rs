//! One get: ask the first N healthy nodes, wait for R, merge, let the policy choose, answer, repair the stale.
//!
//! Dynamo 4.5, 4.6 and 5 (the state machine of a read, read repair). Stores nothing but what a replica lacks.
//!
//! Invariant: the resolved value goes to the client alone (law 6); a replica is sent stored versions only.

use super::super::bucket::{Policy, Properties};
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::names::{ClientId, Key, Millis, NodeId};
use super::super::reconcile::answer::Answer;
use super::super::reconcile::question::{Ask, Question, canonical_siblings};
use super::super::reconcile::verdict::{Verdict as Resolution, believe, last_write_wins};
use super::panel::Panel;
use super::quorum::Verdict;
use super::request::{GetError, GetReply, Resolved};
use super::seat::Errand;
use super::slice::{out_of_time, resolve_by};
use std::collections::BTreeMap;

/// What the router has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Ask the resolver, then call `on_resolved`.
    Reconcile(Box<Question>),
    Answer(Box<GetReply>),
    Fail(GetError),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Gathering,
    Reconciling {
        siblings: Vec<Version>,
        /// When the resolver was asked, and until when it is waited for.
        slice: (Millis, Millis),
        /// Replicas whose answers are in there, and how many of them are primaries.
        replicas: (usize, usize),
    },
    /// The client has its answer; stragglers may still show that they are stale.
    Answered,
}

/// A get on its way.
#[derive(Debug)]
pub struct Get {
    pub client: ClientId,
    pub key: Key,
    pub deadline: Millis,
    /// When it began: what had expired then is not shown, and last-write-wins believes no time that lies far ahead.
    wall_ms: u64,
    properties: Properties,
    panel: Panel,
    errands: Vec<Errand>,
    /// When those who are silent get somebody beside them, and how long a spell of waiting is.
    late: (Millis, u64),
    /// What each replica that answered holds.
    replies: BTreeMap<NodeId, Object>,
    /// What the client is shown. Frozen once decided: a reply's context must not cover what came later.
    merged: Object,
    fastest: Option<NodeId>,
    phase: Phase,
}

impl Get {
    /// A get that asks a panel, and after each so many milliseconds of silence one more node.
    pub fn start(
        client: ClientId,
        key: Key,
        properties: Properties,
        panel: Panel,
        late: (Millis, u64),
        (wall_ms, deadline): (u64, Millis),
    ) -> Self {
        Self {
            client,
            key,
            deadline,
            wall_ms,
            properties,
            errands: panel.errands(),
            panel,
            late,
            replies: BTreeMap::new(),
            merged: Object::default(),
            fastest: None,
            phase: Phase::Gathering,
        }
    }

    /// Whom the router has to ask, each once.
    pub fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    /// Fails at once where the cluster is too small for R.
    pub fn check(&self) -> Step {
        self.on_verdict(Verdict::Pending)
    }

    pub fn on_reply(&mut self, from: NodeId, object: Object) -> Step {
        if self.replies.contains_key(&from) || !self.panel.asks(&from) {
            return Step::Wait; // The network delivered it twice.
        }
        self.fastest.get_or_insert_with(|| from.clone());
        if self.phase == Phase::Gathering {
            self.merged.sync(object.clone());
        }
        let verdict = self.panel.on_answer(&from, !object.is_empty());
        self.replies.insert(from, object);
        self.advance(verdict)
    }

    pub fn on_failure(&mut self, from: &NodeId) -> Step {
        let (verdict, errand) = self.panel.on_failure(from);
        self.errands.extend(errand);
        self.advance(verdict)
    }

    /// Somebody has too much to do.
    pub fn on_overloaded(&mut self, from: &NodeId) -> Step {
        let (verdict, errand) = self.panel.on_overloaded(from);
        self.errands.extend(errand);
        self.advance(verdict)
    }

    fn advance(&mut self, verdict: Verdict) -> Step {
        if self.phase != Phase::Gathering {
            return Step::Wait; // Decided; the reply only counts for repair.
        }
        match verdict {
            Verdict::Reached if self.merged.has_siblings(self.wall_ms) => self.reconcile(),
            Verdict::Reached => {
                let versions = self.merged.live(self.wall_ms).cloned().collect();
                self.answer(versions, Resolved::Single)
            }
            other => self.on_verdict(other),
        }
    }

    fn on_verdict(&self, verdict: Verdict) -> Step {
        if verdict != Verdict::Impossible && self.panel.verdict() != Verdict::Impossible {
            return Step::Wait;
        }
        Step::Fail(GetError::too_few(&self.panel))
    }

    fn reconcile(&mut self) -> Step {
        let siblings = canonical_siblings(&self.merged, self.wall_ms);
        if let Some(reason) = self.properties.paused() {
            return self.answer(siblings, Resolved::Siblings { reason });
        }
        match &self.properties.policy {
            Policy::Siblings if siblings.len() == 1 => self.answer(siblings, Resolved::Single),
            Policy::Siblings => {
                let reason = "the bucket has no resolver".to_owned();
                self.answer(siblings, Resolved::Siblings { reason })
            }
            Policy::LastWriteWins => {
                let latest = last_write_wins(&siblings, self.wall_ms)
                    .into_iter()
                    .collect();
                self.answer(latest, Resolved::Merged { by: None, fuel: 0 })
            }
            Policy::Resolver(binding) if siblings.len() == 1 => {
                let by = Some(binding.digest);
                self.answer(siblings, Resolved::Merged { by, fuel: 0 })
            }
            Policy::Resolver(binding) => {
                let question = Question {
                    key: self.key.clone(),
                    binding: binding.clone(),
                    ask: Ask::Resolve(siblings.clone()),
                };
                let replicas = self.counted();
                let slice = (self.deadline, self.deadline); // Until `on_asked`.
                self.phase = Phase::Reconciling {
                    siblings,
                    slice,
                    replicas,
                };
                Step::Reconcile(Box::new(question))
            }
        }
    }

    pub fn on_resolved(&mut self, answer: Answer) -> Step {
        let Phase::Reconciling { siblings, .. } = &self.phase else {
            return Step::Wait; // It answered after its time.
        };
        let Policy::Resolver(binding) = &self.properties.policy else {
            return Step::Wait;
        };
        let limit = self.properties.value_bytes_max;
        let digest = binding.digest;
        match believe(answer, binding, siblings, limit) {
            Resolution::One { version, fuel } => {
                let versions = if version.is_tombstone() {
                    vec![]
                } else {
                    vec![version]
                };
                let by = Some(digest);
                self.answer(versions, Resolved::Merged { by, fuel })
            }
            Resolution::Siblings { reason } => {
                let siblings = siblings.clone();
                self.answer(siblings, Resolved::Siblings { reason })
            }
        }
    }

    /// The resolver was asked; says until when it is waited for.
    pub fn on_asked(&mut self, now: Millis) -> Millis {
        let deadline = self.deadline;
        let Some(binding) = self.properties.policy.resolver() else {
            return deadline;
        };
        let until = resolve_by(now, deadline, binding);
        if let Phase::Reconciling { slice, .. } = &mut self.phase {
            *slice = (now, until);
        }
        until
    }

    fn counted(&self) -> (usize, usize) {
        (self.panel.answered(), self.panel.primaries_answered())
    }

    /// When `on_timer` is due, as long as the client has no answer.
    pub fn wakes_at(&self) -> Millis {
        match &self.phase {
            Phase::Gathering if self.panel.is_worth_waking() => self.late.0.min(self.deadline),
            Phase::Reconciling { slice, .. } => slice.1.min(self.deadline),
            _ => self.deadline,
        }
    }

    /// Time has passed: the client's, or only a spell of waiting.
    pub fn on_timer(&mut self, now: Millis) -> Step {
        if now >= self.deadline || self.phase != Phase::Gathering {
            return self.on_deadline();
        }
        self.late.0 = now.after(self.late.1.max(1));
        self.errands.extend(self.panel.on_late());
        Step::Wait
    }

    /// Who has been waited for in vain.
    pub fn silent(&self) -> Vec<NodeId> {
        self.panel.silent()
    }

    pub fn asks(&self, node: &NodeId) -> bool {
        self.panel.asks(node)
    }

    /// The client's time is over, or the resolver's: siblings without its word are still an answer.
    fn on_deadline(&mut self) -> Step {
        match &self.phase {
            Phase::Gathering => Step::Fail(GetError::deadline(&self.panel)),
            Phase::Reconciling {
                siblings, slice, ..
            } => {
                let late = self
                    .properties
                    .policy
                    .resolver()
                    .map(|binding| out_of_time(binding, *slice).to_string());
                let reason = late.unwrap_or_default();
                let siblings = siblings.clone();
                self.answer(siblings, Resolved::Siblings { reason })
            }
            Phase::Answered => Step::Wait,
        }
    }

    fn answer(&mut self, versions: Vec<Version>, resolved: Resolved) -> Step {
        let (replicas, primaries) = match std::mem::replace(&mut self.phase, Phase::Answered) {
            Phase::Reconciling { replicas, .. } => replicas,
            Phase::Gathering | Phase::Answered => self.counted(),
        };
        let mut context = self.merged.context();
        context.fastest = self.fastest.clone();
        let siblings = self.merged.versions();
        Step::Answer(Box::new(GetReply {
            versions,
            resolved,
            context,
            siblings: siblings
                .map(|(dot, version)| (dot, version.clone()))
                .collect(),
            replicas_answered: replicas,
            primaries_answered: primaries,
        }))
    }

    pub fn is_answered(&self) -> bool {
        self.phase == Phase::Answered
    }

    /// Everyone has spoken: nothing is gained by waiting longer.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Answered && self.panel.is_complete()
    }

    /// The primaries that lack something of what was gathered, and the object that they lack it of.
    ///
    /// A repair is a merge like any other write: to an equal state it is none (5, read repair).
    pub fn stale(&self) -> (Vec<NodeId>, Object) {
        if self.replies.values().all(|held| *held == self.merged) {
            return (Vec::new(), Object::default()); // By far the most common case.
        }
        let mut gathered = self.merged.clone();
        for held in self.replies.values() {
            gathered.sync(held.clone());
        }
        // Who stands in keeps nothing for itself.
        let lacks =
            |(node, held): &(&NodeId, &Object)| self.panel.is_primary(node) && **held != gathered;
        let stale = self
            .replies
            .iter()
            .filter(lacks)
            .map(|(node, _)| node.clone());
        (stale.collect(), gathered)
    }
}
