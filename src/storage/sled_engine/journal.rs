//! Atomic batches without sled's own.
//!
//! `sled::Tree::apply_batch` writes and syncs the log twice for every batch and shuts out all readers and
//! the flush meanwhile, so group commit would be lost. Instead: what sled recovers after a crash is a
//! prefix of its log, so one inserted journal entry is a commit point, and what follows it is redone at
//! open. One change that touches no run is one sled operation and needs no entry.
//!
//! Entry: `prepared` (runs being written; undone at open), then, under the same key, `committed` (the
//! changes, and runs that became useless; redone at open), then gone. Readers on other handles may see a
//! batch part by part while it is being applied; a crash may not.
//!
//! Invariant: whatever happens between two operations, recovery leaves all changes of a batch or none,
//! and no chunk that nothing refers to.

use super::run::{CHUNK_BYTES, Run};
use super::stored::Stored;
use crate::dynamo::codec::{DecodeError, Reader, Writer};
use crate::storage::changes::Changes;
use crate::storage::envelope;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The trees that a batch touches.
#[derive(Debug, Clone)]
pub struct Trees {
    pub items: sled::Tree,
    pub chunks: sled::Tree,
    pub entries: sled::Tree,
}

/// Fresh identities for runs and journal entries; one of each for a whole database.
#[derive(Debug, Default)]
pub struct Identities {
    runs: AtomicU64,
    entries: AtomicU64,
}

/// Why a journal cannot be redone: the database is not whole.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("the engine failed while its journal was redone: {0}")]
    Engine(#[from] sled::Error),
    #[error("a journal entry {0}")]
    Entry(#[from] DecodeError),
    #[error("a journal entry {0}")]
    Envelope(#[from] envelope::EnvelopeError),
    #[error("a committed journal entry is incomplete: {0}")]
    Incomplete(String),
}

/// A batch, worked out: nothing in it needs reading again.
#[derive(Debug, Default)]
struct Plan {
    /// What will stand under each key.
    heads: Vec<(Bytes, Option<Bytes>)>,
    /// Runs that the new heads refer to, and their values.
    fresh: Vec<(Run, Bytes)>,
    /// Runs that nothing will refer to.
    stale: Vec<Run>,
}

impl Identities {
    /// Identities above all that the database has in use.
    pub fn after(trees: &Trees) -> sled::Result<Self> {
        Ok(Self {
            runs: super::run::next_id(&trees.chunks)?.into(),
            entries: AtomicU64::new(0), // Recovery leaves the journal empty.
        })
    }

    fn run(&self, value: &[u8]) -> Run {
        Run {
            id: self.runs.fetch_add(1, Relaxed),
            bytes: value.len() as u64,
        }
    }

    fn entry(&self) -> [u8; 8] {
        self.entries.fetch_add(1, Relaxed).to_be_bytes()
    }
}

/// Applies the changes. The caller keeps other writers away from these keys until it returns.
pub fn apply(trees: &Trees, identities: &Identities, changes: Changes) -> sled::Result<()> {
    let plan = Plan::new(trees, identities, changes)?;
    if let ([(key, head)], [], []) = (&plan.heads[..], &plan.fresh[..], &plan.stale[..]) {
        return set_head(trees, key, head.as_deref());
    }
    if plan.heads.is_empty() {
        return Ok(());
    }
    commit(trees, identities, plan)
}

/// Finishes or undoes what a crash interrupted; leaves the journal empty.
pub fn recover(trees: &Trees) -> Result<(), RecoveryError> {
    for entry in trees.entries.iter() {
        let (key, stored) = entry?;
        recover_entry(trees, &key, envelope::open(&key, &stored)?)?;
    }
    Ok(())
}

impl Plan {
    fn new(trees: &Trees, identities: &Identities, changes: Changes) -> sled::Result<Self> {
        let mut plan = Self::default();
        for (key, value) in changes {
            plan.stale.extend(run_under(trees, &key)?);
            let head = value.map(|value| plan.head(identities, &key, value));
            plan.heads.push((key, head));
        }
        Ok(plan)
    }

    fn head(&mut self, identities: &Identities, key: &[u8], value: Bytes) -> Bytes {
        if value.len() <= CHUNK_BYTES {
            return Stored::Inline(&value).seal(key).into();
        }
        let run = identities.run(&value);
        self.fresh.push((run, value));
        Stored::Run(run).seal(key).into()
    }

    fn redo(&self, trees: &Trees) -> sled::Result<()> {
        for (key, head) in &self.heads {
            set_head(trees, key, head.as_deref())?;
        }
        self.stale
            .iter()
            .try_for_each(|run| run.remove(&trees.chunks))
    }

    fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.number(self.heads.len() as u64);
        for (key, head) in &self.heads {
            writer.bytes(key);
            writer.byte(u8::from(head.is_some()));
            writer.bytes(head.as_deref().unwrap_or_default());
        }
        encode_runs(&mut writer, &self.stale);
        writer.finish()
    }

    fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut plan = Self::default();
        for _ in 0..reader.number()? {
            let key = reader.bytes("a key", usize::MAX)?;
            let is_put = reader.byte()? == 1;
            let head = reader.bytes("a head", usize::MAX)?;
            plan.heads.push((key, is_put.then_some(head)));
        }
        plan.stale = decode_runs(&mut reader)?;
        reader.finish()?;
        Ok(plan)
    }
}

/// What a journal entry says.
#[derive(Debug)]
enum Entry {
    Prepared(Vec<Run>),
    Committed(Bytes),
    /// Committed, with changes too long for one item.
    CommittedRun(Run),
}

impl Entry {
    fn seal(&self, key: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Prepared(runs) => {
                writer.byte(0);
                encode_runs(&mut writer, runs);
            }
            Self::Committed(body) => {
                writer.byte(1);
                writer.raw(body);
            }
            Self::CommittedRun(run) => {
                writer.byte(2);
                run.encode(&mut writer);
            }
        }
        envelope::seal(key, &[&writer.finish()])
    }

    fn decode(content: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(content));
        match reader.byte()? {
            0 => Ok(Self::Prepared(decode_runs(&mut reader)?)),
            1 => Ok(Self::Committed(reader.raw(reader.remaining())?)),
            2 => Ok(Self::CommittedRun(Run::decode(&mut reader)?)),
            _ => Err(DecodeError::Malformed("the kind of a journal entry")),
        }
    }
}

fn commit(trees: &Trees, identities: &Identities, plan: Plan) -> sled::Result<()> {
    let key = identities.entry();
    let body = plan.encode();
    let long = (body.len() > CHUNK_BYTES).then(|| identities.run(&body));
    prepare(trees, key, &plan, long.zip(Some(&body)))?;
    let entry = long.map_or_else(|| Entry::Committed(body.clone()), Entry::CommittedRun);
    trees.entries.insert(key, entry.seal(&key))?;
    plan.redo(trees)?;
    finish(trees, &key, long)
}

/// Writes what the commit will refer to; until then it can be undone.
fn prepare(
    trees: &Trees,
    key: [u8; 8],
    plan: &Plan,
    body: Option<(Run, &Bytes)>,
) -> sled::Result<()> {
    let fresh = plan
        .fresh
        .iter()
        .map(|(run, value)| (*run, value))
        .chain(body);
    let runs: Vec<Run> = fresh.clone().map(|(run, _)| run).collect();
    if runs.is_empty() {
        return Ok(());
    }
    trees
        .entries
        .insert(key, Entry::Prepared(runs).seal(&key))?;
    fresh
        .into_iter()
        .try_for_each(|(run, value)| run.write(&trees.chunks, value))
}

/// Forgets the entry. A long body goes first, under an entry that says that it may.
fn finish(trees: &Trees, key: &[u8], body: Option<Run>) -> sled::Result<()> {
    if let Some(run) = body {
        trees
            .entries
            .insert(key, Entry::Prepared(vec![run]).seal(key))?;
        run.remove(&trees.chunks)?;
    }
    trees.entries.remove(key).map(drop)
}

fn recover_entry(trees: &Trees, key: &[u8], content: &[u8]) -> Result<(), RecoveryError> {
    let (body, long) = match Entry::decode(content)? {
        Entry::Prepared(runs) => {
            runs.iter().try_for_each(|run| run.remove(&trees.chunks))?;
            return Ok(finish(trees, key, None)?);
        }
        Entry::Committed(body) => (body, None),
        Entry::CommittedRun(run) => {
            let body = run.read(&trees.chunks)?;
            (body.map_err(RecoveryError::Incomplete)?, Some(run))
        }
    };
    Plan::decode(body)?.redo(trees)?;
    Ok(finish(trees, key, long)?)
}

fn set_head(trees: &Trees, key: &[u8], head: Option<&[u8]>) -> sled::Result<()> {
    match head {
        Some(head) => trees.items.insert(key, head).map(drop),
        None => trees.items.remove(key).map(drop),
    }
}

/// The run that `key` refers to. A head that is not believed refers to nothing: its chunks stay behind.
fn run_under(trees: &Trees, key: &[u8]) -> sled::Result<Option<Run>> {
    let stored = trees.items.get(key)?;
    Ok(stored.and_then(|stored| match Stored::open(key, &stored) {
        Ok(Stored::Run(run)) => Some(run),
        _ => None,
    }))
}

fn encode_runs(writer: &mut Writer, runs: &[Run]) {
    writer.number(runs.len() as u64);
    runs.iter().for_each(|run| run.encode(writer));
}

fn decode_runs(reader: &mut Reader) -> Result<Vec<Run>, DecodeError> {
    (0..reader.number()?).map(|_| Run::decode(reader)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::SledStorage;
    use super::*;
    use crate::dynamo::replica::storage::{Batch, Storage};
    use crate::storage::opening::{Durability, History, Opened, Options};
    use std::fs::{self, File};
    use std::path::Path;

    const KEYS: usize = 3;

    fn open(folder: &Path) -> Opened<SledStorage> {
        let options = Options {
            durability: Durability::Forgone,
            ..Options::default()
        };
        SledStorage::open(folder, options).expect("opens")
    }

    /// Batch `round` puts the same into every key, of a length that is now inline and now a run.
    fn value(round: u8) -> Bytes {
        let lengths = [10, 30_000, 8_000, 100, 20_000, 8_192, 8_193];
        vec![round; lengths[usize::from(round) % lengths.len()]].into()
    }

    fn batch(round: u8) -> Batch {
        let mut batch = Batch::default();
        for key in 0..KEYS as u8 {
            batch.put(Bytes::from(vec![key; 5]), value(round));
        }
        batch
    }

    /// The round of every key, if all agree, and nothing is stored that no key refers to.
    fn whole(storage: &SledStorage) -> Option<u8> {
        let found = storage
            .scan(Bytes::new()..Bytes::from_static(&[255]), 10)
            .expect("scans");
        let round = found.first().map(|(_, value)| value[0]);
        let expected = round.map_or(0, |_| KEYS);
        assert_eq!(
            found.len(),
            expected,
            "some keys are there and some are not"
        );
        let same = |(_, found): &(Bytes, Bytes)| Some(found) == round.map(value).as_ref();
        assert!(found.iter().all(same), "keys are of different batches");
        let trees = &storage.engine.started.trees;
        let chunks = found.iter().map(|(_, value)| value.len());
        let chunks = chunks.filter(|length| *length > CHUNK_BYTES);
        let chunks: usize = chunks.map(|length| length.div_ceil(CHUNK_BYTES)).sum();
        assert_eq!(trees.chunks.len(), chunks, "chunks that nothing refers to");
        assert!(trees.entries.is_empty(), "the journal was not finished");
        round
    }

    fn copy_cut(from: &Path, to: &Path, cut: u64) {
        fs::create_dir_all(to.join("sled/blobs")).expect("creates");
        for name in ["marker", "sled/conf", "sled/db"] {
            fs::copy(from.join(name), to.join(name)).expect("copies");
        }
        let db = File::options().write(true).open(to.join("sled/db"));
        let db = db.expect("opens");
        let length = db.metadata().expect("is there").len();
        db.set_len(cut).expect("cuts");
        db.set_len(length).expect("and fills with zeroes");
    }

    /// A first session has no snapshot, and its log lies in the file in order: cutting the file at any
    /// byte is a crash at that moment.
    #[test]
    fn a_crash_at_any_byte_leaves_whole_batches_and_no_stray_chunk() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let Opened { mut storage, .. } = open(folder.path());
        let db = folder.path().join("sled/db");
        let start = fs::metadata(&db).expect("is there").len();
        for round in 1..=14 {
            storage.apply(batch(round)).expect("applies");
            assert_eq!(whole(&storage), Some(round));
        }
        storage.sync().expect("syncs");
        drop(storage);
        let end = fs::metadata(&db).expect("is there").len();
        let mut rounds = Vec::new();
        for step in 0..=60 {
            let cut = start + (end - start) * step / 60;
            let copy = tempfile::tempdir().expect("a temporary folder");
            copy_cut(folder.path(), copy.path(), cut);
            let opened = open(copy.path());
            assert_eq!(opened.history, History::Continued, "cut at {cut} of {end}");
            rounds.push(whole(&opened.storage));
        }
        assert!(rounds.is_sorted(), "{rounds:?}");
        assert_eq!((rounds[0], rounds[60]), (None, Some(14)));
        assert!(rounds.iter().filter(|round| **round == Some(7)).count() > 0);
    }
}
