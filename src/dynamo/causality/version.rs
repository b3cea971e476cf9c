//! One write of one client: a value or a tombstone, with what the client said of it.
//!
//! Dynamo 4.4: each write is a new, immutable version. The paper has no delete; a tombstone is a
//! version like any other. Knows nothing of its dot: the object that holds it does.
//!
//! A version whose time has passed is hidden by whoever reads it and stays stored: expiry writes nothing, so
//! replicas that hold the same bytes go on holding the same bytes (law 6).
//!
//! Invariant: the write time is data for policies and plugins, never an argument about causality (law 3).

use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::Digest;
use crate::limits::{
    CONTENT_TYPE_BYTES_MAX, METADATA_BYTES_MAX, METADATA_ENTRIES_MAX, VALUE_BYTES_MAX,
    VERSION_OVERHEAD_BYTES,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What a version says is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    Value(Bytes),
    Tombstone,
}

/// An immutable version. Its order is the canonical order in which resolvers see siblings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub content: Content,
    pub content_type: String,
    pub metadata: BTreeMap<String, String>,
    /// Wall clock of the coordinator when it accepted the write, milliseconds since 1970.
    pub written_at_ms: u64,
    /// The resolver that computed this value, if a merge on put did.
    pub merged_by: Option<Digest>,
    /// From this wall-clock time on readers hide it, milliseconds since 1970. Set by the coordinator.
    pub expires_at_ms: Option<u64>,
}

/// Why a version was refused at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("the value has {found} bytes, the limit is {limit}; split it, or store a reference")]
    Value { found: usize, limit: usize },
    #[error("the content type has {found} bytes, the limit is {CONTENT_TYPE_BYTES_MAX}")]
    ContentType { found: usize },
    #[error("the metadata has {found} entries, the limit is {METADATA_ENTRIES_MAX}")]
    MetadataEntries { found: usize },
    #[error("the metadata has {found} bytes, the limit is {METADATA_BYTES_MAX}")]
    MetadataBytes { found: usize },
}

const TAG_TOMBSTONE: u8 = 1;
const TAG_MERGED: u8 = 2;
const TAG_EXPIRES: u8 = 4;

impl Version {
    /// A value without type or metadata.
    pub fn value(bytes: impl Into<Bytes>, written_at_ms: u64) -> Self {
        Self {
            content: Content::Value(bytes.into()),
            content_type: String::new(),
            metadata: BTreeMap::new(),
            written_at_ms,
            merged_by: None,
            expires_at_ms: None,
        }
    }

    pub fn tombstone(written_at_ms: u64) -> Self {
        Self {
            content: Content::Tombstone,
            ..Self::value(Bytes::new(), written_at_ms)
        }
    }

    pub fn is_tombstone(&self) -> bool {
        self.content == Content::Tombstone
    }

    /// Whether its time has passed, by the wall clock of whoever asks.
    pub fn is_expired(&self, wall_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= wall_ms)
    }

    /// Whether a reader at this wall-clock time is shown it.
    pub fn is_live(&self, wall_ms: u64) -> bool {
        !self.is_tombstone() && !self.is_expired(wall_ms)
    }

    /// The value's bytes; none for a tombstone.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Value(bytes) => Some(bytes),
            Content::Tombstone => None,
        }
    }

    /// Bytes that this version holds in memory and on the wire, roughly.
    pub fn size_bytes(&self) -> usize {
        let bytes = self.bytes().map_or(0, Bytes::len);
        bytes + self.content_type.len() + self.metadata_bytes() + VERSION_OVERHEAD_BYTES
    }

    fn metadata_bytes(&self) -> usize {
        self.metadata
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }

    /// Checks a client's version against the bounds of the system and of its bucket.
    pub fn check(&self, value_bytes_max: usize) -> Result<(), VersionError> {
        let found = self.bytes().map_or(0, Bytes::len);
        let limit = value_bytes_max.min(VALUE_BYTES_MAX);
        if found > limit {
            return Err(VersionError::Value { found, limit });
        }
        if self.content_type.len() > CONTENT_TYPE_BYTES_MAX {
            let found = self.content_type.len();
            return Err(VersionError::ContentType { found });
        }
        if self.metadata.len() > METADATA_ENTRIES_MAX {
            let found = self.metadata.len();
            return Err(VersionError::MetadataEntries { found });
        }
        if self.metadata_bytes() > METADATA_BYTES_MAX {
            let found = self.metadata_bytes();
            return Err(VersionError::MetadataBytes { found });
        }
        Ok(())
    }

    pub fn encode(&self, writer: &mut Writer) {
        let tombstone = if self.is_tombstone() {
            TAG_TOMBSTONE
        } else {
            0
        };
        let merged = if self.merged_by.is_some() {
            TAG_MERGED
        } else {
            0
        };
        let expires = match self.expires_at_ms {
            Some(_) => TAG_EXPIRES,
            None => 0,
        };
        writer.byte(tombstone | merged | expires);
        writer.number(self.written_at_ms);
        if let Some(at) = self.expires_at_ms {
            writer.number(at);
        }
        if let Some(digest) = &self.merged_by {
            writer.raw(&digest.0);
        }
        writer.bytes(self.content_type.as_bytes());
        writer.number(self.metadata.len() as u64);
        for (name, value) in &self.metadata {
            writer.bytes(name.as_bytes());
            writer.bytes(value.as_bytes());
        }
        if let Content::Value(bytes) = &self.content {
            writer.bytes(bytes);
        }
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let tag = reader.byte()?;
        if tag & !(TAG_TOMBSTONE | TAG_MERGED | TAG_EXPIRES) != 0 {
            return Err(DecodeError::Malformed("a version's tag"));
        }
        let written_at_ms = reader.number()?;
        let expires_at_ms = match tag & TAG_EXPIRES {
            0 => None,
            _ => Some(reader.number()?),
        };
        let merged_by = match tag & TAG_MERGED {
            0 => None,
            _ => Some(reader.digest()?),
        };
        let content_type = reader.text("a content type", CONTENT_TYPE_BYTES_MAX)?;
        let metadata = decode_metadata(reader)?;
        let content = match tag & TAG_TOMBSTONE {
            0 => Content::Value(reader.bytes("a value", VALUE_BYTES_MAX)?),
            _ => Content::Tombstone,
        };
        Ok(Self {
            content,
            content_type,
            metadata,
            written_at_ms,
            merged_by,
            expires_at_ms,
        })
    }
}

fn decode_metadata(reader: &mut Reader) -> Result<BTreeMap<String, String>, DecodeError> {
    let entries = reader.number_max("metadata entries", METADATA_ENTRIES_MAX)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..entries {
        let name = reader.text("a metadata name", METADATA_BYTES_MAX)?;
        if metadata
            .last_key_value()
            .is_some_and(|(last, _)| *last >= name)
        {
            return Err(DecodeError::Malformed("the order of metadata"));
        }
        let value = reader.text("a metadata value", METADATA_BYTES_MAX)?;
        metadata.insert(name, value);
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(version: &Version) -> Bytes {
        let mut writer = Writer::default();
        version.encode(&mut writer);
        writer.finish()
    }

    fn expiring(at: u64) -> Version {
        Version {
            expires_at_ms: Some(at),
            ..Version::value("milk", 7)
        }
    }

    #[test]
    fn the_time_to_live_is_part_of_the_bytes_and_survives_the_trip() {
        let bytes = encoded(&expiring(1_000));
        assert_ne!(bytes, encoded(&expiring(1_001)));
        let mut reader = Reader::new(bytes);
        assert_eq!(Version::decode(&mut reader), Ok(expiring(1_000)));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn what_was_stored_before_there_was_expiry_is_still_read() {
        // A tag, the write time, no type, no metadata, the value: the bytes of the release before.
        let old = Bytes::from_static(b"\x00\x07\x00\x00\x04milk");
        assert_eq!(encoded(&Version::value("milk", 7)), old);
        let mut reader = Reader::new(old);
        assert_eq!(Version::decode(&mut reader), Ok(Version::value("milk", 7)));
    }

    #[test]
    fn a_version_is_live_until_its_time_and_not_at_it() {
        assert!(expiring(1_000).is_live(999));
        assert!(!expiring(1_000).is_live(1_000));
        assert!(Version::value("milk", 7).is_live(u64::MAX));
        assert!(!Version::tombstone(7).is_live(0));
    }
}
