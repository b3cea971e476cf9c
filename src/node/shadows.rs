//! Resolvers that are tried: asked what the bound one is asked, compared with it, and never believed.
//!
//! Runs beside the requests of clients: after their answer, on workers that have nothing else to do.
//!
//! Invariant: nothing that a shadow says leaves this file but in a report; what is kept is bounded.

use crate::dynamo::bucket::activation::Shadow;
use crate::dynamo::bucket::{Binding, BucketTable};
use crate::dynamo::causality::version::{Content, Version};
use crate::dynamo::names::BucketName;
use crate::dynamo::reconcile::answer::Answer;
use crate::dynamo::reconcile::question::{Ask, Question};
use crate::dynamo::reconcile::verdict::{Verdict, believe};
use crate::limits::GUEST_WALL_MS;
use crate::limits::versions::{
    SHADOW_KEYS_MAX, SHADOW_READINGS_MAX, SHADOW_REPORTS_MAX, SHADOW_WAITING_MAX,
};
use crate::wasm::library::digest_of;
use crate::wasm::workers::Workers;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How the shadow of a bucket compares, on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub binding: Binding,
    pub calls: u64,
    pub same: u64,
    pub different: u64,
    pub failed: u64,
    pub last_failure: String,
    pub dropped: u64,
    /// By key, what each made of it.
    pub differences: BTreeMap<Bytes, (String, String)>,
    pub active: Readings,
    pub shadow: Readings,
}

/// What one of the two took and made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readings {
    pub fuel: VecDeque<u64>,
    pub bytes: u64,
}

/// The reports of a node.
pub struct Shadows {
    /// No guest is asked and nothing is awaited while it is held.
    state: Mutex<State>,
    waiting: Semaphore,
}

#[derive(Default)]
struct State {
    buckets: Arc<BucketTable>,
    reports: BTreeMap<BucketName, Report>,
    /// Questions of each bucket, by which the share is taken.
    asked: BTreeMap<BucketName, u64>,
}

/// A question that the shadow is asked too.
pub struct Tried {
    question: Question,
    shadow: Binding,
    value_bytes_max: usize,
}

impl Default for Shadows {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            waiting: Semaphore::new(SHADOW_WAITING_MAX),
        }
    }
}

impl Report {
    pub(super) fn new(binding: Binding) -> Self {
        Self {
            binding,
            calls: 0,
            same: 0,
            different: 0,
            failed: 0,
            last_failure: String::new(),
            dropped: 0,
            differences: BTreeMap::new(),
            active: Readings::default(),
            shadow: Readings::default(),
        }
    }

    /// Adds what both have said to one question.
    pub(super) fn compare(
        &mut self,
        question: &Question,
        active: Answer,
        shadow: Answer,
        value_bytes_max: usize,
    ) {
        let Ask::Resolve(siblings) = &question.ask else {
            return;
        };
        match (active, shadow) {
            // What depends on this node's load is no result that could be compared.
            (Answer::Failed(failure), _) | (_, Answer::Failed(failure))
                if !failure.is_deterministic() =>
            {
                self.dropped += 1;
            }
            (_, Answer::Failed(failure)) => {
                self.failed += 1;
                self.last_failure = failure.to_string();
            }
            (active, shadow) => {
                let active = believe(active, &question.binding, siblings, value_bytes_max);
                let shadow = believe(shadow, &self.binding, siblings, value_bytes_max);
                self.note(question.key.bytes(), &active, &shadow);
            }
        }
    }

    fn note(&mut self, key: &Bytes, active: &Verdict, shadow: &Verdict) {
        self.calls += 1;
        self.active.note(active);
        self.shadow.note(shadow);
        let (left, right) = (shown(active), shown(shadow));
        if left == right {
            self.same += 1;
            return;
        }
        self.different += 1;
        if self.differences.len() < SHADOW_KEYS_MAX {
            self.differences.insert(key.clone(), (left, right));
        }
    }
}

impl Readings {
    fn note(&mut self, verdict: &Verdict) {
        let Verdict::One { version, fuel } = verdict else {
            return;
        };
        self.bytes += version.bytes().map_or(0, Bytes::len) as u64;
        self.fuel.push_back(*fuel);
        if self.fuel.len() > SHADOW_READINGS_MAX {
            self.fuel.pop_front();
        }
    }
}

/// What a verdict shows, by its digest: who picked it and in what words is no difference.
fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Siblings { .. } => "siblings".to_owned(),
        Verdict::One {
            version: Version { content, .. },
            ..
        } => match content {
            Content::Value(bytes) => digest_of(bytes).to_string(),
            Content::Tombstone => "deleted".to_owned(),
        },
    }
}

impl Shadows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buckets are these from now on. A shadow that is another one now begins a new report.
    pub fn learn(&self, buckets: &Arc<BucketTable>) {
        let mut state = self.lock();
        state.buckets = Arc::clone(buckets);
        let shadow = |name: &BucketName| buckets.get(name)?.activation.shadow.as_ref();
        state
            .reports
            .retain(|name, report| shadow(name).is_none_or(|now| now.binding == report.binding));
        state.asked.retain(|name, _| shadow(name).is_some());
    }

    /// Whether the shadow is to be asked too: of a resolver's questions, as many of a hundred as the bucket says.
    pub fn sample(&self, question: &Question) -> Option<Tried> {
        let Ask::Resolve(_) = &question.ask else {
            return None;
        };
        let mut state = self.lock();
        let properties = state.buckets.get(question.key.bucket())?;
        let Shadow { binding, percent } = properties.activation.shadow.clone()?;
        let value_bytes_max = properties.value_bytes_max;
        if properties.policy.resolver() != Some(&question.binding) {
            return None; // It was asked before the bucket changed.
        }
        let asked = state
            .asked
            .entry(question.key.bucket().clone())
            .or_default();
        *asked += 1;
        let share = |count: u64| count * u64::from(percent) / 100;
        (share(*asked) > share(*asked - 1)).then(|| Tried {
            question: question.clone(),
            shadow: binding,
            value_bytes_max,
        })
    }

    /// Asks the shadow, if there is nothing better to do, and notes how it compares.
    pub async fn compare(&self, tried: Tried, said: Answer, workers: &Workers) {
        let Tried {
            question,
            shadow,
            value_bytes_max,
        } = tried;
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return self.note(&question, &shadow, |report| report.dropped += 1);
        };
        if workers.status().waiting > 0 {
            return self.note(&question, &shadow, |report| report.dropped += 1);
        }
        let asked = Question {
            binding: shadow.clone(),
            ..question.clone()
        };
        let deadline = Instant::now() + Duration::from_millis(2 * GUEST_WALL_MS);
        let answer = workers.ask(asked, Some(deadline)).await.answer;
        self.note(&question, &shadow, |report| {
            report.compare(&question, said, answer, value_bytes_max);
        });
    }

    fn note(&self, question: &Question, shadow: &Binding, note: impl FnOnce(&mut Report)) {
        let mut state = self.lock();
        let bucket = question.key.bucket();
        if state.reports.len() >= SHADOW_REPORTS_MAX && !state.reports.contains_key(bucket) {
            return;
        }
        let report = state.reports.entry(bucket.clone());
        let report = report.or_insert_with(|| Report::new(shadow.clone()));
        // It was asked before another one was tried.
        if report.binding == *shadow {
            note(report);
        }
    }

    /// What was found so far; also of a shadow that is no longer asked, until another one is.
    pub fn report(&self, bucket: &BucketName) -> Option<Report> {
        self.lock().reports.get(bucket).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::bucket::{Policy, Properties};
    use crate::dynamo::names::{Digest, Key};

    fn bucket() -> BucketName {
        BucketName::new("carts").expect("a good name")
    }

    fn question(binding: Binding) -> Question {
        Question {
            key: Key::new(bucket(), Bytes::from_static(b"anna")).expect("a good key"),
            binding,
            ask: Ask::Resolve(vec![Version::value("a", 1), Version::value("b", 2)]),
        }
    }

    fn table(percent: u8) -> (Arc<BucketTable>, Binding) {
        let active = Binding::new(Digest([1; 32]));
        let mut properties = Properties {
            policy: Policy::Resolver(active.clone()),
            ..Properties::default()
        };
        properties.activation.shadow = Some(Shadow {
            binding: Binding::new(Digest([2; 32])),
            percent,
        });
        let table = BucketTable::from([(bucket(), properties)]);
        (Arc::new(table), active)
    }

    #[test]
    fn of_a_hundred_questions_as_many_are_tried_as_was_asked_for() {
        for percent in [1, 10, 33, 100] {
            let (table, active) = table(percent);
            let shadows = Shadows::default();
            shadows.learn(&table);
            let tried = (0..1_000).filter(|_| shadows.sample(&question(active.clone())).is_some());
            assert_eq!(tried.count(), 10 * usize::from(percent));
        }
    }

    #[test]
    fn what_the_bound_resolver_was_not_asked_is_not_tried() {
        let (table, _) = table(100);
        let shadows = Shadows::default();
        shadows.learn(&table);
        let before = question(Binding::new(Digest([9; 32])));
        assert!(shadows.sample(&before).is_none());
        let validation = Question {
            ask: Ask::Validate(Version::value("a", 1)),
            ..question(Binding::new(Digest([1; 32])))
        };
        assert!(shadows.sample(&validation).is_none());
    }

    #[test]
    fn a_report_names_no_more_keys_and_readings_than_it_may() {
        let one = |text: &str| Verdict::One {
            version: Version::value(text.to_owned(), 1),
            fuel: 5,
        };
        let mut report = Report::new(Binding::new(Digest([2; 32])));
        for number in 0..3_000_u32 {
            let key = Bytes::from(number.to_string());
            report.note(&key, &one("left"), &one("right"));
            report.note(&key, &one("same"), &one("same"));
        }
        assert_eq!(
            (report.calls, report.same, report.different),
            (6_000, 3_000, 3_000)
        );
        assert_eq!(report.differences.len(), SHADOW_KEYS_MAX);
        assert_eq!(report.active.fuel.len(), SHADOW_READINGS_MAX);
    }
}
