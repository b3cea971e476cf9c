//! What gets and puts give back, in plain types.
//!
//! Invariant: nothing that a node said about siblings is dropped on the way to the user.

use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What a client has seen of a key. Opaque; for the put or delete that follows, of the same key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context(pub Bytes);

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub bytes: Bytes,
    pub content_type: String,
    pub metadata: BTreeMap<String, String>,
    /// Milliseconds since 1970 by the clock of its coordinator.
    pub written_at_ms: u64,
}

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The only value, or what the bucket's policy made of several.
    One(Value),
    /// Values that nobody made one of, at least two, and why not.
    Siblings {
        values: Vec<Value>,
        reason: String,
    },
}

/// The answer to a get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub found: Found,
    /// Of all that was found, deletes included.
    pub context: Context,
    pub replicas_answered: u32,
    /// The address that was asked.
    pub asked: String,
}

/// The answer to a put or a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Of this write and what the client had seen, never of siblings that it has not seen.
    pub context: Context,
    /// Live versions that stand under the key now.
    pub siblings: u32,
    /// What is stored in place of the value, if a merge on put made it.
    pub merged: Option<Value>,
    pub replicas_answered: u32,
    /// The node that made the write's dot.
    pub coordinator: String,
    pub dot: String,
    /// The address that was asked.
    pub asked: String,
}

impl Found {
    /// The value, if there is exactly one.
    pub fn one(&self) -> Option<&Value> {
        match self {
            Self::One(value) => Some(value),
            Self::Nothing | Self::Siblings { .. } => None,
        }
    }

    /// All values, however many there are.
    pub fn values(&self) -> &[Value] {
        match self {
            Self::Nothing => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Siblings { values, .. } => values,
        }
    }
}

impl From<proto::Value> for Value {
    fn from(value: proto::Value) -> Self {
        Self {
            bytes: value.value,
            content_type: value.content_type,
            metadata: value.metadata.into_iter().collect(),
            written_at_ms: value.written_at_ms,
        }
    }
}

impl Read {
    pub(super) fn of(reply: proto::GetResponse, asked: &str) -> Self {
        let mut values: Vec<Value> = reply.values.into_iter().map(Value::from).collect();
        let found = match values.len() {
            0 => Found::Nothing,
            1 => Found::One(values.remove(0)),
            _ => Found::Siblings {
                values,
                reason: reply.resolved.unwrap_or_default().reason,
            },
        };
        Self {
            found,
            context: Context(reply.context),
            replicas_answered: reply.replicas_answered,
            asked: asked.to_owned(),
        }
    }
}

impl Written {
    pub(super) fn of_put(reply: proto::PutResponse, asked: &str) -> Self {
        Self {
            context: Context(reply.context),
            siblings: reply.siblings,
            merged: reply.merged.map(Value::from),
            replicas_answered: reply.replicas_answered,
            coordinator: reply.coordinator,
            dot: reply.dot,
            asked: asked.to_owned(),
        }
    }

    pub(super) fn of_delete(reply: proto::DeleteResponse, asked: &str) -> Self {
        Self {
            context: Context(reply.context),
            siblings: reply.siblings,
            merged: None,
            replicas_answered: reply.replicas_answered,
            coordinator: reply.coordinator,
            dot: reply.dot,
            asked: asked.to_owned(),
        }
    }
}
