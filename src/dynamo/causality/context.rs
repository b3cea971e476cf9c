//! The context: what a client has seen, handed out with a get and handed back with a put (Dynamo 4.1).
//!
//! Opaque to clients: versioned, bounded, checksummed bytes that are bound to their key, so a context
//! of another key is refused instead of silently covering nothing. It is not signed; a client that
//! forges one can hide versions from readers of a bucket that it may write anyway.
//!
//! Invariant: a context that is too long for its bound covers less, never more; siblings may
//! remain, none is lost.

use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::{Key, NodeId};
use super::dot::Actor;
use crate::limits::{ACTORS_MAX, CONTEXT_BYTES_MAX, NODE_NAME_BYTES_MAX};
use bytes::Bytes;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
/// Format, the length of a node name and the name, the number of actors, the checksum.
const FRAME_BYTES_MAX: usize = 1 + 2 + NODE_NAME_BYTES_MAX + 3 + CHECKSUM_BYTES;
/// Incarnation, epoch and count at their longest.
const ENTRY_BYTES_MAX: usize = 8 + 10 + 10;
/// Actors that fit whatever their counts are.
const CONTEXT_ACTORS_MAX: usize = (CONTEXT_BYTES_MAX - FRAME_BYTES_MAX) / ENTRY_BYTES_MAX;

/// Why a context was refused. Nothing was stored; reading again gives a good one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    #[error("the context has {found} bytes, the limit is {CONTEXT_BYTES_MAX}")]
    TooLong { found: usize },
    #[error(
        "the context is not one of this key: its checksum differs; pass the bytes of the last get or put of this very key, unchanged"
    )]
    Checksum,
    #[error("the context {0}")]
    Decode(#[from] DecodeError),
}

/// A set of dots: per actor, all its writes up to a count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    clock: BTreeMap<Actor, u64>,
    /// The node that answered the read fastest: the best coordinator of the write that follows (5).
    pub fastest: Option<NodeId>,
}

impl Context {
    pub fn from_clock(clock: impl Iterator<Item = (Actor, u64)>) -> Self {
        Self {
            clock: clock.filter(|(_, n)| *n > 0).collect(),
            fastest: None,
        }
    }

    /// Covers nothing: a blind write.
    pub fn is_empty(&self) -> bool {
        self.clock.is_empty()
    }

    pub fn clock(&self) -> impl Iterator<Item = (Actor, u64)> {
        self.clock.iter().map(|(actor, n)| (*actor, *n))
    }

    /// Covers in addition what `other` covers.
    pub fn join(&mut self, other: &Context) {
        for (actor, n) in other.clock() {
            let mine = self.clock.entry(actor).or_insert(0);
            *mine = n.max(*mine);
        }
    }

    /// The bytes for a client of `key`, at most `CONTEXT_BYTES_MAX`.
    pub fn encode(&self, key: &Key) -> Bytes {
        let mut writer = Writer::default();
        writer.byte(FORMAT);
        writer.bytes(self.fastest.as_ref().map_or("", NodeId::as_str).as_bytes());
        let kept = self.clock.len().min(CONTEXT_ACTORS_MAX);
        writer.number(kept as u64);
        for (actor, n) in self.clock().take(kept) {
            actor.encode(&mut writer);
            writer.number(n);
        }
        let body = writer.finish();
        let mut sealed = Writer::with_capacity(body.len() + CHECKSUM_BYTES);
        sealed.raw(&body);
        sealed.fixed(checksum(&body, key));
        sealed.finish()
    }

    /// Reads a client's context of `key`. No bytes mean that the client has seen nothing.
    pub fn decode(bytes: Bytes, key: &Key) -> Result<Self, ContextError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if bytes.len() > CONTEXT_BYTES_MAX {
            return Err(ContextError::TooLong { found: bytes.len() });
        }
        let Some(body_length) = bytes.len().checked_sub(CHECKSUM_BYTES) else {
            return Err(DecodeError::Truncated(bytes.len()).into());
        };
        let body = bytes.slice(..body_length);
        if Reader::new(bytes.slice(body_length..)).fixed()? != checksum(&body, key) {
            return Err(ContextError::Checksum);
        }
        Ok(Self::decode_body(body)?)
    }

    fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        reader.format(FORMAT)?;
        let name = reader.text("a node name", NODE_NAME_BYTES_MAX)?;
        let actors = reader.number_max("actors", ACTORS_MAX)?;
        let mut clock = BTreeMap::new();
        for _ in 0..actors {
            let actor = Actor::decode(&mut reader)?;
            clock.insert(actor, reader.number()?);
        }
        reader.finish()?;
        Ok(Self {
            clock,
            fastest: NodeId::new(&name).ok(),
        })
    }
}

/// Over the key as well, so that a context of another key is told apart.
fn checksum(body: &[u8], key: &Key) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(key.bucket().as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(key.bytes());
    hasher.update(body);
    hasher.digest()
}
