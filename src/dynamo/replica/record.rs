//! What is stored for a key: the object, and under which name this node writes to it.
//!
//! The envelope with the checksum is the engine's; here is the content.
//!
//! Invariant: the header is this node's own and never leaves it; a record that came by any path but a
//! coordinated write of this process has none that this process may use.

use super::super::causality::dot::{Actor, Dot};
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::Digest;
use crate::limits::SIBLINGS_MAX;
use bytes::Bytes;

const FORMAT: u8 = 1;

/// The record of one key on one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The actor that this node writes under, if it has coordinated a write of this record.
    pub header: Option<Actor>,
    pub object: Object,
}

impl Record {
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::with_capacity(self.object.size_bytes() + 64);
        writer.byte(FORMAT);
        writer.byte(u8::from(self.header.is_some()));
        if let Some(actor) = self.header {
            actor.encode(&mut writer);
        }
        self.object.write(&mut writer);
        writer.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let header = match reader.byte()? {
            0 => None,
            1 => Some(Actor::decode(&mut reader)?),
            _ => return Err(DecodeError::Malformed("a record's header")),
        };
        let object = Object::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { header, object })
    }
}

/// The inputs of one merge on put, kept so that a wrong resolver can be undone (law 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The dot under which the merged value was stored.
    pub dot: Dot,
    /// The resolver; none for the built-in policy.
    pub merged_by: Option<Digest>,
    /// Wall clock of the coordinator, milliseconds since 1970.
    pub merged_at_ms: u64,
    /// The siblings and the client's own value, in the order in which the resolver saw them, and the
    /// tombstones that stood beside them.
    pub inputs: Vec<Version>,
}

impl Replaced {
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.byte(FORMAT);
        self.dot.actor.encode(&mut writer);
        writer.number(self.dot.counter);
        writer.byte(u8::from(self.merged_by.is_some()));
        if let Some(digest) = &self.merged_by {
            writer.raw(&digest.0);
        }
        writer.number(self.merged_at_ms);
        writer.number(self.inputs.len() as u64);
        for version in &self.inputs {
            version.encode(&mut writer);
        }
        writer.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let actor = Actor::decode(&mut reader)?;
        let counter = reader.number()?;
        let merged_by = match reader.byte()? {
            0 => None,
            1 => Some(reader.digest()?),
            _ => return Err(DecodeError::Malformed("a merge's resolver")),
        };
        let merged_at_ms = reader.number()?;
        let count = reader.number_max("inputs of a merge", SIBLINGS_MAX)?;
        let mut inputs = Vec::new();
        for _ in 0..count {
            inputs.push(Version::decode(&mut reader)?);
        }
        reader.finish()?;
        Ok(Self {
            dot: Dot { actor, counter },
            merged_by,
            merged_at_ms,
            inputs,
        })
    }
}
