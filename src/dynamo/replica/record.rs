//! What is stored for a key: the object, under which name this node writes to it, and what merges took in.
//!
//! The envelope with the checksum is the engine's; here is the content.
//!
//! Invariant: the header is this node's own and never leaves it; a record that came by any path but a
//! coordinated write of this process has none that this process may use.

use super::super::causality::dot::{Actor, Dot};
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::{Digest, NodeId};
use crate::limits::SIBLINGS_MAX;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

const FORMAT: u8 = 1;
/// Of a merge, as releases wrote it that did not note how it came about, and as this one does.
const FORMAT_PLAIN: u8 = 1;
const FORMAT_NOTED: u8 = 2;

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
    /// None: an older release kept it.
    pub provenance: Option<Provenance>,
}

/// How a merge came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Under which dot each input stood; none for the client's own value, which never had one.
    pub dots: Vec<Option<Dot>>,
    /// Of the inputs, how many the resolver saw: the first ones.
    pub shown: usize,
    /// Of the bucket's bindings, as the coordinator knew them: it tells params and fuel limit.
    pub epoch: u64,
    /// Wasm fuel that the resolver used.
    pub fuel: u64,
    /// The coordinator.
    pub node: NodeId,
    /// Of the merged version; see `fingerprint`.
    pub result: u128,
}

/// By which the result of a merge is known again: XXH3 of its canonical bytes.
pub fn fingerprint(version: &Version) -> u128 {
    let mut writer = Writer::default();
    version.encode(&mut writer);
    xxh3_128(&writer.finish())
}

impl Replaced {
    /// The inputs with their dots, as far as those are known.
    pub fn named_inputs(&self) -> impl Iterator<Item = (Option<Dot>, &Version)> {
        let dots = self.provenance.iter().flat_map(|noted| &noted.dots);
        let dots = dots.copied().chain(std::iter::repeat(None));
        dots.zip(&self.inputs)
    }

    /// Bytes that it takes, roughly.
    pub fn size_bytes(&self) -> usize {
        self.inputs.iter().map(Version::size_bytes).sum()
    }

    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.byte(match self.provenance {
            None => FORMAT_PLAIN,
            Some(_) => FORMAT_NOTED,
        });
        encode_dot(self.dot, &mut writer);
        writer.byte(u8::from(self.merged_by.is_some()));
        if let Some(digest) = &self.merged_by {
            writer.raw(&digest.0);
        }
        writer.number(self.merged_at_ms);
        writer.number(self.inputs.len() as u64);
        for version in &self.inputs {
            version.encode(&mut writer);
        }
        if let Some(provenance) = &self.provenance {
            provenance.encode(&mut writer);
        }
        writer.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let is_noted = bytes.first() == Some(&FORMAT_NOTED);
        let mut reader = Reader::new(bytes);
        reader.format(match is_noted {
            true => FORMAT_NOTED,
            false => FORMAT_PLAIN,
        })?;
        let dot = decode_dot(&mut reader)?;
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
        let provenance = match is_noted {
            true => Some(Provenance::decode(&mut reader, count)?),
            false => None,
        };
        reader.finish()?;
        Ok(Self {
            dot,
            merged_by,
            merged_at_ms,
            inputs,
            provenance,
        })
    }
}

impl Provenance {
    fn encode(&self, writer: &mut Writer) {
        writer.fixed((self.result >> 64) as u64);
        writer.fixed(self.result as u64);
        for dot in &self.dots {
            writer.byte(u8::from(dot.is_some()));
            if let Some(dot) = dot {
                encode_dot(*dot, writer);
            }
        }
        writer.number(self.shown as u64);
        writer.number(self.epoch);
        writer.number(self.fuel);
        writer.node(&self.node);
    }

    fn decode(reader: &mut Reader, inputs: usize) -> Result<Self, DecodeError> {
        let result = u128::from(reader.fixed()?) << 64 | u128::from(reader.fixed()?);
        let mut dots = Vec::new();
        for _ in 0..inputs {
            dots.push(match reader.byte()? {
                0 => None,
                1 => Some(decode_dot(reader)?),
                _ => return Err(DecodeError::Malformed("the dot of an input")),
            });
        }
        Ok(Self {
            dots,
            shown: reader.number_max("inputs that were shown", inputs)?,
            epoch: reader.number()?,
            fuel: reader.number()?,
            node: reader.node()?,
            result,
        })
    }
}

fn encode_dot(dot: Dot, writer: &mut Writer) {
    dot.actor.encode(writer);
    writer.number(dot.counter);
}

fn decode_dot(reader: &mut Reader) -> Result<Dot, DecodeError> {
    let actor = Actor::decode(reader)?;
    let counter = reader.number()?;
    Ok(Dot { actor, counter })
}
