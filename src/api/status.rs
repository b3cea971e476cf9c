//! The one place where errors become gRPC statuses.
//!
//! Every status carries a `google.rpc.ErrorInfo` (domain `rejoin`) with a stable reason, and for writes the
//! `outcome`: `not-stored` or `unknown` (law 8).
//!
//! Invariant: a status without `outcome: unknown` means that nothing was stored.

use crate::dynamo::coordinator::request::{GetError, PutError};
use crate::dynamo::membership::snapshot::CommitError;
use crate::dynamo::replica::storage::StorageError;
use crate::node::plugins::PushError;
use crate::node::registry::RegistryError;
use crate::wasm::upload_error::UploadError;
use crate::wire::bucket::PropertiesDecodeError;
use crate::wire::key_value::RequestDecodeError;
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const DOMAIN: &str = "rejoin";

fn status(code: Code, reason: &str, outcome: Option<&str>, error: impl ToString) -> Status {
    let metadata: HashMap<String, String> = outcome
        .map(|outcome| ("outcome".to_owned(), outcome.to_owned()))
        .into_iter()
        .collect();
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, error.to_string(), details)
}

/// A request that no retry will mend.
pub fn invalid(reason: &str, error: impl ToString) -> Status {
    status(Code::InvalidArgument, reason, Some("not-stored"), error)
}

/// Something that is not there.
pub fn missing(reason: &str, error: impl ToString) -> Status {
    status(Code::NotFound, reason, Some("not-stored"), error)
}

pub fn of_request(error: RequestDecodeError) -> Status {
    let reason = match &error {
        RequestDecodeError::Name(_) => "BAD_NAME",
        RequestDecodeError::Version(_) => "BAD_VALUE",
        RequestDecodeError::Context(_) => "BAD_CONTEXT",
        RequestDecodeError::Number(PropertiesDecodeError::Choice { .. }) => "BAD_ACK",
        RequestDecodeError::Number(_) => "BAD_QUORUM",
    };
    invalid(reason, error)
}

pub fn of_properties(error: PropertiesDecodeError) -> Status {
    invalid("BAD_PROPERTIES", error)
}

pub fn of_get(error: GetError) -> Status {
    let (code, reason) = match &error {
        GetError::NoSuchBucket(_) => (Code::NotFound, "NO_SUCH_BUCKET"),
        GetError::Quorum(_) => (Code::InvalidArgument, "BAD_QUORUM"),
        GetError::TooFewReplicas { .. } => (Code::Unavailable, "TOO_FEW_REPLICAS"),
        GetError::TooFewPrimaries { .. } => (Code::Unavailable, "TOO_FEW_PRIMARIES"),
        GetError::Deadline { .. } => (Code::DeadlineExceeded, "DEADLINE"),
        GetError::Overloaded { .. } => (Code::ResourceExhausted, "OVERLOADED"),
    };
    status(code, reason, None, error)
}

pub fn of_put(error: PutError) -> Status {
    let (code, reason, outcome) = match &error {
        PutError::NoSuchBucket(_) => (Code::NotFound, "NO_SUCH_BUCKET", "not-stored"),
        PutError::Quorum(_) => (Code::InvalidArgument, "BAD_QUORUM", "not-stored"),
        PutError::Version(_) => (Code::InvalidArgument, "BAD_VALUE", "not-stored"),
        PutError::Refused { .. } => (
            Code::FailedPrecondition,
            "REFUSED_BY_VALIDATOR",
            "not-stored",
        ),
        PutError::Unvalidated(_) => (Code::FailedPrecondition, "VALIDATOR_FAILED", "not-stored"),
        PutError::TooLarge(_) => (Code::ResourceExhausted, "OBJECT_TOO_LARGE", "not-stored"),
        PutError::NotStored(_) => (Code::Unavailable, "NOT_STORED", "not-stored"),
        PutError::Overloaded { .. } => (Code::ResourceExhausted, "OVERLOADED", "not-stored"),
        PutError::Unknown { .. } => (Code::DeadlineExceeded, "OUTCOME_UNKNOWN", "unknown"),
    };
    status(code, reason, Some(outcome), error)
}

pub fn of_registry(error: RegistryError) -> Status {
    match &error {
        RegistryError::Exists(_) => status(Code::AlreadyExists, "BUCKET_EXISTS", None, error),
        RegistryError::Edit(_) => status(Code::ResourceExhausted, "METADATA_FULL", None, error),
        RegistryError::Storage(_) => status(Code::Internal, "STORAGE", None, error),
        RegistryError::Plan(_) | RegistryError::Commit(CommitError::Plan(_)) => {
            status(Code::FailedPrecondition, "NO_SUCH_CHANGE", None, error)
        }
        RegistryError::Commit(CommitError::Edit(_)) => {
            status(Code::ResourceExhausted, "METADATA_FULL", None, error)
        }
        RegistryError::Commit(CommitError::Overtaken { .. }) => {
            status(Code::Aborted, "OVERTAKEN", None, error)
        }
        RegistryError::Stopped => status(Code::Unavailable, "STOPPING", None, error),
    }
}

pub fn of_push(error: PushError) -> Status {
    match error {
        PushError::Upload(error) => of_upload(error),
        PushError::Registry(error) => of_registry(error),
    }
}

fn of_upload(error: UploadError) -> Status {
    let code = match &error {
        UploadError::CompileBudget { .. } | UploadError::LibraryFull { .. } => {
            Code::ResourceExhausted
        }
        error if error.is_hosts_fault() => Code::Internal,
        _ => Code::InvalidArgument,
    };
    status(code, error.code(), Some("not-stored"), &error)
}

pub fn of_storage(error: StorageError) -> Status {
    status(Code::Internal, "STORAGE", None, error)
}

/// Something of which there are as many as there may be.
pub fn too_many(reason: &str, error: impl ToString) -> Status {
    status(Code::ResourceExhausted, reason, Some("not-stored"), error)
}

/// This node takes no values until somebody makes room.
pub fn disk_full() -> Status {
    let error = "the disk of this node is nearly full; free some space, or put at another node";
    status(
        Code::ResourceExhausted,
        "DISK_FULL",
        Some("not-stored"),
        error,
    )
}

/// A node that knows no cluster knows no buckets.
pub fn no_cluster() -> Status {
    let error = "this node has not found its cluster yet; look at its seeds and its join token, or ask a member";
    status(Code::Unavailable, "NO_CLUSTER", Some("not-stored"), error)
}

/// A failure of this node that has no type of its own.
pub fn internal(error: String) -> Status {
    status(Code::Internal, "NODE", None, error)
}
