//! Backup files: as they are, and as blocks whose frames and checksums are right.

use super::bytes_of;
use bytes::Bytes;
use rejoin::cli::backup::block::{Block, Header};
use rejoin::cli::backup::file::{FileReader, FileWriter};
use rejoin::dynamo::names::Digest;
use rejoin::dynamo::replica::saved::Saved;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8] = b"REJOINBK\x01";

pub fn run(bytes: &[u8]) {
    check(bytes);
    check(&framed(bytes));
}

/// Reads as far as it goes. What was believed is written again as the same bytes.
fn check(file: &[u8]) {
    let Ok((mut reader, header)) = FileReader::open(file) else {
        return;
    };
    let mut copy = FileWriter::begin(Vec::new(), header).expect("memory takes it");
    loop {
        match reader.block() {
            Ok(None) => {
                let (whole, _) = copy.end().expect("memory takes it");
                assert_eq!(whole, file, "a backup has one encoding");
                return;
            }
            Ok(Some(Block::End(..))) => {}
            Ok(Some(block)) => copy.block(&block).expect("memory takes it"),
            Err(_) => break,
        }
    }
    // It was cut: what is whole of it can be gone on with, and ends well.
    let (whole, _) = copy.end().expect("memory takes it");
    let read = reader.place().bytes as usize;
    assert_eq!(whole[..read], file[..read], "a block has one encoding");
    let (mut reader, _) = FileReader::open(&whole[..]).expect("ours can be read");
    while reader.block().expect("ours can be read").is_some() {}
}

/// Each block is a kind and a payload behind its length in two bytes.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    while let Some(([kind, high, low], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        let mut frame = vec![*kind];
        frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(payload);
        let checksum = xxh3_64(&frame);
        file.extend_from_slice(&frame);
        file.extend_from_slice(&checksum.to_be_bytes());
        bytes = rest;
    }
    file
}

/// A file with a block of each kind, and its blocks without their frames.
pub fn seeds() -> Vec<Vec<u8>> {
    let header = Header {
        cluster: "dev".to_owned(),
        version: "0.1.0".to_owned(),
        created_at_ms: 5,
        partitions: 8,
        nodes: vec!["a".to_owned(), "b".to_owned()],
        without: vec!["c".to_owned()],
        buckets: Vec::new(),
    };
    let saved = Saved {
        key: bytes_of::key("k"),
        object: bytes_of::object(),
        replaced: vec![bytes_of::replaced()],
    };
    let blocks = [
        Block::Catalog(bytes_of::catalog().encode()),
        Block::Plugin(Digest([5; 32]), Bytes::from("\0asm")),
        Block::Records(vec![saved.clone(), saved]),
        Block::Mark(3),
    ];
    let mut writer = FileWriter::begin(Vec::new(), header).expect("memory takes it");
    for block in &blocks {
        writer.block(block).expect("memory takes it");
    }
    let (file, _) = writer.end().expect("memory takes it");
    vec![unframed(&file[MAGIC.len()..]), file]
}

fn unframed(mut blocks: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(([kind, length @ ..], rest)) = blocks.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(*length) as usize;
        bytes.push(*kind);
        bytes.extend_from_slice(&(length as u16).to_be_bytes());
        bytes.extend_from_slice(&rest[..length]);
        blocks = &rest[length + 8..];
    }
    bytes
}
