//! One row of the metadata: what it is about, which edit it is, and what it says.
//!
//! A later release may have rows that this one does not know, and may say more in those that it knows: both are kept as
//! they are and passed on, so that nodes of two releases hold the same catalog.
//!
//! Invariant: of two edits of one row every node keeps the same one; no clock is asked (law 3).

use super::super::bucket::Properties;
use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::{BucketName, Digest, NodeId};
use super::super::ring::change::{Change, Progress};
use super::facts::{MembershipPolicy, NodeFacts};
use super::grade::Graded;
use crate::limits::operations::UNKNOWN_ROW_BYTES_MAX;
use crate::limits::{BUCKET_BYTES_MAX, CATALOG_BYTES_MAX, PLUGIN_BYTES_MAX};
use bytes::Bytes;

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
    /// Of a later release, in its bytes.
    Unknown(Bytes),
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
    /// Of a later release, in its bytes.
    Unknown(Bytes),
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
    /// What the law check found; none for what only validates, and for what was uploaded before there was one.
    pub graded: Option<Graded>,
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
    /// What a later release says behind the fact.
    pub more: Bytes,
}

const TEXT_BYTES_MAX: usize = 256;
const LAWS_MAX: usize = 16;

/// Bits of the byte that held a plugin's roles alone; what a bit announces stands at the end.
const TAG_RESOLVER: u8 = 1;
const TAG_VALIDATOR: u8 = 2;
const TAG_GRADED: u8 = 4;

impl Row {
    pub fn new(edit: Edit, fact: Fact) -> Self {
        let more = Bytes::new();
        Self { edit, fact, more }
    }

    /// Whether every node prefers this row to `other`. What was removed stays removed, whoever edits it elsewhere
    /// meanwhile; only the next generation of its name takes its place.
    pub fn wins_over(&self, other: &Row) -> bool {
        let rank = |row: &Row| (row.fact.life(), row.edit.clone(), row.encode_fact());
        rank(self) > rank(other)
    }

    pub(super) fn encode_fact(&self) -> Bytes {
        let mut writer = Writer::default();
        self.fact.encode(&mut writer);
        writer.raw(&self.more);
        writer.finish()
    }

    /// Each part behind its length, so that whoever does not know it can keep it.
    pub fn encode(&self, writer: &mut Writer) {
        writer.number(self.edit.count);
        writer.node(&self.edit.by);
        writer.bytes(&self.encode_fact());
    }

    pub fn decode(reader: &mut Reader, subject: &Subject) -> Result<Self, DecodeError> {
        let edit = Edit::decode(reader)?;
        let bytes = reader.bytes("a fact", CATALOG_BYTES_MAX)?;
        let unknown = |bytes: Bytes| match bytes.len() {
            found if found > UNKNOWN_ROW_BYTES_MAX => Err(DecodeError::TooLarge {
                what: "an unknown fact",
                found: found as u64,
                limit: UNKNOWN_ROW_BYTES_MAX as u64,
            }),
            _ => Ok(Self::new(edit.clone(), Fact::Unknown(bytes))),
        };
        if let Subject::Unknown(_) = subject {
            return unknown(bytes);
        }
        let mut reader = Reader::new(bytes.clone());
        let fact = match Fact::decode(&mut reader) {
            Ok(fact) => fact.complete(&mut reader)?,
            Err(DecodeError::Unknown(_)) => return unknown(bytes),
            Err(error) => return Err(error),
        };
        let more = reader.bytes_left(UNKNOWN_ROW_BYTES_MAX)?;
        Ok(Self { edit, fact, more })
    }

    /// As rows were stored before they had lengths.
    pub fn decode_bare(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self::new(Edit::decode(reader)?, Fact::decode(reader)?))
    }
}

impl Edit {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.number()?;
        let by = reader.node()?;
        Ok(Self { count, by })
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
            Self::Unknown(bytes) => writer.raw(bytes),
        }
    }

    pub fn to_bytes(&self) -> Bytes {
        let mut writer = Writer::default();
        self.encode(&mut writer);
        writer.finish()
    }

    /// What the bytes of one subject mean, be it to a later release.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes.clone());
        let subject = match Self::decode(&mut reader) {
            Err(DecodeError::Unknown(_)) => return Ok(Self::Unknown(bytes)),
            other => other?,
        };
        reader.finish()?;
        Ok(subject)
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
            _ => Err(DecodeError::Unknown("row")),
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
                | (Self::Unknown(_), _)
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
            Self::Unknown(bytes) => writer.raw(bytes),
        }
    }

    /// What was added behind a fact since there are lengths.
    fn complete(self, reader: &mut Reader) -> Result<Self, DecodeError> {
        match self {
            Self::Node(mut facts) => {
                facts.complete(reader)?;
                Ok(Self::Node(facts))
            }
            other => Ok(other),
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
            _ => Err(DecodeError::Unknown("fact")),
        }
    }
}

impl PluginFacts {
    fn encode(&self, writer: &mut Writer) {
        writer.bytes(self.name.as_bytes());
        writer.bytes(self.version.as_bytes());
        writer.number(self.size_bytes as u64);
        let bit = |is_set: bool, tag: u8| if is_set { tag } else { 0 };
        writer.byte(
            bit(self.is_resolver, TAG_RESOLVER)
                | bit(self.is_validator, TAG_VALIDATOR)
                | bit(self.graded.is_some(), TAG_GRADED),
        );
        writer.number(self.laws.len() as u64);
        for law in &self.laws {
            writer.bytes(law.as_bytes());
        }
        if let Some(graded) = &self.graded {
            graded.encode(writer);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let name = reader.text("a plugin's name", TEXT_BYTES_MAX)?;
        let version = reader.text("a plugin's version", TEXT_BYTES_MAX)?;
        let size_bytes = reader.number_max("a plugin's size", PLUGIN_BYTES_MAX)?;
        let tag = reader.byte()?;
        if tag & !(TAG_RESOLVER | TAG_VALIDATOR | TAG_GRADED) != 0 {
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
            is_resolver: tag & TAG_RESOLVER != 0,
            is_validator: tag & TAG_VALIDATOR != 0,
            laws,
            graded: match tag & TAG_GRADED {
                0 => None,
                _ => Some(Graded::decode(reader)?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::grade::Grade;
    use super::*;
    use bytes::Bytes;

    fn facts(graded: Option<Graded>) -> PluginFacts {
        PluginFacts {
            name: "max".to_owned(),
            version: "1.0.0".to_owned(),
            size_bytes: 7,
            is_resolver: true,
            is_validator: false,
            laws: Vec::new(),
            graded,
        }
    }

    fn encoded(facts: &PluginFacts) -> Bytes {
        let mut writer = Writer::default();
        facts.encode(&mut writer);
        writer.finish()
    }

    #[test]
    fn a_plugin_that_was_stored_before_there_were_grades_is_unchecked() {
        // A name, a version, a size, the roles, no laws: the bytes of the release before.
        let old = Bytes::from_static(b"\x03max\x051.0.0\x07\x01\x00");
        assert_eq!(encoded(&facts(None)), old);
        let mut reader = Reader::new(old);
        assert_eq!(PluginFacts::decode(&mut reader), Ok(facts(None)));
    }

    #[test]
    fn a_grade_survives_the_trip() {
        let graded = facts(Some(Graded {
            grade: Grade::Commutative,
            cases: 90,
            fuel_median: 1_000,
            fuel_most: 20_000,
            finding: "not associative".to_owned(),
        }));
        let mut reader = Reader::new(encoded(&graded));
        assert_eq!(PluginFacts::decode(&mut reader), Ok(graded));
        assert_eq!(reader.finish(), Ok(()));
    }
}
