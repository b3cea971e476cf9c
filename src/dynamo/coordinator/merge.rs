//! A merge on put: what goes into it, what it covers, and what it leaves to be stored (Dynamo 4.4).
//!
//! Pure bookkeeping for `put`; asks no guest and stores nothing.
//!
//! Invariant: what is stored covers exactly what went in, and carries all of it as inputs, so that a wrong
//! resolver can be undone (law 1).

use super::super::bucket::{Binding, Policy};
use super::super::causality::context::Context;
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::names::{Digest, Key};
use super::super::reconcile::answer::Answer;
use super::super::reconcile::question::{Ask, Question, canonical, distinct};
use super::super::reconcile::verdict::{Verdict, believe, last_write_wins};
use super::super::replica::copy::MergeInputs;

/// A version that is ready for its dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Covers what the client has seen and what a merge took in.
    pub context: Context,
    pub version: Version,
    pub merge: Option<MergeInputs>,
}

/// A merge that waits for its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The uncovered siblings and the client's value, in canonical order.
    siblings: Vec<Version>,
    /// Tombstones, and what has expired: kept as inputs, not shown to the resolver.
    hidden: Vec<Version>,
    covered: Context,
}

impl Merge {
    /// Of a client's version with what its context does not cover of the local object.
    pub fn of(version: Version, context: &Context, local: &Object, uncovered: &Object) -> Self {
        let mut covered = context.clone();
        covered.join(&local.context());
        let wall_ms = version.written_at_ms;
        let versions = uncovered.versions().map(|(_, version)| version.clone());
        let (mut siblings, hidden): (Vec<_>, Vec<_>) =
            versions.partition(|version| version.is_live(wall_ms));
        siblings.push(version);
        Self {
            siblings: canonical(siblings),
            hidden,
            covered,
        }
    }

    /// Of the siblings that stand under a key; none if they say only one thing.
    pub fn within(local: &Object, policy: &Policy, wall_ms: u64) -> Option<Self> {
        let siblings = distinct(local, policy, wall_ms);
        if siblings.len() < 2 {
            return None;
        }
        let versions = local.versions().map(|(_, version)| version.clone());
        Some(Self {
            siblings,
            hidden: versions
                .filter(|version| !version.is_live(wall_ms))
                .collect(),
            covered: local.context(),
        })
    }

    pub fn question(&self, key: Key, binding: Binding) -> Question {
        Question {
            key,
            binding,
            ask: Ask::Resolve(self.siblings.clone()),
        }
    }

    /// What the built-in policy stores at this time of the coordinator's clock.
    pub fn by_write_time(self, wall_ms: u64) -> Option<Store> {
        let latest = last_write_wins(&self.siblings, wall_ms)?;
        Some(self.into_store(latest, None))
    }

    /// What the resolver's answer stores, and its fuel; or why the siblings stay.
    pub fn by_resolver(
        self,
        answer: Answer,
        binding: &Binding,
        value_bytes_max: usize,
    ) -> Result<(Store, u64), String> {
        match believe(answer, binding, &self.siblings, value_bytes_max) {
            Verdict::One { version, fuel } => {
                Ok((self.into_store(version, Some(binding.digest)), fuel))
            }
            Verdict::Siblings { reason } => Err(reason),
        }
    }

    fn into_store(self, version: Version, merged_by: Option<Digest>) -> Store {
        let mut inputs = self.siblings;
        inputs.extend(self.hidden);
        Store {
            context: self.covered,
            version,
            merge: Some(MergeInputs { merged_by, inputs }),
        }
    }
}
