//! What guests cost and how they ended, by bucket, plugin and role.
//!
//! Percentiles are exact, over the latest calls; sums are since the start. Serves nobody.
//!
//! Invariant: no bucket or plugin makes the labels grow beyond their bound: what is beyond it shares one.

use crate::dynamo::names::{BucketName, Digest};
use crate::dynamo::reconcile::answer::{Answer, Judgement, Resolution};
use crate::limits::{METER_WINDOW, METRIC_LANES_MAX};
use crate::node::metrics::OTHER;
use crate::node::metrics::text::{Kind, Page};
use crate::wasm::guest::{Report, Source};
use crate::wasm::workers::{Lane, WorkersStatus};
use std::collections::{BTreeMap, VecDeque};

/// What one plugin did in one bucket, in one role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneMeter {
    /// Guests that ran.
    pub calls: u64,
    /// Questions that had been answered before.
    pub remembered: u64,
    /// How questions ended: `merged`, `deleted`, `picked`, `kept`, `accepted`, `refused`, or the code of a failure.
    pub outcomes: BTreeMap<&'static str, u64>,
    pub fuel: u64,
    pub wall_us: u64,
    /// The most linear memory that a call had.
    pub memory_bytes_max: u64,
    /// Fuel and microseconds of the latest calls.
    latest: VecDeque<(u64, u64)>,
}

impl LaneMeter {
    fn on_report(&mut self, report: &Report) {
        *self.outcomes.entry(outcome(&report.answer)).or_insert(0) += 1;
        match report.source {
            Source::Nowhere => {}
            Source::Memory => self.remembered += 1,
            Source::Call => {
                self.calls += 1;
                self.fuel = self.fuel.saturating_add(report.fuel);
                self.wall_us = self.wall_us.saturating_add(report.wall_us);
                self.memory_bytes_max = self.memory_bytes_max.max(report.memory_bytes as u64);
                if self.latest.len() >= METER_WINDOW {
                    self.latest.pop_front();
                }
                self.latest.push_back((report.fuel, report.wall_us));
            }
        }
    }

    /// Fuel that so many of a hundred of the latest calls did not exceed.
    pub fn fuel_percentile(&self, percent: usize) -> u64 {
        percentile(self.latest.iter().map(|(fuel, _)| *fuel), percent)
    }

    /// Microseconds that so many of a hundred of the latest calls did not exceed.
    pub fn wall_us_percentile(&self, percent: usize) -> u64 {
        percentile(self.latest.iter().map(|(_, wall_us)| *wall_us), percent)
    }

    /// Questions that had no usable answer.
    pub fn failures(&self) -> u64 {
        let failures = self
            .outcomes
            .iter()
            .filter(|(name, _)| name.starts_with('R'));
        failures.map(|(_, count)| count).sum()
    }
}

fn percentile(values: impl Iterator<Item = u64>, percent: usize) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let place = (values.len() * percent).div_ceil(100).max(1) - 1;
    values.get(place).copied().unwrap_or(0)
}

fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Resolved { resolution, .. } => match resolution {
            Resolution::Merged(_) => "merged",
            Resolution::Deleted => "deleted",
            Resolution::Pick(_) => "picked",
            Resolution::KeepSiblings(_) => "kept",
        },
        Answer::Judged { judgement, .. } => match judgement {
            Judgement::Accepted => "accepted",
            Judgement::Refused { .. } => "refused",
        },
        Answer::Failed(failure) => failure.code(),
    }
}

/// All that was measured of guests.
#[derive(Debug, Default)]
pub struct Meter {
    lanes: BTreeMap<(Lane, &'static str), LaneMeter>,
    /// Of the lanes that came when there was no room any more.
    others: BTreeMap<&'static str, LaneMeter>,
}

impl Meter {
    /// What came of a question in this role, `resolver` or `validator`.
    pub fn on_report(&mut self, lane: &Lane, role: &'static str, report: &Report) {
        let lane = (lane.clone(), role);
        let has_room = self.lanes.len() < METRIC_LANES_MAX || self.lanes.contains_key(&lane);
        let meter = match has_room {
            true => self.lanes.entry(lane).or_default(),
            false => self.others.entry(role).or_default(),
        };
        meter.on_report(report);
    }

    pub fn all(&self) -> Vec<(Lane, &'static str, LaneMeter)> {
        let lanes = self.lanes.iter();
        lanes
            .map(|((lane, role), meter)| (lane.clone(), *role, meter.clone()))
            .collect()
    }
}

/// Appends what was measured of guests, and how the workers are.
pub fn write(
    page: &mut Page,
    measured: &[(Lane, &'static str, LaneMeter)],
    status: &WorkersStatus,
) {
    let labelled: Vec<_> = measured
        .iter()
        .map(|(lane, role, meter)| {
            (
                lane.bucket.to_string(),
                lane.digest.to_string(),
                *role,
                meter,
            )
        })
        .collect();
    let help = "Questions to plugins, by how they ended.";
    page.family("rejoin_guest_questions_total", Kind::Counter, help);
    for (bucket, plugin, role, meter) in &labelled {
        for (outcome, count) in &meter.outcomes {
            let labels = [
                ("bucket", bucket.as_str()),
                ("plugin", plugin.as_str()),
                ("role", role),
                ("outcome", outcome),
            ];
            page.sample("rejoin_guest_questions_total", &labels, count);
        }
    }
    type Number = fn(&LaneMeter) -> u64;
    let families: [(&str, Kind, &str, Number); 6] = [
        (
            "rejoin_guest_calls_total",
            Kind::Counter,
            "Guests that ran.",
            |meter| meter.calls,
        ),
        (
            "rejoin_guest_remembered_total",
            Kind::Counter,
            "Questions that had been answered before, so that no guest ran.",
            |meter| meter.remembered,
        ),
        (
            "rejoin_guest_fuel_total",
            Kind::Counter,
            "Fuel of all calls.",
            |meter| meter.fuel,
        ),
        (
            "rejoin_guest_fuel_p50",
            Kind::Gauge,
            "Median fuel of the latest calls.",
            |meter| meter.fuel_percentile(50),
        ),
        (
            "rejoin_guest_fuel_p99",
            Kind::Gauge,
            "99th percentile of the fuel of the latest calls.",
            |meter| meter.fuel_percentile(99),
        ),
        (
            "rejoin_guest_memory_bytes_max",
            Kind::Gauge,
            "The most linear memory that a call had.",
            |meter| meter.memory_bytes_max,
        ),
    ];
    for (name, kind, help, number) in families {
        page.family(name, kind, help);
        for (bucket, plugin, role, meter) in &labelled {
            let labels = [
                ("bucket", bucket.as_str()),
                ("plugin", plugin.as_str()),
                ("role", role),
            ];
            page.sample(name, &labels, number(meter));
        }
    }
    write_workers(page, status);
}

fn write_workers(page: &mut Page, status: &WorkersStatus) {
    let help = "1 if a plugin is not asked in a bucket because it has failed too often.";
    page.family("rejoin_guest_breaker_open", Kind::Gauge, help);
    let mut others = 0;
    for (place, (lane, breaker)) in status.breakers.iter().enumerate() {
        let is_open = u64::from(breaker.label() != "closed");
        if place >= METRIC_LANES_MAX {
            others += is_open;
            continue;
        }
        let (bucket, plugin) = (lane.bucket.to_string(), lane.digest.to_string());
        let labels = [("bucket", bucket.as_str()), ("plugin", plugin.as_str())];
        page.sample("rejoin_guest_breaker_open", &labels, is_open);
    }
    if status.breakers.len() > METRIC_LANES_MAX {
        let labels = [("bucket", OTHER), ("plugin", OTHER)];
        page.sample("rejoin_guest_breaker_open", &labels, others);
    }
    let gauges = [
        (
            "rejoin_guest_waiting",
            "Questions that wait for a guest thread.",
            status.waiting,
        ),
        (
            "rejoin_guest_memo_entries",
            "Merges that are remembered.",
            status.remembered.0,
        ),
        (
            "rejoin_guest_memo_bytes",
            "Bytes of their results.",
            status.remembered.1,
        ),
    ];
    for (name, help, value) in gauges {
        page.single(name, Kind::Gauge, help, value);
    }
}

/// Appends the keys in conflict, by bucket: gauges of this node's own copies.
pub fn write_conflicts(page: &mut Page, open: &BTreeMap<BucketName, u64>) {
    let help =
        "Keys of this node's copies under which several values stand, as far as they are known.";
    page.family("rejoin_conflicts_open_by_bucket", Kind::Gauge, help);
    let mut others = 0;
    for (place, (bucket, count)) in open.iter().enumerate() {
        match place < METRIC_LANES_MAX {
            true => {
                let labels = [("bucket", bucket.as_str())];
                page.sample("rejoin_conflicts_open_by_bucket", &labels, count);
            }
            false => others += count,
        }
    }
    if others > 0 {
        page.sample(
            "rejoin_conflicts_open_by_bucket",
            &[("bucket", OTHER)],
            others,
        );
    }
}

/// Whose calls are looked for.
pub fn is_of(lane: &Lane, bucket: Option<&BucketName>, plugin: Option<Digest>) -> bool {
    bucket.is_none_or(|bucket| lane.bucket == *bucket)
        && plugin.is_none_or(|plugin| lane.digest == plugin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::reconcile::answer::GuestFailure;

    fn lane(bucket: &str) -> Lane {
        Lane {
            bucket: BucketName::new(bucket).unwrap(),
            digest: Digest([1; 32]),
        }
    }

    fn ran(fuel: u64) -> Report {
        let resolution = Resolution::Deleted;
        Report {
            answer: Answer::Resolved { resolution, fuel },
            fuel,
            wall_us: 2 * fuel,
            source: Source::Call,
            ..Report::failed(GuestFailure::Busy)
        }
    }

    #[test]
    fn percentiles_are_those_of_the_latest_calls() {
        let mut meter = LaneMeter::default();
        assert_eq!(meter.fuel_percentile(99), 0);
        for fuel in 0..METER_WINDOW as u64 {
            meter.on_report(&ran(1_000_000 + fuel));
        }
        for fuel in 1..=METER_WINDOW as u64 {
            meter.on_report(&ran(fuel));
        }
        assert_eq!(meter.fuel_percentile(50), METER_WINDOW as u64 / 2);
        assert_eq!(meter.wall_us_percentile(100), 2 * METER_WINDOW as u64);
        assert_eq!(meter.calls, 2 * METER_WINDOW as u64);
    }

    #[test]
    fn what_did_not_run_costs_nothing_and_is_counted() {
        let mut meter = LaneMeter::default();
        meter.on_report(&ran(7));
        meter.on_report(&Report::remembered(ran(7).answer));
        meter.on_report(&Report::failed(GuestFailure::Busy));
        assert_eq!((meter.calls, meter.remembered, meter.fuel), (1, 1, 7));
        assert_eq!(meter.outcomes["deleted"], 2);
        assert_eq!((meter.outcomes["R006"], meter.failures()), (1, 1));
    }

    #[test]
    fn lanes_beyond_the_bound_have_no_labels_of_their_own() {
        let mut meter = Meter::default();
        for number in 0..METRIC_LANES_MAX + 9 {
            meter.on_report(&lane(&format!("b{number}")), "resolver", &ran(1));
        }
        assert_eq!(meter.all().len(), METRIC_LANES_MAX);
        assert_eq!(meter.others["resolver"].calls, 9);
    }
}
