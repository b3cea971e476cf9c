//! The format of a backup: a magic number, then blocks, each with its length and its checksum, the last of which counts
//! all and carries the digest of everything before it.
//!
//! Knows nothing of clusters. The format is described in docs/backup.md.
//!
//! Invariant: no byte is believed before its block's checksum, and a file without its last block is not whole.

use super::block::{Block, Header, Totals};
use crate::dynamo::codec::DecodeError;
use crate::dynamo::replica::saved::Saved;
use crate::limits::operations::{BACKUP_BLOCK_BYTES, BACKUP_BLOCK_BYTES_MAX};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 9] = b"REJOINBK\x01";
const FRAME_BYTES: usize = 1 + 4;
const CHECKSUM_BYTES: usize = 8;

/// Why a file is not believed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("this is no backup of rejoin, or one of a later format")]
    NotABackup,
    #[error(
        "the file ends after {at} bytes, in the middle of the backup; it was cut, or not written to its end"
    )]
    Truncated { at: u64 },
    #[error(
        "the block at byte {at} fails its checksum; the file is damaged, take another copy of it"
    )]
    Checksum { at: u64 },
    #[error("the block at byte {at} has {found} bytes, the limit is {BACKUP_BLOCK_BYTES_MAX}")]
    TooLong { at: u64, found: usize },
    #[error("the block at byte {at} is of a kind that this release does not know: {kind}")]
    Kind { at: u64, kind: u8 },
    #[error("the block at byte {at} is out of place")]
    Order { at: u64 },
    #[error("the block at byte {at} has something that {error}")]
    Malformed { at: u64, error: DecodeError },
    #[error(
        "the digest or the counts of the whole file are not what its last block says; it is damaged"
    )]
    Totals,
    #[error("{found} bytes follow the end of the backup")]
    Trailing { found: u64 },
}

/// How far a backup has been written or read.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub bytes: u64,
    pub totals: Totals,
    digest: Sha256,
}

impl Place {
    fn pass(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn digest(&self) -> Bytes {
        Bytes::copy_from_slice(&self.digest.clone().finalize())
    }
}

/// Writes a backup.
#[derive(Debug)]
pub struct FileWriter<W> {
    out: W,
    place: Place,
    waiting: Vec<Saved>,
    waiting_bytes: usize,
}

impl<W: Write> FileWriter<W> {
    /// Begins a new backup.
    pub fn begin(out: W, header: Header) -> io::Result<Self> {
        let mut writer = Self::go_on(out, Place::default());
        writer.raw(MAGIC)?;
        writer.block(&Block::Header(header))?;
        Ok(writer)
    }

    /// Goes on behind what was read of an interrupted one; `out` stands there.
    pub fn go_on(out: W, place: Place) -> Self {
        Self {
            out,
            place,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    pub fn record(&mut self, saved: Saved) -> io::Result<()> {
        self.waiting_bytes += saved.object.size_bytes();
        self.waiting.push(saved);
        match self.waiting_bytes >= BACKUP_BLOCK_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let records = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        match records.is_empty() {
            true => Ok(()),
            false => self.block(&Block::Records(records)),
        }
    }

    /// A block behind all records so far.
    pub fn block(&mut self, block: &Block) -> io::Result<()> {
        self.flush()?;
        self.place.totals.count(block);
        let payload = block.encode();
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut frame = vec![block.kind()];
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&payload);
        let checksum = xxh3_64(&frame);
        frame.extend_from_slice(&checksum.to_be_bytes());
        self.raw(&frame)
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.place.pass(bytes);
        self.out.write_all(bytes)
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The last block. Hands back what has to be flushed and synced.
    pub fn end(mut self) -> io::Result<(W, Place)> {
        self.flush()?;
        let digest = self.place.digest();
        self.block(&Block::End(self.place.totals, digest))?;
        Ok((self.out, self.place))
    }
}

/// Reads a backup, block by block.
#[derive(Debug)]
pub struct FileReader<R> {
    input: R,
    place: Place,
    is_over: bool,
}

impl<R: Read> FileReader<R> {
    /// Reads as far as the header.
    pub fn open(input: R) -> Result<(Self, Header), FileError> {
        let mut reader = Self {
            input,
            place: Place::default(),
            is_over: false,
        };
        let magic = reader.exactly(MAGIC.len())?;
        if magic != MAGIC {
            return Err(FileError::NotABackup);
        }
        reader.place.pass(&magic);
        match reader.block()? {
            Some(Block::Header(header)) => Ok((reader, header)),
            _ => Err(FileError::Order { at: 0 }),
        }
    }

    /// The next block; none behind the last one, which was the right one then.
    pub fn block(&mut self) -> Result<Option<Block>, FileError> {
        let at = self.place.bytes;
        if self.is_over {
            return Ok(None);
        }
        let mut frame = self.exactly(FRAME_BYTES)?;
        let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize;
        if length > BACKUP_BLOCK_BYTES_MAX {
            let found = length;
            return Err(FileError::TooLong { at, found });
        }
        frame.extend(self.exactly(length)?);
        let checksum = self.exactly(CHECKSUM_BYTES)?;
        if checksum != xxh3_64(&frame).to_be_bytes() {
            return Err(FileError::Checksum { at });
        }
        let kind = frame[0];
        let payload = Bytes::from(frame).slice(FRAME_BYTES..);
        let block = Block::decode(kind, payload.clone());
        let block = block.map_err(|error| FileError::Malformed { at, error })?;
        let Some(block) = block else {
            return Err(FileError::Kind { at, kind });
        };
        if matches!(block, Block::Header(_)) && at != MAGIC.len() as u64 {
            return Err(FileError::Order { at });
        }
        if let Block::End(totals, digest) = &block {
            self.check_end(totals, digest)?;
        }
        self.place.totals.count(&block);
        let length = (length as u32).to_be_bytes();
        for part in [&[kind][..], &length, &payload, &checksum] {
            self.place.pass(part);
        }
        Ok(Some(block))
    }

    fn check_end(&mut self, totals: &Totals, digest: &Bytes) -> Result<(), FileError> {
        if *totals != self.place.totals || *digest != self.place.digest() {
            return Err(FileError::Totals);
        }
        self.is_over = true;
        let found = io::copy(&mut self.input, &mut io::sink())?;
        match found {
            0 => Ok(()),
            found => Err(FileError::Trailing { found }),
        }
    }

    /// How far it was read: behind the last block.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Reads in steps, so that a length that lies costs no memory.
    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        self.input
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        match bytes.len() == length {
            true => Ok(bytes),
            false => Err(FileError::Truncated {
                at: self.place.bytes + bytes.len() as u64,
            }),
        }
    }
}
