//! One put or delete, at the node that makes its dot: validate, merge if asked to, store, replicate.
//!
//! Dynamo 4.5, 4.6 (the coordinator writes locally, sends to the others, succeeds after W). After its answer it
//! waits a little for the stragglers, so that what they miss can be kept for them. The local write is
//! the router's; this machine says when and what.
//!
//! Invariant: before `Step::Store` nothing was stored and every error says so; after it every error is
//! `Unknown` (law 8). A plugin that fails costs the merge, never the write (law 1): a guest has a slice of the
//! client's time, so that what is left is enough to store and replicate without it.

use super::super::bucket::{Ack, Policy, Properties};
use super::super::causality::context::Context;
use super::super::causality::object::Object;
use super::super::names::{ClientId, Key, Millis, NodeId, Ticket};
use super::super::reconcile::answer::Answer;
use super::super::reconcile::question::Question;
use super::super::replica::copy::Coordinated;
use super::super::replica::layout::Place;
use super::merge::{Merge, Store};
use super::panel::Panel;
use super::quorum::Verdict;
use super::request::{PutError, PutReply, PutRequest, Resolved};
use super::seat::Errand;
use super::warning::Warning;

mod converging;
mod judging;
mod replicating;
mod unmerging;

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
    /// Nobody is waited for any more.
    Close,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Validating,
    ReadingLocal,
    /// Another put of this node merges under the key; what it makes is waited for.
    InLine,
    Merging(Merge),
    /// The merged version waits for the bucket's validator.
    ValidatingMerged {
        store: Box<Store>,
        fuel: u64,
    },
    Storing,
    Replicating(Box<Coordinated>),
    Done,
}

/// A put on its way.
#[derive(Debug)]
pub struct Put {
    /// Who waits for the outcome.
    pub origin: Origin,
    pub request: PutRequest,
    pub deadline: Millis,
    /// When a guest was asked, and until when it is waited for.
    slice: (Millis, Millis),
    me: NodeId,
    properties: Properties,
    panel: Panel,
    /// The hash of the placement that the panel was drawn by.
    drawn_by: u64,
    errands: Vec<Errand>,
    /// In which of its roles this node makes the dot.
    place: Place,
    /// When those who are silent get somebody beside them, and how long a spell of waiting is.
    late: (Millis, u64),
    /// The client has its answer; until when stragglers are waited for.
    closes_at: Option<Millis>,
    phase: Phase,
    resolved: Resolved,
    /// What a validator that may only warn has said.
    refused: Option<Warning>,
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
    /// Nobody asked: this node makes one of the siblings that stand under the key.
    Background(Key),
    /// The undoing of bad merges: it is stored merged, or not at all.
    Unmerge {
        client: ClientId,
        is_whole: bool,
    },
}

impl Put {
    /// A put that this node, one of the panel, coordinates between now and its deadline.
    pub fn start(
        origin: Origin,
        request: PutRequest,
        properties: Properties,
        me: NodeId,
        ((panel, drawn_by), place): ((Panel, u64), Place),
        (now, deadline): (Millis, Millis),
    ) -> Self {
        Self {
            origin,
            request,
            deadline,
            slice: (now, deadline),
            me,
            properties,
            panel,
            drawn_by,
            errands: Vec::new(),
            place,
            late: (deadline, 0),
            closes_at: None,
            phase: Phase::Validating,
            resolved: Resolved::Single,
            refused: None,
        }
    }

    fn w(&self) -> u8 {
        self.request.w.unwrap_or(self.properties.w)
    }

    /// How a replica has to have the write before it says so.
    pub fn ack_of(&self, node: &NodeId) -> Ack {
        self.panel.ack_of(node)
    }

    /// The first step: deletes carry nothing to validate.
    pub fn begin(&mut self) -> Step {
        if self.panel.verdict() == Verdict::Impossible {
            return self.fail(PutError::NotStored(self.shortage()));
        }
        match &self.properties.validator {
            Some(binding) if !self.request.version.is_tombstone() => {
                Step::Ask(Box::new(self.validation(binding, &self.request.version)))
            }
            _ => self.read_local(),
        }
    }

    /// Why the quorum cannot be reached.
    fn shortage(&self) -> String {
        let (replicas, w) = (self.panel.seats(), self.w());
        if replicas < usize::from(w) {
            return format!("the cluster has {replicas} replicas of this key, w is {w}");
        }
        let reachable = self.panel.primaries_possible();
        let pw = self.panel.needed().primaries;
        format!("{reachable} of {replicas} primaries can be reached, pw is {pw}")
    }

    fn read_local(&mut self) -> Step {
        self.phase = Phase::ReadingLocal;
        Step::ReadLocal
    }

    /// With the local object in hand: store as it is, or merge first.
    pub fn on_local(&mut self, local: &Object) -> Step {
        if self.is_background() {
            return self.converge(local);
        }
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
        let merge = merge.at(&self.me, self.properties.activation.epoch);
        if let Some(reason) = self.properties.paused() {
            return self.keep_siblings(reason);
        }
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

    fn on_merged(&mut self, merge: Merge, answer: Answer) -> Step {
        let Policy::Resolver(binding) = &self.properties.policy else {
            return self.keep_siblings("the bucket has no resolver".to_owned());
        };
        match merge.by_resolver(answer, binding, self.properties.value_bytes_max) {
            Ok((store, fuel)) => self.check_merged(store, fuel),
            Err(reason) => self.keep_siblings(reason),
        }
    }

    /// The write is kept beside the siblings that it could not be merged with.
    fn keep_siblings(&mut self, reason: String) -> Step {
        if self.is_background() || matches!(self.origin, Origin::Unmerge { .. }) {
            return self.fail(PutError::NotStored(reason)); // What stands stays.
        }
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

    /// Whether it brings a client's value, rather than a delete or a merge of what stands there.
    pub fn is_new_value(&self) -> bool {
        let is_asked = matches!(self.origin, Origin::Client(_) | Origin::Forwarded { .. });
        is_asked && !self.request.version.is_tombstone()
    }

    /// Whether the owners are those of this placement.
    pub fn drawn_by(&self, placement_hash: u64) -> bool {
        self.drawn_by == placement_hash
    }

    /// The owners have changed while nobody had been sent anything.
    pub fn redraw(&mut self, panel: Panel, placement_hash: u64) {
        (self.panel, self.drawn_by) = (panel, placement_hash);
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The engine failed half-way: the local copy may have the write.
    pub fn on_maybe_stored(&mut self, reason: String) -> Step {
        let error = self.unknown(reason);
        self.fail(error)
    }

    /// When `on_timer` is due.
    pub fn wakes_at(&self) -> Millis {
        match &self.phase {
            Phase::Validating | Phase::Merging(_) | Phase::ValidatingMerged { .. } => self.slice.1,
            Phase::InLine => self.slice.1,
            Phase::Replicating(_) => match self.closes_at {
                Some(closes_at) => closes_at,
                None if self.panel.is_worth_waking() => self.late.0.min(self.deadline),
                None => self.deadline,
            },
            _ => self.deadline,
        }
    }

    /// Time is up. A guest that is late costs the merge; replicas that are late are given somebody beside
    /// them, and in the end leave the outcome open.
    pub fn on_timer(&mut self, now: Millis) -> Step {
        match &self.phase {
            Phase::Validating | Phase::Merging(_) | Phase::ValidatingMerged { .. } => {
                self.on_late_guest()
            }
            Phase::InLine => self.keep_siblings("other merges took too long".to_owned()),
            Phase::Replicating(_) if self.closes_at.is_some() => Step::Close,
            Phase::Replicating(_) if now < self.deadline => {
                self.late.0 = now.after(self.late.1.max(1));
                self.errands.extend(self.panel.on_late());
                Step::Wait
            }
            Phase::Replicating(_) => Step::Fail(self.unknown("the deadline passed".to_owned())),
            Phase::Done => Step::Wait,
            _ => self.fail(PutError::NotStored("the deadline passed".to_owned())),
        }
    }

    fn fail(&mut self, error: PutError) -> Step {
        self.phase = Phase::Done;
        Step::Fail(error)
    }
}
