//! The undoing of bad merges at a peer, in protobuf.
//!
//! Invariant: no more keys, resolvers or epochs than one step has are believed.

use super::proto::peer as proto;
use crate::dynamo::bucket::activation::Blame;
use crate::dynamo::codec::Reader;
use crate::dynamo::coordinator::unmerge::{Effort, UnmergeError, UnmergeRequest, Unmerged};
use crate::dynamo::names::{BucketName, Key};
use crate::limits::versions::{BINDINGS_REMEMBERED_MAX, UNMERGE_KEYS_MAX};
use bytes::Bytes;
use proto::unmerge_outcome::Kind;

/// Why a peer's request was refused.
#[derive(Debug, thiserror::Error)]
pub enum UnmergeDecodeError {
    #[error(transparent)]
    Name(#[from] crate::dynamo::names::NameError),
    #[error("a digest {0}")]
    Digest(#[from] crate::dynamo::codec::DecodeError),
    #[error("{keys} keys, {digests} resolvers and {epochs} epochs are too many for one step")]
    TooMany {
        keys: usize,
        digests: usize,
        epochs: usize,
    },
    #[error("{0} is no effort that this release knows")]
    Effort(u32),
}

/// What became of one key at a node, as far as others want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Unchanged,
    Absent,
    Rewritten { is_whole: bool },
    NotRetained,
    Elsewhere,
    Failed(String),
}

impl Outcome {
    pub fn of(outcome: Result<Unmerged, UnmergeError>) -> Self {
        match outcome {
            Ok(Unmerged::Unchanged) => Self::Unchanged,
            Ok(Unmerged::Absent) => Self::Absent,
            Ok(Unmerged::Rewritten { is_whole, .. } | Unmerged::WouldRewrite { is_whole }) => {
                Self::Rewritten { is_whole }
            }
            Ok(Unmerged::NotRetained) => Self::NotRetained,
            Ok(Unmerged::Elsewhere) => Self::Elsewhere,
            Ok(Unmerged::Later { ms }) => Self::Failed(format!("clients come first for {ms} ms")),
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

pub fn encode_request(
    bucket: &BucketName,
    keys: &[Bytes],
    blame: &Blame,
    effort: Effort,
) -> proto::UnmergeRequest {
    let digests = blame.digests.iter();
    proto::UnmergeRequest {
        bucket: bucket.as_str().to_owned(),
        keys: keys.to_vec(),
        digests: digests.map(|d| Bytes::copy_from_slice(&d.0)).collect(),
        epochs: blame.epochs.iter().copied().collect(),
        effort: match effort {
            Effort::Look => 0,
            Effort::Whole => 1,
            Effort::Best => 2,
        },
    }
}

pub fn decode_request(
    request: proto::UnmergeRequest,
) -> Result<Vec<UnmergeRequest>, UnmergeDecodeError> {
    let proto::UnmergeRequest {
        bucket,
        keys,
        digests,
        epochs,
        effort,
    } = request;
    let bounds = (UNMERGE_KEYS_MAX, BINDINGS_REMEMBERED_MAX + 1);
    if keys.len() > bounds.0 || digests.len() > bounds.1 || epochs.len() > bounds.1 {
        return Err(UnmergeDecodeError::TooMany {
            keys: keys.len(),
            digests: digests.len(),
            epochs: epochs.len(),
        });
    }
    let bucket = BucketName::new(&bucket)?;
    let digests = digests.into_iter().map(|bytes| Reader::new(bytes).digest());
    let blame = Blame {
        digests: digests.collect::<Result<_, _>>()?,
        epochs: epochs.into_iter().collect(),
    };
    let effort = match effort {
        0 => Effort::Look,
        1 => Effort::Whole,
        2 => Effort::Best,
        unknown => return Err(UnmergeDecodeError::Effort(unknown)),
    };
    let of = |bytes: Bytes| {
        let key = Key::new(bucket.clone(), bytes)?;
        let blame = blame.clone();
        Ok(UnmergeRequest { key, blame, effort })
    };
    keys.into_iter().map(of).collect()
}

pub fn encode_outcome(outcome: Outcome) -> proto::UnmergeOutcome {
    let (kind, reason) = match outcome {
        Outcome::Unchanged => (Kind::Unchanged, String::new()),
        Outcome::Absent => (Kind::Absent, String::new()),
        Outcome::Rewritten { is_whole: true } => (Kind::Rewritten, String::new()),
        Outcome::Rewritten { is_whole: false } => (Kind::RewrittenInPart, String::new()),
        Outcome::NotRetained => (Kind::NotRetained, String::new()),
        Outcome::Elsewhere => (Kind::Elsewhere, String::new()),
        Outcome::Failed(reason) => (Kind::Failed, reason),
    };
    let kind = kind.into();
    proto::UnmergeOutcome { kind, reason }
}

pub fn decode_outcome(outcome: proto::UnmergeOutcome) -> Outcome {
    match outcome.kind() {
        Kind::Unchanged => Outcome::Unchanged,
        Kind::Absent => Outcome::Absent,
        Kind::Rewritten => Outcome::Rewritten { is_whole: true },
        Kind::RewrittenInPart => Outcome::Rewritten { is_whole: false },
        Kind::NotRetained => Outcome::NotRetained,
        Kind::Elsewhere => Outcome::Elsewhere,
        Kind::Failed => Outcome::Failed(outcome.reason),
        Kind::Unspecified => Outcome::Failed("it answered something unknown".to_owned()),
    }
}
