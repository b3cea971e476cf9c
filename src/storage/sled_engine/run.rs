//! Runs: values too large for one sled item, stored as chunks in a tree of their own.
//!
//! sled moves a page of more than a quarter of a segment into a file that it never syncs, and a page is a
//! whole leaf: up to 17 items, and three more for each reader that is merging its right neighbour into it.
//! With chunks of 8 KiB, keys of at most 4.5 KiB and segments of 8 MiB a leaf stays inside the log up to
//! 160 items. An index page (257 entries, 63 more while it merges) stays inside even if every entry is a
//! longest key; that decides the size of the segments. sled's cache has 256 shards, and a page larger than
//! its shard is read again at each use: a full leaf of chunks fits one of 64 MiB; that decides the chunks.
//!
//! Knows nothing of the items that refer to runs; a run is written once, under an identity of its own.
//!
//! Invariant: no stored item is longer than `CHUNK_BYTES` and its wrapping.

use crate::dynamo::codec::{DecodeError, Reader, Writer};
use crate::storage::changes::KEY_BYTES_MAX;
use crate::storage::envelope;
use bytes::Bytes;

/// Content of one chunk, and of the largest value that is kept whole.
pub const CHUNK_BYTES: usize = 8 * 1024;
/// sled's unit of log space; a power of two, stored in the folder for good.
pub const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// sled's own bound: a quarter of a segment, less its headers (`logger.rs`, `constants.rs`).
const PAGE_BYTES_MAX: usize = SEGMENT_BYTES / 4 - 20 - 32;
/// Envelope, kind, and sled's length prefixes.
const WRAPPING_BYTES: usize = envelope::OVERHEAD_BYTES + 32;
const _: () = assert!(160 * (KEY_BYTES_MAX + CHUNK_BYTES + WRAPPING_BYTES) < PAGE_BYTES_MAX);
const _: () = assert!((257 + 63 + 2) * (KEY_BYTES_MAX + WRAPPING_BYTES) < PAGE_BYTES_MAX);

/// Where a large value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub id: u64,
    pub bytes: u64,
}

impl Run {
    /// Stores the value as chunks.
    pub fn write(self, chunks: &sled::Tree, value: &[u8]) -> sled::Result<()> {
        assert_eq!(
            self.bytes,
            value.len() as u64,
            "a run is as long as its value"
        );
        for (key, chunk) in self.keys().zip(value.chunks(CHUNK_BYTES)) {
            chunks.insert(key, envelope::seal(&key, &[chunk]))?;
        }
        Ok(())
    }

    /// Gathers the value; `Err` in the inner result says which chunk is missing or corrupt.
    pub fn read(self, chunks: &sled::Tree) -> sled::Result<Result<Bytes, String>> {
        let mut value = Vec::new();
        let (first, last) = (self.key(0), self.key(self.count()));
        for item in chunks.range(first..last) {
            let (key, stored) = item?;
            match envelope::open(&key, &stored) {
                Ok(chunk) => value.extend_from_slice(chunk),
                Err(error) => return Ok(Err(format!("chunk {} {error}", hex::encode(key)))),
            }
        }
        if value.len() as u64 != self.bytes {
            let (found, bytes) = (value.len(), self.bytes);
            return Ok(Err(format!(
                "run {} holds {found} of its {bytes} bytes",
                self.id
            )));
        }
        Ok(Ok(value.into()))
    }

    /// Removes the chunks that are there.
    pub fn remove(self, chunks: &sled::Tree) -> sled::Result<()> {
        self.keys().try_for_each(|key| chunks.remove(key).map(drop))
    }

    pub fn encode(self, writer: &mut Writer) {
        writer.fixed(self.id);
        writer.number(self.bytes);
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            id: reader.fixed()?,
            bytes: reader.number()?,
        })
    }

    fn count(self) -> u64 {
        self.bytes.div_ceil(CHUNK_BYTES as u64)
    }

    fn keys(self) -> impl Iterator<Item = [u8; 16]> {
        (0..self.count()).map(move |index| self.key(index))
    }

    fn key(self, index: u64) -> [u8; 16] {
        (u128::from(self.id) << 64 | u128::from(index)).to_be_bytes()
    }
}

/// The first identity above those in use.
pub fn next_id(chunks: &sled::Tree) -> sled::Result<u64> {
    let last = chunks.last()?;
    let id = last.and_then(|(key, _)| Some(u64::from_be_bytes(*key.first_chunk()?)));
    Ok(id.map_or(0, |id| id.wrapping_add(1)))
}
