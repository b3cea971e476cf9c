//! What a run has done and what came of it, as tables for people.
//!
//! Judges nothing. An operation belongs to every fault that was in force when it began.

use super::checker::{BLIND, Finding, LAST_WRITE, Verdict};
use super::history::{Action, Line, Outcome, Record};
use super::operations::{self, Operation};
use super::schedule::{Fault, Kind};
use std::collections::BTreeMap;

/// Within which a fault is to be noticed, in microseconds.
const NOTICED_AFTER_US: u64 = 3_000_000;
/// Reasons of failures that are shown.
const REASONS_MAX: usize = 8;

/// A fault in force.
struct Strike {
    kind: Kind,
    victims: Vec<usize>,
    from_us: u64,
    until_us: u64,
}

/// Operations, by how they ended.
#[derive(Default, Clone, Copy)]
struct Tally {
    ok: usize,
    unknown: usize,
    refused: usize,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Refused => self.refused += 1,
        }
    }

    fn all(self) -> usize {
        self.ok + self.unknown + self.refused
    }

    fn percent(self) -> String {
        match self.all() {
            0 => "-".to_owned(),
            all => format!("{:.3} %", 100.0 * self.ok as f64 / all as f64),
        }
    }
}

pub fn print(lines: &[Line], verdict: &Verdict) {
    let operations = operations::of(lines);
    let strikes = strikes(lines);
    print_sum(lines, &operations, verdict);
    print_operations(&operations);
    print_faults(lines, &operations, &strikes);
    print_notes(lines);
    println!("\n| lost by last-write-wins | acknowledged | lost | share |\n|---|---|---|---|");
    for (bucket, share) in &verdict.shares {
        let how = match bucket.as_str() {
            LAST_WRITE => "read, add, put with context",
            BLIND => "blind puts (the control)",
            other => other,
        };
        let (all, lost) = (share.acknowledged, share.lost);
        println!("| {how} | {all} | {lost} | {:.1} % |", share.percent());
    }
    println!(
        "\nkeys compared: {}, reads judged in calm: {}, most siblings at any time: {}",
        verdict.keys_compared, verdict.reads_judged, verdict.siblings_most
    );
    println!("findings: {}", verdict.findings.len());
    for finding in &verdict.findings {
        println!("  {finding:?}");
    }
}

/// The figures that are published, in one line.
fn print_sum(lines: &[Line], operations: &[Operation], verdict: &Verdict) {
    let seconds = lines.last().map_or(0, |line| line.at_us / 1_000_000);
    let windows = lines
        .iter()
        .filter(|line| matches!(line.record, Record::Healed { .. }));
    let writes = operations.iter().filter(|one| {
        one.action != Action::Read && ![LAST_WRITE, BLIND].contains(&one.bucket.as_str())
    });
    let acknowledged = writes.filter(|one| one.success().is_some()).count();
    let is_loss = |one: &&Finding| matches!(one, Finding::Lost { .. });
    let lost = verdict.findings.iter().filter(is_loss).count();
    println!(
        "{} operations in {seconds} s, {} windows; of {acknowledged} acknowledged writes that must not be lost, lost: {lost}",
        operations.len(),
        windows.count()
    );
}

fn print_operations(operations: &[Operation]) {
    let mut by_bucket: BTreeMap<(&str, &str), Tally> = BTreeMap::new();
    for operation in operations {
        let what = match operation.action {
            Action::Read => "reads",
            Action::Add(_) => "puts",
            Action::Delete(_) => "deletes",
        };
        for place in [(operation.bucket.as_str(), what), ("all", what)] {
            by_bucket
                .entry(place)
                .or_default()
                .count(operation.outcome());
        }
    }
    println!(
        "\n| bucket | what | asked | acknowledged | unknown | refused |\n|---|---|---|---|---|---|"
    );
    for ((bucket, what), tally) in by_bucket {
        println!(
            "| {bucket} | {what} | {} | {} | {} | {} |",
            tally.all(),
            tally.ok,
            tally.unknown,
            tally.refused
        );
    }
}

fn print_faults(lines: &[Line], operations: &[Operation], strikes: &[Strike]) {
    let settled = settled(lines);
    println!(
        "\n| fault | times | operations | OK | OK, asked of others | the same, from 3 s on | settled after, mean | longest |\n|---|---|---|---|---|---|---|---|"
    );
    let calm = operations.iter().filter(|one| one.calm.is_some());
    let mut tally = Tally::default();
    calm.for_each(|one| tally.count(one.outcome()));
    println!(
        "| none | - | {} | {} | - | - | - | - |",
        tally.all(),
        tally.percent()
    );
    for kind in Kind::ALL {
        let own: Vec<&Strike> = strikes.iter().filter(|one| one.kind == kind).collect();
        let (mut all, mut others, mut noticed) = <(Tally, Tally, Tally)>::default();
        for operation in operations {
            let began = operation.began_us;
            let in_force = |one: &&&Strike| (one.from_us..one.until_us).contains(&began);
            if own.iter().any(|one| in_force(&one)) {
                all.count(operation.outcome());
                if !strikes
                    .iter()
                    .any(|one| in_force(&&one) && one.silences(operation.node))
                {
                    others.count(operation.outcome());
                    let is_recent = |one: &&&Strike| began < one.from_us + NOTICED_AFTER_US;
                    if !strikes
                        .iter()
                        .any(|one| in_force(&&one) && is_recent(&&one))
                    {
                        noticed.count(operation.outcome());
                    }
                }
            }
        }
        let times: Vec<u64> = settled
            .iter()
            .filter(|(one, _)| *one == kind)
            .map(|one| one.1)
            .collect();
        let mean = times.iter().sum::<u64>() / times.len().max(1) as u64;
        let longest = times.iter().max().copied().unwrap_or(0);
        let skipped = lines.iter().find_map(|line| match &line.record {
            Record::Skipped { kind: one, why } if *one == kind => Some(why),
            _ => None,
        });
        let count = match skipped {
            Some(why) => format!("skipped: {why}"),
            None => own.len().to_string(),
        };
        println!(
            "| {} | {count} | {} | {} | {} | {} of {} | {:.1} s | {:.1} s |",
            kind.name(),
            all.all(),
            all.percent(),
            others.percent(),
            noticed.percent(),
            noticed.all(),
            mean as f64 / 1e3,
            longest as f64 / 1e3
        );
    }
}

impl Strike {
    fn silences(&self, node: usize) -> bool {
        Fault::silences_victims(self.kind, &self.victims) && self.victims.contains(&node)
    }
}

fn strikes(lines: &[Line]) -> Vec<Strike> {
    let mut strikes: Vec<Strike> = Vec::new();
    for line in lines {
        match &line.record {
            Record::Strikes { kind, victims, .. } => strikes.push(Strike {
                kind: *kind,
                victims: victims.clone(),
                from_us: line.at_us,
                until_us: u64::MAX,
            }),
            Record::Healed { .. } => {
                let open = strikes.iter_mut().filter(|one| one.until_us == u64::MAX);
                open.for_each(|one| one.until_us = line.at_us);
            }
            _ => {}
        }
    }
    strikes
}

/// The time from the heal of a window to the calm, for each kind in it.
fn settled(lines: &[Line]) -> Vec<(Kind, u64)> {
    let (mut settled, mut struck) = (Vec::new(), Vec::new());
    for line in lines {
        match &line.record {
            Record::Strikes { kind, .. } => struck.push(*kind),
            Record::Calm { after_ms } => {
                settled.extend(struck.drain(..).map(|kind| (kind, *after_ms)));
            }
            _ => {}
        }
    }
    settled
}

fn print_notes(lines: &[Line]) {
    let (mut notes, mut reasons) = (BTreeMap::<String, usize>::new(), BTreeMap::new());
    let mut deaths = 0;
    for line in lines {
        match &line.record {
            Record::Note { text } => *notes.entry(without_numbers(text)).or_default() += 1,
            Record::Died { .. } => deaths += 1,
            Record::Ended { why, .. } if !why.is_empty() => {
                *reasons.entry(without_numbers(why)).or_insert(0_usize) += 1;
            }
            _ => {}
        }
    }
    println!("\nnodes that ended by themselves: {deaths}");
    for (text, count) in notes {
        println!("  {count} x {text}");
    }
    let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    println!("why operations were not acknowledged, most frequent first:");
    for (why, count) in reasons.iter().take(REASONS_MAX) {
        println!("  {count} x {why}");
    }
}

/// So that reasons that differ in a number only are counted together.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        match letter.is_ascii_digit() {
            true if plain.ends_with('#') => {}
            true => plain.push('#'),
            false => plain.push(letter),
        }
    }
    plain
}
