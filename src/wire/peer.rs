//! Messages between nodes, in protobuf.
//!
//! Objects, versions and contexts travel in the core's canonical bytes.

use super::proto::peer as proto;
use super::{keys, repair, resolved, warning};
use crate::dynamo::bucket::Ack;
use crate::dynamo::causality::context::{Context, ContextError};
use crate::dynamo::causality::dot::{Actor, Dot, Incarnation};
use crate::dynamo::causality::object::Object;
use crate::dynamo::causality::version::Version;
use crate::dynamo::codec::{DecodeError, Reader, Writer};
use crate::dynamo::coordinator::request::{PutError, PutReply, PutRequest, Ttl, TtlError};
use crate::dynamo::machine::message::{Message, ReplicaFailure};
use crate::dynamo::names::{BucketName, Key, NameError, NodeId, Ticket};
use crate::dynamo::replica::record::Replaced;
use crate::dynamo::replica::stretch::Listed;
use bytes::Bytes;
use proto::envelope::Body;

/// Why a peer's message was not believed. It is dropped; the conversation runs into its deadline.
#[derive(Debug, thiserror::Error)]
pub enum PeerDecodeError {
    #[error("a message lacks its {0}")]
    Missing(&'static str),
    #[error("a name in a message was refused: {0}")]
    Name(#[from] NameError),
    #[error("an object in a message {0}")]
    Bytes(#[from] DecodeError),
    #[error("a put in a message was refused: {0}")]
    Ttl(#[from] TtlError),
    #[error("a listing in a message was refused: {0}")]
    Stretch(#[from] keys::StretchDecodeError),
    #[error("a comparison {0}")]
    Repair(#[from] repair::RepairDecodeError),
    #[error("a context in a message was refused: {0}")]
    Context(#[from] ContextError),
}

type Decoded<T> = Result<T, PeerDecodeError>;

/// One message as it travels.
pub fn encode(message: &Message) -> proto::Envelope {
    let ticket = message.ticket();
    proto::Envelope {
        ticket: Some(proto::Ticket {
            life: ticket.life,
            count: ticket.count,
        }),
        body: Some(encode_body(message)),
    }
}

/// The message that a peer meant.
pub fn decode(envelope: proto::Envelope) -> Decoded<Message> {
    let ticket = envelope.ticket.ok_or(PeerDecodeError::Missing("ticket"))?;
    let ticket = Ticket {
        life: ticket.life,
        count: ticket.count,
    };
    match envelope.body.ok_or(PeerDecodeError::Missing("body"))? {
        Body::Read(key) => Ok(Message::Read {
            ticket,
            key: decode_key(Some(key))?,
        }),
        Body::ReadReply(reply) => Ok(Message::ReadReply {
            ticket,
            outcome: match reply.failure {
                Some(failure) => Err(decode_failure(failure)),
                None => Ok(Object::decode(reply.object)?),
            },
        }),
        Body::Write(write) => decode_write(ticket, write),
        Body::WriteReply(reply) => Ok(Message::WriteReply {
            ticket,
            outcome: reply
                .failure
                .map_or(Ok(()), |failure| Err(decode_failure(failure))),
        }),
        Body::Forward(forward) => decode_forward(ticket, forward),
        Body::ForwardReply(reply) => decode_forward_reply(ticket, reply),
        Body::List(list) => Ok(Message::List {
            ticket,
            stretch: keys::decode_stretch(list)?,
        }),
        Body::ListReply(reply) => decode_list_reply(ticket, reply),
        Body::Repair(repair) => Ok(repair::decode_ask(ticket, repair)?),
        Body::Repaired(repaired) => Ok(repair::decode_answer(ticket, repaired)?),
    }
}

fn encode_body(message: &Message) -> Body {
    match message {
        Message::Read { key, .. } => Body::Read(encode_key(key)),
        Message::ReadReply { outcome, .. } => Body::ReadReply(proto::ReadReply {
            object: outcome.as_ref().map(Object::encode).unwrap_or_default(),
            failure: outcome.as_ref().err().map(encode_failure),
        }),
        Message::Write {
            key,
            object,
            replaced,
            ack,
            ..
        } => Body::Write(proto::Write {
            key: Some(encode_key(key)),
            object: object.encode(),
            replaced: replaced.as_ref().map(|r| r.encode()).unwrap_or_default(),
            durable: *ack == Ack::Durable,
        }),
        Message::WriteReply { outcome, .. } => Body::WriteReply(proto::WriteReply {
            failure: outcome.as_ref().err().map(encode_failure),
        }),
        Message::Forward {
            request,
            timeout_ms,
            ..
        } => Body::Forward(encode_forward(request, *timeout_ms)),
        Message::List { stretch, .. } => Body::List(keys::encode_stretch(stretch)),
        Message::ListReply { outcome, .. } => Body::ListReply(encode_list_reply(outcome)),
        Message::Repair {
            partition, n, ask, ..
        } => Body::Repair(repair::encode_ask(*partition, *n, ask)),
        Message::Repaired { answer, .. } => Body::Repaired(repair::encode_answer(answer)),
        Message::ForwardReply { outcome, .. } => Body::ForwardReply(proto::ForwardReply {
            outcome: Some(match outcome {
                Ok(reply) => proto::forward_reply::Outcome::Stored(encode_stored(reply)),
                Err(error) => proto::forward_reply::Outcome::Error(encode_error(error)),
            }),
        }),
    }
}

fn encode_list_reply(outcome: &Result<Listed, ReplicaFailure>) -> proto::ListReply {
    match outcome {
        Ok(listed) => keys::encode_listed(listed),
        Err(failure) => proto::ListReply {
            failure: Some(encode_failure(failure)),
            ..proto::ListReply::default()
        },
    }
}

fn decode_list_reply(ticket: Ticket, mut reply: proto::ListReply) -> Decoded<Message> {
    let outcome = match reply.failure.take() {
        Some(failure) => Err(decode_failure(failure)),
        None => Ok(keys::decode_listed(reply)?),
    };
    Ok(Message::ListReply { ticket, outcome })
}

fn encode_key(key: &Key) -> proto::Key {
    proto::Key {
        bucket: key.bucket().as_str().to_owned(),
        key: key.bytes().clone(),
    }
}

fn decode_key(key: Option<proto::Key>) -> Decoded<Key> {
    let key = key.ok_or(PeerDecodeError::Missing("key"))?;
    Ok(Key::new(BucketName::new(&key.bucket)?, key.key)?)
}

fn encode_failure(failure: &ReplicaFailure) -> proto::Failure {
    match failure {
        ReplicaFailure::Unreachable => proto::Failure {
            unreachable: true,
            message: String::new(),
        },
        ReplicaFailure::Storage(message) => proto::Failure {
            unreachable: false,
            message: message.clone(),
        },
    }
}

fn decode_failure(failure: proto::Failure) -> ReplicaFailure {
    match failure.unreachable {
        true => ReplicaFailure::Unreachable,
        false => ReplicaFailure::Storage(failure.message),
    }
}

fn decode_write(ticket: Ticket, write: proto::Write) -> Decoded<Message> {
    let replaced = match write.replaced.is_empty() {
        true => None,
        false => Some(Box::new(Replaced::decode(write.replaced)?)),
    };
    Ok(Message::Write {
        ticket,
        key: decode_key(write.key)?,
        object: Object::decode(write.object)?,
        replaced,
        ack: if write.durable {
            Ack::Durable
        } else {
            Ack::Buffered
        },
    })
}

fn encode_version(version: &Version) -> Bytes {
    let mut writer = Writer::with_capacity(version.size_bytes());
    version.encode(&mut writer);
    writer.finish()
}

fn decode_version(bytes: Bytes) -> Decoded<Version> {
    let mut reader = Reader::new(bytes);
    let version = Version::decode(&mut reader)?;
    reader.finish()?;
    Ok(version)
}

fn encode_forward(request: &PutRequest, timeout_ms: u64) -> proto::Forward {
    proto::Forward {
        key: Some(encode_key(&request.key)),
        version: encode_version(&request.version),
        context: request.context.encode(&request.key),
        w: request.w.map(u32::from),
        ack: match request.ack {
            None => 0,
            Some(Ack::Buffered) => 1,
            Some(Ack::Durable) => 2,
        },
        timeout_ms,
        ttl_ms: request.ttl.as_ms(),
    }
}

fn decode_forward(ticket: Ticket, forward: proto::Forward) -> Decoded<Message> {
    let key = decode_key(forward.key)?;
    let version = decode_version(forward.version)?;
    let request = PutRequest {
        context: Context::decode(forward.context, &key)?,
        key,
        version,
        w: forward.w.and_then(|w| u8::try_from(w).ok()),
        ack: match forward.ack {
            1 => Some(Ack::Buffered),
            2 => Some(Ack::Durable),
            _ => None,
        },
        ttl: Ttl::of(forward.ttl_ms)?,
    };
    Ok(Message::Forward {
        ticket,
        request: Box::new(request),
        timeout_ms: forward.timeout_ms,
    })
}

fn encode_stored(reply: &PutReply) -> proto::Stored {
    proto::Stored {
        incarnation: reply.dot.actor.incarnation.0,
        epoch: reply.dot.actor.epoch,
        counter: reply.dot.counter,
        context: encode_clock(&reply.context),
        siblings: reply.siblings as u64,
        resolved: Some(resolved::encode(&reply.resolved)),
        replicas_answered: reply.replicas_answered as u32,
        primaries_answered: reply.primaries_answered as u32,
        coordinator: reply.coordinator.as_str().to_owned(),
        merged: reply
            .merged
            .as_ref()
            .map(encode_version)
            .unwrap_or_default(),
        warnings: reply.warnings.iter().map(warning::encode).collect(),
    }
}

/// A context between nodes is the clock alone: the coordinator's name stands beside it.
fn encode_clock(context: &Context) -> Bytes {
    let mut writer = Writer::default();
    for (actor, n) in context.clock() {
        actor.encode(&mut writer);
        writer.number(n);
    }
    writer.finish()
}

fn decode_clock(bytes: Bytes) -> Decoded<Context> {
    let mut reader = Reader::new(bytes);
    let mut clock = Vec::new();
    while reader.remaining() > 0 {
        clock.push((Actor::decode(&mut reader)?, reader.number()?));
    }
    Ok(Context::from_clock(clock.into_iter()))
}

fn decode_forward_reply(ticket: Ticket, reply: proto::ForwardReply) -> Decoded<Message> {
    use proto::forward_reply::Outcome;
    let outcome = match reply.outcome.ok_or(PeerDecodeError::Missing("outcome"))? {
        Outcome::Stored(stored) => Ok(Box::new(decode_stored(stored)?)),
        Outcome::Error(error) => Err(decode_error(error)?),
    };
    Ok(Message::ForwardReply { ticket, outcome })
}

fn decode_stored(stored: proto::Stored) -> Decoded<PutReply> {
    let coordinator = NodeId::new(&stored.coordinator)?;
    let mut context = decode_clock(stored.context)?;
    context.fastest = Some(coordinator.clone());
    Ok(PutReply {
        dot: Dot {
            actor: Actor {
                incarnation: Incarnation(stored.incarnation),
                epoch: stored.epoch,
            },
            counter: stored.counter,
        },
        context,
        siblings: stored.siblings as usize,
        merged: match stored.merged.is_empty() {
            true => None,
            false => Some(decode_version(stored.merged)?),
        },
        resolved: resolved::decode(stored.resolved.unwrap_or_default())?,
        replicas_answered: stored.replicas_answered as usize,
        primaries_answered: stored.primaries_answered as usize,
        coordinator,
        warnings: warning::decode(stored.warnings),
    })
}

fn encode_error(error: &PutError) -> proto::Error {
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

fn decode_error(error: proto::Error) -> Decoded<PutError> {
    use proto::error::Kind;
    Ok(match error.kind.ok_or(PeerDecodeError::Missing("error"))? {
        Kind::NoSuchBucket(name) => PutError::NoSuchBucket(BucketName::new(&name)?),
        Kind::Refused(refused) => PutError::Refused {
            code: refused.code,
            message: refused.message,
        },
        Kind::Unvalidated(message) => PutError::Unvalidated(message),
        Kind::TooLarge(message) => PutError::TooLarge(message),
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
