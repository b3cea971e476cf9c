//! What plugins logged on this node, and why they failed, for their authors.
//!
//! Kept in memory; a restart forgets it. No keys and no values, but what a plugin writes into its lines.
//!
//! Invariant: neither one plugin's lines nor the number of plugins grows beyond its bound.

use crate::dynamo::names::{BucketName, Digest};
use crate::dynamo::reconcile::answer::Answer;
use crate::limits::{PLUGIN_LOG_LINES_MAX, PLUGIN_LOGS_MAX};
use crate::wasm::guest::{Level, Report, Source};
use crate::wasm::workers::Lane;
use std::collections::{BTreeMap, VecDeque};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Wall clock of this node, milliseconds since 1970.
    pub at_ms: u64,
    pub bucket: BucketName,
    /// None: the node's own words about a call that failed.
    pub level: Option<Level>,
    pub text: String,
}

/// The lines of all plugins.
#[derive(Debug, Default)]
pub struct Journal {
    logs: BTreeMap<Digest, VecDeque<Line>>,
}

impl Journal {
    /// Takes the lines of one call, and its failure.
    pub fn on_report(&mut self, now_ms: u64, lane: &Lane, report: &Report) {
        if report.source != Source::Call {
            return;
        }
        let logged = report.log.lines.iter();
        let logged = logged.map(|line| (Some(line.level), line.text.clone()));
        let dropped = (report.log.dropped > 0).then(|| {
            (
                None,
                format!("{} more lines were dropped", report.log.dropped),
            )
        });
        let failed = match &report.answer {
            Answer::Failed(failure) => Some((None, failure.to_string())),
            Answer::Resolved { .. } | Answer::Judged { .. } => None,
        };
        for (level, text) in logged.chain(dropped).chain(failed) {
            let bucket = lane.bucket.clone();
            let line = Line {
                at_ms: now_ms,
                bucket,
                level,
                text,
            };
            self.push(lane.digest, line);
        }
    }

    fn push(&mut self, plugin: Digest, line: Line) {
        if !self.logs.contains_key(&plugin) && self.logs.len() >= PLUGIN_LOGS_MAX {
            let last_ms = |lines: &VecDeque<Line>| lines.back().map_or(0, |line| line.at_ms);
            let quietest = self.logs.iter().min_by_key(|(_, lines)| last_ms(lines));
            if let Some(digest) = quietest.map(|(digest, _)| *digest) {
                self.logs.remove(&digest);
            }
        }
        let lines = self.logs.entry(plugin).or_default();
        if lines.len() >= PLUGIN_LOG_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The latest lines of a plugin, in the order in which they came.
    pub fn of(&self, plugin: Digest, lines_max: usize) -> Vec<Line> {
        let Some(lines) = self.logs.get(&plugin) else {
            return Vec::new();
        };
        let passed = lines.len().saturating_sub(lines_max);
        lines.iter().skip(passed).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::reconcile::answer::GuestFailure;

    fn lane(number: u8) -> Lane {
        Lane {
            bucket: BucketName::new("b").unwrap(),
            digest: Digest([number; 32]),
        }
    }

    fn trapped(lane: &Lane, message: &str) -> Report {
        Report {
            source: Source::Call,
            ..Report::failed(GuestFailure::Trap {
                digest: lane.digest,
                message: message.to_owned(),
            })
        }
    }

    #[test]
    fn a_trap_reaches_its_author_and_old_lines_make_room() {
        let mut journal = Journal::default();
        let lane = lane(1);
        for number in 0..PLUGIN_LOG_LINES_MAX + 3 {
            let report = trapped(&lane, &format!("panic {number}"));
            journal.on_report(number as u64, &lane, &report);
        }
        let lines = journal.of(lane.digest, usize::MAX);
        assert_eq!(lines.len(), PLUGIN_LOG_LINES_MAX);
        assert!(lines[0].text.contains("panic 3"), "{:?}", lines[0]);
        let last = journal.of(lane.digest, 1);
        assert_eq!(last[0].at_ms, PLUGIN_LOG_LINES_MAX as u64 + 2);
    }

    #[test]
    fn the_plugin_that_was_silent_for_longest_makes_room() {
        let mut journal = Journal::default();
        for number in 0..=PLUGIN_LOGS_MAX as u8 {
            let lane = lane(number);
            journal.on_report(u64::from(number), &lane, &trapped(&lane, "no"));
        }
        assert!(journal.of(Digest([0; 32]), 9).is_empty());
        assert_eq!(journal.of(Digest([1; 32]), 9).len(), 1);
    }
}
