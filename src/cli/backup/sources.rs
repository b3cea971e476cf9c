//! What the nodes of a cluster show of what they store, united key by key.
//!
//! Every node tells its records in the same order, so one record of each is enough to unite them. A stream that breaks
//! is opened again behind the last record that came.
//!
//! Invariant: at most one record of each node is held.

use crate::cli::connection::Connection;
use crate::dynamo::names::Key;
use crate::dynamo::replica::layout::order;
use crate::dynamo::replica::saved::Saved;
use crate::limits::operations::SAVED_BYTES_MAX;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use bytes::BytesMut;
use std::time::Duration;
use tonic::{Request, Streaming};

/// Attempts to go on with a stream before the node is given up.
const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// How long a node may be silent. It reads its disk in between, and skips what was not asked for.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// One node that is read.
pub struct Source {
    pub node: String,
    connection: Connection,
    buckets: Vec<String>,
    stream: Option<Streaming<proto::RecordPiece>>,
    partition: u32,
    /// The last key of the partition that came.
    after: Option<Key>,
    /// Came, and was not taken yet.
    head: Option<Saved>,
}

enum Told {
    Record(Saved),
    EndOfPartition(u32),
    End,
}

impl Source {
    pub fn new(node: String, connection: Connection, buckets: Vec<String>) -> Self {
        Self {
            node,
            connection,
            buckets,
            stream: None,
            partition: 0,
            after: None,
            head: None,
        }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What the node keeps in the place of others.
    pub async fn hints(
        &self,
        mut take: impl FnMut(Saved) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let asked = proto::ReadRequest {
            hints: true,
            buckets: self.buckets.clone(),
            ..proto::ReadRequest::default()
        };
        let asked = Request::new(asked);
        let mut stream = self.connection.backups().read(asked).await?.into_inner();
        while let Told::Record(saved) = next(&mut stream).await? {
            take(saved)?;
        }
        Ok(())
    }

    /// Goes to the first record of a partition, if there is one.
    async fn enter(&mut self, partition: u32) -> anyhow::Result<()> {
        if self.partition != partition {
            self.stream = None;
        }
        self.partition = partition;
        self.after = None;
        self.advance().await
    }

    /// Takes the next record of the partition; none at its end.
    async fn advance(&mut self) -> anyhow::Result<()> {
        let mut failures = 0;
        self.head = loop {
            match self.try_advance().await {
                Ok(head) => break head,
                Err(error) => {
                    self.stream = None;
                    failures += 1;
                    if failures == ATTEMPTS_MAX {
                        return Err(error).with_context(|| format!("reading {}", self.node));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        Ok(())
    }

    async fn try_advance(&mut self) -> anyhow::Result<Option<Saved>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let after = self.after.as_ref().map(|key| proto::BackupKey {
                    bucket: key.bucket().as_str().to_owned(),
                    key: key.bytes().clone(),
                });
                let asked = proto::ReadRequest {
                    hints: false,
                    partition: self.partition,
                    after,
                    buckets: self.buckets.clone(),
                };
                let asked = Request::new(asked);
                let stream = self.connection.backups().read(asked).await?.into_inner();
                self.stream.insert(stream)
            }
        };
        match next(stream).await? {
            Told::Record(saved) => {
                if let Some(after) = &self.after {
                    let is_later = order(&saved.key) > order(after);
                    anyhow::ensure!(is_later, "its records are not in their order");
                }
                self.after = Some(saved.key.clone());
                Ok(Some(saved))
            }
            Told::EndOfPartition(ended) if ended == self.partition => {
                // The stream stands before the next one.
                self.partition += 1;
                Ok(None)
            }
            Told::EndOfPartition(_) | Told::End => anyhow::bail!("it left a partition out"),
        }
    }
}

async fn next(stream: &mut Streaming<proto::RecordPiece>) -> anyhow::Result<Told> {
    let mut bytes = BytesMut::new();
    loop {
        let piece = tokio::time::timeout(SILENCE_MAX, stream.message()).await;
        let piece = piece.context("the node is silent")??;
        let Some(piece) = piece else {
            anyhow::ensure!(bytes.is_empty(), "the stream ended within a record");
            return Ok(Told::End);
        };
        if bytes.is_empty() && piece.bytes.is_empty() {
            return Ok(Told::EndOfPartition(piece.partition));
        }
        let length = bytes.len() + piece.bytes.len();
        anyhow::ensure!(length <= SAVED_BYTES_MAX, "a record of {length} bytes");
        bytes.extend_from_slice(&piece.bytes);
        if !piece.more {
            let saved = Saved::decode(bytes.freeze()).context("a record")?;
            return Ok(Told::Record(saved));
        }
    }
}

/// The records of one partition, each united from all nodes that have it, handed to `take` in their order.
pub async fn unite_partition(
    sources: &mut [Source],
    partition: u32,
    mut take: impl FnMut(Saved) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for source in sources.iter_mut() {
        source.enter(partition).await?;
    }
    while let Some(first) = first_key(sources) {
        let mut united: Option<Saved> = None;
        for source in sources.iter_mut() {
            let head = source.head.take_if(|saved| saved.key == first);
            let Some(saved) = head else { continue };
            match &mut united {
                Some(united) => united.unite(saved),
                None => united = Some(saved),
            }
            source.advance().await?;
        }
        if let Some(united) = united {
            take(united)?;
        }
    }
    Ok(())
}

fn first_key(sources: &[Source]) -> Option<Key> {
    let heads = sources.iter().filter_map(|source| source.head.as_ref());
    let first = heads.map(|saved| &saved.key).min_by_key(|key| order(key));
    first.cloned()
}
