//! The blocks of a backup: what stands between their frames.
//!
//! Knows nothing of files and checksums. The format is described in docs/backup.md.
//!
//! Invariant: a block that was written is read as it was meant; any bytes decode to a block or an error.

use crate::dynamo::codec::{DecodeError, Reader, Writer};
use crate::dynamo::names::Digest;
use crate::dynamo::replica::saved::Saved;
use crate::limits::operations::SAVED_BYTES_MAX;
use crate::limits::{BUCKETS_MAX, NODES_KNOWN_MAX};
use bytes::Bytes;

const NAME_BYTES_MAX: usize = 256;

/// What the backup is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub cluster: String,
    /// Of the rejoin that wrote it.
    pub version: String,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    pub partitions: u64,
    /// The nodes that were read.
    pub nodes: Vec<String>,
    /// Members that were done without.
    pub without: Vec<String>,
    /// The buckets that were asked for; none: all.
    pub buckets: Vec<String>,
}

/// What a backup holds. A key of which a node kept something for another is there more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub plugins: u64,
    pub records: u64,
    pub values: u64,
    pub tombstones: u64,
    /// Merges whose inputs are kept.
    pub merges: u64,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    Header(Header),
    /// The rows of buckets and plugins.
    Catalog(Bytes),
    Plugin(Digest, Bytes),
    Records(Vec<Saved>),
    /// All records of so many partitions stand before it, from the first on.
    Mark(u64),
    End(Totals, Bytes),
}

impl Block {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Header(_) => b'H',
            Self::Catalog(_) => b'C',
            Self::Plugin(..) => b'P',
            Self::Records(_) => b'R',
            Self::Mark(_) => b'M',
            Self::End(..) => b'E',
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        match self {
            Self::Header(header) => header.encode(&mut writer),
            Self::Catalog(rows) => writer.raw(rows),
            Self::Plugin(digest, bytes) => {
                writer.raw(&digest.0);
                writer.raw(bytes);
            }
            Self::Records(records) => {
                for saved in records {
                    writer.bytes(&saved.encode());
                }
            }
            Self::Mark(partitions) => writer.number(*partitions),
            Self::End(totals, digest) => {
                totals.encode(&mut writer);
                writer.raw(digest);
            }
        }
        writer.finish()
    }

    /// None: the kind is one of a later release.
    pub(super) fn decode(kind: u8, payload: Bytes) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(payload);
        let block = match kind {
            b'H' => Self::Header(Header::decode(&mut reader)?),
            b'C' => Self::Catalog(reader.raw(reader.remaining())?),
            b'P' => {
                let digest = reader.digest()?;
                Self::Plugin(digest, reader.raw(reader.remaining())?)
            }
            b'R' => {
                let mut records = Vec::new();
                while reader.remaining() > 0 {
                    records.push(Saved::decode(reader.bytes("a record", SAVED_BYTES_MAX)?)?);
                }
                Self::Records(records)
            }
            b'M' => Self::Mark(reader.number()?),
            b'E' => Self::End(Totals::decode(&mut reader)?, reader.raw(32)?),
            _ => return Ok(None),
        };
        reader.finish()?;
        Ok(Some(block))
    }
}

impl Header {
    fn encode(&self, writer: &mut Writer) {
        writer.bytes(self.cluster.as_bytes());
        writer.bytes(self.version.as_bytes());
        writer.number(self.created_at_ms);
        writer.number(self.partitions);
        for names in [&self.nodes, &self.without, &self.buckets] {
            writer.number(names.len() as u64);
            for name in names {
                writer.bytes(name.as_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            cluster: reader.text("a cluster's name", NAME_BYTES_MAX)?,
            version: reader.text("a version", NAME_BYTES_MAX)?,
            created_at_ms: reader.number()?,
            partitions: reader.number()?,
            nodes: names(reader, NODES_KNOWN_MAX)?,
            without: names(reader, NODES_KNOWN_MAX)?,
            buckets: names(reader, BUCKETS_MAX)?,
        })
    }
}

fn names(reader: &mut Reader, limit: usize) -> Result<Vec<String>, DecodeError> {
    let mut names = Vec::new();
    for _ in 0..reader.number_max("names", limit)? {
        names.push(reader.text("a name", NAME_BYTES_MAX)?);
    }
    Ok(names)
}

impl Totals {
    fn encode(&self, writer: &mut Writer) {
        let Self {
            plugins,
            records,
            values,
            tombstones,
            merges,
        } = self;
        for count in [plugins, records, values, tombstones, merges] {
            writer.number(*count);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            plugins: reader.number()?,
            records: reader.number()?,
            values: reader.number()?,
            tombstones: reader.number()?,
            merges: reader.number()?,
        })
    }

    pub(super) fn count(&mut self, block: &Block) {
        match block {
            Block::Plugin(..) => self.plugins += 1,
            Block::Records(records) => records.iter().for_each(|saved| self.count_record(saved)),
            Block::Header(_) | Block::Catalog(_) | Block::Mark(_) | Block::End(..) => {}
        }
    }

    fn count_record(&mut self, saved: &Saved) {
        let versions = saved.object.versions();
        let tombstones = versions.filter(|(_, version)| version.is_tombstone());
        self.records += 1;
        self.tombstones += tombstones.count() as u64;
        self.values += saved.object.values().count() as u64;
        self.merges += saved.replaced.len() as u64;
    }
}
