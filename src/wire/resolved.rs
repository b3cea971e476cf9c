//! How the value of a put came about, as nodes pass it on, in protobuf.

use super::proto::peer as proto;
use crate::dynamo::codec::{DecodeError, Reader};
use crate::dynamo::coordinator::request::Resolved;
use bytes::Bytes;

pub fn encode(resolved: &Resolved) -> proto::Resolved {
    match resolved {
        Resolved::Single => proto::Resolved::default(),
        Resolved::Merged { by, fuel } => proto::Resolved {
            kind: 1,
            by: by
                .map(|digest| Bytes::copy_from_slice(&digest.0))
                .unwrap_or_default(),
            fuel: *fuel,
            reason: String::new(),
        },
        Resolved::Siblings { reason } => proto::Resolved {
            kind: 2,
            reason: reason.clone(),
            ..proto::Resolved::default()
        },
    }
}

/// How it came about, as a peer says it.
pub fn decode(resolved: proto::Resolved) -> Result<Resolved, DecodeError> {
    Ok(match resolved.kind {
        1 => Resolved::Merged {
            by: match resolved.by.is_empty() {
                true => None,
                false => Some(Reader::new(resolved.by).digest()?),
            },
            fuel: resolved.fuel,
        },
        2 => Resolved::Siblings {
            reason: resolved.reason,
        },
        _ => Resolved::Single,
    })
}
