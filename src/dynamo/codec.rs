//! The byte language of the core: variable-length integers and length-prefixed bytes.
//!
//! Canonical: a value has one encoding, so equal states have equal bytes (hash trees and the
//! simulator compare them). Knows nothing of disk envelopes or protobuf.
//!
//! Invariant: any input decodes to `Ok` or `Err`; nothing is allocated for an entry before its bytes are there.

use super::names::{Digest, NodeId};
use crate::limits::NODE_NAME_BYTES_MAX;
use bytes::Bytes;

/// Why bytes were not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("ends after {0} bytes, in the middle of a field")]
    Truncated(usize),
    #[error("has {0} bytes after its end")]
    Trailing(usize),
    #[error("{what} is {found}, the limit is {limit}")]
    TooLarge {
        what: &'static str,
        found: u64,
        limit: u64,
    },
    #[error("is of format {found}, this release reads {known}")]
    Format { found: u8, known: u8 },
    /// A later release may know it.
    #[error("has a kind of {0} that this release does not know")]
    Unknown(&'static str),
    #[error("{0} is malformed")]
    Malformed(&'static str),
}

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    /// A writer whose buffer starts with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
        }
    }

    pub fn byte(&mut self, value: u8) {
        self.buffer.push(value);
    }

    /// LEB128: seven bits a byte, least significant first.
    pub fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// Eight bytes, for numbers that are random.
    pub fn fixed(&mut self, value: u64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Bytes whose length the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub fn node(&mut self, node: &NodeId) {
        self.bytes(node.as_str().as_bytes());
    }

    pub fn finish(self) -> Bytes {
        Bytes::from(self.buffer)
    }
}

/// Takes fields from a buffer that it shares, without copying.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    length: usize,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self {
            length: bytes.len(),
            rest: bytes,
        }
    }

    fn truncated(&self) -> DecodeError {
        DecodeError::Truncated(self.length)
    }

    /// Bytes not yet taken: an upper bound of the entries that can follow.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn raw(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(self.truncated());
        }
        Ok(self.rest.split_to(length))
    }

    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.raw(1)?[0])
    }

    /// A LEB128 number in its shortest form; a longer form would give one value two encodings.
    pub fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed("a number"))
    }

    /// A number that must not exceed `limit`, whatever it counts.
    pub fn number_max(&mut self, what: &'static str, limit: usize) -> Result<usize, DecodeError> {
        let found = self.number()?;
        if found > limit as u64 {
            return Err(DecodeError::TooLarge {
                what,
                found,
                limit: limit as u64,
            });
        }
        Ok(found as usize)
    }

    pub fn fixed(&mut self) -> Result<u64, DecodeError> {
        let raw = self.raw(8)?;
        Ok(raw.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<Bytes, DecodeError> {
        let length = self.number_max(what, limit)?;
        self.raw(length)
    }

    /// All that was not taken, which a later release may understand.
    pub fn bytes_left(&mut self, limit: usize) -> Result<Bytes, DecodeError> {
        let found = self.remaining();
        match found > limit {
            true => Err(DecodeError::TooLarge {
                what: "what follows",
                found: found as u64,
                limit: limit as u64,
            }),
            false => self.raw(found),
        }
    }

    pub fn text(&mut self, what: &'static str, limit: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(what, limit)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DecodeError::Malformed(what)),
        }
    }

    /// The 32 bytes that name a plugin.
    pub fn digest(&mut self) -> Result<Digest, DecodeError> {
        let mut digest = [0; 32];
        digest.copy_from_slice(&self.raw(32)?);
        Ok(Digest(digest))
    }

    pub fn node(&mut self) -> Result<NodeId, DecodeError> {
        let name = self.text("a node name", NODE_NAME_BYTES_MAX)?;
        NodeId::new(&name).map_err(|_| DecodeError::Malformed("a node name"))
    }

    /// Refuses a format that this release does not read.
    pub fn format(&mut self, known: u8) -> Result<(), DecodeError> {
        match self.byte()? {
            found if found == known => Ok(()),
            found => Err(DecodeError::Format { found, known }),
        }
    }

    /// Refuses bytes after the end: they would be a second encoding of the same value.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            trailing => Err(DecodeError::Trailing(trailing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_survive_the_trip(value: u64) {
            let mut writer = Writer::default();
            writer.number(value);
            let mut reader = Reader::new(writer.finish());
            prop_assert_eq!(reader.number(), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn a_number_has_one_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(Bytes::from(bytes.clone()));
            if let Ok(value) = reader.number() {
                let used = bytes.len() - reader.remaining();
                let mut writer = Writer::default();
                writer.number(value);
                prop_assert_eq!(&writer.finish()[..], &bytes[..used]);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_before_it_is_allocated() {
        let mut writer = Writer::default();
        writer.number(u64::MAX);
        let mut reader = Reader::new(writer.finish());
        assert!(reader.bytes("value", usize::MAX).is_err());
    }
}
