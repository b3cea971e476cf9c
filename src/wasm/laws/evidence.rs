//! A counterexample as a small file that fails in the same way on any machine that has the plugin.
//!
//! JSON, so that it can be read, mailed and attached to a report. Holds values of the bucket if the counterexample is
//! made of them.
//!
//! Invariant: replaying tries the same law on the same siblings with the same params and fuel.

use super::bounds::{SHRINK_CALLS_MAX, SHRINK_FUEL_MAX};
use super::examiner::{Charge, Examiner, Frame, Guests, Halt};
use super::law::Law;
use super::outcome::{Finding, Outcome};
use super::report::Counterexample;
use super::trial::try_law;
use super::written::{Written, WrittenSibling};
use crate::dynamo::bucket::{Binding, GuestLimits};
use crate::dynamo::names::Digest;
use crate::limits::FUEL_MAX;
use serde::{Deserialize, Serialize};

/// The form of the file.
const FORMAT: &str = "rejoin-evidence/1";

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    format: String,
    /// SHA-256 of the plugin, as uploaded.
    pub plugin: String,
    law: String,
    /// Where the siblings come from.
    origin: String,
    key: Written,
    params: Written,
    fuel: u64,
    value_bytes_max: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validator: Option<Validator>,
    /// In the order in which they break the law.
    siblings: Vec<WrittenSibling>,
    expected: WrittenOutcome,
    got: WrittenOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Validator {
    plugin: String,
    params: Written,
    fuel: u64,
}

/// What a question came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WrittenOutcome {
    Value(WrittenSibling),
    Deleted {
        written_at_ms: u64,
    },
    KeepSiblings(bool),
    Failed(String),
    Accepted(bool),
    Refused(String),
    Priced {
        outcome: Box<WrittenOutcome>,
        fuel: u64,
    },
}

/// Why a file is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    #[error(
        "this is not an evidence file: {0}; give one that `rejoin plugin test --evidence` wrote"
    )]
    Form(String),
    #[error(
        "the evidence says {what}, which this release does not know; replay it with a newer one"
    )]
    Unknown { what: String },
}

/// What a replay came to.
#[expect(clippy::large_enum_variant, reason = "one lives at a time")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// The law is broken, and both outcomes are those of the file.
    Same,
    /// The law is broken with other outcomes than the file's.
    Otherwise { expected: Outcome, got: Outcome },
    /// The law holds here, or nothing was merged.
    Holds,
}

impl Evidence {
    pub fn of(found: &Counterexample) -> Self {
        let charge = &found.charge;
        Self {
            format: FORMAT.to_owned(),
            plugin: charge.digest.to_string(),
            law: found.law.name().to_owned(),
            origin: found.origin.to_string(),
            key: Written::of(&found.frame.key),
            params: Written::of(&found.frame.params),
            fuel: charge.fuel,
            value_bytes_max: charge.value_bytes_max,
            validator: charge.validator.as_ref().map(|validator| Validator {
                plugin: validator.digest.to_string(),
                params: Written::of(&validator.params),
                fuel: validator.fuel,
            }),
            siblings: found.siblings.iter().map(WrittenSibling::of).collect(),
            expected: WrittenOutcome::of(&found.expected),
            got: WrittenOutcome::of(&found.got),
        }
    }

    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: there is nothing that JSON cannot hold.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    pub fn from_json(text: &str) -> Result<Self, EvidenceError> {
        let read: Result<Self, _> = serde_json::from_str(text);
        let evidence = read.map_err(|error| EvidenceError::Form(error.to_string()))?;
        match evidence.format == FORMAT {
            true => Ok(evidence),
            false => Err(EvidenceError::Unknown {
                what: format!("format {:?}", evidence.format),
            }),
        }
    }

    /// The plugin whose failure it is.
    pub fn digest(&self) -> Result<Digest, EvidenceError> {
        digest(&self.plugin)
    }

    pub fn law(&self) -> Result<Law, EvidenceError> {
        Law::parse(&self.law).ok_or_else(|| EvidenceError::Unknown {
            what: format!("law {:?}", self.law),
        })
    }

    /// Tries the law again, on this plugin: the one of the file, or its author's next attempt.
    pub fn replay(
        &self,
        guests: &dyn Guests,
        plugin: Digest,
    ) -> Result<Result<Replayed, Halt>, EvidenceError> {
        let form = EvidenceError::Form;
        let law = self.law()?;
        let validator = match &self.validator {
            None => None,
            Some(validator) => Some(self.validator(validator, plugin)?),
        };
        let charge = Charge {
            digest: plugin,
            fuel: self.fuel.min(FUEL_MAX),
            value_bytes_max: self.value_bytes_max,
            validator,
            is_resolver: law != Law::Judging,
            is_validator: law == Law::Judging,
        };
        let frame = Frame {
            key: self.key.bytes().map_err(form)?,
            params: self.params.bytes().map_err(form)?,
        };
        let siblings: Result<Vec<_>, _> = self.siblings.iter().map(|s| s.version()).collect();
        let siblings = siblings.map_err(form)?;
        let mut examiner = Examiner::new(guests, charge);
        examiner.grant(
            SHRINK_CALLS_MAX,
            SHRINK_FUEL_MAX.max(self.fuel.min(FUEL_MAX)),
        );
        let finding = try_law(&mut examiner, law, &frame, &siblings);
        Ok(finding.map(|finding| self.compare(finding)))
    }

    fn validator(&self, written: &Validator, plugin: Digest) -> Result<Binding, EvidenceError> {
        let named = digest(&written.plugin)?;
        Ok(Binding {
            // A plugin that judges its own work is replaced with it.
            digest: if named == self.digest()? {
                plugin
            } else {
                named
            },
            params: written.params.bytes().map_err(EvidenceError::Form)?,
            fuel: written.fuel.min(FUEL_MAX),
            limits: GuestLimits::default(),
        })
    }

    fn compare(&self, finding: Finding) -> Replayed {
        let Finding::Broken { expected, got } = finding else {
            return Replayed::Holds;
        };
        let same =
            WrittenOutcome::of(&expected) == self.expected && WrittenOutcome::of(&got) == self.got;
        match same {
            true => Replayed::Same,
            false => Replayed::Otherwise { expected, got },
        }
    }

    /// A name for the file: the plugin and the law.
    pub fn file_name(&self) -> String {
        let short = self.plugin.get(..12).unwrap_or(&self.plugin);
        format!("{short}.{}.json", self.law)
    }
}

impl WrittenOutcome {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::One(version) if version.is_tombstone() => Self::Deleted {
                written_at_ms: version.written_at_ms,
            },
            Outcome::One(version) => Self::Value(WrittenSibling::of(version)),
            Outcome::Kept => Self::KeepSiblings(true),
            Outcome::Failed(why) => Self::Failed(why.clone()),
            Outcome::Accepted => Self::Accepted(true),
            Outcome::Refused(why) => Self::Refused(why.clone()),
            Outcome::Priced(outcome, fuel) => Self::Priced {
                outcome: Box::new(Self::of(outcome)),
                fuel: *fuel,
            },
        }
    }
}

impl std::fmt::Display for Replayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Same => f.write_str("it fails in the same way"),
            Self::Otherwise { expected, got } => {
                write!(f, "it fails in another way: expected {expected}; got {got}")
            }
            Self::Holds => f.write_str("it does not fail: the law holds for these siblings"),
        }
    }
}

fn digest(text: &str) -> Result<Digest, EvidenceError> {
    Digest::parse(text).ok_or_else(|| EvidenceError::Form(format!("{text:?} is not a digest")))
}
