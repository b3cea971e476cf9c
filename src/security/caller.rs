//! Whoever sends a request, and why one is turned away.
//!
//! Invariant: a caller with a name has proven it; one without a name may do what nobody has to be known for.

use super::roles::Role;
use super::tokens::TokenHash;
use std::net::SocketAddr;
use std::sync::Arc;

/// By what a caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// This node asks nobody who he is.
    Nothing,
    Token(TokenHash),
    Certificate,
}

impl Proof {
    /// As the audit log has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Token(_) => "token",
            Self::Certificate => "certificate",
        }
    }
}

/// Whoever sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Empty: nobody was asked.
    pub name: Arc<str>,
    pub proof: Proof,
    pub remote: Option<SocketAddr>,
}

/// A request that is turned away, as far as is known.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// None: nobody knows who sent it.
    pub caller: Option<&'a Caller>,
    pub remote: Option<SocketAddr>,
    pub rpc: &'a str,
    /// By which its sender and the log name it.
    pub request: &'a str,
}

/// Why a request is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "this node has to know who asks, and the request shows neither a token nor a client certificate; send `authorization: Bearer <token>` (with rejoin: --token-file FILE, or REJOIN_TOKEN). `rejoin token new` makes a token; whoever runs the cluster puts its hash into the access file"
    )]
    NoCredential,
    #[error(
        "this node does not know the token; check that all of it was sent, as `authorization: Bearer <token>`. If it was revoked, make another one with `rejoin token new` and ask whoever runs the cluster to put its hash into the access file"
    )]
    UnknownToken,
    #[error(
        "the token has expired; make another one with `rejoin token new` and ask whoever runs the cluster to put its hash into the access file"
    )]
    ExpiredToken,
    #[error(
        "the client certificate is trusted, but nobody of its name is in the access file; ask whoever runs the cluster to enter it"
    )]
    UnknownCertificate,
    #[error(
        "this needs the role `{}` {}; ask whoever runs the cluster for it",
        role.name(),
        of_bucket(bucket)
    )]
    NoRole { role: Role, bucket: Option<String> },
    #[error("this needs some role in bucket {bucket}; ask whoever runs the cluster for it")]
    NoBusiness { bucket: String },
    #[error("this needs the role `admin`; ask whoever runs the cluster for it")]
    NotAdmin,
}

fn of_bucket(bucket: &Option<String>) -> String {
    match bucket {
        Some(bucket) => format!("in bucket {bucket}"),
        None => "in some bucket".to_owned(),
    }
}

impl Refusal {
    /// As programs, metrics and the audit log have it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCredential => "NO_CREDENTIAL",
            Self::UnknownToken => "UNKNOWN_TOKEN",
            Self::ExpiredToken => "EXPIRED_TOKEN",
            Self::UnknownCertificate => "UNKNOWN_CERTIFICATE",
            Self::NoRole { .. } | Self::NoBusiness { .. } | Self::NotAdmin => "NOT_PERMITTED",
        }
    }

    /// Whether the caller is unknown, rather than known and without the role.
    pub fn is_of_identity(&self) -> bool {
        !matches!(
            self,
            Self::NoRole { .. } | Self::NoBusiness { .. } | Self::NotAdmin
        )
    }

    /// The role that is missing; none where the caller is unknown.
    pub fn role(&self) -> Option<&'static str> {
        match self {
            Self::NoRole { role, .. } => Some(role.name()),
            Self::NoBusiness { .. } => Some("any"),
            Self::NotAdmin => Some("admin"),
            _ => None,
        }
    }

    /// The bucket in which it is missing.
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::NoRole { bucket, .. } => bucket.as_deref(),
            Self::NoBusiness { bucket } => Some(bucket),
            _ => None,
        }
    }

    /// All reasons, for counting.
    pub const REASONS: [&'static str; 5] = [
        "NO_CREDENTIAL",
        "UNKNOWN_TOKEN",
        "EXPIRED_TOKEN",
        "UNKNOWN_CERTIFICATE",
        "NOT_PERMITTED",
    ];
}
