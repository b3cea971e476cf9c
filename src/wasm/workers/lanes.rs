//! What a node remembers of each plugin in each bucket: its breaker and what is left of its fuel.
//!
//! Is told what time it is. Runs nothing and queues nothing.
//!
//! Invariant: a bucket's trouble with a plugin is no other bucket's, not even with the same plugin.

use super::breaker::Breaker;
use super::budget::Budget;
use crate::dynamo::bucket::Binding;
use crate::dynamo::names::{BucketName, Digest};
use crate::dynamo::reconcile::answer::{Answer, GuestFailure};
use crate::dynamo::reconcile::question::{Ask, Question};
use crate::limits::GUEST_LANES_MAX;
use crate::wasm::guest::Report;
use std::collections::BTreeMap;

/// One plugin in one bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    pub bucket: BucketName,
    pub digest: Digest,
}

impl Lane {
    pub fn of(question: &Question) -> Self {
        Self {
            bucket: question.key.bucket().clone(),
            digest: question.binding.digest,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    breaker: Breaker,
    budget: Budget,
    used_ms: u64,
}

/// All lanes of a node.
#[derive(Debug, Default)]
pub struct Lanes {
    known: BTreeMap<Lane, Known>,
}

impl Lanes {
    /// Whether a question may be put now. Whoever puts it says afterwards what came of it.
    pub fn admit(&mut self, now_ms: u64, question: &Question) -> Result<(), GuestFailure> {
        let lane = Lane::of(question);
        let digest = lane.digest;
        let rate = question.binding.limits.fuel_per_second;
        if !self.known.contains_key(&lane) {
            self.make_room();
        }
        let known = self.known.entry(lane).or_insert_with(|| Known {
            breaker: Breaker::default(),
            budget: Budget::full(rate, now_ms),
            used_ms: now_ms,
        });
        known.used_ms = now_ms;
        // A validator without fuel would close its bucket: it waits for its turn instead.
        let is_resolver = matches!(question.ask, Ask::Resolve(_));
        if !known.budget.admit(rate, now_ms) && is_resolver {
            return Err(GuestFailure::OverBudget {
                digest,
                fuel_per_second: rate,
            });
        }
        let rests = |left_ms| GuestFailure::Resting { digest, left_ms };
        known.breaker.admit(now_ms).map_err(rests)
    }

    /// What came of a question that was let through.
    pub fn on_report(&mut self, now_ms: u64, lane: &Lane, binding: &Binding, report: &Report) {
        let Some(known) = self.known.get_mut(lane) else {
            return;
        };
        known.budget.spend(report.fuel);
        match &report.answer {
            Answer::Failed(failure) if is_plugins_fault(failure, binding) => {
                known.breaker.on_failure(now_ms);
            }
            Answer::Failed(_) => known.breaker.on_nothing(now_ms),
            Answer::Resolved { .. } | Answer::Judged { .. } => known.breaker.on_success(),
        }
    }

    /// The breaker of each lane.
    pub fn breakers(&self) -> impl Iterator<Item = (&Lane, Breaker)> {
        self.known.iter().map(|(lane, known)| (lane, known.breaker))
    }

    fn make_room(&mut self) {
        if self.known.len() < GUEST_LANES_MAX {
            return;
        }
        let idlest = self.known.iter().min_by_key(|(_, known)| known.used_ms);
        if let Some(lane) = idlest.map(|(lane, _)| lane.clone()) {
            self.known.remove(&lane);
        }
    }
}

/// Whether asking the plugin again is likely to fail again, on whatever node.
///
/// A clock is a node's own; but a guest that had all of its time, and still had fuel, has at least a part in it.
fn is_plugins_fault(failure: &GuestFailure, binding: &Binding) -> bool {
    match failure {
        GuestFailure::OutOfTime { limit_ms, .. } => *limit_ms >= binding.limits.wall_ms,
        failure => failure.is_deterministic(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::causality::version::Version;
    use crate::dynamo::names::Key;
    use crate::limits::{BREAKER_FAILURES, BREAKER_REST_MS};
    use bytes::Bytes;

    const DIGEST: Digest = Digest([1; 32]);

    fn question(bucket: &str, ask: Ask) -> Question {
        let bucket = BucketName::new(bucket).unwrap();
        Question {
            key: Key::new(bucket, Bytes::from("k")).unwrap(),
            binding: Binding::new(DIGEST),
            ask,
        }
    }

    fn resolving(bucket: &str) -> Question {
        question(bucket, Ask::Resolve(Vec::new()))
    }

    fn trap() -> GuestFailure {
        GuestFailure::Trap {
            digest: DIGEST,
            message: "unreachable".to_owned(),
        }
    }

    fn fail(lanes: &mut Lanes, question: &Question, failure: GuestFailure, times: u32) {
        for _ in 0..times {
            let report = Report::failed(failure.clone());
            lanes.on_report(0, &Lane::of(question), &question.binding, &report);
        }
    }

    #[test]
    fn a_plugin_rests_in_the_bucket_that_it_fails_and_in_no_other() {
        let mut lanes = Lanes::default();
        let (bad, good) = (resolving("bad"), resolving("good"));
        assert!(lanes.admit(0, &bad).is_ok() && lanes.admit(0, &good).is_ok());
        fail(&mut lanes, &bad, trap(), BREAKER_FAILURES);
        let rests = GuestFailure::Resting {
            digest: DIGEST,
            left_ms: BREAKER_REST_MS,
        };
        assert_eq!(lanes.admit(0, &bad), Err(rests));
        assert_eq!(lanes.admit(0, &good), Ok(()));
        assert_eq!(lanes.admit(BREAKER_REST_MS, &bad), Ok(()));
    }

    #[test]
    fn a_node_that_is_busy_is_not_the_plugins_fault() {
        let mut lanes = Lanes::default();
        let asked = resolving("b");
        lanes.admit(0, &asked).unwrap();
        let hurried = GuestFailure::OutOfTime {
            digest: DIGEST,
            limit_ms: 3,
        };
        for failure in [GuestFailure::Busy, hurried] {
            fail(&mut lanes, &asked, failure, 2 * BREAKER_FAILURES);
        }
        assert_eq!(lanes.admit(0, &asked), Ok(()));
        let limit_ms = asked.binding.limits.wall_ms;
        let digest = DIGEST;
        let endless = GuestFailure::OutOfTime { digest, limit_ms };
        fail(&mut lanes, &asked, endless, BREAKER_FAILURES);
        assert!(lanes.admit(0, &asked).is_err());
    }

    #[test]
    fn over_its_budget_a_resolver_is_not_asked_and_a_validator_is() {
        let mut lanes = Lanes::default();
        let asked = resolving("b");
        lanes.admit(0, &asked).unwrap();
        let fuel_per_second = asked.binding.limits.fuel_per_second;
        let mut report = Report::failed(GuestFailure::Busy);
        report.fuel = 2 * fuel_per_second;
        lanes.on_report(0, &Lane::of(&asked), &asked.binding, &report);
        let over = GuestFailure::OverBudget {
            digest: DIGEST,
            fuel_per_second,
        };
        assert_eq!(lanes.admit(0, &asked), Err(over));
        let validating = question("b", Ask::Validate(Version::value("v", 1)));
        assert_eq!(lanes.admit(0, &validating), Ok(()));
        assert_eq!(lanes.admit(1_100, &asked), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut lanes = Lanes::default();
        for number in 0..GUEST_LANES_MAX + 5 {
            lanes
                .admit(number as u64, &resolving(&format!("b{number}")))
                .unwrap();
        }
        assert_eq!(lanes.breakers().count(), GUEST_LANES_MAX);
    }
}
