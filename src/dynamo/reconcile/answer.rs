//! What a guest can answer, and the ways in which it can fail to.
//!
//! Invariant: an outcome that depends on a clock or on this node's load says so (`is_deterministic`), and
//! is never stored or compared (law 7).

use super::super::names::Digest;
use crate::limits::GUEST_TEXT_BYTES_MAX;
use bytes::Bytes;

/// A resolver's word, not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    Merged(Bytes),
    Deleted,
    /// Place in the list of siblings that it was given.
    Pick(u32),
    KeepSiblings(String),
}

/// A validator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    Accepted,
    Refused { code: String, message: String },
}

/// What came back for a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Resolved { resolution: Resolution, fuel: u64 },
    Judged { judgement: Judgement, fuel: u64 },
    Failed(GuestFailure),
}

/// Why a guest gave no usable answer. The siblings stay; the message goes to whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestFailure {
    #[error(
        "R001 the plugin {digest} trapped: {message}; its author has to mend it, and can replay this call with the siblings"
    )]
    Trap { digest: Digest, message: String },
    #[error(
        "R002 the plugin {digest} used all of its {fuel} units of fuel; its author can make it cheaper, its operator can raise the bucket's fuel"
    )]
    OutOfFuel { digest: Digest, fuel: u64 },
    #[error(
        "R003 the plugin {digest} did not answer within {limit_ms} ms on this node; its author can make it faster, its operator can raise the bucket's wall_ms; if the node is overloaded it is not the plugin's fault, and a retry is safe"
    )]
    OutOfTime { digest: Digest, limit_ms: u64 },
    #[error(
        "R004 the plugin {digest} gave an answer that cannot be used: {message}; its author has to mend it"
    )]
    BadAnswer { digest: Digest, message: String },
    #[error(
        "R005 this node does not have the plugin {digest} yet, which is not the plugin's fault; it is being fetched, a retry is safe; if it stays so, the operator should look at the node's log"
    )]
    Missing { digest: Digest },
    #[error(
        "R006 all plugin workers of this node are busy, which is not the plugin's fault; a retry is safe"
    )]
    Busy,
    #[error(
        "R007 the plugin {digest} does not export the {role} interface; the operator has to bind one that does"
    )]
    WrongRole { digest: Digest, role: &'static str },
    #[error(
        "R008 the plugin {digest} cannot be run on this node: {message}; its operator should look at the log"
    )]
    Host { digest: Digest, message: String },
    #[error(
        "R009 the plugin {digest} has burnt more than its {fuel_per_second} units of fuel a second for this bucket on this node; its author can make it cheaper, its operator can raise the bucket's fuel_per_second"
    )]
    OverBudget {
        digest: Digest,
        fuel_per_second: u64,
    },
    #[error(
        "R010 the plugin {digest} has failed too often in this bucket and is not asked for {left_ms} ms; see `rejoin plugin logs`, its author has to mend it"
    )]
    Resting { digest: Digest, left_ms: u64 },
}

impl GuestFailure {
    /// Whether every node gets this failure from the same question.
    pub fn is_deterministic(&self) -> bool {
        match self {
            Self::Trap { .. } | Self::OutOfFuel { .. } => true,
            Self::BadAnswer { .. } | Self::WrongRole { .. } => true,
            Self::OutOfTime { .. } | Self::Missing { .. } | Self::Busy | Self::Host { .. } => false,
            Self::OverBudget { .. } | Self::Resting { .. } => false,
        }
    }

    /// The stable code that its message begins with.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "R001",
            Self::OutOfFuel { .. } => "R002",
            Self::OutOfTime { .. } => "R003",
            Self::BadAnswer { .. } => "R004",
            Self::Missing { .. } => "R005",
            Self::Busy => "R006",
            Self::WrongRole { .. } => "R007",
            Self::Host { .. } => "R008",
            Self::OverBudget { .. } => "R009",
            Self::Resting { .. } => "R010",
        }
    }
}

/// A guest's own words, cut to what is shown to people.
pub fn shown(text: &str) -> String {
    let mut end = text.len().min(GUEST_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
