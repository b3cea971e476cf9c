//! The one place where errors become gRPC statuses.
//!
//! Every status carries a `google.rpc.ErrorInfo` (domain `rejoin`) with a stable reason, and for writes the
//! `outcome`: `not-stored` or `unknown` (law 8).
//!
//! Invariant: a status without `outcome: unknown` means that nothing was stored.

use crate::dynamo::coordinator::request::{GetError, PutError};
use crate::dynamo::coordinator::restore::RestoreError;
use crate::dynamo::membership::snapshot::{CommitError, TooEarly};
use crate::dynamo::names::BucketName;
use crate::dynamo::replica::storage::StorageError;
use crate::limits::{BATCH_IDLE_MS, BATCHES_MAX};
use crate::node::plugins::PushError;
use crate::node::registry::RegistryError;
use crate::node::server::Node;
use crate::node::unread::Unread;
use crate::security::audit::AuditError;
use crate::security::caller::Refusal;
use crate::wasm::upload_error::UploadError;
use crate::wire::bucket::PropertiesDecodeError;
use crate::wire::key_value::RequestDecodeError;
use crate::wire::keys::PageDecodeError;
use crate::wire::proto::v1::ItemError;
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
        RequestDecodeError::Ttl(_) => "BAD_TTL",
        RequestDecodeError::Condition { .. } => "BAD_CONDITION",
    };
    invalid(reason, error)
}

pub fn of_page(error: PageDecodeError) -> Status {
    let reason = match &error {
        PageDecodeError::Name(_) => "BAD_NAME",
        PageDecodeError::Prefix { .. } => "BAD_PREFIX",
        PageDecodeError::Size { .. } => "BAD_PAGE_SIZE",
        PageDecodeError::Token(_) => "BAD_PAGE_TOKEN",
    };
    invalid(reason, error)
}

pub fn of_properties(error: PropertiesDecodeError) -> Status {
    invalid("BAD_PROPERTIES", error)
}

pub fn of_get(error: GetError) -> Status {
    of_read(error, None)
}

/// The get before a conditional put failed, so nothing was put.
pub fn of_condition(error: GetError) -> Status {
    of_read(error, Some("not-stored"))
}

fn of_read(error: GetError, outcome: Option<&str>) -> Status {
    let (code, reason) = match &error {
        GetError::NoSuchBucket(_) => (Code::NotFound, "NO_SUCH_BUCKET"),
        GetError::Quorum(_) => (Code::InvalidArgument, "BAD_QUORUM"),
        GetError::TooFewReplicas { .. } => (Code::Unavailable, "TOO_FEW_REPLICAS"),
        GetError::TooFewPrimaries { .. } => (Code::Unavailable, "TOO_FEW_PRIMARIES"),
        GetError::Deadline { .. } => (Code::DeadlineExceeded, "DEADLINE"),
        GetError::Overloaded { .. } => (Code::ResourceExhausted, "OVERLOADED"),
    };
    status(code, reason, outcome, error)
}

/// Some of the owners may have it.
pub fn of_restore(error: RestoreError) -> Status {
    let (code, reason, outcome) = match &error {
        RestoreError::NoSuchBucket(_) => (Code::NotFound, "NO_SUCH_BUCKET", "not-stored"),
        RestoreError::Overloaded => (Code::ResourceExhausted, "OVERLOADED", "not-stored"),
        RestoreError::Refused { .. } => (Code::Unavailable, "NOT_RESTORED", "unknown"),
        RestoreError::Silent { .. } => (Code::DeadlineExceeded, "NOT_RESTORED", "unknown"),
    };
    status(code, reason, Some(outcome), error)
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
        PutError::DiskFull(_) => (Code::ResourceExhausted, "DISK_FULL", "not-stored"),
        PutError::NotStored(_) => (Code::Unavailable, "NOT_STORED", "not-stored"),
        PutError::Overloaded { .. } => (Code::ResourceExhausted, "OVERLOADED", "not-stored"),
        PutError::Unknown { .. } => (Code::DeadlineExceeded, "OUTCOME_UNKNOWN", "unknown"),
    };
    status(code, reason, Some(outcome), error)
}

pub fn of_registry(error: RegistryError) -> Status {
    match &error {
        RegistryError::Exists(_) => status(Code::AlreadyExists, "BUCKET_EXISTS", None, error),
        RegistryError::NoSuchBucket(_) => missing("NO_SUCH_BUCKET", error),
        RegistryError::Edit(_) => status(Code::ResourceExhausted, "METADATA_FULL", None, error),
        RegistryError::Storage(_) => status(Code::Internal, "STORAGE", None, error),
        RegistryError::Plan(_) | RegistryError::Commit(CommitError::Plan(_)) => {
            status(Code::FailedPrecondition, "NO_SUCH_CHANGE", None, error)
        }
        RegistryError::Commit(CommitError::Edit(_)) => {
            status(Code::ResourceExhausted, "METADATA_FULL", None, error)
        }
        RegistryError::Commit(CommitError::Outsider(_)) => {
            status(Code::FailedPrecondition, "NOT_A_MEMBER", None, error)
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
        PushError::TooMany => too_many("UPLOADS", error),
        PushError::Taken { .. } => status(Code::AlreadyExists, "P063", Some("not-stored"), error),
    }
}

pub fn of_upload(error: UploadError) -> Status {
    let code = match &error {
        UploadError::CompileBudget { .. } | UploadError::LibraryFull { .. } => {
            Code::ResourceExhausted
        }
        error if error.is_hosts_fault() => Code::Internal,
        _ => Code::InvalidArgument,
    };
    status(code, error.code(), Some("not-stored"), &error)
}

/// A resolver that may not decide what is stored.
pub fn unlawful(finding: &str) -> Status {
    let error = format!(
        "this resolver may not merge on put. Law check: {finding}. Bind it with merge-on-put off: reads then show what it merges, and every sibling stays stored"
    );
    status(
        Code::FailedPrecondition,
        "UNLAWFUL_RESOLVER",
        Some("not-stored"),
        error,
    )
}

pub fn of_storage(error: StorageError) -> Status {
    status(Code::Internal, "STORAGE", None, error)
}

/// Something of which there are as many as there may be.
pub fn too_many(reason: &str, error: impl ToString) -> Status {
    status(Code::ResourceExhausted, reason, Some("not-stored"), error)
}

/// Whoever asks has too much to read.
pub fn of_unread(why: Unread) -> Status {
    too_many("UNREAD_ANSWERS", why)
}

/// What a put asked for is not so; `found` is said to programs beside the outcome.
pub fn condition_failed<const FACTS: usize>(
    error: impl ToString,
    found: [(&str, String); FACTS],
) -> Status {
    let facts = found.map(|(name, value)| (name.to_owned(), value));
    let mut metadata = HashMap::from(facts);
    metadata.insert("outcome".to_owned(), "not-stored".to_owned());
    let details = ErrorDetails::with_error_info("CONDITION_FAILED", DOMAIN, metadata);
    Status::with_error_details(Code::FailedPrecondition, error.to_string(), details)
}

/// A bucket is not removed with its keys unless that is asked for.
pub fn not_empty(bucket: &BucketName, key: &[u8]) -> Status {
    let key = key.escape_ascii();
    let error = format!(
        "bucket {bucket} still holds keys, e.g. `{key}`; delete them, or pass `force` to remove it with all of them"
    );
    let (code, reason) = (Code::FailedPrecondition, "BUCKET_NOT_EMPTY");
    status(code, reason, Some("not-stored"), error)
}

/// A batch whose time is over; so many of its requests were still under way.
pub fn batch_timeout(unanswered: usize) -> Status {
    let outcome = if unanswered > 0 {
        "unknown"
    } else {
        "not-stored"
    };
    let error = format!(
        "the batch's deadline passed, or no request came for {BATCH_IDLE_MS} ms; {unanswered} requests were taken up and not answered, and what they put may be stored"
    );
    status(Code::DeadlineExceeded, "DEADLINE", Some(outcome), error)
}

/// This node answers as many batches as it can.
pub fn too_many_batches() -> Status {
    let error = format!(
        "this node answers {BATCHES_MAX} batches already; retry after a pause, or at another node"
    );
    status(
        Code::ResourceExhausted,
        "OVERLOADED",
        Some("not-stored"),
        error,
    )
}

/// The status of one request of a batch, which does not end the batch.
pub fn of_item(status: &Status) -> ItemError {
    let details = status.get_error_details();
    let (reason, outcome) = match details.error_info() {
        Some(info) => (info.reason.clone(), info.metadata.get("outcome").cloned()),
        None => (String::new(), None), // Not one of ours.
    };
    ItemError {
        code: status.code().into(),
        message: status.message().to_owned(),
        reason,
        outcome: outcome.unwrap_or_default(),
    }
}

/// Some nodes are of an earlier release.
pub fn of_too_early(error: TooEarly) -> Status {
    status(
        Code::FailedPrecondition,
        "CLUSTER_VERSION",
        Some("not-stored"),
        error,
    )
}

/// A node that knows no cluster knows no buckets.
pub fn no_cluster() -> Status {
    let error = "this node has not found its cluster yet; look at its seeds and its join token, or ask a member";
    status(Code::Unavailable, "NO_CLUSTER", Some("not-stored"), error)
}

/// Before a node says that there is no such bucket: it has to have heard from the others what there is. A shard may have
/// answered a moment before it was told.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn check_heard(node: &Node, bucket: &BucketName) -> Result<(), Status> {
    let is_known = node.registry.catalog().bucket(bucket).is_some();
    match node.registry.has_heard() && !is_known {
        true => Ok(()),
        false => Err(no_news()),
    }
}

/// A node that has just started may lack what the others know.
fn no_news() -> Status {
    let error = "this node does not know the bucket, and has not heard from another member since it started; try again, or ask another node";
    status(Code::Unavailable, "NO_NEWS", Some("not-stored"), error)
}

/// What is edited on a node without a cluster would be known to nobody, and lost when it finds one.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn check_editable(node: &Node) -> Result<(), Status> {
    if node.has_cluster() {
        return Ok(());
    }
    let error = "this node belongs to no cluster yet, so it creates no buckets and takes no plugins; wait until it has joined (look at its seeds and its join token), or ask a member";
    let (code, reason) = (Code::FailedPrecondition, "NO_CLUSTER");
    Err(status(code, reason, Some("not-stored"), error))
}

/// A failure of this node that has no type of its own.
pub fn internal(error: String) -> Status {
    status(Code::Internal, "NODE", None, error)
}

/// Something that cannot be done as the cluster is now.
pub fn not_now(reason: &str, error: impl ToString) -> Status {
    status(Code::FailedPrecondition, reason, Some("not-stored"), error)
}

/// Somebody else was faster.
pub fn overtaken(error: impl ToString) -> Status {
    status(Code::Aborted, "OVERTAKEN", Some("not-stored"), error)
}

/// A caller who is not known, or known and without the role; `role` and `bucket` are said to programs.
pub fn of_refusal(refusal: &Refusal) -> Status {
    let code = match refusal.is_of_identity() {
        true => Code::Unauthenticated,
        false => Code::PermissionDenied,
    };
    let facts = [
        ("outcome", Some("not-stored")),
        ("role", refusal.role()),
        ("bucket", refusal.bucket()),
    ];
    let facts = facts.into_iter();
    let facts = facts.filter_map(|(name, fact)| Some((name.to_owned(), fact?.to_owned())));
    let details =
        ErrorDetails::with_error_info(refusal.reason(), DOMAIN, facts.collect::<HashMap<_, _>>());
    Status::with_error_details(code, refusal.to_string(), details)
}

/// What an administrator does has to be written down first.
pub fn of_audit(error: AuditError) -> Status {
    let error = format!(
        "nothing was done, because the audit log of this node cannot be written: {error}; make room where it lies, or ask another node"
    );
    status(Code::Unavailable, "AUDIT", Some("not-stored"), error)
}
