//! Opening a database, and telling a fresh one, one that continues and one that was lost apart.
//!
//! sled may panic on what it finds, and may open empty or older without an error. Two witnesses stand
//! against it: the marker outside and a record inside name the same generation, and a session number
//! that grows at each open, inside first. Does not refill what was lost: the caller's peers do.
//!
//! Invariant: a database is `Continued` only if it is the one of the marker and not older than it; what
//! is given up is moved aside, never deleted.

use super::fault::{Fault, Halt, guarded};
use super::journal::{Identities, RecoveryError, Trees, recover};
use super::stripes::Stripes;
use super::tidy::Tidy;
use super::{Engine, SledStorage, database};
use crate::dynamo::replica::storage::StorageError;
use crate::storage::durability::{self, NotDurable};
use crate::storage::envelope;
use crate::storage::folder::{DataFolder, FolderError, Found};
use crate::storage::health::Counters;
use crate::storage::marker::Marker;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The record inside sled that the marker is compared with.
const RECORD: &[u8] = b"generation";

/// What an operator or a test may choose about a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes of pages that sled keeps in memory.
    pub cache_bytes: u64,
    pub durability: Durability,
    pub on_loss: OnLoss,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * 1024 * 1024,
            durability: Durability::Required,
            on_loss: OnLoss::Quarantine,
        }
    }
}

/// Whether `sync` must survive power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Opening fails where it cannot be had.
    Required,
    /// Opening does not look; `durable` buckets must be refused by the caller.
    Forgone,
}

/// What to do with a database that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// Put it aside and go on with an empty one.
    Quarantine,
    /// Change nothing and fail: a person decides.
    Refuse,
}

/// An open database, and where it comes from.
#[derive(Debug)]
pub struct Opened {
    pub storage: SledStorage,
    pub history: History,
}

/// What this folder held before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum History {
    /// Nothing: a new node.
    Fresh,
    /// This database.
    Continued,
    /// A database that is gone. This is no fresh node: it must refill from its peers before it counts.
    Lost {
        reason: String,
        quarantined_to: Option<PathBuf>,
    },
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("durable storage is not possible here: {0}")]
    NotDurable(#[from] NotDurable),
    /// Only with [`OnLoss::Refuse`]; nothing was changed.
    #[error(
        "the database in {} is lost: {reason}; restore the folder, or let this node put it aside and \
         refill from its peers", folder.display()
    )]
    Lost { folder: PathBuf, reason: String },
    /// The system failed, or this release cannot read the database; nothing is known to be lost.
    #[error("cannot open the database in {}: {reason}", folder.display())]
    Engine { folder: PathBuf, reason: String },
    #[error("the new database does not work: {0}")]
    Selftest(#[from] StorageError),
}

/// A database that sled opened, before it is believed.
struct Started {
    db: sled::Db,
    trees: Trees,
    identities: Identities,
    tidy: Tidy,
    /// The generation and session of the record inside.
    found: Option<(u64, u64)>,
}

/// Why sled did not open.
enum Stop {
    Lost(String),
    Failed(OpenError),
}

/// See [`SledStorage::open`].
pub fn open(folder: &Path, options: Options) -> Result<Opened, OpenError> {
    let folder = DataFolder::claim(folder)?;
    let found = folder.marker()?;
    if options.durability == Durability::Required {
        durability::verify(folder.path())?;
    }
    let (engine, history) = match (found, folder.engine().exists()) {
        (Found::Absent, false) => (create(folder, &options)?, History::Fresh),
        (Found::Absent | Found::Damaged, true) => proceed(folder, &options, None)?,
        (Found::Valid(marker), true) => proceed(folder, &options, Some(marker))?,
        (_, false) => lose(folder, &options, "its files are gone".to_owned())?,
    };
    let mut storage = SledStorage {
        engine: Arc::new(engine),
    };
    storage.selftest()?;
    Ok(Opened { storage, history })
}

/// Opens what is there, and compares it with the marker.
fn proceed(
    folder: DataFolder,
    options: &Options,
    marker: Option<Marker>,
) -> Result<(Engine, History), OpenError> {
    if let Some(reason) = marker.as_ref().and_then(|marker| marker.condemned.clone()) {
        return lose(folder, options, reason);
    }
    match start(&folder, options).and_then(|started| believe(started, marker)) {
        Ok((started, marker)) => Ok((
            settle(started, folder, options, marker)?,
            History::Continued,
        )),
        Err(Stop::Lost(reason)) => lose(folder, options, reason),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Gives the database up and starts an empty one.
fn lose(
    folder: DataFolder,
    options: &Options,
    reason: String,
) -> Result<(Engine, History), OpenError> {
    if options.on_loss == OnLoss::Refuse {
        return Err(OpenError::Lost {
            folder: folder.path().to_owned(),
            reason,
        });
    }
    let there = folder.engine().exists();
    let quarantined_to = there.then(|| folder.quarantine()).transpose()?;
    tracing::error!(%reason, ?quarantined_to, "the database is lost; starting with an empty one");
    Ok((
        create(folder, options)?,
        History::Lost {
            reason,
            quarantined_to,
        },
    ))
}

fn create(folder: DataFolder, options: &Options) -> Result<Engine, OpenError> {
    match start(&folder, options) {
        Ok(started) => {
            let marker = Marker {
                generation: rand::random(),
                session: 0,
                condemned: None,
            };
            settle(started, folder, options, marker)
        }
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Lost(reason)) => Err(OpenError::Engine {
            folder: folder.path().to_owned(),
            reason,
        }),
    }
}

/// Opens sled and finishes what a crash interrupted.
fn start(folder: &DataFolder, options: &Options) -> Result<Started, Stop> {
    let path = folder.engine();
    if path.exists() {
        database::remove_half_snapshots(&path).map_err(|error| Stop::Failed(error.into()))?;
    }
    let config = database::config(&path, options.cache_bytes);
    guarded(|| start_sled(&config))
        .map_err(|fault| stop(folder, fault))?
        .map_err(|error| Stop::Lost(error.to_string()))
}

fn start_sled(config: &sled::Config) -> sled::Result<Result<Started, RecoveryError>> {
    let db = database::open_patiently(config)?;
    let trees = Trees {
        items: db.open_tree("items")?,
        chunks: db.open_tree("chunks")?,
        entries: db.open_tree("journal")?,
    };
    match recover(&trees) {
        Ok(()) => {}
        Err(RecoveryError::Engine(error)) => return Err(error),
        Err(error) => return Ok(Err(error)),
    }
    let identities = Identities::after(&trees)?;
    let tidy = Tidy::new(db.open_tree("tidy")?);
    let found = db.get(RECORD)?.and_then(|stored| read_record(&stored));
    Ok(Ok(Started {
        db,
        trees,
        identities,
        tidy,
        found,
    }))
}

/// The marker that the database deserves; a loss if it is not the marker's database, or an older one.
fn believe(started: Started, marker: Option<Marker>) -> Result<(Started, Marker), Stop> {
    let Some((generation, session)) = started.found else {
        return Err(Stop::Lost(
            "sled opened it without its generation record: it is empty".to_owned(),
        ));
    };
    let found = Marker {
        generation,
        session,
        condemned: None,
    };
    match marker {
        Some(marker) if marker.generation != generation => Err(Stop::Lost(format!(
            "it is of generation {generation:016x}, the marker names {:016x}",
            marker.generation
        ))),
        Some(marker) if marker.session > session => Err(Stop::Lost(format!(
            "it ends in session {session}, the marker knows session {}",
            marker.session
        ))),
        _ => Ok((started, found)),
    }
}

/// Starts a session: the record inside, durably, then the marker.
fn settle(
    started: Started,
    folder: DataFolder,
    options: &Options,
    marker: Marker,
) -> Result<Engine, OpenError> {
    let marker = Marker {
        session: marker.session + 1,
        ..marker
    };
    let record = seal_record(&marker);
    let written = guarded(|| {
        started
            .db
            .insert(RECORD, record)
            .and_then(|_| started.db.flush())
    });
    written.map_err(|fault| engine_error(&folder, fault))?;
    database::sync_files(&folder.engine())?;
    folder.sync_names()?;
    folder.mark(&marker)?;
    Ok(Engine {
        db: started.db,
        trees: started.trees,
        identities: started.identities,
        stripes: Stripes::default(),
        tidy: started.tidy,
        halt: Halt::default(),
        counters: Counters::default(),
        durability: options.durability,
        marker,
        folder,
    })
}

fn seal_record(marker: &Marker) -> Vec<u8> {
    let numbers = [
        marker.generation.to_be_bytes(),
        marker.session.to_be_bytes(),
    ];
    envelope::seal(RECORD, &[&numbers[0], &numbers[1]])
}

fn read_record(stored: &[u8]) -> Option<(u64, u64)> {
    let content = envelope::open(RECORD, stored).ok()?;
    let (generation, session) = content.split_first_chunk()?;
    Some((
        u64::from_be_bytes(*generation),
        u64::from_be_bytes(session.try_into().ok()?),
    ))
}

fn stop(folder: &DataFolder, fault: Fault) -> Stop {
    match fault {
        Fault::Broken(reason) => Stop::Lost(reason),
        fault => Stop::Failed(engine_error(folder, fault)),
    }
}

fn engine_error(folder: &DataFolder, fault: Fault) -> OpenError {
    let reason = match fault {
        Fault::Full(text) => format!("no space left: {text}; free some, then start again"),
        Fault::System(text) => format!("{text}; check permissions and the disk, then start again"),
        Fault::Unsupported(text) => format!("{text}; use the release that created it"),
        Fault::Broken(text) => text,
    };
    OpenError::Engine {
        folder: folder.path().to_owned(),
        reason,
    }
}
