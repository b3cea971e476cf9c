//! Why a put that was passed on was not acknowledged, in protobuf, on its way back.

use super::proto::peer as proto;
use crate::dynamo::coordinator::request::PutError;

/// The error as it travels.
pub fn encode(error: &PutError) -> proto::Error {
    use proto::error::Kind;
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
        PutError::NotStored(message) => Kind::NotStored(message.clone()),
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
    proto::Error { kind: Some(kind) }
}
