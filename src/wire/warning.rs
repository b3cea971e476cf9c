//! The warnings of a put as nodes pass them on, in protobuf.
//!
//! Invariant: a put has at most one warning of a kind, whatever a peer says.

use super::proto::peer as proto;
use crate::dynamo::coordinator::warning::Warning;
use proto::warning::Kind;

/// Kinds of warnings that there are.
const KINDS: usize = 2;

pub fn encode(warning: &Warning) -> proto::Warning {
    let kind = match *warning {
        Warning::LargeValue { found, limit } => {
            Kind::LargeValue(proto::LargeValue { found, limit })
        }
        Warning::ManySiblings { found } => Kind::ManySiblings(found),
    };
    proto::Warning { kind: Some(kind) }
}

/// Those that this release knows.
pub fn decode(warnings: Vec<proto::Warning>) -> Vec<Warning> {
    let known = |warning: proto::Warning| {
        Some(match warning.kind? {
            Kind::LargeValue(proto::LargeValue { found, limit }) => {
                Warning::LargeValue { found, limit }
            }
            Kind::ManySiblings(found) => Warning::ManySiblings { found },
        })
    };
    warnings.into_iter().filter_map(known).take(KINDS).collect()
}
