//! The warnings of a put as nodes pass them on, in protobuf.
//!
//! Invariant: a put has at most one warning of a kind, whatever a peer says.

use super::proto::peer as proto;
use crate::dynamo::coordinator::warning::Warning;
use crate::dynamo::reconcile::answer::shown;
use proto::warning::Kind;

/// Kinds of warnings that there are.
const KINDS: usize = 3;

pub fn encode(warning: &Warning) -> proto::Warning {
    let kind = match warning.clone() {
        Warning::LargeValue { found, limit } => {
            Kind::LargeValue(proto::LargeValue { found, limit })
        }
        Warning::ManySiblings { found } => Kind::ManySiblings(found),
        Warning::Refused { code, message } => {
            Kind::Refused(proto::ValidatorRefusal { code, message })
        }
        Warning::Unjudged { reason } => Kind::Unjudged(reason),
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
            Kind::Refused(proto::ValidatorRefusal { code, message }) => Warning::Refused {
                code: shown(&code),
                message: shown(&message),
            },
            Kind::Unjudged(reason) => Warning::Unjudged {
                reason: shown(&reason),
            },
        })
    };
    warnings.into_iter().filter_map(known).take(KINDS).collect()
}
