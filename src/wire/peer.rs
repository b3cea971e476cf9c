//! Messages between nodes, in protobuf.
//!
//! Objects, versions and contexts travel in the core's canonical bytes.

use super::fingerprints::RepairDecodeError;
use super::proto::peer as proto;
use super::{keys, put_error, repair, resolved, warning};
use crate::dynamo::bucket::Ack;
use crate::dynamo::causality::context::{Context, ContextError};
use crate::dynamo::causality::dot::{Actor, Dot, Incarnation};
use crate::dynamo::causality::object::Object;
use crate::dynamo::causality::version::Version;
use crate::dynamo::codec::{DecodeError, Reader, Writer};
use crate::dynamo::coordinator::request::{PutReply, PutRequest, Ttl, TtlError};
use crate::dynamo::machine::message::{Message, ReplicaFailure};
use crate::dynamo::names::{BucketName, Key, NameError, NodeId, Ticket};
use crate::dynamo::replica::record::Replaced;
use crate::dynamo::replica::stretch::Listed;
use crate::limits::versions::RETAINED_MERGES_READ_MAX;
use bytes::Bytes;
use proto::envelope::Body;

/// Why a peer's message was not believed. It is dropped; the conversation runs into its deadline.
#[derive(Debug, thiserror::Error)]
pub enum PeerDecodeError {
    #[error("a message lacks its {0}")]
    Missing(&'static str),
    #[error("a message has too many {0}")]
    TooMany(&'static str),
    #[error("a name in a message was refused: {0}")]
    Name(#[from] NameError),
    #[error("an object in a message {0}")]
    Bytes(#[from] DecodeError),
    #[error("a put in a message was refused: {0}")]
    Ttl(#[from] TtlError),
    #[error("a listing in a message was refused: {0}")]
    Stretch(#[from] keys::StretchDecodeError),
    #[error("a comparison {0}")]
    Repair(#[from] RepairDecodeError),
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
        Body::Read(read) => Ok(Message::Read {
            ticket,
            key: Key::new(BucketName::stored(&read.bucket)?, read.key)?,
            hint_for: decode_home(&read.hint_for)?,
            placement_version: read.placement_version,
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
            outcome: reply.failure.map(decode_failure).map_or(Ok(()), Err),
        }),
        Body::Forward(forward) => decode_forward(ticket, forward),
        Body::ForwardReply(reply) => decode_forward_reply(ticket, reply),
        Body::List(list) => Ok(Message::List {
            ticket,
            hint_for: decode_home(&list.hint_for)?,
            placement_version: list.placement_version,
            stretch: keys::decode_stretch(list)?,
        }),
        Body::ListReply(reply) => decode_list_reply(ticket, reply),
        Body::Repair(repair) => Ok(repair::decode_ask(ticket, repair)?),
        Body::Repaired(repaired) => Ok(repair::decode_answer(ticket, repaired)?),
        Body::Ping(_) => Ok(Message::Ping { ticket }),
        Body::Pong(_) => Ok(Message::Pong { ticket }),
    }
}

fn encode_body(message: &Message) -> Body {
    match message {
        Message::Read {
            key,
            hint_for,
            placement_version,
            ..
        } => Body::Read(proto::Read {
            bucket: key.bucket().as_str().to_owned(),
            key: key.bytes().clone(),
            hint_for: encode_home(hint_for),
            placement_version: *placement_version,
        }),
        Message::ReadReply { outcome, .. } => Body::ReadReply(proto::ReadReply {
            object: outcome.as_ref().map(Object::encode).unwrap_or_default(),
            failure: outcome.as_ref().err().map(encode_failure),
        }),
        Message::Write {
            key,
            object,
            replaced,
            ack,
            hint_for,
            placement_version,
            is_new,
            ..
        } => Body::Write(proto::Write {
            key: Some(encode_key(key)),
            object: object.encode(),
            replaced: replaced.iter().map(Replaced::encode).collect(),
            durable: *ack == Ack::Durable,
            hint_for: encode_home(hint_for),
            placement_version: *placement_version,
            is_new: *is_new,
        }),
        Message::WriteReply { outcome, .. } => Body::WriteReply(proto::WriteReply {
            failure: outcome.as_ref().err().map(encode_failure),
        }),
        Message::Forward {
            request,
            timeout_ms,
            stands_in,
            ..
        } => Body::Forward(proto::Forward {
            stands_in: *stands_in,
            ..encode_forward(request, *timeout_ms)
        }),
        Message::List {
            stretch,
            hint_for,
            placement_version,
            ..
        } => Body::List(proto::List {
            hint_for: encode_home(hint_for),
            placement_version: *placement_version,
            ..keys::encode_stretch(stretch)
        }),
        Message::ListReply { outcome, .. } => Body::ListReply(encode_list_reply(outcome)),
        Message::Repair {
            partition, n, ask, ..
        } => Body::Repair(repair::encode_ask(*partition, *n, ask)),
        Message::Repaired { answer, .. } => Body::Repaired(repair::encode_answer(answer)),
        Message::ForwardReply { outcome, .. } => Body::ForwardReply(proto::ForwardReply {
            outcome: Some(match outcome {
                Ok(reply) => proto::forward_reply::Outcome::Stored(encode_stored(reply)),
                Err(error) => proto::forward_reply::Outcome::Error(put_error::encode(error)),
            }),
        }),
        Message::Ping { .. } => Body::Ping(proto::Ping {}),
        Message::Pong { .. } => Body::Pong(proto::Pong {}),
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
    Ok(Key::new(BucketName::stored(&key.bucket)?, key.key)?)
}

fn encode_home(home: &Option<NodeId>) -> String {
    home.as_ref().map_or("", NodeId::as_str).to_owned()
}

fn decode_home(name: &str) -> Decoded<Option<NodeId>> {
    let home = (!name.is_empty()).then(|| NodeId::new(name));
    Ok(home.transpose()?)
}

fn encode_failure(failure: &ReplicaFailure) -> proto::Failure {
    proto::Failure {
        unreachable: *failure == ReplicaFailure::Unreachable,
        not_kept: *failure == ReplicaFailure::NotKept,
        overloaded: *failure == ReplicaFailure::Overloaded,
        full: *failure == ReplicaFailure::Full,
        message: match failure {
            ReplicaFailure::Storage(message) => message.clone(),
            failure => failure.to_string(), // For a node that does not know the reason.
        },
    }
}

fn decode_failure(failure: proto::Failure) -> ReplicaFailure {
    match failure {
        failure if failure.unreachable => ReplicaFailure::Unreachable,
        failure if failure.not_kept => ReplicaFailure::NotKept,
        failure if failure.overloaded => ReplicaFailure::Overloaded,
        failure if failure.full => ReplicaFailure::Full,
        failure => ReplicaFailure::Storage(failure.message),
    }
}

fn decode_write(ticket: Ticket, write: proto::Write) -> Decoded<Message> {
    if write.replaced.len() > RETAINED_MERGES_READ_MAX {
        return Err(PeerDecodeError::TooMany("merges"));
    }
    let replaced = write.replaced.into_iter().map(Replaced::decode);
    let replaced = replaced.collect::<Result<Vec<Replaced>, DecodeError>>()?;
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
        hint_for: decode_home(&write.hint_for)?,
        placement_version: write.placement_version,
        is_new: write.is_new,
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
        pw: request.pw.map(u32::from),
        dw: request.dw.map(u32::from),
        ack: match request.ack {
            None => 0,
            Some(Ack::Buffered) => 1,
            Some(Ack::Durable) => 2,
        },
        timeout_ms,
        ttl_ms: request.ttl.as_ms(),
        stands_in: false,
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
        pw: forward.pw.and_then(|pw| u8::try_from(pw).ok()),
        dw: forward.dw.and_then(|dw| u8::try_from(dw).ok()),
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
        stands_in: forward.stands_in,
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
        durable_answered: reply.durable_answered as u32,
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
        Outcome::Error(error) => {
            let kind = error.kind.ok_or(PeerDecodeError::Missing("error"))?;
            Err(put_error::decode(kind, error.disk_full)?)
        }
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
        durable_answered: stored.durable_answered as usize,
        coordinator,
        warnings: warning::decode(stored.warnings),
    })
}
