//! `rejoin backup verify`: reads a file from its first byte to its last, and decodes all that is in it.
//!
//! Needs no cluster and keeps one block in memory.
//!
//! Invariant: what it calls whole is whole: every checksum, the digest of all, every object, every plugin.

use super::block::{Block, Header, Totals};
use super::file::FileReader;
use crate::cli::output::print_json;
use crate::dynamo::metadata::catalog::Catalog;
use crate::dynamo::names::Digest;
use crate::wasm::library::digest_of;
use anyhow::Context as _;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// A file that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub header: Header,
    /// The definitions of the buckets and plugins.
    pub catalog: Catalog,
    pub totals: Totals,
    pub bytes: u64,
}

pub fn run(file: &Path, json: bool) -> anyhow::Result<()> {
    let verified = verify_file(file)?;
    let Verified {
        header,
        catalog,
        totals,
        bytes,
    } = &verified;
    if json {
        print_json(&json!({
            "cluster": header.cluster,
            "version": header.version,
            "created_at_ms": header.created_at_ms,
            "nodes": header.nodes,
            "without": header.without,
            "buckets": catalog.buckets().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            "plugins": totals.plugins,
            "records": totals.records,
            "values": totals.values,
            "tombstones": totals.tombstones,
            "merges": totals.merges,
            "bytes": bytes,
        }));
        return Ok(());
    }
    println!(
        "whole: {bytes} bytes of the cluster {:?}, read from {}",
        header.cluster,
        header.nodes.join(", ")
    );
    if !header.without.is_empty() {
        println!("done without {}", header.without.join(", "));
    }
    println!("{}", describe(catalog, totals));
    Ok(())
}

/// What is in a backup, in one line.
pub fn describe(catalog: &Catalog, totals: &Totals) -> String {
    format!(
        "{} buckets, {} plugins, {} records with {} values and {} tombstones, {} merges that can be undone",
        catalog.buckets().count(),
        totals.plugins,
        totals.records,
        totals.values,
        totals.tombstones,
        totals.merges
    )
}

/// Reads a file to its end.
pub fn verify_file(file: &Path) -> anyhow::Result<Verified> {
    let open = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    verify(BufReader::new(open)).with_context(|| format!("{} is not whole", file.display()))
}

/// Reads a backup to its end.
pub fn verify(input: impl Read) -> anyhow::Result<Verified> {
    let (mut reader, header) = FileReader::open(input)?;
    let mut catalog = None;
    let mut plugins = BTreeSet::new();
    while let Some(block) = reader.block()? {
        match block {
            Block::Catalog(rows) => {
                anyhow::ensure!(catalog.is_none(), "it has two lists of its buckets");
                let rows = Catalog::decode(rows).context("the list of its buckets")?;
                catalog = Some(rows);
            }
            Block::Plugin(digest, bytes) => {
                anyhow::ensure!(
                    digest_of(&bytes) == digest,
                    "the plugin {digest} has other bytes"
                );
                plugins.insert(digest);
            }
            Block::Records(records) => {
                let known = catalog.as_ref().context("records before the buckets")?;
                for saved in records {
                    anyhow::ensure!(
                        known.bucket(&saved.key.bucket().of(0)).is_some(),
                        "{} is of a bucket that it does not describe",
                        saved.key
                    );
                }
            }
            Block::Header(_) | Block::Mark(_) | Block::End(..) => {}
        }
    }
    let catalog = catalog.context("it has no list of its buckets")?;
    if let Some(lacking) = needed(&catalog).find(|digest| !plugins.contains(digest)) {
        anyhow::bail!("it lacks the plugin {lacking}, which one of its buckets uses");
    }
    Ok(Verified {
        header,
        catalog,
        totals: reader.place().totals,
        bytes: reader.place().bytes,
    })
}

/// The plugins that buckets use.
fn needed(catalog: &Catalog) -> impl Iterator<Item = Digest> + '_ {
    catalog
        .buckets()
        .flat_map(|(_, properties)| properties.plugins())
}

#[cfg(test)]
mod tests {
    use super::super::file::FileWriter;
    use super::*;
    use crate::dynamo::bucket::Properties;
    use crate::dynamo::causality::dot::{ActorSource, Incarnation};
    use crate::dynamo::causality::object::Object;
    use crate::dynamo::causality::version::Version;
    use crate::dynamo::metadata::row::{Fact, Subject};
    use crate::dynamo::names::{BucketName, Key, NodeId};
    use crate::dynamo::replica::saved::Saved;
    use bytes::Bytes;

    fn carts() -> BucketName {
        BucketName::new("carts").expect("a good name")
    }

    /// Two siblings and a tombstone.
    fn saved(key: &'static str) -> Saved {
        let mut object = Object::default();
        for (life, version) in [
            (1, Version::value("milk", 7)),
            (2, Version::value("eggs", 8)),
            (3, Version::tombstone(9)),
        ] {
            let actor = ActorSource::new(Incarnation(life)).fresh();
            object.event(actor, version);
        }
        Saved {
            key: Key::new(carts(), Bytes::from_static(key.as_bytes())).expect("a good key"),
            object,
            replaced: Vec::new(),
        }
    }

    fn backup() -> Vec<u8> {
        let mut catalog = Catalog::default();
        let node = NodeId::new("n1").expect("a good name");
        let fact = Fact::Bucket(Properties::default());
        let edited = catalog.edit(Subject::Bucket(carts()), fact, node);
        edited.expect("in bounds");
        let header = Header {
            cluster: "dev".to_owned(),
            version: "0.1.0".to_owned(),
            created_at_ms: 1,
            partitions: 1,
            nodes: vec!["n1".to_owned()],
            without: Vec::new(),
            buckets: Vec::new(),
        };
        let plugin = Bytes::from_static(b"\0asm");
        let mut writer = FileWriter::begin(Vec::new(), header).expect("memory");
        let blocks = [
            Block::Catalog(catalog.encode()),
            Block::Plugin(digest_of(&plugin), plugin),
        ];
        for block in blocks {
            writer.block(&block).expect("memory");
        }
        for key in ["a", "b"] {
            writer.record(saved(key)).expect("memory");
        }
        writer.block(&Block::Mark(1)).expect("memory");
        writer.end().expect("memory").0
    }

    #[test]
    fn a_whole_file_is_whole_and_counted() {
        let verified = verify(&backup()[..]).expect("it is whole");
        assert_eq!(
            verified.totals,
            Totals {
                plugins: 1,
                records: 2,
                values: 4,
                tombstones: 2,
                merges: 0
            }
        );
        let good = backup();
        let (mut reader, _) = FileReader::open(&good[..]).expect("a backup");
        let mut records = Vec::new();
        while let Some(block) = reader.block().expect("it is whole") {
            if let Block::Records(found) = block {
                records.extend(found);
            }
        }
        assert_eq!(records, [saved("a"), saved("b")]);
    }

    #[test]
    fn every_flipped_bit_of_a_file_is_told() {
        let good = backup();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(verify(&bad[..]).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn every_file_that_is_cut_or_continued_is_told() {
        let good = backup();
        for length in 0..good.len() {
            assert!(verify(&good[..length]).is_err(), "{length} bytes");
        }
        let longer = [&good[..], b"\0"].concat();
        assert!(verify(&longer[..]).is_err());
    }
}
