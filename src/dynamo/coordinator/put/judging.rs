//! A put and its guests: how long one is waited for, and what a validator's word is worth (Dynamo 4.4).
//!
//! Validators judge what a client writes and what a merge made of it, here at the coordinator and nowhere else (law 10).
//!
//! Invariant: without a usable word of the validator nothing is stored, unless the bucket wants to be warned only.

use super::super::super::bucket::{Binding, ValidatorMode};
use super::super::super::causality::version::Version;
use super::super::super::names::Millis;
use super::super::super::reconcile::answer::{Answer, Judgement, shown};
use super::super::super::reconcile::question::{Ask, Question};
use super::super::merge::Store;
use super::super::request::PutError;
use super::super::slice::{judge_by, out_of_time, resolve_by};
use super::super::warning::Warning;
use super::{Phase, Put, Step};

impl Put {
    /// A guest was asked; says until when it is waited for.
    pub fn on_asked(&mut self, now: Millis, question: &Question) -> Millis {
        let until = match &question.ask {
            Ask::Resolve(_) => resolve_by(now, self.deadline, &question.binding),
            Ask::Validate(_) => judge_by(now, self.deadline),
        };
        self.slice = (now, until);
        until
    }

    /// Whether it may ask a resolver about what stands there.
    pub fn may_merge(&self) -> bool {
        let is_plain = self.request.version.is_tombstone() || !self.properties.merge_on_put;
        self.properties.policy.resolver().is_some()
            && self.properties.paused().is_none()
            && !is_plain
    }

    /// Whether it does, and others wait for what comes of it.
    pub fn is_merging(&self) -> bool {
        matches!(
            self.phase,
            Phase::Merging(_) | Phase::ValidatingMerged { .. }
        )
    }

    /// It waits for another put's merge, as long as for one of its own.
    pub fn on_line(&mut self, now: Millis) {
        if let Some(binding) = self.properties.policy.resolver() {
            self.slice = (now, resolve_by(now, self.deadline, binding));
            self.phase = Phase::InLine;
        }
    }

    pub fn is_in_line(&self) -> bool {
        self.phase == Phase::InLine
    }

    /// The guest's time is over: it costs the merge; of a client's own value it is no word.
    pub(super) fn on_late_guest(&mut self) -> Step {
        let late = |binding: Option<&Binding>| {
            let late = binding.map(|binding| out_of_time(binding, self.slice));
            late.map(Answer::Failed)
        };
        let answer = match &self.phase {
            Phase::Merging(_) => late(self.properties.policy.resolver()),
            _ => late(self.properties.validator.as_ref()),
        };
        match answer {
            Some(answer) => self.on_answer(answer),
            None => self.keep_siblings("its guest did not answer in time".to_owned()),
        }
    }

    pub(super) fn validation(&self, binding: &Binding, version: &Version) -> Question {
        Question {
            key: self.request.key.clone(),
            binding: binding.clone(),
            ask: Ask::Validate(version.clone()),
        }
    }

    pub(super) fn on_judged(&mut self, answer: Answer) -> Step {
        match self.weigh(answer) {
            Ok(()) => self.read_local(),
            Err(error) => self.fail(error),
        }
    }

    pub(super) fn check_merged(&mut self, store: Store, fuel: u64) -> Step {
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

    pub(super) fn on_merged_judged(&mut self, store: Store, fuel: u64, answer: Answer) -> Step {
        match self.weigh(answer) {
            Ok(()) => self.store_merged(store, fuel),
            Err(error) => self.keep_siblings(format!("the merged value was not taken: {error}")),
        }
    }

    /// A refusal, unless the bucket only warns of it.
    fn weigh(&mut self, answer: Answer) -> Result<(), PutError> {
        let judged = refusal(answer);
        match (judged, self.properties.validator_mode) {
            (Err(error), ValidatorMode::Warn) => {
                self.refused = Some(warning(error));
                Ok(())
            }
            (judged, _) => judged,
        }
    }
}

fn warning(error: PutError) -> Warning {
    match error {
        PutError::Refused { code, message } => Warning::Refused { code, message },
        error => Warning::Unjudged {
            reason: error.to_string(),
        },
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
