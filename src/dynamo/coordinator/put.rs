//! One put or delete, at the node that makes its dot: validate, merge if asked to, store, replicate.
//!
//! Dynamo 4.5 (the coordinator writes locally, sends to the others, succeeds after W). The local write is
//! the router's; this machine says when and what.
//!
//! Invariant: before `Step::Store` nothing was stored and every error says so; after it every error is
//! `Unknown` (law 8). A plugin that fails costs the merge, never the write (law 1).

use super::super::bucket::{Ack, Binding, Policy, Properties};
use super::super::causality::context::Context;
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::names::{ClientId, Digest, Millis, NodeId};
use super::super::reconcile::answer::{Answer, Judgement, shown};
use super::super::reconcile::question::{Ask, Question, canonical};
use super::super::reconcile::verdict::{Verdict as Resolution, believe, last_write_wins};
use super::super::replica::copy::{Coordinated, MergeInputs};
use super::quorum::{Quorum, Verdict};
use super::request::{PutError, PutReply, PutRequest, Resolved};

/// What the router has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Ask the guest, then call `on_answer`.
    Ask(Question),
    /// Read the local record and call `on_local`.
    ReadLocal,
    /// Coordinate this version on the local copy and call `on_stored`.
    Store(Box<Store>),
    Answer(Box<PutReply>),
    Fail(PutError),
}

/// A version that is ready for its dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Covers what the client has seen and what a merge took in.
    pub context: Context,
    pub version: Version,
    pub merge: Option<MergeInputs>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Validating,
    ReadingLocal,
    Merging(Merging),
    /// The merged version waits for the bucket's validator.
    ValidatingMerged {
        merging: Merging,
        store: Box<Store>,
        fuel: u64,
    },
    Storing,
    Replicating(Replicating),
    Done,
}

/// A merge on put: what goes in, and what it will cover.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Merging {
    siblings: Vec<Version>,
    tombstones: Vec<Version>,
    covered: Context,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Replicating {
    quorum: Quorum,
    coordinated: Box<Coordinated>,
}

/// A put on its way.
#[derive(Debug)]
pub struct Put {
    /// Who waits for the outcome.
    pub origin: Origin,
    pub request: PutRequest,
    pub deadline: Millis,
    me: NodeId,
    properties: Properties,
    replicas: usize,
    phase: Phase,
    resolved: Resolved,
}

/// Where a put came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Client(ClientId),
    /// Passed on by a node that keeps no copy of the key; it is not passed on again.
    Forwarded {
        from: NodeId,
        ticket: super::super::names::Ticket,
    },
}

impl Put {
    /// A put that this node, one of `replicas`, coordinates.
    pub fn start(
        origin: Origin,
        request: PutRequest,
        properties: Properties,
        me: NodeId,
        replicas: usize,
        deadline: Millis,
    ) -> Self {
        Self {
            origin,
            request,
            deadline,
            me,
            properties,
            replicas,
            phase: Phase::Validating,
            resolved: Resolved::Single,
        }
    }

    fn w(&self) -> u8 {
        self.request.w.unwrap_or(self.properties.w)
    }

    /// How a replica has to have the write before it says so.
    pub fn ack(&self) -> Ack {
        self.request.ack.unwrap_or(self.properties.ack)
    }

    /// The first step: deletes carry nothing to validate.
    pub fn begin(&mut self) -> Step {
        if Quorum::new(self.w(), self.replicas).verdict() == Verdict::Impossible {
            let (replicas, w) = (self.replicas, self.w());
            let reason = format!("the cluster has {replicas} replicas of this key, w is {w}");
            return self.fail(PutError::NotStored(reason));
        }
        match &self.properties.validator {
            Some(binding) if !self.request.version.is_tombstone() => {
                Step::Ask(self.validation(binding, &self.request.version))
            }
            _ => self.read_local(),
        }
    }

    fn validation(&self, binding: &Binding, version: &Version) -> Question {
        Question {
            key: self.request.key.clone(),
            binding: binding.clone(),
            ask: Ask::Validate(version.clone()),
        }
    }

    fn read_local(&mut self) -> Step {
        self.phase = Phase::ReadingLocal;
        Step::ReadLocal
    }

    /// With the local object in hand: store as it is, or merge first.
    pub fn on_local(&mut self, local: &Object) -> Step {
        if self.request.version.is_tombstone() {
            let context = self.delete_context(local);
            return self.store_plain(context);
        }
        let mut uncovered = local.clone();
        uncovered.discard(&self.request.context);
        if !self.properties.merge_on_put || uncovered.live().next().is_none() {
            return self.store_plain(self.request.context.clone());
        }
        self.merge(local, &uncovered)
    }

    /// A delete without a context deletes what this node holds; a concurrent write survives it.
    fn delete_context(&self, local: &Object) -> Context {
        match self.request.context.is_empty() {
            true => local.context(),
            false => self.request.context.clone(),
        }
    }

    fn merge(&mut self, local: &Object, uncovered: &Object) -> Step {
        let mut covered = self.request.context.clone();
        covered.join(&local.context());
        let mut siblings: Vec<Version> = uncovered.live().cloned().collect();
        siblings.push(self.request.version.clone());
        let merging = Merging {
            siblings: canonical(siblings),
            tombstones: uncovered
                .versions()
                .map(|(_, version)| version.clone())
                .filter(Version::is_tombstone)
                .collect(),
            covered,
        };
        match &self.properties.policy {
            Policy::Siblings => self.store_plain(self.request.context.clone()),
            Policy::LastWriteWins => self.merge_by_write_time(merging),
            Policy::Resolver(binding) => {
                let question = Question {
                    key: self.request.key.clone(),
                    binding: binding.clone(),
                    ask: Ask::Resolve(merging.siblings.clone()),
                };
                self.phase = Phase::Merging(merging);
                Step::Ask(question)
            }
        }
    }

    fn merge_by_write_time(&mut self, merging: Merging) -> Step {
        match last_write_wins(&merging.siblings) {
            Some(latest) => self.store_merged(merging.into_store(latest, None), None, 0),
            None => self.store_plain(self.request.context.clone()),
        }
    }

    /// A guest has answered, or failed to.
    pub fn on_answer(&mut self, answer: Answer) -> Step {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Validating => self.on_judged(answer),
            Phase::Merging(merging) => self.on_merged(merging, answer),
            Phase::ValidatingMerged {
                merging,
                store,
                fuel,
            } => self.on_merged_judged(&merging, store, fuel, answer),
            later => {
                self.phase = later; // It answered after its time.
                Step::Wait
            }
        }
    }

    fn on_judged(&mut self, answer: Answer) -> Step {
        match refusal(answer) {
            Ok(()) => self.read_local(),
            Err(error) => self.fail(error),
        }
    }

    fn on_merged(&mut self, merging: Merging, answer: Answer) -> Step {
        let Policy::Resolver(binding) = &self.properties.policy else {
            return self.store_plain(self.request.context.clone());
        };
        let limit = self.properties.value_bytes_max;
        match believe(answer, binding, &merging.siblings, limit) {
            Resolution::Siblings { reason } => self.keep_siblings(reason),
            Resolution::One { version, fuel } => {
                let by = Some(binding.digest);
                let store = merging.clone().into_store(version, by);
                self.check_merged(merging, store, by, fuel)
            }
        }
    }

    fn check_merged(
        &mut self,
        merging: Merging,
        store: Store,
        by: Option<Digest>,
        fuel: u64,
    ) -> Step {
        match &self.properties.validator {
            Some(validator) if !store.version.is_tombstone() => {
                let question = self.validation(validator, &store.version);
                let store = Box::new(store);
                self.phase = Phase::ValidatingMerged {
                    merging,
                    store,
                    fuel,
                };
                Step::Ask(question)
            }
            _ => self.store_merged(store, by, fuel),
        }
    }

    fn on_merged_judged(
        &mut self,
        _: &Merging,
        store: Box<Store>,
        fuel: u64,
        answer: Answer,
    ) -> Step {
        match refusal(answer) {
            Ok(()) => {
                let by = store.version.merged_by;
                self.store_merged(*store, by, fuel)
            }
            Err(error) => self.keep_siblings(format!("the merged value was not taken: {error}")),
        }
    }

    /// The write is kept beside the siblings that it could not be merged with.
    fn keep_siblings(&mut self, reason: String) -> Step {
        self.resolved = Resolved::Siblings { reason };
        self.store_plain(self.request.context.clone())
    }

    fn store_plain(&mut self, context: Context) -> Step {
        self.phase = Phase::Storing;
        Step::Store(Box::new(Store {
            context,
            version: self.request.version.clone(),
            merge: None,
        }))
    }

    fn store_merged(&mut self, store: Store, by: Option<Digest>, fuel: u64) -> Step {
        self.resolved = Resolved::Merged { by, fuel };
        self.phase = Phase::Storing;
        Step::Store(Box::new(store))
    }

    /// The local copy has the write; the router sends it to the other replicas.
    pub fn on_stored(&mut self, coordinated: Coordinated) {
        self.phase = Phase::Replicating(Replicating {
            quorum: Quorum::new(self.w(), self.replicas),
            coordinated: Box::new(coordinated),
        });
    }

    pub fn on_ack(&mut self, from: NodeId) -> Step {
        match &mut self.phase {
            Phase::Replicating(replicating) => match replicating.quorum.count(from) {
                Verdict::Reached => self.answer(),
                Verdict::Pending | Verdict::Impossible => Step::Wait,
            },
            _ => Step::Wait,
        }
    }

    pub fn on_failure(&mut self, from: NodeId) -> Step {
        match &mut self.phase {
            Phase::Replicating(replicating) => match replicating.quorum.count_failure(from) {
                Verdict::Impossible => self.unknown("the others could not be reached".to_owned()),
                Verdict::Pending | Verdict::Reached => Step::Wait,
            },
            _ => Step::Wait,
        }
    }

    /// Time is up. A guest that is late costs the merge; replicas that are late leave the outcome open.
    pub fn on_deadline(&mut self) -> Step {
        match &self.phase {
            Phase::Replicating(_) => self.unknown("the deadline passed".to_owned()),
            Phase::Done => Step::Wait,
            _ => self.fail(PutError::NotStored("the deadline passed".to_owned())),
        }
    }

    fn answer(&mut self) -> Step {
        let Phase::Replicating(replicating) = std::mem::replace(&mut self.phase, Phase::Done)
        else {
            return Step::Wait;
        };
        let object = &replicating.coordinated.object;
        let siblings = object.live().count();
        let seen_all = object.versions().count() == 1;
        let dot = replicating.coordinated.dot;
        let merged = match &self.resolved {
            Resolved::Merged { .. } => object.version(dot).cloned(),
            Resolved::Single | Resolved::Siblings { .. } => None,
        };
        let mut context = if seen_all {
            object.context()
        } else {
            Context::default()
        };
        context.fastest = Some(self.me.clone());
        Step::Answer(Box::new(PutReply {
            dot,
            context,
            siblings,
            merged,
            resolved: std::mem::replace(&mut self.resolved, Resolved::Single),
            replicas_answered: replicating.quorum.answered(),
            primaries_answered: replicating.quorum.answered(),
            coordinator: self.me.clone(),
        }))
    }

    fn unknown(&mut self, reason: String) -> Step {
        let (acknowledged, needed) = match &self.phase {
            Phase::Replicating(replicating) => {
                (replicating.quorum.answered(), replicating.quorum.needed())
            }
            _ => (0, usize::from(self.w())),
        };
        self.fail(PutError::Unknown {
            acknowledged,
            needed,
            reason,
        })
    }

    fn fail(&mut self, error: PutError) -> Step {
        self.phase = Phase::Done;
        Step::Fail(error)
    }
}

impl Merging {
    /// The merged version, covering all that went into it.
    fn into_store(self, version: Version, merged_by: Option<Digest>) -> Store {
        let mut inputs = self.siblings;
        inputs.extend(self.tombstones);
        Store {
            context: self.covered,
            version,
            merge: Some(MergeInputs { merged_by, inputs }),
        }
    }
}

/// A validator that says nothing usable refuses: the bucket fails closed.
fn refusal(answer: Answer) -> Result<(), PutError> {
    match answer {
        Answer::Judged {
            judgement: Judgement::Accepted,
            ..
        } => Ok(()),
        Answer::Judged {
            judgement: Judgement::Refused { code, message },
            ..
        } => Err(PutError::Refused {
            code: shown(&code),
            message: shown(&message),
        }),
        Answer::Failed(failure) => Err(PutError::Unvalidated(failure.to_string())),
        Answer::Resolved { .. } => Err(PutError::Unvalidated(
            "a resolver answered instead".to_owned(),
        )),
    }
}
