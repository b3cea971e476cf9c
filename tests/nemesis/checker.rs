//! Judges a history: what was promised to clients, and was not so.
//!
//! Pure. Elements are unique, so each stands for one put. A put of the kept buckets has to be found in the end, unless a
//! delete has covered it; the buckets of last-write-wins may lose, and what they lose is counted.
//!
//! What a read has to show is judged in calm only, and only if the primaries that answered the read and those that
//! acknowledged the put must overlap: a sloppy quorum promises no more (Dynamo 4.6).
//!
//! Invariant: every kind of finding can be found; the tests below make one of each.

use super::history::{Action, Line, Outcome, Record};
use super::operations::{self, Operation};
use super::schedule::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Copies of every key.
pub const COPIES: u32 = 3;
/// Read, union with what was seen, put with the context; every value stands until it was seen.
pub const SIBLINGS: &str = "siblings";
/// Resolved by a set that only grows.
pub const UNION: &str = "union";
/// Put and deleted by its only client.
pub const DELETES: &str = "deletes";
/// Read, add, put with the context: the set workload, on last-write-wins.
pub const LAST_WRITE: &str = "last-write";
/// Put without having read, on last-write-wins: the control that has to lose.
pub const BLIND: &str = "blind";

/// Written by a flood, on last-write-wins; not judged.
pub const FLOOD: &str = "flood";

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Acknowledged, and not there.
    Lost {
        bucket: String,
        element: String,
    },
    /// Shown, and nobody ever asked for it.
    Invented {
        bucket: String,
        element: String,
    },
    /// Shown, though its client was told that it was not stored.
    Denied {
        bucket: String,
        element: String,
    },
    /// Deleted, acknowledged, and there.
    Resurrected {
        key: String,
        element: String,
    },
    /// Primaries of a key hold different records.
    Diverged {
        bucket: String,
        key: String,
    },
    /// More values under a key than writers and unknown outcomes explain.
    Explosion {
        key: String,
        found: usize,
        bound: usize,
    },
    /// A read in calm does not show what was acknowledged before it began.
    Backwards {
        key: String,
        element: String,
    },
    /// Acknowledged, and nobody looked in the end.
    Unread {
        bucket: String,
        key: String,
    },
    Unsettled {
        why: String,
    },
    /// A node ended by itself, and nothing was wrong with its disk.
    Crashed {
        node: usize,
        window: Option<usize>,
    },
}

/// Writes of a bucket that may lose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    pub acknowledged: usize,
    pub lost: usize,
}

impl Share {
    pub fn percent(self) -> f64 {
        100.0 * self.lost as f64 / (self.acknowledged.max(1)) as f64
    }
}

/// What a history comes to.
#[derive(Debug, Default)]
pub struct Verdict {
    pub findings: BTreeSet<Finding>,
    pub shares: BTreeMap<String, Share>,
    /// Under any key of `siblings`, at any time.
    pub siblings_most: usize,
    /// Reads in calm that were held against what was acknowledged before.
    pub reads_judged: usize,
    /// Keys whose copies were compared.
    pub keys_compared: usize,
}

/// What a run knows of one key in the end.
#[derive(Default)]
struct Ending<'a> {
    seen: Option<BTreeSet<&'a str>>,
    hashes: BTreeSet<u64>,
    copies: u32,
}

type Place<'a> = (&'a str, &'a str);

pub fn judge(lines: &[Line]) -> Verdict {
    let operations = operations::of(lines);
    let mut by_key: BTreeMap<Place, Vec<&Operation>> = BTreeMap::new();
    for operation in &operations {
        by_key.entry(operation.place()).or_default().push(operation);
    }
    let endings = endings(lines);
    let mut verdict = Verdict::default();
    judge_nodes(lines, &mut verdict);
    for (place, operations) in &by_key {
        judge_shown(*place, operations, endings.get(place), &mut verdict);
        judge_ending(*place, operations, endings.get(place), &mut verdict);
        if may_lose(place.0) {
            continue;
        }
        judge_calm_reads(place.1, operations, &mut verdict);
        if place.0 == SIBLINGS {
            judge_siblings(place.1, operations, &mut verdict);
        }
    }
    verdict
}

/// The cluster settles between faults, and only a disk may end a node.
fn judge_nodes(lines: &[Line], verdict: &mut Verdict) {
    let mut bad_disks: BTreeSet<(usize, usize)> = BTreeSet::new();
    for line in lines {
        match &line.record {
            Record::Unsettled { why } => {
                let why = why.clone();
                verdict.findings.insert(Finding::Unsettled { why });
            }
            Record::Strikes {
                window,
                kind: Kind::Flip | Kind::ReadOnly,
                victims,
            } => bad_disks.extend(victims.iter().map(|node| (*window, *node))),
            Record::Died { node, window } => {
                let (node, window) = (*node, *window);
                if !window.is_some_and(|window| bad_disks.contains(&(window, node))) {
                    verdict.findings.insert(Finding::Crashed { node, window });
                }
            }
            _ => {}
        }
    }
}

fn may_lose(bucket: &str) -> bool {
    bucket == LAST_WRITE || bucket == BLIND
}

fn endings(lines: &[Line]) -> BTreeMap<Place<'_>, Ending<'_>> {
    let mut endings: BTreeMap<Place, Ending> = BTreeMap::new();
    for line in lines {
        match &line.record {
            Record::Final {
                bucket, key, seen, ..
            } => {
                let seen = seen.iter().map(String::as_str).collect();
                endings.entry((bucket, key)).or_default().seen = Some(seen);
            }
            Record::Copy {
                bucket, key, hash, ..
            } => {
                let ending = endings.entry((bucket, key)).or_default();
                ending.hashes.insert(*hash);
                ending.copies += 1;
            }
            _ => {}
        }
    }
    endings
}

/// Whatever any read shows was asked for, and was not said to be refused.
fn judge_shown(
    (bucket, _): Place,
    operations: &[&Operation],
    ending: Option<&Ending>,
    verdict: &mut Verdict,
) {
    let mut attempts: BTreeMap<&str, Outcome> = BTreeMap::new();
    for operation in operations {
        if let Some(element) = operation.added() {
            attempts.insert(element, operation.outcome());
        }
    }
    let reads = operations
        .iter()
        .filter_map(|operation| operation.success());
    let shown = reads.flat_map(|end| end.seen.iter().map(String::as_str));
    let last = ending.and_then(|ending| ending.seen.as_ref());
    let shown: BTreeSet<&str> = shown.chain(last.into_iter().flatten().copied()).collect();
    for element in shown {
        let (bucket, element_name) = (bucket.to_owned(), element.to_owned());
        let finding = match attempts.get(element) {
            None => Finding::Invented {
                bucket,
                element: element_name,
            },
            Some(Outcome::Refused) => Finding::Denied {
                bucket,
                element: element_name,
            },
            Some(_) => continue,
        };
        verdict.findings.insert(finding);
    }
}

/// What was acknowledged is there in the end, what was deleted is not, and all copies are equal.
fn judge_ending(
    (bucket, key): Place,
    operations: &[&Operation],
    ending: Option<&Ending>,
    verdict: &mut Verdict,
) {
    let acknowledged = operations.iter().filter(|one| one.success().is_some());
    let acknowledged: Vec<&str> = acknowledged.filter_map(|one| one.added()).collect();
    let Some(seen) = ending.and_then(|ending| ending.seen.as_ref()) else {
        if !acknowledged.is_empty() {
            verdict.findings.insert(Finding::Unread {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            });
        }
        return;
    };
    let ending = ending.expect("it was seen");
    verdict.keys_compared += usize::from(ending.copies == COPIES);
    if ending.hashes.len() > 1 || (ending.copies != COPIES && !acknowledged.is_empty()) {
        verdict.findings.insert(Finding::Diverged {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        });
    }
    let deleted = covered(operations, &[Outcome::Ok]);
    let perhaps = covered(operations, &[Outcome::Ok, Outcome::Unknown]);
    for element in deleted.iter().filter(|element| seen.contains(*element)) {
        verdict.findings.insert(Finding::Resurrected {
            key: key.to_owned(),
            element: (*element).to_owned(),
        });
    }
    let lost = |element: &&&str| !seen.contains(**element) && !perhaps.contains(**element);
    let lost: Vec<&&str> = acknowledged.iter().filter(lost).collect();
    if may_lose(bucket) {
        let share = verdict.shares.entry(bucket.to_owned()).or_default();
        share.acknowledged += acknowledged.len();
        share.lost += lost.len();
        return;
    }
    let lost = lost.into_iter().map(|element| Finding::Lost {
        bucket: bucket.to_owned(),
        element: (*element).to_owned(),
    });
    verdict.findings.extend(lost);
}

/// What deletes with one of these outcomes have covered.
fn covered<'a>(operations: &[&'a Operation], outcomes: &[Outcome]) -> BTreeSet<&'a str> {
    let deletes = operations
        .iter()
        .filter(|one| outcomes.contains(&one.outcome()));
    let covered = deletes.filter_map(|one| match &one.action {
        Action::Delete(covered) => Some(covered.iter().map(String::as_str)),
        _ => None,
    });
    covered.flatten().collect()
}

/// In calm, contexts do not go backwards: a read shows what was acknowledged before it began.
fn judge_calm_reads(key: &str, operations: &[&Operation], verdict: &mut Verdict) {
    let perhaps = covered(operations, &[Outcome::Ok, Outcome::Unknown]);
    for read in operations.iter().filter(|one| one.action == Action::Read) {
        let (Some(calm), Some(end)) = (read.calm, read.success()) else {
            continue;
        };
        verdict.reads_judged += 1;
        for put in operations {
            let (Some(element), Some(put_end)) = (put.added(), put.success()) else {
                continue;
            };
            // What was acknowledged before the calm is on all copies by now.
            let copies = match put_end.at_us < calm {
                true => COPIES,
                false => put_end.primaries,
            };
            let must_overlap = copies + end.primaries > COPIES;
            let is_earlier = put_end.at_us < read.began_us;
            if is_earlier
                && must_overlap
                && !perhaps.contains(element)
                && !end.seen.iter().any(|seen| seen == element)
            {
                verdict.findings.insert(Finding::Backwards {
                    key: key.to_owned(),
                    element: element.to_owned(),
                });
            }
        }
    }
}

/// In calm, once a client has read and put twice, at most one value per writer stands, and one per unknown outcome.
fn judge_siblings(key: &str, operations: &[&Operation], verdict: &mut Verdict) {
    let puts = operations.iter().filter(|one| one.added().is_some());
    let writers: BTreeSet<u32> = puts.clone().map(|put| put.client).collect();
    let unknown = puts.clone().filter(|one| one.outcome() == Outcome::Unknown);
    let bound = writers.len() + unknown.count();
    let mut made: BTreeMap<(u64, u32), Vec<u64>> = BTreeMap::new();
    for put in puts {
        if let (Some(calm), Some(end)) = (put.calm, put.success()) {
            made.entry((calm, put.client)).or_default().push(end.at_us);
        }
    }
    for read in operations.iter().filter(|one| one.action == Action::Read) {
        let Some(end) = read.success() else { continue };
        verdict.siblings_most = verdict.siblings_most.max(end.siblings);
        let has_been_tidied = made.iter().any(|((calm, _), ends)| {
            Some(*calm) == read.calm && ends.get(1).is_some_and(|second| *second < read.began_us)
        });
        if has_been_tidied && end.siblings > bound {
            verdict.findings.insert(Finding::Explosion {
                key: key.to_owned(),
                found: end.siblings,
                bound,
            });
        }
    }
}

#[cfg(test)]
#[path = "controls.rs"]
mod controls;
