//! `rejoin.v1.Backups`: shows what this node stores, and passes what comes back to the owners of its keys.
//!
//! Merges nothing itself; whoever asks unites what several nodes show.
//!
//! Invariant: at most one record of each stream is held whole, and a few streams are served at a time.

use super::status;
use crate::dynamo::metadata::catalog::Catalog;
use crate::dynamo::metadata::row::Subject;
use crate::dynamo::names::{BucketName, Digest, Key};
use crate::dynamo::replica::saved::{Saved, SavedPage, behind_key};
use crate::dynamo::replica::storage::StorageError;
use crate::dynamo::ring::partition::PartitionId;
use crate::limits::DEADLINE_MAX_MS;
use crate::limits::operations::{
    BACKUP_BUCKETS_MAX, BACKUP_PIECE_BYTES, BACKUP_STREAMS_MAX, RESTORE_RECORDS_MAX,
    RESTORE_WINDOW, RESTORE_WINDOW_BYTES, SAVED_BYTES_MAX,
};
use crate::node::inbox::RestoreOutcome;
use crate::node::server::Node;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::backups_server::Backups;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// How long a client may take between two pieces.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves those who make backups and those who restore them.
pub struct BackupsService {
    node: Arc<Node>,
    places: Arc<Semaphore>,
}

impl BackupsService {
    pub fn new(node: Arc<Node>) -> Self {
        let places = Arc::new(Semaphore::new(BACKUP_STREAMS_MAX));
        Self { node, places }
    }

    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| {
            let error = format!(
                "this node serves {BACKUP_STREAMS_MAX} backups and restores already; retry when one has ended"
            );
            status::too_many("TOO_MANY_BACKUPS", error)
        })
    }
}

#[tonic::async_trait]
impl Backups for BackupsService {
    type ReadStream = Outgoing<proto::RecordPiece>;
    type ReadPluginStream = Outgoing<proto::BackupPluginChunk>;

    async fn outline(
        &self,
        _: Request<proto::OutlineRequest>,
    ) -> Result<Response<proto::OutlineResponse>, Status> {
        let node = &self.node;
        let snapshot = node.snapshot();
        let placement = &snapshot.placement;
        let nodes = placement.nodes().iter().map(|id| proto::OutlineNode {
            node: id.as_str().to_owned(),
            address: match snapshot.catalog.node(id) {
                Some(facts) => facts.client_address.clone(),
                None => String::new(),
            },
        });
        Ok(Response::new(proto::OutlineResponse {
            node: node.id().as_str().to_owned(),
            cluster: node.config.cluster.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            partition_count: u32::from(placement.partitions().count()),
            ring_hash: placement.hash(),
            partitions_moving: placement.unsettled().count() as u32,
            catalog: definitions(&snapshot.catalog).encode(),
            nodes: nodes.collect(),
            now_ms: node.clock.now().wall_ms,
        }))
    }

    async fn read(
        &self,
        request: Request<proto::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let asked = request.into_inner();
        let next = first_place(&self.node, &asked)?;
        let reading = Reading {
            node: Arc::clone(&self.node),
            next,
            buckets: bucket_names(&asked.buckets)?,
            records: VecDeque::new(),
            pieces: VecDeque::new(),
            _place: self.place()?,
        };
        let pieces = futures_util::stream::unfold(reading, async |mut reading| {
            let piece = reading.piece().await.transpose()?;
            Some((piece, reading))
        });
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn read_plugin(
        &self,
        request: Request<proto::ReadPluginRequest>,
    ) -> Result<Response<Self::ReadPluginStream>, Status> {
        let asked = request.into_inner().digest;
        let Some(digest) = Digest::parse(&asked) else {
            let error = "the digest has to be 64 hexadecimal digits";
            return Err(status::invalid("BAD_DIGEST", error));
        };
        let bytes = self.node.plugins.library().bytes(digest);
        let bytes = bytes.map_err(|error| status::missing("NO_SUCH_PLUGIN", error))?;
        let chunks = (0..bytes.len()).step_by(BACKUP_PIECE_BYTES).map(move |at| {
            let chunk = bytes.slice(at..bytes.len().min(at + BACKUP_PIECE_BYTES));
            Ok(proto::BackupPluginChunk { chunk })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn restore(
        &self,
        request: Request<Streaming<proto::RecordPiece>>,
    ) -> Result<Response<proto::RestoreResponse>, Status> {
        let _place = self.place()?;
        let mut pieces = request.into_inner();
        let mut records = 0;
        let mut window = Window::default();
        while let Some((saved, bytes)) = next_record(&mut pieces).await? {
            records += 1;
            if records > RESTORE_RECORDS_MAX {
                let error = format!("send at most {RESTORE_RECORDS_MAX} records in one request");
                return Err(status::invalid("TOO_MANY_RECORDS", error));
            }
            while window.is_full() {
                window.next().await?;
            }
            let node = Arc::clone(&self.node);
            window.bytes += bytes;
            window.under_way.push(Box::pin(async move {
                (node.restore(saved, DEADLINE_MAX_MS).await, bytes)
            }));
        }
        while !window.under_way.is_empty() {
            window.next().await?;
        }
        let records = records as u64;
        Ok(Response::new(proto::RestoreResponse { records }))
    }
}

/// The rows of buckets and plugins, without what belongs to this cluster alone.
fn definitions(catalog: &Catalog) -> Catalog {
    let buckets = catalog
        .buckets()
        .map(|(name, _)| Subject::Bucket(name.clone()));
    let plugins = catalog.plugins().map(|(digest, _)| Subject::Plugin(digest));
    let subjects: Vec<Subject> = buckets.chain(plugins).collect();
    catalog.only(&subjects)
}

#[allow(clippy::result_large_err)] // Its callers return it as it is.
fn bucket_names(names: &[String]) -> Result<BTreeSet<BucketName>, Status> {
    if names.len() > BACKUP_BUCKETS_MAX {
        let error = format!("name at most {BACKUP_BUCKETS_MAX} buckets, or none for all");
        return Err(status::invalid("TOO_MANY_BUCKETS", error));
    }
    let names = names.iter().map(|name| BucketName::new(name));
    let names: Result<_, _> = names.collect();
    names.map_err(|error| status::invalid("BAD_NAME", error))
}

/// What is read next.
enum Place {
    Hints(Option<Bytes>),
    Copies(PartitionId, Option<Bytes>),
    End,
}

#[allow(clippy::result_large_err)] // Its callers return it as it is.
fn first_place(node: &Node, asked: &proto::ReadRequest) -> Result<Place, Status> {
    if asked.hints {
        return Ok(Place::Hints(None));
    }
    let count = node.snapshot().placement.partitions().count();
    if asked.partition >= u32::from(count) {
        let found = asked.partition;
        let error = format!("there is no partition {found}, the ring has {count}");
        return Err(status::invalid("BAD_PARTITION", error));
    }
    let partition = PartitionId(asked.partition as u16);
    let from = match &asked.after {
        Some(after) => {
            let bucket = BucketName::stored(&after.bucket);
            let key = bucket.and_then(|bucket| Key::new(bucket, after.key.clone()));
            let key = key.map_err(|error| status::invalid("BAD_NAME", error))?;
            Some(behind_key(partition, &key))
        }
        None => None,
    };
    Ok(Place::Copies(partition, from))
}

/// One stream of records on its way out.
struct Reading {
    node: Arc<Node>,
    next: Place,
    /// None: all.
    buckets: BTreeSet<BucketName>,
    /// Of the page that was read last.
    records: VecDeque<Told>,
    /// Of the record that is being sent.
    pieces: VecDeque<proto::RecordPiece>,
    _place: OwnedSemaphorePermit,
}

enum Told {
    Record(PartitionId, Saved),
    End(PartitionId),
}

impl Reading {
    async fn piece(&mut self) -> Result<Option<proto::RecordPiece>, Status> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(Some(piece));
            }
            match self.records.pop_front() {
                Some(Told::Record(partition, saved)) => {
                    self.pieces = cut(partition, &saved.encode()).collect();
                }
                Some(Told::End(partition)) => return Ok(Some(end_of(partition))),
                None if matches!(self.next, Place::End) => return Ok(None),
                None => self.read_page().await.map_err(status::of_storage)?,
            }
        }
    }

    async fn read_page(&mut self) -> Result<(), StorageError> {
        let partitions = self.node.snapshot().placement.partitions();
        let (page, next) = match &self.next {
            Place::End => return Ok(()),
            Place::Hints(from) => {
                let mut page = self.node.saved_hints(from.clone()).await?;
                let next = page.next.take();
                (
                    page,
                    next.map_or(Place::End, |from| Place::Hints(Some(from))),
                )
            }
            Place::Copies(partition, from) => {
                let partition = *partition;
                let mut page = self.node.saved_copies(partition, from.clone()).await?;
                let next = match page.next.take() {
                    Some(from) => Place::Copies(partition, Some(from)),
                    None if partition.0 + 1 < partitions.count() => {
                        Place::Copies(PartitionId(partition.0 + 1), None)
                    }
                    None => Place::End,
                };
                (page, next)
            }
        };
        self.show(page);
        if let Place::Copies(partition, _) = self.next
            && !matches!(next, Place::Copies(same, _) if same == partition)
        {
            self.records.push_back(Told::End(partition));
        }
        self.next = next;
        Ok(())
    }

    /// What a removed bucket has left on the disk is nobody's; the other buckets are asked for by the names that clients know.
    fn show(&mut self, page: SavedPage) {
        let placement = &self.node.snapshot().placement;
        let removed = self.node.registry.catalog().removed_buckets();
        let is_wanted = |bucket: &BucketName| {
            !removed.contains(bucket)
                && (self.buckets.is_empty() || self.buckets.contains(&bucket.of(0)))
        };
        let wanted = page.items.into_iter();
        let wanted = wanted.filter(|saved| is_wanted(saved.key.bucket()));
        let told = wanted.map(|saved| Told::Record(placement.partition_of(&saved.key), saved));
        self.records.extend(told);
    }
}

fn cut(partition: PartitionId, bytes: &Bytes) -> impl Iterator<Item = proto::RecordPiece> {
    let length = bytes.len();
    (0..length).step_by(BACKUP_PIECE_BYTES).map(move |at| {
        let end = length.min(at + BACKUP_PIECE_BYTES);
        proto::RecordPiece {
            partition: u32::from(partition.0),
            bytes: bytes.slice(at..end),
            more: end < length,
        }
    })
}

fn end_of(partition: PartitionId) -> proto::RecordPiece {
    proto::RecordPiece {
        partition: u32::from(partition.0),
        ..proto::RecordPiece::default()
    }
}

type UnderWay = Pin<Box<dyn Future<Output = (RestoreOutcome, usize)> + Send>>;

/// Records that are on their way to their owners.
#[derive(Default)]
struct Window {
    under_way: FuturesUnordered<UnderWay>,
    bytes: usize,
}

impl Window {
    fn is_full(&self) -> bool {
        let is_heavy = self.bytes >= RESTORE_WINDOW_BYTES && !self.under_way.is_empty();
        is_heavy || self.under_way.len() >= RESTORE_WINDOW
    }

    async fn next(&mut self) -> Result<(), Status> {
        if let Some((outcome, bytes)) = self.under_way.next().await {
            self.bytes -= bytes;
            outcome.map_err(status::of_restore)?;
        }
        Ok(())
    }
}

/// The next record of a restore, and its bytes; none at the end of the stream.
async fn next_record(
    pieces: &mut Streaming<proto::RecordPiece>,
) -> Result<Option<(Saved, usize)>, Status> {
    let mut bytes = BytesMut::new();
    loop {
        let Ok(piece) = tokio::time::timeout(PIECE_TIMEOUT, pieces.message()).await else {
            return Err(Status::deadline_exceeded(
                "no piece of a record came for 10 s; restore again",
            ));
        };
        let Some(piece) = piece? else {
            return match bytes.is_empty() {
                true => Ok(None),
                false => Err(status::invalid("TRUNCATED", "the stream ends in a record")),
            };
        };
        if bytes.len() + piece.bytes.len() > SAVED_BYTES_MAX {
            let error = format!("a record has more than {SAVED_BYTES_MAX} bytes");
            return Err(status::invalid("BAD_RECORD", error));
        }
        bytes.extend_from_slice(&piece.bytes);
        if !piece.more {
            let length = bytes.len();
            let saved = Saved::decode(bytes.freeze());
            let saved = saved.map_err(|error| {
                status::invalid("BAD_RECORD", format!("a record of the backup {error}"))
            })?;
            return Ok(Some((saved, length)));
        }
    }
}
