//! A disk that loses what was not synced, in the ways in which disks do.
//!
//! Tells applied from synced. A crash keeps any prefix of the batches since the last sync. It can refuse
//! writes, fail a batch in three ways, forget or corrupt one key, and be wiped. Decides nothing by
//! itself: the nemesis gives the orders.
//!
//! Invariant: what a sync covered is there after every crash, unless the disk was wiped or told to forget.

use bytes::Bytes;
use rejoin::dynamo::replica::storage::{Batch, Change, Item, Storage, StorageError};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;

/// How the disk takes the next batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Good,
    ReadOnly,
    /// It fails and the batch is nowhere.
    FailsAndLoses,
    /// It fails, and yet the batch can be read.
    FailsAndApplies,
    /// It fails, the batch cannot be read, and comes back with the next crash.
    FailsAndHides,
}

/// A way in which a disk is built wrong, to prove that the checkers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    None,
    /// Says that it applied a batch, and did nothing.
    Swallows,
    /// Loses a version of every object that has siblings.
    DropsSiblings,
    /// Deletes nothing.
    Hoards,
}

/// One applied batch, for the oracle.
#[derive(Debug, Clone)]
pub struct Applied {
    pub number: u64,
    pub before: BTreeMap<Bytes, Bytes>,
    pub batch: Batch,
}

/// What a disk held at some moment.
pub type Image = BTreeMap<Bytes, Bytes>;

#[derive(Debug)]
pub struct Disk {
    applied: BTreeMap<Bytes, Bytes>,
    synced: BTreeMap<Bytes, Bytes>,
    /// Applied and not yet synced, oldest first.
    unsynced: VecDeque<Batch>,
    batches: u64,
    corrupt: BTreeSet<Bytes>,
    log: Vec<Applied>,
    pub health: Health,
    /// It takes no writes until something is removed from it, whatever becomes of the process.
    pub is_full: bool,
    pub defect: Defect,
}

impl Disk {
    pub fn new(defect: Defect) -> Self {
        Self {
            applied: BTreeMap::new(),
            synced: BTreeMap::new(),
            unsynced: VecDeque::new(),
            batches: 0,
            corrupt: BTreeSet::new(),
            log: Vec::new(),
            health: Health::Good,
            is_full: false,
            defect,
        }
    }

    /// Batches taken so far; a sync that starts now covers them.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// What was applied since this was last asked.
    pub fn take_log(&mut self) -> Vec<Applied> {
        std::mem::take(&mut self.log)
    }

    /// Makes the batches up to this number durable.
    pub fn sync_to(&mut self, number: u64) {
        let synced = self.batches - self.unsynced.len() as u64;
        let covered = number.saturating_sub(synced) as usize;
        for batch in self.unsynced.drain(..covered) {
            play(&batch, &mut self.synced);
        }
    }

    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The process dies; the first `kept` of the unsynced batches had reached the disk.
    pub fn crash(&mut self, kept: usize) {
        for batch in self.unsynced.drain(..).take(kept) {
            play(&batch, &mut self.synced);
        }
        self.applied = self.synced.clone();
        self.health = Health::Good;
    }

    /// What would be found after a crash now.
    pub fn image(&self) -> Image {
        self.synced.clone()
    }

    /// An older image takes the place of everything. The keys whose items differ.
    pub fn restore(&mut self, image: Image) -> Vec<Bytes> {
        let is_other = |key: &&Bytes| self.synced.get(*key) != image.get(*key);
        let keys: BTreeSet<&Bytes> = self.synced.keys().chain(image.keys()).collect();
        let keys = keys.into_iter().filter(is_other).cloned().collect();
        self.wipe();
        self.applied = image.clone();
        self.synced = image;
        keys
    }

    pub fn wipe(&mut self) {
        self.unsynced.clear();
        self.synced.clear();
        self.applied.clear();
        self.corrupt.clear();
    }

    pub fn forget(&mut self, key: &Bytes) {
        self.applied.remove(key);
        self.synced.remove(key);
    }

    /// The item fails its checksum until it is written again.
    pub fn corrupt(&mut self, key: &Bytes) {
        if self.applied.contains_key(key) {
            self.corrupt.insert(key.clone());
        }
    }

    fn accept(&mut self, batch: Batch) {
        for change in &batch.changes {
            if let Change::Put { key, .. } = change {
                self.corrupt.remove(key);
            }
        }
        play(&batch, &mut self.applied);
    }

    fn record(&mut self, batch: &Batch) {
        self.batches += 1;
        self.unsynced.push_back(batch.clone());
        let keys = batch.changes.iter().map(|change| match change {
            Change::Put { key, .. } | Change::Delete { key } => key,
        });
        let readable = keys.filter(|key| !self.corrupt.contains(*key));
        let before = readable
            .filter_map(|key| Some((key.clone(), self.applied.get(key)?.clone())))
            .collect();
        self.log.push(Applied {
            number: self.batches,
            before,
            batch: batch.clone(),
        });
    }

    fn take(&mut self, batch: Batch) -> Result<(), StorageError> {
        let failed = || Err(StorageError::Failed("simulated".to_owned()));
        match self.health {
            _ if self.is_full => return Err(StorageError::ReadOnly("full".to_owned())),
            Health::ReadOnly => return Err(StorageError::ReadOnly("simulated".to_owned())),
            Health::FailsAndLoses => return failed(),
            _ => self.record(&batch),
        }
        match self.health {
            Health::FailsAndHides => failed(),
            Health::FailsAndApplies => {
                self.accept(batch);
                failed()
            }
            _ => {
                self.accept(batch);
                Ok(())
            }
        }
    }
}

fn play(batch: &Batch, map: &mut BTreeMap<Bytes, Bytes>) {
    for change in &batch.changes {
        match change {
            Change::Put { key, value } => map.insert(key.clone(), value.clone()),
            Change::Delete { key } => map.remove(key),
        };
    }
}

/// The handle that a machine holds while the world keeps another.
#[derive(Debug, Clone)]
pub struct Handle(pub Rc<RefCell<Disk>>);

impl Storage for Handle {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let disk = self.0.borrow();
        if disk.corrupt.contains(key) {
            return Err(StorageError::Corrupt("simulated".to_owned()));
        }
        Ok(disk.applied.get(key).cloned())
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        let disk = self.0.borrow();
        let items = disk.applied.range(range);
        let items = items.filter(|(key, _)| !disk.corrupt.contains(*key));
        let items = items.take(items_max);
        Ok(items.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        let mut disk = self.0.borrow_mut();
        match disk.defect {
            Defect::None => disk.take(batch),
            Defect::Swallows => Ok(()),
            Defect::Hoards => disk.take(super::mutant::without_deletes(batch)),
            Defect::DropsSiblings => disk.take(super::mutant::without_a_sibling(batch)),
        }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let mut disk = self.0.borrow_mut();
        let all = disk.batches;
        disk.sync_to(all);
        Ok(())
    }
}
