//! Opening a database, and telling a fresh one, one that continues and one that was lost apart.
//!
//! An engine may panic on what it finds, and may open empty or older without an error. Two witnesses stand
//! against it: the marker outside and a record inside name the same generation, and a session number
//! that grows at each open, inside first. Does not refill what was lost: the caller's peers do.
//!
//! Invariant: a database is `Continued` only if it is the one of the marker and not older than it; what
//! is given up is moved aside, never deleted.

use crate::dynamo::replica::storage::StorageError;
use crate::storage::custody::Custody;
use crate::storage::durability::NotDurable;
use crate::storage::envelope;
use crate::storage::fault::{Fault, guarded};
use crate::storage::folder::{self, DataFolder, FolderError, Found};
use crate::storage::marker::{EngineName, Marker};
use std::path::{Path, PathBuf};

/// The record inside the database that the marker is compared with.
const RECORD: &[u8] = b"generation";
/// What the self-test writes, where no caller looks.
const SELFTEST: &[u8] = b"selftest";

/// What an operator or a test may choose about a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes of pages that the engine keeps in memory.
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
pub struct Opened<S> {
    pub storage: S,
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
    /// The disk has no room; nothing is known to be lost, and there may be some later.
    #[error("cannot open the database in {}: no space is left: {reason}; free some", folder.display())]
    Full { folder: PathBuf, reason: String },
    /// The system failed, or this release cannot read the database; nothing is known to be lost.
    #[error("cannot open the database in {}: {reason}", folder.display())]
    Engine { folder: PathBuf, reason: String },
    #[error("the new database does not work: {0}")]
    Selftest(#[from] StorageError),
}

/// What opening asks of an engine. Its errors and panics are caught here.
pub trait Database: Sized {
    const NAME: EngineName;
    type Error: Into<Fault>;

    /// Proves that the engine's sync is one, on this system.
    fn prove_durable(folder: &Path) -> Result<(), NotDurable>;

    /// Opens or creates the database in its own folder, and finishes what a crash interrupted.
    fn start(folder: &Path, options: &Options) -> Result<Self, Self::Error>;

    /// Something of this engine's own that is no item.
    fn read_note(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Replaces such a thing, durably.
    fn write_note(&self, key: &[u8], content: &[u8]) -> Result<(), Self::Error>;
}

/// A database that may be used.
pub struct Settled<D> {
    pub database: D,
    pub custody: Custody,
    pub history: History,
}

/// Why an engine did not open.
enum Stop {
    Lost(String),
    Failed(OpenError),
}

/// Opens the database in `folder`, or creates it; see [`Options`] and [`History`].
pub fn open<D: Database>(folder: &Path, options: &Options) -> Result<Settled<D>, OpenError> {
    let folder = DataFolder::claim(folder, D::NAME)?;
    let found = folder.marker()?;
    if options.durability == Durability::Required {
        D::prove_durable(folder.path())?;
    }
    let settled: Settled<D> = match (found, folder.engine().exists()) {
        (Found::Absent, false) => create(folder, options, History::Fresh)?,
        (Found::Absent | Found::Damaged, true) => proceed(folder, options, None)?,
        (Found::Valid(marker), true) => proceed(folder, options, Some(marker))?,
        (_, false) => lose(folder, options, "its files are gone".to_owned())?,
    };
    selftest(&settled.custody, &settled.database)?;
    Ok(settled)
}

/// Writes, syncs and reads something that no caller sees.
pub fn selftest<D: Database>(custody: &Custody, database: &D) -> Result<(), StorageError> {
    let content = rand::random::<u64>().to_be_bytes();
    custody.check()?;
    custody.call(|| database.write_note(SELFTEST, &content))?;
    match custody.call(|| database.read_note(SELFTEST))? {
        Some(found) if *found == content => Ok(()),
        found => Err(StorageError::Failed(format!(
            "the self-test wrote {content:?} and read {found:?}; the disk, the memory or the engine is \
             broken, do not run a node here"
        ))),
    }
}

/// Opens what is there, and compares it with the marker.
fn proceed<D: Database>(
    folder: DataFolder,
    options: &Options,
    marker: Option<Marker>,
) -> Result<Settled<D>, OpenError> {
    if let Some(reason) = marker.as_ref().and_then(|marker| marker.condemned.clone()) {
        return lose(folder, options, reason);
    }
    match start(&folder, options).and_then(|started| believe(&folder, started, marker)) {
        Ok((database, marker)) => settle(database, folder, options, marker, History::Continued),
        Err(Stop::Lost(reason)) => lose(folder, options, reason),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Gives the database up and starts an empty one.
fn lose<D: Database>(
    folder: DataFolder,
    options: &Options,
    reason: String,
) -> Result<Settled<D>, OpenError> {
    if options.on_loss == OnLoss::Refuse {
        return Err(OpenError::Lost {
            folder: folder.path().to_owned(),
            reason,
        });
    }
    let there = folder.engine().exists();
    let quarantined_to = there.then(|| folder.quarantine()).transpose()?;
    tracing::error!(%reason, ?quarantined_to, "the database is lost; starting with an empty one");
    let history = History::Lost {
        reason,
        quarantined_to,
    };
    create(folder, options, history)
}

fn create<D: Database>(
    folder: DataFolder,
    options: &Options,
    history: History,
) -> Result<Settled<D>, OpenError> {
    match start(&folder, options) {
        Ok(database) => {
            let marker = Marker {
                engine: D::NAME,
                generation: rand::random(),
                session: 0,
                condemned: None,
            };
            settle(database, folder, options, marker, history)
        }
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Lost(reason)) => Err(OpenError::Engine {
            folder: folder.path().to_owned(),
            reason,
        }),
    }
}

fn start<D: Database>(folder: &DataFolder, options: &Options) -> Result<D, Stop> {
    guarded(|| D::start(&folder.engine(), options)).map_err(|fault| stop(folder, fault))
}

/// The marker that the database deserves; a loss if it is not the marker's database, or an older one.
fn believe<D: Database>(
    folder: &DataFolder,
    database: D,
    marker: Option<Marker>,
) -> Result<(D, Marker), Stop> {
    let record = guarded(|| database.read_note(RECORD)).map_err(|fault| stop(folder, fault))?;
    let Some((generation, session)) = record.and_then(|stored| read_record(&stored)) else {
        return Err(Stop::Lost(
            "it opened without its generation record: it is empty".to_owned(),
        ));
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
        _ => {
            let found = Marker {
                engine: D::NAME,
                generation,
                session,
                condemned: None,
            };
            Ok((database, found))
        }
    }
}

/// Starts a session: the record inside, durably, then the marker.
fn settle<D: Database>(
    database: D,
    folder: DataFolder,
    options: &Options,
    marker: Marker,
    history: History,
) -> Result<Settled<D>, OpenError> {
    let marker = Marker {
        session: marker.session + 1,
        ..marker
    };
    guarded(|| database.write_note(RECORD, &seal_record(&marker)))
        .map_err(|fault| engine_error(&folder, fault))?;
    sync_files(&folder.engine())?;
    folder.sync_names()?;
    folder.mark(&marker)?;
    let durable = options.durability == Durability::Required;
    Ok(Settled {
        database,
        custody: Custody::new(folder, marker, durable),
        history,
    })
}

/// Syncs every file of a new database, and the folders that name them.
fn sync_files(engine: &Path) -> Result<(), FolderError> {
    for path in folder::entries(engine)? {
        folder::sync(&path)?;
    }
    folder::sync(engine)
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
        Fault::Full(reason) => {
            return OpenError::Full {
                folder: folder.path().to_owned(),
                reason,
            };
        }
        Fault::System(text) => format!("{text}; check permissions and the disk, then start again"),
        Fault::Unsupported(text) => format!("{text}; use the release that created it"),
        Fault::Broken(text) => text,
    };
    OpenError::Engine {
        folder: folder.path().to_owned(),
        reason,
    }
}
