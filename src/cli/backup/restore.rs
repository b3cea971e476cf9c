//! `rejoin backup restore`: reads a file to its end, and then merges all that is in it into a running cluster.
//!
//! A bucket or plugin that is there already stays as it is. A record is merged into all copies of its owners, never put
//! in the place of one, so it can be repeated, also after it was interrupted.
//!
//! Invariant: what is told as restored is on the disks of all its owners.

use super::block::Block;
use super::file::FileReader;
use super::verify::{Verified, describe, verify_file};
use crate::cli::arguments::Server;
use crate::cli::connection::Connection;
use crate::cli::output::print_json;
use crate::cli::plugin::push;
use crate::dynamo::bucket::Properties;
use crate::dynamo::metadata::catalog::Catalog;
use crate::dynamo::names::{BucketName, Digest};
use crate::dynamo::replica::saved::Saved;
use crate::limits::operations::{BACKUP_PIECE_BYTES, RESTORE_RECORDS_MAX};
use crate::wire::bucket as wire;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use bytes::Bytes;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};

/// Bytes of the records of one request.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// The owners sync their disks before they answer.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
const ATTEMPTS_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

pub async fn run(file: &Path, server: &Server) -> anyhow::Result<()> {
    let verified = verify_file(file)?;
    eprintln!("whole: {}", describe(&verified.catalog, &verified.totals));
    let connection = Connection::open(server).await?;
    let mut restore = Restore {
        connection,
        there: BTreeSet::new(),
        batch: Vec::new(),
        batch_bytes: 0,
        records: 0,
        buckets_created: 0,
        plugins_pushed: 0,
        told: Instant::now(),
    };
    let outcome = restore.file(file, &verified).await;
    let Restore {
        records,
        buckets_created,
        plugins_pushed,
        ..
    } = restore;
    outcome.with_context(|| {
        format!(
            "{records} of {} records are restored; restore again, which repeats nothing that matters",
            verified.totals.records
        )
    })?;
    match server.json {
        true => print_json(&json!({
            "records": records,
            "buckets_created": buckets_created,
            "plugins_pushed": plugins_pushed,
        })),
        false => println!(
            "restored: {records} records, {buckets_created} buckets and {plugins_pushed} plugins that were missing"
        ),
    }
    Ok(())
}

struct Restore {
    connection: Connection,
    /// Plugins that the cluster has.
    there: BTreeSet<Digest>,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    records: u64,
    buckets_created: u64,
    plugins_pushed: u64,
    told: Instant,
}

impl Restore {
    async fn file(&mut self, file: &Path, verified: &Verified) -> anyhow::Result<()> {
        self.there = self.plugins().await?;
        let open = File::open(file)?;
        let (mut reader, _) = FileReader::open(BufReader::new(open))?;
        let mut are_buckets_there = false;
        while let Some(block) = reader.block()? {
            if let Block::Plugin(digest, bytes) = block {
                self.plugin(digest, bytes).await?;
                continue;
            }
            let is_catalog = matches!(block, Block::Catalog(_));
            if !is_catalog && !are_buckets_there {
                self.buckets(&verified.catalog).await?;
                are_buckets_there = true;
            }
            if let Block::Records(records) = block {
                for saved in records {
                    self.record(&saved, verified.totals.records).await?;
                }
            }
        }
        self.send().await
    }

    async fn plugins(&self) -> anyhow::Result<BTreeSet<Digest>> {
        let asked = self.connection.request(proto::ListPluginsRequest {});
        let plugins = self.connection.plugins().list(asked).await?.into_inner();
        let plugins = plugins.plugins.into_iter();
        let digest = |status: proto::PluginStatus| Digest::parse(&status.plugin?.digest);
        Ok(plugins.filter_map(digest).collect())
    }

    async fn plugin(&mut self, digest: Digest, bytes: Bytes) -> anyhow::Result<()> {
        if self.there.insert(digest) {
            let pushed = push(bytes, &self.connection).await;
            pushed.with_context(|| format!("uploading the plugin {digest}"))?;
            self.plugins_pushed += 1;
        }
        Ok(())
    }

    async fn buckets(&mut self, catalog: &Catalog) -> anyhow::Result<()> {
        for (name, properties) in catalog.buckets() {
            let created = self.bucket(name, properties).await;
            created.with_context(|| {
                format!(
                    "creating the bucket {name}; create it with other properties, and restore again"
                )
            })?;
        }
        Ok(())
    }

    async fn bucket(&mut self, name: &BucketName, properties: &Properties) -> anyhow::Result<()> {
        let asked = proto::DescribeBucketRequest {
            bucket: name.as_str().to_owned(),
        };
        let asked = self.connection.request(asked);
        let wanted = wire::encode(properties);
        match self.connection.buckets().describe(asked).await {
            Ok(found) => {
                let found = found.into_inner().bucket.unwrap_or_default();
                if found.properties.as_ref() != Some(&wanted) {
                    eprintln!("the bucket {name} is there with other properties, which it keeps");
                }
                return Ok(());
            }
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(status.into()),
        }
        let asked = proto::CreateBucketRequest {
            bucket: name.as_str().to_owned(),
            properties: Some(wanted),
            replace: false,
        };
        let mut asked = Request::new(asked);
        asked.set_timeout(BATCH_TIMEOUT); // It may have a plugin compiled.
        self.connection.buckets().create(asked).await?;
        self.buckets_created += 1;
        Ok(())
    }

    async fn record(&mut self, saved: &Saved, total: u64) -> anyhow::Result<()> {
        let bytes = saved.encode();
        self.batch_bytes += bytes.len();
        self.batch.push(bytes);
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() == RESTORE_RECORDS_MAX {
            self.send().await?;
            if self.told.elapsed() >= PROGRESS_INTERVAL {
                self.told = Instant::now();
                eprintln!("{} of {total} records", self.records);
            }
        }
        Ok(())
    }

    /// Sends what waits, and again if some owner was away for a moment.
    async fn send(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let mut failures = 0;
        while !batch.is_empty() {
            match self.try_send(&batch).await {
                Ok(()) => break,
                Err(status) if failures + 1 == ATTEMPTS_MAX || !is_passing(&status) => {
                    return Err(status.into());
                }
                Err(_) => {
                    failures += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self.records += batch.len() as u64;
        Ok(())
    }

    async fn try_send(&self, batch: &[Bytes]) -> Result<(), Status> {
        let pieces: Vec<proto::RecordPiece> = batch.iter().flat_map(pieces).collect();
        let mut asked = Request::new(tokio_stream::iter(pieces));
        asked.set_timeout(BATCH_TIMEOUT);
        self.connection.backups().restore(asked).await?;
        Ok(())
    }
}

fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled
    )
}

fn pieces(record: &Bytes) -> impl Iterator<Item = proto::RecordPiece> + '_ {
    let length = record.len();
    (0..length).step_by(BACKUP_PIECE_BYTES).map(move |at| {
        let end = length.min(at + BACKUP_PIECE_BYTES);
        proto::RecordPiece {
            partition: 0, // The owners follow from the key.
            bytes: record.slice(at..end),
            more: end < length,
        }
    })
}
