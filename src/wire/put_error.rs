//! Why a put was not acknowledged, between nodes.
//!
//! Invariant: what says that nothing was stored, or that something may be, says so on the other side as well.

use super::proto::peer as proto;
use crate::dynamo::coordinator::request::PutError;
use crate::dynamo::names::{BucketName, NameError};
use proto::error::Kind;

/// Why a put that was passed on was not acknowledged, as it travels.
pub fn encode(error: &PutError) -> proto::Error {
    let kind = match error {
        PutError::NoSuchBucket(name) => Kind::NoSuchBucket(name.as_str().to_owned()),
        PutError::Refused { code, message } => Kind::Refused(proto::Refused {
            code: code.clone(),
            message: message.clone(),
        }),
        PutError::Unvalidated(message) => Kind::Unvalidated(message.clone()),
        PutError::TooLarge(message) => Kind::TooLarge(message.clone()),
        PutError::Quorum(error) => Kind::TooLarge(error.to_string()),
        PutError::Version(error) => Kind::TooLarge(error.to_string()),
        // For a node that does not know the reason, not stored is all that matters.
        PutError::NotStored(message) | PutError::DiskFull(message) => {
            Kind::NotStored(message.clone())
        }
        PutError::Overloaded { limit } => Kind::Overloaded(*limit as u64),
        PutError::Unknown {
            acknowledged,
            needed,
            reason,
        } => Kind::Unknown(proto::Unknown {
            acknowledged: *acknowledged as u64,
            needed: *needed as u64,
            reason: reason.clone(),
        }),
    };
    proto::Error {
        kind: Some(kind),
        disk_full: matches!(error, PutError::DiskFull(_)),
    }
}

/// What the coordinator meant.
pub fn decode(kind: Kind, is_disk_full: bool) -> Result<PutError, NameError> {
    Ok(match kind {
        Kind::NoSuchBucket(name) => PutError::NoSuchBucket(BucketName::stored(&name)?),
        Kind::Refused(refused) => PutError::Refused {
            code: refused.code,
            message: refused.message,
        },
        Kind::Unvalidated(message) => PutError::Unvalidated(message),
        Kind::TooLarge(message) => PutError::TooLarge(message),
        Kind::NotStored(message) if is_disk_full => PutError::DiskFull(message),
        Kind::NotStored(message) => PutError::NotStored(message),
        Kind::Overloaded(limit) => PutError::Overloaded {
            limit: limit as usize,
        },
        Kind::Unknown(unknown) => PutError::Unknown {
            acknowledged: unknown.acknowledged as usize,
            needed: unknown.needed as usize,
            reason: unknown.reason,
        },
    })
}
