//! What a node measures: how long requests take, by bucket, and what guests spend, by plugin.
//!
//! What shards and the engine count themselves is asked of them when a page is made. Serves nobody.
//!
//! Invariant: no bucket, plugin or client makes the labels grow beyond their bounds.

pub mod histogram;
pub mod text;

use crate::dynamo::names::Digest;
use crate::dynamo::reconcile::answer::Answer;
use crate::dynamo::reconcile::question::{Ask, Question};
use crate::limits::{METRIC_BUCKETS_MAX, METRIC_PLUGINS_MAX};
use crate::wasm::guest::Report;
use histogram::{FUEL, Histogram, LATENCY_US};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use text::{Kind, Page};

/// Stands for all buckets, or plugins, beyond those that have labels of their own; no name has brackets.
pub const OTHER: &str = "(other)";
/// Microseconds in a second.
const MICROS: u32 = 1_000_000;

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Get,
    Put,
    Delete,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Ok,
    /// By the request's own fault, or by a validator's word.
    Refused,
    /// Too few nodes.
    Unavailable,
    /// The node had too much to do, or no room.
    Overloaded,
    /// The deadline came first; a write may be stored.
    Deadline,
    /// By this node's fault.
    Failed,
}

/// What a node has measured since it was started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Held to add one observation or to read all; never over an await.
    measured: Mutex<Measured>,
}

#[derive(Debug, Default)]
struct Measured {
    buckets: BTreeSet<String>,
    requests: BTreeMap<(String, Operation, Outcome), Histogram>,
    guests: BTreeMap<(String, &'static str), Guest>,
    plugins: BTreeSet<String>,
}

/// The calls of one plugin in one role.
#[derive(Debug)]
struct Guest {
    seconds: Histogram,
    fuel: Histogram,
    failures: u64,
}

impl Metrics {
    /// A request has been answered. `bucket` is none if there is no such bucket: strangers invent names.
    pub fn on_request(
        &self,
        bucket: Option<&str>,
        operation: Operation,
        outcome: Outcome,
        taken: Duration,
    ) {
        let mut measured = self.lock();
        let bucket = match bucket {
            Some(bucket) => label(&mut measured.buckets, bucket, METRIC_BUCKETS_MAX),
            None => OTHER.to_owned(),
        };
        let requests = measured.requests.entry((bucket, operation, outcome));
        let histogram = requests.or_insert_with(|| Histogram::new(LATENCY_US));
        histogram.observe(taken.as_micros() as u64);
    }

    /// What a guest of this role, `resolver` or `validator`, came to.
    pub fn on_guest(&self, plugin: Digest, role: &'static str, report: &Report) {
        let mut measured = self.lock();
        let name = plugin.to_string();
        let name = label(&mut measured.plugins, &name, METRIC_PLUGINS_MAX);
        let guest = measured.guests.entry((name, role));
        let guest = guest.or_insert_with(|| Guest {
            seconds: Histogram::new(LATENCY_US),
            fuel: Histogram::new(FUEL),
            failures: 0,
        });
        guest.seconds.observe(report.wall_us);
        match &report.answer {
            Answer::Resolved { fuel, .. } | Answer::Judged { fuel, .. } => {
                guest.fuel.observe(*fuel);
            }
            Answer::Failed(_) => guest.failures += 1,
        }
    }

    /// Appends all that was measured.
    pub fn write(&self, page: &mut Page) {
        let measured = self.lock();
        let name = "rejoin_request_seconds";
        let help = "Time from a client's request to its answer, by bucket, operation and outcome.";
        page.family(name, Kind::Histogram, help);
        for ((bucket, operation, outcome), histogram) in &measured.requests {
            let labels = [
                ("bucket", bucket.as_str()),
                ("operation", operation.label()),
                ("outcome", outcome.label()),
            ];
            page.histogram(name, &labels, histogram, MICROS);
        }
        measured.write_guests(page);
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measured {
    fn write_guests(&self, page: &mut Page) {
        let labels = |(plugin, role)| [("plugin", plugin), ("role", role)];
        let guests = || {
            let guests = self.guests.iter();
            guests.map(|((plugin, role), guest)| (labels((plugin.as_str(), *role)), guest))
        };
        let name = "rejoin_plugin_seconds";
        page.family(name, Kind::Histogram, "Time of one call of a plugin.");
        for (labels, guest) in guests() {
            page.histogram(name, &labels, &guest.seconds, MICROS);
        }
        let name = "rejoin_plugin_fuel";
        let help = "Fuel of one call of a plugin that gave an answer.";
        page.family(name, Kind::Histogram, help);
        for (labels, guest) in guests() {
            page.histogram(name, &labels, &guest.fuel, 1);
        }
        let name = "rejoin_plugin_failures_total";
        let help = "Calls of a plugin that gave no answer.";
        page.family(name, Kind::Counter, help);
        for (labels, guest) in guests() {
            page.sample(name, &labels, guest.failures);
        }
    }
}

/// The label of a name: its own while there is room.
fn label(known: &mut BTreeSet<String>, name: &str, names_max: usize) -> String {
    if !known.contains(name) {
        if known.len() >= names_max {
            return OTHER.to_owned();
        }
        known.insert(name.to_owned());
    }
    name.to_owned()
}

/// In which role a guest is asked.
pub fn role(question: &Question) -> &'static str {
    match question.ask {
        Ask::Resolve(_) => "resolver",
        Ask::Validate(_) => "validator",
    }
}

impl Operation {
    fn label(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_beyond_the_bound_share_one_label() {
        let metrics = Metrics::default();
        for number in 0..METRIC_BUCKETS_MAX + 3 {
            let name = format!("bucket-{number:03}");
            let taken = Duration::from_micros(300);
            metrics.on_request(Some(&name), Operation::Get, Outcome::Ok, taken);
        }
        metrics.on_request(None, Operation::Get, Outcome::Ok, Duration::ZERO);
        let mut page = Page::default();
        metrics.write(&mut page);
        let page = page.finish();
        let counts = page
            .lines()
            .filter(|line| line.starts_with("rejoin_request_seconds_count"));
        assert_eq!(counts.count(), METRIC_BUCKETS_MAX + 1);
        let other = "_count{bucket=\"(other)\",operation=\"get\",outcome=\"ok\"} 4\n";
        assert!(page.contains(other), "{page}");
    }
}
