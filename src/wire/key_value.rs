//! Gets, puts and deletes as clients say them, in protobuf.

use super::bucket::{PropertiesDecodeError, decode_ack, number};
use super::proto::v1 as proto;
use crate::dynamo::causality::context::{Context, ContextError};
use crate::dynamo::causality::dot::Dot;
use crate::dynamo::causality::version::{Content, Version, VersionError};
use crate::dynamo::coordinator::request::{
    GetReply, GetRequest, PutReply, PutRequest, Resolved, Ttl, TtlError,
};
use crate::dynamo::coordinator::warning::Warning;
use crate::dynamo::names::{BucketName, Key, NameError};
use crate::limits::VALUE_BYTES_MAX;
use bytes::Bytes;

/// Why a client's request was refused before anything was asked.
#[derive(Debug, thiserror::Error)]
pub enum RequestDecodeError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Number(#[from] PropertiesDecodeError),
    #[error(transparent)]
    Ttl(#[from] TtlError),
    #[error(
        "condition is {found}, which this release does not know; give 1 (if absent), 2 (if context), or none"
    )]
    Condition { found: i32 },
}

/// What has to be so before a put is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// No live value stands under the key.
    IfAbsent,
    /// Nothing stands under the key that the context does not cover.
    IfContext,
}

type Decoded<T> = Result<T, RequestDecodeError>;

/// A key of a bucket, both checked.
pub fn decode_key(bucket: &str, key: Bytes) -> Decoded<Key> {
    Ok(Key::new(BucketName::new(bucket)?, key)?)
}

pub fn decode_get(request: proto::GetRequest) -> Decoded<GetRequest> {
    Ok(GetRequest {
        r: number("r", request.r)?,
        pr: number("pr", request.pr)?,
        key: decode_key(&request.bucket, request.key)?,
    })
}

pub fn decode_put(request: proto::PutRequest) -> Decoded<PutRequest> {
    let ack = decode_ack(request.ack)?;
    let key = decode_key(&request.bucket, request.key)?;
    let version = Version {
        content: Content::Value(request.value),
        content_type: request.content_type,
        metadata: request.metadata.into_iter().collect(),
        ..Version::value(Bytes::new(), 0)
    };
    version.check(VALUE_BYTES_MAX)?;
    Ok(PutRequest {
        context: Context::decode(request.context, &key)?,
        key,
        version,
        w: number("w", request.w)?,
        pw: number("pw", request.pw)?,
        dw: number("dw", request.dw)?,
        ack,
        ttl: Ttl::of(request.ttl_ms)?,
    })
}

/// None: whatever stands there. What a later release may mean by another number is not guessed.
pub fn decode_condition(condition: i32) -> Decoded<Option<Condition>> {
    match proto::Condition::try_from(condition) {
        Ok(proto::Condition::Unspecified) => Ok(None),
        Ok(proto::Condition::IfAbsent) => Ok(Some(Condition::IfAbsent)),
        Ok(proto::Condition::IfContext) => Ok(Some(Condition::IfContext)),
        Err(_) => Err(RequestDecodeError::Condition { found: condition }),
    }
}

pub fn decode_delete(request: proto::DeleteRequest) -> Decoded<PutRequest> {
    let ack = decode_ack(request.ack)?;
    let key = decode_key(&request.bucket, request.key)?;
    Ok(PutRequest {
        context: Context::decode(request.context, &key)?,
        key,
        version: Version::tombstone(0),
        w: number("w", request.w)?,
        pw: number("pw", request.pw)?,
        dw: number("dw", request.dw)?,
        ack,
        ttl: Ttl::default(),
    })
}

/// The reply to a get of `key`.
pub fn encode_get(key: &Key, reply: GetReply, with_siblings: bool) -> proto::GetResponse {
    let siblings = if with_siblings {
        reply.siblings
    } else {
        Vec::new()
    };
    proto::GetResponse {
        values: reply.versions.into_iter().map(encode_value).collect(),
        context: encode_context(&reply.context, key),
        resolved: Some(encode_resolved(reply.resolved)),
        siblings: siblings
            .into_iter()
            .map(|(dot, version)| encode_sibling(dot.to_string(), version))
            .collect(),
        replicas_answered: reply.replicas_answered as u32,
        primaries_answered: reply.primaries_answered as u32,
        ring_hash: 0, // The service knows its ring.
    }
}

/// The reply to a put of `key`.
pub fn encode_put(key: &Key, reply: PutReply) -> proto::PutResponse {
    proto::PutResponse {
        context: encode_context(&reply.context, key),
        siblings: reply.siblings as u32,
        merged: reply.merged.map(encode_value),
        resolved: Some(encode_resolved(reply.resolved)),
        replicas_answered: reply.replicas_answered as u32,
        primaries_answered: reply.primaries_answered as u32,
        durable_answered: reply.durable_answered as u32,
        coordinator: reply.coordinator.as_str().to_owned(),
        dot: reply.dot.to_string(),
        ring_hash: 0,
        warnings: reply.warnings.iter().map(Warning::to_string).collect(),
    }
}

/// The reply to a delete of `key`.
pub fn encode_delete(key: &Key, reply: PutReply) -> proto::DeleteResponse {
    let put = encode_put(key, reply);
    proto::DeleteResponse {
        context: put.context,
        siblings: put.siblings,
        replicas_answered: put.replicas_answered,
        primaries_answered: put.primaries_answered,
        durable_answered: put.durable_answered,
        coordinator: put.coordinator,
        dot: put.dot,
        ring_hash: 0,
    }
}

/// A stored version under the name of its dot.
pub fn encode_stored(dot: Dot, version: Version) -> proto::Sibling {
    encode_sibling(dot.to_string(), version)
}

/// A stored version; one that a merge took in has lost its dot.
pub fn encode_sibling(dot: String, version: Version) -> proto::Sibling {
    proto::Sibling {
        dot,
        tombstone: version.is_tombstone(),
        merged_by: version
            .merged_by
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
        value: Some(encode_value(version)),
    }
}

fn encode_value(version: Version) -> proto::Value {
    proto::Value {
        value: version.bytes().cloned().unwrap_or_default(),
        content_type: version.content_type,
        metadata: version.metadata.into_iter().collect(),
        written_at_ms: version.written_at_ms,
        expires_at_ms: version.expires_at_ms,
    }
}

/// A context that covers nothing is no bytes, so that clients can tell.
fn encode_context(context: &Context, key: &Key) -> Bytes {
    match context.is_empty() {
        true => Bytes::new(),
        false => context.encode(key),
    }
}

fn encode_resolved(resolved: Resolved) -> proto::Resolved {
    match resolved {
        Resolved::Single => proto::Resolved {
            resolution: proto::Resolution::Single.into(),
            ..proto::Resolved::default()
        },
        Resolved::Merged { by, fuel } => proto::Resolved {
            resolution: proto::Resolution::Merged.into(),
            plugin: by.map(|digest| digest.to_string()).unwrap_or_default(),
            fuel,
            reason: String::new(),
        },
        Resolved::Siblings { reason } => proto::Resolved {
            resolution: proto::Resolution::Siblings.into(),
            reason,
            ..proto::Resolved::default()
        },
    }
}
