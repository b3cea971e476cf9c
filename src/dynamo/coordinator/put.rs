//! One put or delete, at the node that makes its dot: validate, merge if asked to, store, replicate.
//!
//! Dynamo 4.5 (the coordinator writes locally, sends to the others, succeeds after W). The local write is
//! the router's; this machine says when and what.
//!
//! Invariant: before `Step::Store` nothing was stored and every error says so; after it every error is
//! `Unknown` (law 8). A plugin that fails costs the merge, never the write (law 1): a resolver has half of the
//! client's time, so that what is left is enough to store and replicate without it.

use super::super::bucket::{Ack, Binding, Policy, Properties};
use super::super::causality::context::Context;
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::names::{ClientId, Millis, NodeId, Ticket};
use super::super::reconcile::answer::{Answer, Judgement, shown};
use super::super::reconcile::question::{Ask, Question};
use super::super::replica::copy::Coordinated;
use super::merge::{Merge, Store};
use super::quorum::{Quorum, Verdict};
use super::request::{PutError, PutReply, PutRequest, Resolved};

/// What the router has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Ask the guest, then call `on_answer`.
    Ask(Box<Question>),
    /// Read the local record and call `on_local`.
    ReadLocal,
    /// Coordinate this version on the local copy and call `on_stored`.
    Store(Box<Store>),
    Answer(Box<PutReply>),
    Fail(PutError),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Validating,
    ReadingLocal,
    Merging(Merge),
    /// The merged version waits for the bucket's validator.
    ValidatingMerged {
        store: Box<Store>,
        fuel: u64,
    },
    Storing,
    Replicating(Replicating),
    Done,
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
    /// From here on no resolver is waited for.
    merge_by: Millis,
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
        ticket: Ticket,
    },
}

impl Put {
    /// A put that this node, one of `replicas`, coordinates between now and its deadline.
    pub fn start(
        origin: Origin,
        request: PutRequest,
        properties: Properties,
        me: NodeId,
        replicas: usize,
        (now, deadline): (Millis, Millis),
    ) -> Self {
        Self {
            origin,
            request,
            deadline,
            merge_by: now.after(deadline.since(now) / 2),
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
                Step::Ask(Box::new(self.validation(binding, &self.request.version)))
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
        let now = self.request.version.written_at_ms;
        if !self.properties.merge_on_put || uncovered.live(now).next().is_none() {
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
        let PutRequest {
            key,
            context,
            version,
            ..
        } = &self.request;
        let merge = Merge::of(version.clone(), context, local, uncovered);
        match &self.properties.policy {
            Policy::Siblings => self.store_plain(context.clone()),
            Policy::LastWriteWins => match merge.by_write_time(version.written_at_ms) {
                Some(store) => self.store_merged(store, 0),
                None => self.store_plain(context.clone()),
            },
            Policy::Resolver(binding) => {
                let question = merge.question(key.clone(), binding.clone());
                self.phase = Phase::Merging(merge);
                Step::Ask(Box::new(question))
            }
        }
    }

    /// A guest has answered, or failed to.
    pub fn on_answer(&mut self, answer: Answer) -> Step {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Validating => self.on_judged(answer),
            Phase::Merging(merge) => self.on_merged(merge, answer),
            Phase::ValidatingMerged { store, fuel } => self.on_merged_judged(*store, fuel, answer),
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

    fn on_merged(&mut self, merge: Merge, answer: Answer) -> Step {
        let Policy::Resolver(binding) = &self.properties.policy else {
            return self.store_plain(self.request.context.clone());
        };
        match merge.by_resolver(answer, binding, self.properties.value_bytes_max) {
            Ok((store, fuel)) => self.check_merged(store, fuel),
            Err(reason) => self.keep_siblings(reason),
        }
    }

    fn check_merged(&mut self, store: Store, fuel: u64) -> Step {
        match &self.properties.validator {
            Some(validator) if !store.version.is_tombstone() => {
                let question = self.validation(validator, &store.version);
                let store = Box::new(store);
                self.phase = Phase::ValidatingMerged { store, fuel };
                Step::Ask(Box::new(question))
            }
            _ => self.store_merged(store, fuel),
        }
    }

    fn on_merged_judged(&mut self, store: Store, fuel: u64, answer: Answer) -> Step {
        match refusal(answer) {
            Ok(()) => self.store_merged(store, fuel),
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

    fn store_merged(&mut self, store: Store, fuel: u64) -> Step {
        let by = store.merge.as_ref().and_then(|merge| merge.merged_by);
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

    /// The engine failed half-way: the local copy may have the write.
    pub fn on_maybe_stored(&mut self, reason: String) -> Step {
        self.unknown(reason)
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

    /// When `on_timer` is due.
    pub fn wakes_at(&self) -> Millis {
        match &self.phase {
            Phase::Merging(_) | Phase::ValidatingMerged { .. } => self.merge_by,
            _ => self.deadline,
        }
    }

    /// Time is up. A guest that is late costs the merge; replicas that are late leave the outcome open.
    pub fn on_timer(&mut self) -> Step {
        match &self.phase {
            Phase::Merging(_) | Phase::ValidatingMerged { .. } => {
                self.keep_siblings("the resolver did not answer in time".to_owned())
            }
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
        let siblings = object.live(self.request.version.written_at_ms).count();
        let dot = replicating.coordinated.dot;
        let merged = match &self.resolved {
            Resolved::Merged { .. } => object.version(dot).cloned(),
            Resolved::Single | Resolved::Siblings { .. } => None,
        };
        let mut context = self.seen(&replicating.coordinated);
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
            warnings: Vec::new(),
        }))
    }

    /// What the client has now seen: what it had seen before, and its own write where a clock can say so.
    ///
    /// Neither the siblings that remain nor what a merge took in: a client that builds its next value on its
    /// last one, without looking at the reply, would drop them with the next put.
    fn seen(&self, coordinated: &Coordinated) -> Context {
        let Coordinated { dot, object, .. } = coordinated;
        let mut context = self.request.context.clone();
        if coordinated.replaced.is_some() {
            return context;
        }
        if object.versions().count() == 1 {
            return object.context();
        }
        if context.count_of(dot.actor) + 1 == dot.counter {
            context.join(&Context::from_clock([(dot.actor, dot.counter)].into_iter()));
        }
        context
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
