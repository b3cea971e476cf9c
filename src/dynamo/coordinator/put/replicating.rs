//! A put once its coordinator has stored it: who is sent it, who has it, and what the client is told (Dynamo 4.5, 4.6).
//!
//! Invariant: the client is told once; what comes later only says who still lacks the write.

use super::super::super::causality::context::Context;
use super::super::super::names::{Millis, NodeId};
use super::super::super::replica::copy::Coordinated;
use super::super::quorum::Verdict;
use super::super::request::{PutError, PutReply, Resolved};
use super::super::seat::Errand;
use super::super::warning::Warning;
use super::{Phase, Put, Step};
use bytes::Bytes;

impl Put {
    /// The local copy has the write; the errands say who is sent it.
    pub fn on_stored(&mut self, coordinated: Coordinated, late: (Millis, u64)) {
        self.late = late;
        self.errands = self.panel.errands();
        self.phase = Phase::Replicating(Box::new(coordinated));
    }

    /// What was stored, once it was.
    pub fn stored(&self) -> Option<&Coordinated> {
        match &self.phase {
            Phase::Replicating(coordinated) => Some(coordinated),
            _ => None,
        }
    }

    /// Whom the router has to send the write, each once.
    pub fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    pub fn on_ack(&mut self, from: &NodeId) -> Step {
        let verdict = self.panel.on_answer(from, true);
        match verdict {
            Verdict::Reached if self.is_open() => self.answer(),
            _ => Step::Wait,
        }
    }

    pub fn on_failure(&mut self, from: &NodeId) -> Step {
        let failed = self.panel.on_failure(from);
        self.on_lost(failed)
    }

    /// Somebody has too much to do.
    pub fn on_overloaded(&mut self, from: &NodeId) -> Step {
        let failed = self.panel.on_overloaded(from);
        self.on_lost(failed)
    }

    /// Somebody has no room for it.
    pub fn on_full(&mut self, from: &NodeId) -> Step {
        let failed = self.panel.on_failure(from);
        match self.on_lost(failed) {
            Step::Fail(_) => Step::Fail(self.unknown("the disks of others are full".to_owned())),
            step => step,
        }
    }

    fn on_lost(&mut self, (verdict, errand): (Verdict, Option<Errand>)) -> Step {
        self.errands.extend(errand);
        match verdict {
            Verdict::Impossible if self.is_open() => {
                Step::Fail(self.unknown("the others could not be reached".to_owned()))
            }
            _ => Step::Wait,
        }
    }

    /// Stored, and the client waits.
    fn is_open(&self) -> bool {
        self.stored().is_some() && self.closes_at.is_none()
    }

    /// The client has its answer; stragglers are waited for until then.
    pub fn on_replied(&mut self, closes_at: Millis) {
        self.closes_at = Some(closes_at);
    }

    /// The client has its answer, and everybody who was asked has spoken.
    pub fn is_over(&self) -> bool {
        self.closes_at.is_some() && self.panel.is_complete()
    }

    /// The primaries that have not got the write, nor anybody in their place.
    pub fn missing(&self) -> Vec<NodeId> {
        self.panel.missing()
    }

    /// Who has been waited for in vain.
    pub fn silent(&self) -> Vec<NodeId> {
        match self.phase {
            Phase::Replicating(_) => self.panel.silent(),
            _ => Vec::new(),
        }
    }

    pub fn asks(&self, node: &NodeId) -> bool {
        self.stored().is_some() && self.panel.asks(node)
    }

    fn answer(&mut self) -> Step {
        let Phase::Replicating(coordinated) = &self.phase else {
            return Step::Wait;
        };
        let object = &coordinated.object;
        let siblings = object.live(self.request.version.written_at_ms).count();
        let dot = coordinated.dot;
        let merged = match &self.resolved {
            Resolved::Merged { .. } => object.version(dot).cloned(),
            Resolved::Single | Resolved::Siblings { .. } => None,
        };
        let stored = merged.as_ref().unwrap_or(&self.request.version);
        let value_bytes = stored.bytes().map_or(0, Bytes::len);
        let mut warnings = Warning::of(&self.properties, value_bytes, siblings);
        warnings.extend(self.refused.take());
        let mut context = self.seen(coordinated);
        context.fastest = Some(self.me.clone());
        Step::Answer(Box::new(PutReply {
            dot,
            context,
            siblings,
            merged,
            resolved: std::mem::replace(&mut self.resolved, Resolved::Single),
            replicas_answered: self.panel.answered(),
            primaries_answered: self.panel.primaries_answered(),
            durable_answered: self.panel.durable_answered(),
            coordinator: self.me.clone(),
            warnings,
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

    pub(super) fn unknown(&self, mut reason: String) -> PutError {
        let pw = self.panel.needed().primaries;
        if pw > 0 {
            let primaries = self.panel.primaries_answered();
            reason = format!("{primaries} of {pw} needed primaries did, {reason}");
        }
        let durable = (self.panel.durable_answered(), self.panel.durable_needed());
        if self.panel.answered() >= usize::from(self.w()) && durable.0 < durable.1 {
            reason = format!(
                "{} of {} needed durable ones did, {reason}",
                durable.0, durable.1
            );
        }
        PutError::Unknown {
            acknowledged: self.panel.answered(),
            needed: usize::from(self.w()),
            reason,
        }
    }
}
