//! What a client is told when a request has no result.
//!
//! Invariant: every error says what may be stored: nothing, or nobody knows (law 8).

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request itself is at fault. Nothing was stored; the same request will not succeed.
    #[error("{message} ({reason})")]
    Refused { reason: String, message: String },
    /// No node took the put, and each said so or was not even reached. Nothing was stored; a retry is safe.
    #[error("nothing was stored: {message} ({reason}); a retry is safe")]
    NotStored { reason: String, message: String },
    /// The put may be stored, now or later. Not retried: a second one would be a second write. Get the key first.
    #[error(
        "the outcome is unknown: {message}, asked at {node}; the write may be stored: get the key before writing it again"
    )]
    UnknownOutcome { node: String, message: String },
    /// No node answered the get in time. Nothing was changed; a retry is safe.
    #[error("no answer before the deadline: {message}; a retry is safe")]
    Unanswered { message: String },
    /// The nodes that answered the get lack what this session has seen: those that have it could not be asked.
    /// Nothing was changed; a retry is safe.
    #[error(
        "the nodes that answered do not have what this session wrote or read before; retry, or raise r"
    )]
    Behind,
    /// No node gave a ring that could be believed. Nothing was asked of the cluster; a retry is safe.
    #[error("no node told the members of the cluster: {message}; check the addresses")]
    NoRing { message: String },
}

impl Error {
    /// Whether sending the same request again cannot write twice. A refused one would only be refused again.
    pub fn is_retry_safe(&self) -> bool {
        !matches!(self, Self::UnknownOutcome { .. } | Self::Refused { .. })
    }

    /// Whether the write may be in the cluster.
    pub fn may_be_stored(&self) -> bool {
        matches!(self, Self::UnknownOutcome { .. })
    }
}
