//! A merge on put: what goes into it, what it covers, and what it leaves to be stored (Dynamo 4.4).
//!
//! Pure bookkeeping for `put`; asks no guest and stores nothing.
//!
//! Invariant: what is stored covers exactly what went in, and carries all of it as inputs, so that a wrong
//! resolver can be undone (law 1).

use super::super::bucket::{Binding, Policy};
use super::super::causality::context::Context;
use super::super::causality::dot::Dot;
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::names::{Digest, Key, NodeId};
use super::super::reconcile::answer::Answer;
use super::super::reconcile::question::{Ask, Question, distinct};
use super::super::reconcile::verdict::{Verdict, believe, last_write_wins};
use super::super::replica::copy::MergeInputs;
use super::super::replica::record::{Provenance, fingerprint};

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
    /// The uncovered siblings and the client's value, in canonical order, each with its dot if it has one.
    siblings: Vec<(Version, Option<Dot>)>,
    /// Tombstones, and what has expired: kept as inputs, not shown to the resolver.
    hidden: Vec<(Version, Option<Dot>)>,
    covered: Context,
    /// Wall clock of the coordinator.
    wall_ms: u64,
    /// Who coordinates it, and in which epoch of the bucket.
    origin: Option<(NodeId, u64)>,
}

impl Merge {
    /// Of a client's version with what its context does not cover of the local object.
    pub fn of(version: Version, context: &Context, local: &Object, uncovered: &Object) -> Self {
        let mut covered = context.clone();
        covered.join(&local.context());
        let wall_ms = version.written_at_ms;
        let versions = uncovered.versions();
        let versions = versions.map(|(dot, version)| (version.clone(), Some(dot)));
        let inputs = versions.chain([(version, None)]).collect();
        Self::again(inputs, covered, wall_ms)
    }

    /// Of versions that stood before, or still do, in the place of all that `covered` covers.
    pub fn again(inputs: Vec<(Version, Option<Dot>)>, covered: Context, wall_ms: u64) -> Self {
        let (mut siblings, hidden): (Vec<_>, Vec<_>) = inputs
            .into_iter()
            .partition(|(version, _)| version.is_live(wall_ms));
        siblings.sort();
        Self {
            siblings,
            hidden,
            covered,
            wall_ms,
            origin: None,
        }
    }

    /// Of the siblings that stand under a key; none if they say only one thing.
    pub fn within(local: &Object, policy: &Policy, wall_ms: u64) -> Option<Self> {
        if distinct(local, policy, wall_ms).len() < 2 {
            return None;
        }
        let versions = local.versions();
        let inputs = versions.map(|(dot, version)| (version.clone(), Some(dot)));
        Some(Self::again(inputs.collect(), local.context(), wall_ms))
    }

    /// Notes where it is made: at this node, in this epoch of the bucket.
    pub fn at(mut self, node: &NodeId, epoch: u64) -> Self {
        self.origin = Some((node.clone(), epoch));
        self
    }

    fn shown(&self) -> Vec<Version> {
        let siblings = self.siblings.iter();
        siblings.map(|(version, _)| version.clone()).collect()
    }

    pub fn question(&self, key: Key, binding: Binding) -> Question {
        Question {
            key,
            binding,
            ask: Ask::Resolve(self.shown()),
        }
    }

    /// What the built-in policy stores at this time of the coordinator's clock.
    pub fn by_write_time(self, wall_ms: u64) -> Option<Store> {
        let latest = last_write_wins(&self.shown(), wall_ms)?;
        Some(self.into_store(latest, None, 0))
    }

    /// What the resolver's answer stores, and its fuel; or why the siblings stay.
    pub fn by_resolver(
        self,
        answer: Answer,
        binding: &Binding,
        value_bytes_max: usize,
    ) -> Result<(Store, u64), String> {
        match believe(answer, binding, &self.shown(), value_bytes_max) {
            Verdict::One { version, fuel } => {
                Ok((self.into_store(version, Some(binding.digest), fuel), fuel))
            }
            Verdict::Siblings { reason } => Err(reason),
        }
    }

    /// The one version that there is; none if there are several, which somebody has to resolve.
    pub fn alone(&self) -> Option<Store> {
        match self.siblings.as_slice() {
            [(version, _)] => Some(self.clone().into_store(version.clone(), None, 0)),
            _ => None,
        }
    }

    fn into_store(self, version: Version, merged_by: Option<Digest>, fuel: u64) -> Store {
        let shown = self.siblings.len();
        let inputs = self.siblings.into_iter().chain(self.hidden);
        let (inputs, dots): (Vec<Version>, Vec<Option<Dot>>) = inputs.unzip();
        let provenance = self.origin.map(|(node, epoch)| Provenance {
            dots,
            shown,
            epoch,
            fuel,
            node,
            result: fingerprint(&version),
        });
        let merge = MergeInputs {
            merged_by,
            merged_at_ms: self.wall_ms,
            inputs,
            provenance,
        };
        Store {
            context: self.covered,
            version,
            merge: Some(merge),
        }
    }
}
