//! What a law check found.
//!
//! Invariant: the grade follows from the failures and from what was checked; nobody sets it.

use super::case::Origin;
use super::examiner::{Charge, Frame};
use super::law::Law;
use super::outcome::{Outcome, shown};
use crate::dynamo::causality::version::Version;
use crate::dynamo::metadata::grade::{Grade, Graded};
use crate::dynamo::names::Digest;
use std::collections::BTreeMap;

/// A law that was broken, and the smallest list that was found to break it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterexample {
    pub law: Law,
    pub charge: Charge,
    /// Where the list comes from that was made small.
    pub origin: Origin,
    pub frame: Frame,
    /// In the order in which they break the law.
    pub siblings: Vec<Version>,
    pub expected: Outcome,
    pub got: Outcome,
}

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LawReport {
    pub digest: Digest,
    pub is_resolver: bool,
    /// At most one for each law, in the order in which they were found.
    pub failures: Vec<Counterexample>,
    /// How often each law was tried and could be judged.
    pub checked: BTreeMap<Law, u64>,
    pub cases_run: u64,
    /// Cases there were; more than `cases_run` if the budget was spent or a failure ended the check.
    pub cases_total: u64,
    /// The budget was spent before the author's own samples were through.
    pub is_too_dear: bool,
    /// Fuel of each call that was answered, in ascending order.
    pub fuels: Vec<u64>,
}

/// Without one of these there is no second grade.
const NEEDED: [Law; 2] = [Law::Idempotent, Law::Associative];

impl LawReport {
    /// None: it is not even deterministic, or it fails on a sample of its own author. It is refused.
    pub fn grade(&self) -> Option<Grade> {
        let mut grade = Grade::Lawful;
        for failure in &self.failures {
            grade = grade.min(failure.law.cap()?);
            if failure.is_refusal() {
                return None;
            }
        }
        if self.is_too_dear || !self.was_checked(Law::Commutative) {
            return Some(Grade::Deterministic);
        }
        match NEEDED.iter().all(|law| self.was_checked(*law)) {
            true => Some(grade),
            false => Some(grade.min(Grade::Commutative)),
        }
    }

    fn was_checked(&self, law: Law) -> bool {
        self.checked.get(&law).is_some_and(|count| *count > 0)
    }

    /// The failure that decided the grade.
    pub fn decisive(&self) -> Option<&Counterexample> {
        let rank = |failure: &&Counterexample| match failure.is_refusal() {
            true => None,
            false => failure.law.cap(),
        };
        self.failures.iter().min_by_key(rank)
    }

    /// Why the grade is not the highest, in one sentence; none if it is.
    pub fn finding(&self) -> Option<String> {
        if let Some(failure) = self.decisive() {
            return Some(failure.to_string());
        }
        if self.grade() == Some(Grade::Lawful) {
            return None;
        }
        Some(match self.is_too_dear {
            true => "its samples take too much fuel to be checked; give smaller samples, or make it cheaper".to_owned(),
            false => "no case was merged, so nothing could be checked; let `describe` give samples with at least two siblings that merge".to_owned(),
        })
    }

    /// As the catalog keeps it; none for what is no resolver.
    pub fn graded(&self) -> Option<Graded> {
        let grade = self.grade().filter(|_| self.is_resolver)?;
        Some(Graded {
            grade,
            cases: self.cases_run,
            fuel_median: self.fuel_median(),
            fuel_most: self.fuel_most(),
            finding: self.finding().unwrap_or_default(),
        })
    }

    pub fn fuel_median(&self) -> u64 {
        self.fuels.get(self.fuels.len() / 2).copied().unwrap_or(0)
    }

    pub fn fuel_most(&self) -> u64 {
        self.fuels.last().copied().unwrap_or(0)
    }
}

impl Counterexample {
    /// Whether a plugin is turned away for it: it cannot be asked at all, or its author did not try it.
    pub fn is_refusal(&self) -> bool {
        let own = matches!(self.origin, Origin::Sample(_));
        self.law == Law::Deterministic || (own && matches!(self.law, Law::Total | Law::Judging))
    }
}

impl std::fmt::Display for Counterexample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list: Vec<String> = self.siblings.iter().map(shown).collect();
        let list = list.join(", ");
        let (law, broken) = (self.law.name(), self.law.broken());
        let (expected, got) = (&self.expected, &self.got);
        write!(f, "not {law}: {broken}. Siblings: [{list}]; ")?;
        match self.law {
            Law::Total => write!(f, "got: {got}")?,
            _ => write!(f, "expected: {expected}; got: {got}")?,
        }
        if !self.frame.params.is_empty() {
            let params = String::from_utf8_lossy(&self.frame.params);
            let cut = params.floor_char_boundary(200);
            write!(f, "; params: {:?}", &params[..cut])?;
        }
        write!(
            f,
            " (from {}). Its author should mend it: {}",
            self.origin,
            self.law.fix()
        )
    }
}
