//! What a put that was stored should make its writer look into: a large value, many siblings, a refusal
//! that is not enforced.
//!
//! Not in the paper, whose objects are "usually less than 1 MB" (3). Refuses nothing: limits do.
//!
//! Invariant: a warning changes neither what is stored nor whether it is acknowledged.

use super::super::bucket::Properties;
use crate::limits::SIBLINGS_WARN;
use std::fmt;

/// One thing to look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The stored value has more bytes than the bucket wants.
    LargeValue { found: u64, limit: u64 },
    /// The key has more live siblings than `SIBLINGS_WARN`.
    ManySiblings { found: u64 },
    /// The bucket's validator refused the value, and only warns.
    Refused { code: String, message: String },
    /// The bucket's validator, which only warns, gave no usable word.
    Unjudged { reason: String },
}

impl Warning {
    /// What there is to say of a value of so many bytes that stands among so many live siblings.
    pub fn of(properties: &Properties, value_bytes: usize, siblings: usize) -> Vec<Self> {
        let large = properties
            .value_bytes_warn
            .filter(|limit| value_bytes > *limit)
            .map(|limit| Self::LargeValue {
                found: value_bytes as u64,
                limit: limit as u64,
            });
        let many = (siblings > SIBLINGS_WARN).then_some(Self::ManySiblings {
            found: siblings as u64,
        });
        large.into_iter().chain(many).collect()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LargeValue { found, limit } => write!(
                f,
                "the value has {found} bytes, the bucket warns above {limit}; split it, or store a reference"
            ),
            Self::ManySiblings { found } => write!(
                f,
                "the key has {found} siblings, a node warns above {SIBLINGS_WARN}; get it and put with its context, or bind a resolver"
            ),
            Self::Refused { code, message } => write!(
                f,
                "the bucket's validator would refuse the value: {code}: {message}; mend it before the bucket enforces"
            ),
            Self::Unjudged { reason } => {
                write!(f, "{reason}; it is stored, since the bucket only warns")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_warns_above_its_size_and_above_the_bound_of_siblings() {
        let properties = Properties {
            value_bytes_warn: Some(100),
            ..Properties::default()
        };
        assert_eq!(Warning::of(&properties, 100, SIBLINGS_WARN), []);
        let both = Warning::of(&properties, 101, SIBLINGS_WARN + 1);
        assert_eq!(both.len(), 2, "{both:?}");
        assert!(both[0].to_string().contains("101 bytes"));
    }

    #[test]
    fn without_a_size_no_value_is_too_large_to_go_unsaid() {
        assert_eq!(Warning::of(&Properties::default(), usize::MAX, 1), []);
    }
}
