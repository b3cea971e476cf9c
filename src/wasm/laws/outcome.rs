//! What a question came to, in a form that can be compared and shown.
//!
//! Invariant: two outcomes are equal exactly if a node would store, or show, the same bytes.

use super::bounds::SHOWN_BYTES_MAX;
use crate::dynamo::causality::version::Version;

/// What one question, or several of them, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One version stands for all.
    One(Version),
    /// The siblings stay, as the plugin chose.
    Kept,
    /// No usable answer, and every node gets none.
    Failed(String),
    Accepted,
    /// By the validator: code and message.
    Refused(String),
    /// With the fuel that it took.
    Priced(Box<Outcome>, u64),
}

/// What became of one law on one list.
#[expect(clippy::large_enum_variant, reason = "one lives at a time")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Holds,
    /// The plugin kept siblings, or the list is too short: nothing can be said.
    Unchecked,
    Broken {
        expected: Outcome,
        got: Outcome,
    },
}

impl Finding {
    /// Compares two outcomes that a law says are one. Where siblings were kept, there is nothing to compare.
    pub(super) fn of(expected: Outcome, got: Outcome) -> Self {
        match (&expected, &got) {
            (Outcome::Kept, _) | (_, Outcome::Kept) => Self::Unchecked,
            _ if expected == got => Self::Holds,
            _ => Self::Broken { expected, got },
        }
    }

    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(version) => f.write_str(&shown(version)),
            Self::Kept => f.write_str("the siblings are kept"),
            Self::Failed(why) => f.write_str(why),
            Self::Accepted => f.write_str("accepted"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Priced(outcome, fuel) => write!(f, "{outcome} with {fuel} units of fuel"),
        }
    }
}

/// A version in a few words: the value, and whatever else it has.
pub fn shown(version: &Version) -> String {
    let Some(bytes) = version.bytes() else {
        return "a delete".to_owned();
    };
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let rest = match bytes.len() > cut.len() {
        true => format!("… ({} bytes)", bytes.len()),
        false => String::new(),
    };
    let mut text = match std::str::from_utf8(cut) {
        Ok(text) => format!("{text:?}{rest}"),
        Err(_) => format!("0x{}{rest}", hex::encode(cut)),
    };
    text += &format!(" at {}", version.written_at_ms);
    if !version.content_type.is_empty() {
        text += &format!(" as {:?}", version.content_type);
    }
    if !version.metadata.is_empty() {
        text += &format!(" with {:?}", version.metadata);
    }
    text
}
