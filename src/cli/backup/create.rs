//! `rejoin backup create`: reads all nodes while they serve, and writes one file.
//!
//! What nodes keep for others is read first: a hint that is delivered meanwhile is then in the copy of its home, which is
//! read after it. A record is read as a whole; two records may be of different moments.
//!
//! Invariant: what was acknowledged before the backup began is in it, if no node was done without and nothing moved.

use super::block::{Block, Header};
use super::file::{FileReader, FileWriter, Place};
use super::sources::{Source, unite_partition};
use super::verify::describe;
use crate::cli::arguments::Server;
use crate::cli::backup_arguments::Create;
use crate::cli::connection::Connection;
use crate::cli::output::print_json;
use crate::dynamo::metadata::catalog::Catalog;
use crate::dynamo::names::{BucketName, Digest};
use crate::dynamo::replica::saved::Saved;
use crate::limits::PLUGIN_BYTES_MAX;
use crate::wasm::library::digest_of;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tonic::Request;

/// Between two lines on how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

type Output = FileWriter<BufWriter<File>>;

pub async fn run(create: Create, server: &Server) -> anyhow::Result<()> {
    let connection = Connection::open(server).await?;
    let outline = outline(&connection).await?;
    if outline.partitions_moving > 0 && !create.while_members_change {
        anyhow::bail!(
            "{} partitions move to other owners, and a key that moves might be missed; wait until `rejoin cluster members` says that none does, or pass --while-members-change",
            outline.partitions_moving
        );
    }
    let catalog = wanted(&outline, &create.buckets)?;
    let file = file_name(&create.out, &outline)?;
    let mut sources = open_sources(&outline, &create, server).await?;
    let header = Header {
        cluster: outline.cluster.clone(),
        version: outline.version.clone(),
        created_at_ms: outline.now_ms,
        partitions: u64::from(outline.partition_count),
        nodes: sources.iter().map(|source| source.node.clone()).collect(),
        without: create.without.clone(),
        buckets: create.buckets.clone(),
    };
    let part = part_of(&file);
    let mut run = match Run::take_up(&part, &header)? {
        Some(run) => run,
        None => Run::begin(&part, header, catalog, &connection, &sources).await?,
    };
    run.hints(&sources).await?;
    run.copies(&mut sources, outline.partition_count).await?;
    check_still(&connection, &outline, create.while_members_change).await?;
    let catalog = run.catalog.clone();
    let place = run.end(&part, &file)?;
    print(&file, &catalog, &place, server.json);
    Ok(())
}

async fn outline(connection: &Connection) -> anyhow::Result<proto::OutlineResponse> {
    let asked = connection.request(proto::OutlineRequest {});
    Ok(connection.backups().outline(asked).await?.into_inner())
}

async fn check_still(
    connection: &Connection,
    before: &proto::OutlineResponse,
    may_change: bool,
) -> anyhow::Result<()> {
    let after = outline(connection).await?;
    let is_still = after.ring_hash == before.ring_hash && after.partitions_moving == 0;
    anyhow::ensure!(
        is_still || may_change,
        "the members changed while the backup was made, and a key that moved may be missing; remove what it has written and make another"
    );
    Ok(())
}

/// The definitions that go into the backup.
fn wanted(outline: &proto::OutlineResponse, buckets: &[String]) -> anyhow::Result<Catalog> {
    let all = Catalog::decode(outline.catalog.clone()).context("the list of the buckets")?;
    if buckets.is_empty() {
        return Ok(all);
    }
    let names: Result<Vec<BucketName>, _> = buckets.iter().map(|b| BucketName::new(b)).collect();
    let names = names?;
    for name in &names {
        anyhow::ensure!(all.bucket(name).is_some(), "there is no bucket {name}");
    }
    Ok(all.of_buckets(&names))
}

fn file_name(out: &Path, outline: &proto::OutlineResponse) -> anyhow::Result<PathBuf> {
    let file = match out.is_dir() {
        true => out.join(format!("{}.backup", outline.cluster)),
        false => out.to_owned(),
    };
    anyhow::ensure!(
        !file.exists(),
        "{} is there already; name another file, or move it away",
        file.display()
    );
    Ok(file)
}

/// Under this name a backup is written until it is whole.
fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

async fn open_sources(
    outline: &proto::OutlineResponse,
    create: &Create,
    server: &Server,
) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for node in &outline.nodes {
        if create.without.contains(&node.node) {
            continue;
        }
        let why = || {
            format!(
                "{} cannot be reached, and may have what no other node has; start it, or pass --without {}",
                node.node, node.node
            )
        };
        anyhow::ensure!(!node.address.is_empty(), why());
        let url = format!("http://{}", node.address);
        let timeout = Duration::from_millis(server.timeout_ms);
        let mut connection = Connection::to(&url, timeout).await.with_context(why)?;
        if let Some(token) = server.credential.load()? {
            connection = connection.showing(token);
        }
        let buckets = create.buckets.clone();
        sources.push(Source::new(node.node.clone(), connection, buckets));
    }
    Ok(sources)
}

/// A backup on its way.
struct Run {
    output: Output,
    catalog: Catalog,
    buckets: BTreeSet<BucketName>,
    /// Partitions that are written to their end.
    done: u32,
    told: Instant,
}

impl Run {
    fn new(output: Output, catalog: Catalog, done: u32) -> Self {
        let buckets = catalog.buckets().map(|(name, _)| name.clone()).collect();
        Self {
            output,
            catalog,
            buckets,
            done,
            told: Instant::now(),
        }
    }

    async fn begin(
        part: &Path,
        header: Header,
        catalog: Catalog,
        connection: &Connection,
        sources: &[Source],
    ) -> anyhow::Result<Self> {
        let out = File::create(part).with_context(|| format!("writing {}", part.display()))?;
        let mut output = FileWriter::begin(BufWriter::new(out), header)?;
        output.block(&Block::Catalog(catalog.encode()))?;
        for (digest, facts) in catalog.plugins() {
            let bytes = plugin(digest, connection, sources).await;
            let bytes = bytes.with_context(|| format!("the plugin {}", facts.name))?;
            output.block(&Block::Plugin(digest, bytes))?;
        }
        Ok(Self::new(output, catalog, 0))
    }

    /// Goes on with what an interrupted run of the same backup has left.
    fn take_up(part: &Path, header: &Header) -> anyhow::Result<Option<Self>> {
        if !part.exists() {
            return Ok(None);
        }
        let Some(left) = Left::read(part, header)? else {
            return Ok(None);
        };
        eprintln!(
            "going on with {}: {} of {} partitions are there",
            part.display(),
            left.done,
            header.partitions
        );
        let mut out = OpenOptions::new().write(true).open(part)?;
        out.set_len(left.place.bytes)?;
        std::io::Seek::seek(&mut out, std::io::SeekFrom::End(0))?;
        let output = FileWriter::go_on(BufWriter::new(out), left.place);
        Ok(Some(Self::new(output, left.catalog, left.done)))
    }

    fn take(&mut self, saved: Saved) -> anyhow::Result<()> {
        // A bucket that was created since is not described, so its keys could not be restored.
        if self.buckets.contains(&saved.key.bucket().of(0)) {
            self.output.record(saved)?;
        }
        Ok(())
    }

    async fn hints(&mut self, sources: &[Source]) -> anyhow::Result<()> {
        for source in sources {
            let read = source.hints(|saved| self.take(saved)).await;
            read.with_context(|| format!("reading what {} keeps for others", source.node))?;
        }
        Ok(())
    }

    async fn copies(&mut self, sources: &mut [Source], partitions: u32) -> anyhow::Result<()> {
        while self.done < partitions {
            let partition = self.done;
            unite_partition(sources, partition, |saved| self.take(saved)).await?;
            self.done += 1;
            self.output.block(&Block::Mark(u64::from(self.done)))?;
            if self.told.elapsed() >= PROGRESS_INTERVAL || self.done == partitions {
                self.told = Instant::now();
                let place = self.output.place();
                eprintln!(
                    "{} of {partitions} partitions, {} records, {} bytes",
                    self.done, place.totals.records, place.bytes
                );
            }
        }
        Ok(())
    }

    /// The file gets its name when all of it is on the disk.
    fn end(self, part: &Path, file: &Path) -> anyhow::Result<Place> {
        let (mut out, place) = self.output.end()?;
        out.flush()?;
        out.get_ref().sync_all()?;
        std::fs::rename(part, file).with_context(|| format!("naming {}", file.display()))?;
        if let Some(folder) = file.parent().filter(|folder| folder.as_os_str() != "") {
            File::open(folder)?.sync_all()?;
        }
        Ok(place)
    }
}

/// What an interrupted run has left: as far as the last partition that is complete.
struct Left {
    catalog: Catalog,
    done: u32,
    place: Place,
}

impl Left {
    /// None: it left nothing of use.
    fn read(part: &Path, wanted: &Header) -> anyhow::Result<Option<Self>> {
        let open = File::open(part)?;
        let Ok((mut reader, header)) = FileReader::open(BufReader::new(open)) else {
            return Ok(None);
        };
        let is_same = header.cluster == wanted.cluster
            && header.partitions == wanted.partitions
            && header.buckets == wanted.buckets
            && header.without == wanted.without;
        anyhow::ensure!(
            is_same,
            "{} was left by another backup; remove it, or name another file",
            part.display()
        );
        let mut catalog = None;
        let mut left = None;
        // Whatever cannot be read is where the run was interrupted.
        while let Ok(Some(block)) = reader.block() {
            match block {
                Block::Catalog(rows) => catalog = Catalog::decode(rows).ok(),
                Block::Mark(done) => {
                    let done = u32::try_from(done).unwrap_or_default();
                    left = catalog.clone().map(|catalog| Self {
                        catalog,
                        done,
                        place: reader.place().clone(),
                    });
                }
                _ => {}
            }
        }
        Ok(left)
    }
}

/// The bytes of a plugin, from the first node that has them.
async fn plugin(
    digest: Digest,
    connection: &Connection,
    sources: &[Source],
) -> anyhow::Result<Bytes> {
    let mut last = None;
    let others = sources.iter().map(|source| source.connection());
    for connection in std::iter::once(connection).chain(others) {
        match plugin_of(digest, connection).await {
            Ok(bytes) if digest_of(&bytes) == digest => return Ok(bytes),
            Ok(_) => last = Some(anyhow::anyhow!("a node sent other bytes")),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no node was asked")))
}

async fn plugin_of(digest: Digest, connection: &Connection) -> anyhow::Result<Bytes> {
    let asked = proto::ReadPluginRequest {
        digest: digest.to_string(),
    };
    let asked = Request::new(asked);
    let mut chunks = connection.backups().read_plugin(asked).await?.into_inner();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.message().await? {
        let length = bytes.len() + chunk.chunk.len();
        anyhow::ensure!(length <= PLUGIN_BYTES_MAX, "a plugin of {length} bytes");
        bytes.extend_from_slice(&chunk.chunk);
    }
    Ok(bytes.freeze())
}

fn print(file: &Path, catalog: &Catalog, place: &Place, json: bool) {
    let totals = place.totals;
    match json {
        true => print_json(&json!({
            "file": file.display().to_string(),
            "bytes": place.bytes,
            "plugins": totals.plugins,
            "records": totals.records,
            "values": totals.values,
            "tombstones": totals.tombstones,
            "merges": totals.merges,
        })),
        false => println!(
            "{}: {} bytes, {}",
            file.display(),
            place.bytes,
            describe(catalog, &totals)
        ),
    }
}
