//! A disk that forgets: from recorded events to what is left of a folder when the power fails.
//!
//! What was synced stays. Of the rest, whatever the image's rules say: nothing, all, or any pages of 4 KiB
//! or sectors of 512 bytes in any of the versions that they had since, and any length that a file had. New
//! names stay by one of two rules. `Strict`: a name stays once its folder was synced, and each other change
//! of names may have reached the disk or not. `Journal`, as ext4 does it: changes of names reach the disk in
//! order, and an fsync of anything brings all that were made before it.
//!
//! Invariant: no image lacks what was synced, or holds what was never written.

use super::recording::{Change, Event, Id, Recording, Start};
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What becomes of data that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    Nothing,
    All,
    /// Units of so many bytes, each by itself.
    Parts(usize),
}

/// Which changes of names are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    Strict,
    Journal,
}

type Names = BTreeMap<(Id, String), Id>;
type NameChange = Vec<(Id, String, Option<Id>)>;

#[derive(Debug, Default, Clone)]
struct Content {
    synced: Vec<u8>,
    /// With the number of events before their calls had ended.
    pending: Vec<(Change, usize)>,
}

/// One of the two beliefs about names.
#[derive(Debug, Default)]
struct Index {
    synced: Names,
    pending: Vec<(NameChange, usize)>,
}

/// The state of a disk after some events.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<Id, Content>,
    strict: Index,
    journal: Index,
}

impl Disk {
    /// The disk on which a recording began.
    pub fn at(start: &Start) -> Self {
        let mut disk = Self::default();
        let mut names = Names::new();
        let places = start.folders.iter().map(|(path, id)| (path, *id));
        let files = start.files.iter().map(|(path, (id, _))| (path, *id));
        for (path, id) in places.chain(files) {
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                let name = name.to_string_lossy().into_owned();
                names.insert((start.folders[parent], name), id);
            }
        }
        for (id, bytes) in start.files.values() {
            let content = Content {
                synced: bytes.clone(),
                pending: Vec::new(),
            };
            disk.files.insert(*id, content);
        }
        disk.strict.synced = names.clone();
        disk.journal.synced = names;
        disk
    }

    /// What the event with this number does.
    pub fn apply(&mut self, number: usize, event: &Event) {
        match event {
            Event::Make {
                is_folder: true, ..
            }
            | Event::Told(_) => {}
            Event::Make { id, .. } => {
                self.files.insert(*id, Content::default());
            }
            Event::Name(changes) => {
                for index in [&mut self.strict, &mut self.journal] {
                    index.pending.push((changes.clone(), number));
                }
            }
            Event::Data { id, change, ended } => {
                let file = self.files.entry(*id).or_default();
                file.pending.push((change.clone(), *ended));
            }
            Event::Sync { id, begun, names } => {
                if let Some(file) = self.files.get_mut(id) {
                    file.sync(*begun);
                }
                self.strict.sync_folder(*id, *begun);
                if *names {
                    self.journal.sync_all(*begun);
                }
            }
        }
    }

    /// What a power failure now leaves, written to `folder`. Says whether anything was at stake.
    pub fn fail(
        &self,
        survival: Survival,
        naming: Naming,
        dice: &mut StdRng,
        folder: &Path,
    ) -> io::Result<()> {
        let index = match naming {
            Naming::Strict => &self.strict,
            Naming::Journal => &self.journal,
        };
        let names = index.after(survival, naming, dice);
        self.write_folder(0, folder, &names, survival, dice)
    }

    fn write_folder(
        &self,
        id: Id,
        folder: &Path,
        names: &Names,
        survival: Survival,
        dice: &mut StdRng,
    ) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let inside = names.range((id, String::new())..(id + 1, String::new()));
        for ((_, name), id) in inside {
            let path = folder.join(name);
            match self.files.get(id) {
                Some(file) => write_sparsely(&path, &file.after(survival, dice))?,
                None => self.write_folder(*id, &path, names, survival, dice)?,
            }
        }
        Ok(())
    }
}

impl Content {
    fn sync(&mut self, begun: usize) {
        let pending = std::mem::take(&mut self.pending);
        for (change, ended) in pending {
            match ended <= begun {
                true => change.apply(&mut self.synced),
                false => self.pending.push((change, ended)),
            }
        }
    }

    fn after(&self, survival: Survival, dice: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        match survival {
            Survival::Nothing => {}
            Survival::All => self
                .pending
                .iter()
                .for_each(|(change, _)| change.apply(&mut bytes)),
            Survival::Parts(unit) => self.keep_parts(&mut bytes, unit, dice),
        }
        bytes
    }

    /// Each unit is as it was after some of the changes; so is the length.
    fn keep_parts(&self, bytes: &mut Vec<u8>, unit: usize, dice: &mut StdRng) {
        let mut lengths = vec![bytes.len()];
        let mut kept: BTreeMap<usize, usize> = BTreeMap::new();
        let count = self.pending.len();
        for (number, (change, _)) in self.pending.iter().enumerate() {
            let length = change.length_after(lengths[number]);
            lengths.push(length);
            let (from, to) = change.extent(lengths[number]);
            bytes.resize(bytes.len().max(to), 0);
            for place in from / unit..to.div_ceil(unit) {
                let kept = *kept.entry(place).or_insert_with(|| some_of(count, dice));
                if number < kept {
                    let within = (place * unit).max(from)..((place + 1) * unit).min(to);
                    change.apply_within(bytes, within);
                }
            }
        }
        bytes.resize(lengths[some_of(count, dice)], 0);
    }
}

/// None, all, or any number of `count`, each as often as the others.
fn some_of(count: usize, dice: &mut StdRng) -> usize {
    match dice.random_range(0..3) {
        0 => 0,
        1 => count,
        _ => dice.random_range(0..=count),
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => {
                let from = *offset as usize;
                let to = from + data.len();
                bytes.resize(bytes.len().max(to), 0);
                bytes[from..to].copy_from_slice(data);
            }
            Self::Truncate(length) => bytes.resize(*length as usize, 0),
        }
    }

    fn length_after(&self, length: usize) -> usize {
        match self {
            Self::Write { data, .. } if data.is_empty() => length,
            Self::Write { offset, data } => length.max(*offset as usize + data.len()),
            Self::Truncate(length) => *length as usize,
        }
    }

    /// The bytes that it touches, of a file that is `length` long.
    fn extent(&self, length: usize) -> (usize, usize) {
        match self {
            Self::Write { offset, data } => (*offset as usize, *offset as usize + data.len()),
            Self::Truncate(to) => ((*to as usize).min(length), length),
        }
    }

    fn apply_within(&self, bytes: &mut [u8], within: std::ops::Range<usize>) {
        match self {
            Self::Write { offset, data } => {
                let start = within.start - *offset as usize;
                bytes[within.clone()].copy_from_slice(&data[start..start + within.len()]);
            }
            Self::Truncate(_) => bytes[within].fill(0),
        }
    }
}

impl Index {
    fn sync_folder(&mut self, folder: Id, begun: usize) {
        for (changes, number) in &mut self.pending {
            if *number < begun {
                let (synced, left) = changes
                    .drain(..)
                    .partition(|(inside, ..)| *inside == folder);
                *changes = left;
                set(&mut self.synced, &synced);
            }
        }
        self.pending.retain(|(changes, _)| !changes.is_empty());
    }

    fn sync_all(&mut self, begun: usize) {
        let (before, after) = self
            .pending
            .drain(..)
            .partition(|(_, number)| *number < begun);
        self.pending = after;
        let before: Vec<(NameChange, usize)> = before;
        before
            .iter()
            .for_each(|(changes, _)| set(&mut self.synced, changes));
    }

    fn after(&self, survival: Survival, naming: Naming, dice: &mut StdRng) -> Names {
        let mut names = self.synced.clone();
        let first = match (survival, naming) {
            (Survival::Nothing, _) => 0,
            (Survival::All, _) | (_, Naming::Strict) => self.pending.len(),
            (_, Naming::Journal) => some_of(self.pending.len(), dice),
        };
        let any = survival != Survival::All && naming == Naming::Strict;
        for (changes, _) in &self.pending[..first] {
            if !any || dice.random_bool(0.5) {
                set(&mut names, changes);
            }
        }
        names
    }
}

fn set(names: &mut Names, changes: &NameChange) {
    for (folder, name, id) in changes {
        let place = (*folder, name.clone());
        match id {
            Some(id) => names.insert(place, *id),
            None => names.remove(&place),
        };
    }
}

/// Zeroes need not be written.
fn write_sparsely(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.set_len(bytes.len() as u64)?;
    for (number, part) in bytes.chunks(64 * 1024).enumerate() {
        if part.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(number as u64 * 64 * 1024))?;
            file.write_all(part)?;
        }
    }
    Ok(())
}

/// All events that happened, for tests that want the folder as the process left it.
pub fn replay(recording: &Recording) -> Disk {
    let mut disk = Disk::at(&recording.start);
    for (number, event) in recording.events.iter().enumerate() {
        disk.apply(number, event);
    }
    disk
}

/// Whether two folders hold the same.
pub fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (ours, theirs) = (listing(one)?, listing(other)?);
    if ours.keys().ne(theirs.keys()) {
        return Ok(false);
    }
    Ok(ours
        .iter()
        .all(|(name, bytes)| theirs.get(name) == Some(bytes)))
}

fn listing(folder: &Path) -> io::Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        if !path.is_dir() {
            found.insert(name, Some(fs::read(&path)?));
            continue;
        }
        for (inside, bytes) in listing(&path)? {
            found.insert(name.join(inside), bytes);
        }
        found.insert(name, None);
    }
    Ok(found)
}
