//! What comes back from guests, in the words of the rest of the node.
//!
//! Data and translations only.
//!
//! Invariant: everything that a guest wrote in here was bounded before it was copied out of the guest.

use super::host::GuestLog;
use super::words::{DescriptionTaken, LawsTaken, SampleTaken};
use crate::dynamo::causality::version::Version;
use crate::dynamo::names::Digest;
use crate::dynamo::reconcile::answer::{Answer, GuestFailure};
use crate::limits::DESCRIPTION_SAMPLES_MAX;

/// What one call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub answer: Answer,
    pub log: GuestLog,
    /// Wall clock of the call on this node, for people.
    pub wall_us: u64,
}

impl Report {
    /// A call that was not made.
    pub fn failed(failure: GuestFailure) -> Self {
        Self {
            answer: Answer::Failed(failure),
            log: GuestLog::default(),
            wall_us: 0,
        }
    }
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// The laws that the author claims; nobody has checked them yet.
    pub laws: Laws,
    pub samples: Vec<Sample>,
}

/// Laws of a resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Laws {
    pub commutative: bool,
    pub associative: bool,
    pub idempotent: bool,
}

impl Laws {
    /// Those that are claimed, by name.
    pub fn names(self) -> Vec<&'static str> {
        let named = [
            (self.commutative, "commutative"),
            (self.associative, "associative"),
            (self.idempotent, "idempotent"),
        ];
        let claimed = named.into_iter().filter(|(claimed, _)| *claimed);
        claimed.map(|(_, name)| name).collect()
    }
}

/// A call that the author considers typical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub key: Vec<u8>,
    pub siblings: Vec<Version>,
    pub params: Vec<u8>,
}

/// Why params were not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    #[error(
        "the plugin {digest} refuses the params: {message}; mend them, its author documents their form"
    )]
    Refused { digest: Digest, message: String },
    #[error(transparent)]
    Failed(#[from] GuestFailure),
}

impl From<DescriptionTaken> for Description {
    fn from(taken: DescriptionTaken) -> Self {
        Self {
            name: taken.name,
            version: taken.version,
            laws: Laws {
                commutative: taken.laws.contains(LawsTaken::COMMUTATIVE),
                associative: taken.laws.contains(LawsTaken::ASSOCIATIVE),
                idempotent: taken.laws.contains(LawsTaken::IDEMPOTENT),
            },
            samples: taken
                .samples
                .into_iter()
                .take(DESCRIPTION_SAMPLES_MAX)
                .map(sample)
                .collect(),
        }
    }
}

fn sample(taken: SampleTaken) -> Sample {
    Sample {
        key: taken.key,
        siblings: taken.siblings.into_iter().map(Version::from).collect(),
        params: taken.params,
    }
}
