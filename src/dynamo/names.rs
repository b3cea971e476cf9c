//! The names by which the core calls things, each a type of its own so that none is taken for another.
//!
//! Holds no behaviour beyond checking that a name is well formed.
//!
//! Invariant: a `NodeId`, `BucketName` or `Key` that exists is within the bounds of `limits`.

use crate::limits::{BUCKET_BYTES_MAX, KEY_BYTES_MAX, NODE_NAME_BYTES_MAX};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Milliseconds of a clock that never goes back; deadlines are told in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    pub fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here, none if it lies ahead.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the shell tells the core of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Decides deadlines.
    pub monotonic: Millis,
    /// Milliseconds since 1970. Data for policies and people; never decides causality (law 3).
    pub wall_ms: u64,
}

/// Names one conversation; replies carry it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The incarnation of the shard that opened it: a late reply to an earlier process fits nowhere.
    pub life: u64,
    /// Counted by the shard.
    pub count: u64,
}

/// Names one client request towards the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{what} is empty; give it 1 to {limit} bytes")]
    Empty { what: &'static str, limit: usize },
    #[error("{what} has {found} bytes, the limit is {limit}")]
    TooLong {
        what: &'static str,
        found: usize,
        limit: usize,
    },
    #[error("{what} has {found:?}; use lower-case letters, digits, `-`, `_` and `.`")]
    Character { what: &'static str, found: char },
}

fn check_length(what: &'static str, found: usize, limit: usize) -> Result<(), NameError> {
    match found {
        0 => Err(NameError::Empty { what, limit }),
        _ if found > limit => Err(NameError::TooLong { what, found, limit }),
        _ => Ok(()),
    }
}

fn check_name(what: &'static str, name: &str, limit: usize) -> Result<(), NameError> {
    check_length(what, name.len(), limit)?;
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(*c);
    match name.chars().find(|c| !allowed(c)) {
        Some(found) => Err(NameError::Character { what, found }),
        None => Ok(()),
    }
}

/// A physical node of the cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_name("the node name", name, NODE_NAME_BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name space of keys with properties of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Arc<str>);

impl BucketName {
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_name("the bucket name", name, BUCKET_BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an object is stored under: a bucket, and the client's bytes within it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    bucket: BucketName,
    bytes: Bytes,
}

impl Key {
    pub fn new(bucket: BucketName, bytes: Bytes) -> Result<Self, NameError> {
        check_length("the key", bytes.len(), KEY_BYTES_MAX)?;
        Ok(Self { bucket, bytes })
    }

    pub fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.bytes.escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256 of a plugin's binary, as uploaded: its name everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// From 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..6]))
    }
}
