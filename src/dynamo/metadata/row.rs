//! One row of the metadata: what it is about, which edit it is, and what it says.
//!
//! Invariant: of two edits of one row every node keeps the same one; no clock is asked (law 3).

use super::super::bucket::Properties;
use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::{BucketName, Digest, NodeId};
use super::super::ring::change::{Change, Progress};
use super::facts::{MembershipPolicy, NodeFacts};
use crate::limits::{BUCKET_BYTES_MAX, PLUGIN_BYTES_MAX};

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Bucket(BucketName),
    Plugin(Digest),
    Node(NodeId),
    /// The change of members that is under way, or was the last.
    Change,
    /// How far a node is with its part of it.
    Progress(NodeId),
    Policy,
}

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Bucket(Properties),
    /// The bucket is removed, and those of the generations before it.
    Removed {
        generation: u64,
    },
    Plugin(PluginFacts),
    Node(NodeFacts),
    Change(Box<Change>),
    Progress(Progress),
    Policy(MembershipPolicy),
}

/// What a cluster remembers of an uploaded plugin; its bytes are fetched from any node that has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFacts {
    pub name: String,
    pub version: String,
    pub size_bytes: usize,
    pub is_resolver: bool,
    pub is_validator: bool,
    /// Laws that the author claims.
    pub laws: Vec<String>,
}

/// Orders the edits of a row: later counts win, equal counts go to the greater node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    pub count: u64,
    pub by: NodeId,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub edit: Edit,
    pub fact: Fact,
}

const TEXT_BYTES_MAX: usize = 256;
const LAWS_MAX: usize = 16;

impl Row {
    /// Whether every node prefers this row to `other`. What was removed stays removed, whoever edits it elsewhere
    /// meanwhile; only the next generation of its name takes its place.
    pub fn wins_over(&self, other: &Row) -> bool {
        let rank = |row: &Row| {
            let mut writer = Writer::default();
            row.fact.encode(&mut writer);
            (row.fact.life(), row.edit.clone(), writer.finish())
        };
        rank(self) > rank(other)
    }

    pub fn encode(&self, writer: &mut Writer) {
        writer.number(self.edit.count);
        writer.node(&self.edit.by);
        self.fact.encode(writer);
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.number()?;
        let by = reader.node()?;
        Ok(Self {
            edit: Edit { count, by },
            fact: Fact::decode(reader)?,
        })
    }
}

impl Subject {
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Bucket(name) => {
                writer.byte(b'b');
                writer.bytes(name.as_str().as_bytes());
            }
            Self::Plugin(digest) => {
                writer.byte(b'p');
                writer.raw(&digest.0);
            }
            Self::Node(node) => {
                writer.byte(b'n');
                writer.node(node);
            }
            Self::Change => writer.byte(b'c'),
            Self::Progress(node) => {
                writer.byte(b'g');
                writer.node(node);
            }
            Self::Policy => writer.byte(b'y'),
        }
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.byte()? {
            b'b' => {
                let name = reader.text("a bucket name", BUCKET_BYTES_MAX)?;
                let name = BucketName::new(&name);
                Ok(Self::Bucket(
                    name.map_err(|_| DecodeError::Malformed("a bucket name"))?,
                ))
            }
            b'p' => Ok(Self::Plugin(reader.digest()?)),
            b'n' => Ok(Self::Node(reader.node()?)),
            b'c' => Ok(Self::Change),
            b'g' => Ok(Self::Progress(reader.node()?)),
            b'y' => Ok(Self::Policy),
            _ => Err(DecodeError::Malformed("the subject of a row")),
        }
    }
}

impl Fact {
    /// Which generation it is about, and whether that is over.
    fn life(&self) -> (u64, bool) {
        match self {
            Self::Bucket(properties) => (properties.generation, false),
            Self::Removed { generation } => (*generation, true),
            _ => (0, false),
        }
    }

    /// Whether the fact is of the kind of its subject.
    pub fn is_about(&self, subject: &Subject) -> bool {
        matches!(
            (self, subject),
            (Self::Bucket(_) | Self::Removed { .. }, Subject::Bucket(_))
                | (Self::Plugin(_), Subject::Plugin(_))
                | (Self::Node(_), Subject::Node(_))
                | (Self::Change(_), Subject::Change)
                | (Self::Progress(_), Subject::Progress(_))
                | (Self::Policy(_), Subject::Policy)
        )
    }

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Bucket(properties) => {
                writer.byte(b'b');
                properties.encode(writer);
            }
            Self::Removed { generation } => {
                writer.byte(b'r');
                writer.number(*generation);
            }
            Self::Plugin(facts) => {
                writer.byte(b'p');
                facts.encode(writer);
            }
            Self::Node(facts) => {
                writer.byte(b'n');
                facts.encode(writer);
            }
            Self::Change(change) => {
                writer.byte(b'c');
                change.encode(writer);
            }
            Self::Progress(progress) => {
                writer.byte(b'g');
                progress.encode(writer);
            }
            Self::Policy(policy) => {
                writer.byte(b'y');
                policy.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.byte()? {
            b'b' => Ok(Self::Bucket(Properties::decode(reader)?)),
            b'r' => Ok(Self::Removed {
                generation: reader.number()?,
            }),
            b'p' => Ok(Self::Plugin(PluginFacts::decode(reader)?)),
            b'n' => Ok(Self::Node(NodeFacts::decode(reader)?)),
            b'c' => Ok(Self::Change(Box::new(Change::decode(reader)?))),
            b'g' => Ok(Self::Progress(Progress::decode(reader)?)),
            b'y' => Ok(Self::Policy(MembershipPolicy::decode(reader)?)),
            _ => Err(DecodeError::Malformed("the fact of a row")),
        }
    }
}

impl PluginFacts {
    fn encode(&self, writer: &mut Writer) {
        writer.bytes(self.name.as_bytes());
        writer.bytes(self.version.as_bytes());
        writer.number(self.size_bytes as u64);
        writer.byte(u8::from(self.is_resolver) | u8::from(self.is_validator) << 1);
        writer.number(self.laws.len() as u64);
        for law in &self.laws {
            writer.bytes(law.as_bytes());
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let name = reader.text("a plugin's name", TEXT_BYTES_MAX)?;
        let version = reader.text("a plugin's version", TEXT_BYTES_MAX)?;
        let size_bytes = reader.number_max("a plugin's size", PLUGIN_BYTES_MAX)?;
        let roles = reader.byte()?;
        if roles > 3 {
            return Err(DecodeError::Malformed("a plugin's roles"));
        }
        let mut laws = Vec::new();
        for _ in 0..reader.number_max("laws", LAWS_MAX)? {
            laws.push(reader.text("a law", TEXT_BYTES_MAX)?);
        }
        Ok(Self {
            name,
            version,
            size_bytes,
            is_resolver: roles & 1 != 0,
            is_validator: roles & 2 != 0,
            laws,
        })
    }
}
