//! What clients ask of a coordinator, and what they are told (Dynamo 4.1).
//!
//! Invariant: an error says whether the write may have been stored: `NotStored` means it was not, `Unknown`
//! means that it may be, now or later (law 8).

use super::super::bucket::{Ack, PropertiesError};
use super::super::causality::context::Context;
use super::super::causality::dot::Dot;
use super::super::causality::version::{Version, VersionError};
use super::super::names::{BucketName, Digest, Key, NodeId};
use super::panel::Panel;
use super::warning::Warning;
use crate::limits::{SHARD_WAITING_MAX, TTL_MS_MAX};

/// `get(key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetRequest {
    pub key: Key,
    /// Answers to wait for, in place of the bucket's R.
    pub r: Option<u8>,
    /// Of those, answers of primaries, in place of the bucket's PR.
    pub pr: Option<u8>,
}

/// `put(key, context, object)`, and delete, which the paper does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutRequest {
    pub key: Key,
    pub context: Context,
    /// The client's value, or a tombstone. Its write time is set by the coordinator.
    pub version: Version,
    /// Acknowledgements to wait for, in place of the bucket's W.
    pub w: Option<u8>,
    /// Of those, acknowledgements of primaries, in place of the bucket's PW.
    pub pw: Option<u8>,
    /// In place of the bucket's.
    pub ack: Option<Ack>,
    /// Of the acknowledgements, those that must be durable, whatever `ack` says.
    pub dw: Option<u8>,
    pub ttl: Ttl,
}

/// Why a time to live was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the time to live is {0} ms; give 1 to {TTL_MS_MAX}, 0 for good, or none for the bucket's")]
pub struct TtlError(pub u64);

/// How long a value is to live. The coordinator makes an absolute time of it, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ttl {
    /// As long as the bucket says.
    #[default]
    Bucket,
    /// For good, whatever the bucket says.
    Never,
    /// Milliseconds from the coordinator's acceptance on.
    Of(u64),
}

impl Ttl {
    /// As it is said on the wire: nothing is the bucket's, 0 is for good.
    pub fn of(ttl_ms: Option<u64>) -> Result<Self, TtlError> {
        match ttl_ms {
            None => Ok(Self::Bucket),
            Some(0) => Ok(Self::Never),
            Some(ms @ 1..=TTL_MS_MAX) => Ok(Self::Of(ms)),
            Some(found) => Err(TtlError(found)),
        }
    }

    /// What `of` makes the same of.
    pub fn as_ms(self) -> Option<u64> {
        match self {
            Self::Bucket => None,
            Self::Never => Some(0),
            Self::Of(ms) => Some(ms),
        }
    }

    /// When a value that is accepted at `wall_ms` expires; `bucket_ms` is the bucket's time to live.
    pub fn expires_at_ms(self, wall_ms: u64, bucket_ms: Option<u64>) -> Option<u64> {
        let ttl_ms = match self {
            Self::Bucket => bucket_ms,
            Self::Never => None,
            Self::Of(ms) => Some(ms),
        };
        ttl_ms.map(|ms| wall_ms.saturating_add(ms))
    }
}

/// How the versions of a reply came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// There was at most one live version.
    Single,
    /// The bucket's policy made one of several; no digest for the built-in one.
    Merged { by: Option<Digest>, fuel: u64 },
    /// There are several, for this reason.
    Siblings { reason: String },
}

/// What a get found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetReply {
    /// None: not found. Several: siblings.
    pub versions: Vec<Version>,
    pub resolved: Resolved,
    /// Covers every version that went in; for the put that follows.
    pub context: Context,
    /// All stored versions with their dots, tombstones included, before any policy.
    pub siblings: Vec<(Dot, Version)>,
    pub replicas_answered: usize,
    pub primaries_answered: usize,
}

/// What became of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutReply {
    pub dot: Dot,
    /// Covers what the client had seen, and this write where it stands alone or follows what the client
    /// had seen. Never a sibling that the client was not shown, nor what a merge took in.
    pub context: Context,
    /// Live versions that now stand under the key at the coordinator.
    pub siblings: usize,
    /// How the stored value came about.
    pub resolved: Resolved,
    /// What is stored in place of the client's value, if a merge on put made it.
    pub merged: Option<Version>,
    pub replicas_answered: usize,
    pub primaries_answered: usize,
    /// Acknowledgements that were durable.
    pub durable_answered: usize,
    pub coordinator: NodeId,
    /// What its writer should look into, though the write stands.
    pub warnings: Vec<Warning>,
}

/// Why a get has no answer. Nothing was changed; a retry is always safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GetError {
    #[error(
        "there is no bucket {0}; create it with `rejoin bucket create {0}`, or retry if that was just done"
    )]
    NoSuchBucket(BucketName),
    #[error(transparent)]
    Quorum(#[from] PropertiesError),
    #[error("{answered} of {asked} replicas answered, {needed} are needed; retry, or lower r")]
    TooFewReplicas {
        answered: usize,
        asked: usize,
        needed: usize,
    },
    #[error("{answered} of {asked} primaries answered, {needed} are needed; retry, or lower pr")]
    TooFewPrimaries {
        answered: usize,
        asked: usize,
        needed: usize,
    },
    #[error(
        "{answered} of {needed} needed replicas answered before the deadline; retry, or lower r"
    )]
    Deadline { answered: usize, needed: usize },
    #[error(
        "this node, or too many of the key's replicas, have {limit} requests before them already; retry after a pause, or at another node"
    )]
    Overloaded { limit: usize },
}

impl GetError {
    /// Too few of a panel answered, or too few of its primaries.
    pub(super) fn too_few(panel: &Panel) -> Self {
        if panel.was_turned_away() {
            let limit = SHARD_WAITING_MAX;
            return Self::Overloaded { limit };
        }
        let needed = panel.needed();
        let asked = panel.seats();
        let primaries = usize::from(needed.primaries);
        if panel.primaries_answered() < primaries && asked >= usize::from(needed.answers) {
            return Self::TooFewPrimaries {
                answered: panel.primaries_answered(),
                asked,
                needed: primaries,
            };
        }
        Self::TooFewReplicas {
            answered: panel.answered(),
            asked,
            needed: usize::from(needed.answers),
        }
    }

    /// The time was over before enough of a panel answered.
    pub(super) fn deadline(panel: &Panel) -> Self {
        Self::Deadline {
            answered: panel.answered(),
            needed: usize::from(panel.needed().answers),
        }
    }
}

/// Why a put was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    #[error(
        "there is no bucket {0}; create it with `rejoin bucket create {0}`, or retry if that was just done"
    )]
    NoSuchBucket(BucketName),
    #[error(transparent)]
    Quorum(#[from] PropertiesError),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error("the bucket's validator refused the value: {code}: {message}")]
    Refused { code: String, message: String },
    /// The bucket takes no unchecked values: it fails closed. Nothing was stored.
    #[error("the bucket's validator did not judge the value, and nothing was stored: {0}")]
    Unvalidated(String),
    /// Nothing was stored; the request as it is will not succeed.
    #[error("{0}")]
    TooLarge(String),
    /// Nothing was stored; a retry is safe.
    #[error("nothing was stored: {0}; a retry is safe")]
    NotStored(String),
    #[error(
        "this node, or too many of the key's replicas, have {limit} requests before them already, and nothing was stored; retry after a pause, or at another node"
    )]
    Overloaded { limit: usize },
    /// Nothing was stored, for want of room; a retry is safe.
    #[error("nothing was stored: {0}; free some space there, or retry once there is some")]
    DiskFull(String),
    /// It may be stored, now or later.
    #[error(
        "the outcome is unknown: {acknowledged} of {needed} needed replicas acknowledged, {reason}; the write may be stored: get the key before writing it again"
    )]
    Unknown {
        acknowledged: usize,
        needed: usize,
        reason: String,
    },
}
