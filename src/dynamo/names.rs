//! The names by which the core calls things, each a type of its own so that none is taken for another.
//!
//! Holds no behaviour beyond checking that a name is well formed.
//!
//! Invariant: a `NodeId`, `BucketName` or `Key` that exists is within the bounds of `limits`.

use crate::limits::{BUCKET_BYTES_MAX, KEY_BYTES_MAX, NODE_NAME_BYTES_MAX};
use bytes::Bytes;
use std::fmt;
use std::ops::Deref;
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
    #[error("the generation of the bucket is no number; give the name alone")]
    Generation,
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
///
/// A bucket that is created again after it was removed is another one: it is of the next generation of its name,
/// and stored and sent under a name of its own (`carts~1`), so that nothing of the one before is ever taken for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Arc<str>);

/// Stands between a name and its generation; no client can give it.
const GENERATION_MARK: char = '~';

impl BucketName {
    /// As clients give it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_name("the bucket name", name, BUCKET_BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// As disks and peers have it: of any generation.
    pub fn stored(name: &str) -> Result<Self, NameError> {
        let Some((plain, generation)) = name.split_once(GENERATION_MARK) else {
            return Self::new(name);
        };
        let bucket = Self::new(plain)?;
        match generation.parse() {
            Ok(number @ 1..) if u64::to_string(&number) == generation => Ok(bucket.of(number)),
            _ => Err(NameError::Generation),
        }
    }

    /// The bucket of this name that has been created after so many others were removed.
    pub fn of(&self, generation: u64) -> Self {
        match generation {
            0 => Self(self.plain().into()),
            _ => Self(format!("{}{GENERATION_MARK}{generation}", self.plain()).into()),
        }
    }

    /// The name that clients know it by.
    pub fn plain(&self) -> &str {
        let (plain, _) = self.parts();
        plain
    }

    /// How many buckets of this name were removed before it.
    pub fn generation(&self) -> u64 {
        let (_, generation) = self.parts();
        generation.parse().unwrap_or(0) // There is none in the name of the first.
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(GENERATION_MARK).unwrap_or((&self.0, ""))
    }

    /// With its generation.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// For people.
impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plain())
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

    /// The key of the same bytes in another bucket.
    pub fn within(self, bucket: BucketName) -> Self {
        Self { bucket, ..self }
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

/// The secret that admits nodes to the cluster. Compared in `membership`, shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(Bytes);

impl From<Bytes> for JoinToken {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Deref for JoinToken {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_is_in_no_debug_output() {
        let token = JoinToken::from(Bytes::from_static(b"a-long-secret-1234"));
        assert_eq!(&*token, b"a-long-secret-1234");
        assert_eq!(format!("{:?}", Some(token)), "Some(JoinToken(hidden))");
    }

    #[test]
    fn a_bucket_that_was_created_again_has_another_name_on_disks_and_the_same_for_people() {
        let first = BucketName::new("carts").expect("a good name");
        let third = first.of(2);
        assert_eq!(
            (third.as_str(), third.plain(), third.generation()),
            ("carts~2", "carts", 2)
        );
        assert_eq!((third.of(0), first.generation()), (first, 0));
        assert_eq!(BucketName::stored("carts~2"), Ok(third.clone()));
        assert_eq!(third.to_string(), "carts");
    }

    #[test]
    fn a_generation_is_written_in_one_way_and_by_no_client() {
        for name in [
            "carts~",
            "carts~0",
            "carts~01",
            "carts~+1",
            "carts~1~1",
            "~1",
            "carts~x",
        ] {
            assert!(BucketName::stored(name).is_err(), "{name}");
        }
        assert!(BucketName::new("carts~1").is_err());
    }
}
