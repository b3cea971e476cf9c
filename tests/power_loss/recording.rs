//! What a process did to one folder, in the order in which it did it, and what it told meanwhile.
//!
//! A call that this file does not know, on a file of the folder, ends the recording with an error: better
//! no verdict than one that overlooked a write.
//!
//! Does not say what survives: `disk` does.
//!
//! Invariant: data is noted when the call begins, since a part of it may reach the disk before it ends;
//! a sync counts from its end, and for what had ended before it began.

use super::tracer::{Call, Order, Witness};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file or a folder; 0 is the root.
pub type Id = usize;

const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;
const O_APPEND: u32 = 0o2000;
const O_SYNC: u64 = 0o4010000;
const O_DSYNC: u64 = 0o10000;
const MAP_SHARED_KINDS: u64 = 0b11;
const PROT_WRITE: u64 = 2;

/// A change of a file's content.
#[derive(Debug, Clone)]
pub enum Change {
    Write { offset: u64, data: Arc<[u8]> },
    Truncate(u64),
}

/// What happened next.
#[derive(Debug, Clone)]
pub enum Event {
    /// A file or a folder came into being, without a name so far.
    Make { id: Id, is_folder: bool },
    /// Names in folders were set or removed, in one call.
    Name(Vec<(Id, String, Option<Id>)>),
    /// `ended` is the number of events before the call had ended.
    Data {
        id: Id,
        change: Change,
        ended: usize,
    },
    /// What had ended before event `begun` is on the disk.
    Sync { id: Id, begun: usize, names: bool },
    /// A line that the process told.
    Told(String),
}

/// A folder as it was when the recording began; all of it is on the disk.
#[derive(Debug, Default)]
pub struct Start {
    pub folders: BTreeMap<PathBuf, Id>,
    pub files: BTreeMap<PathBuf, (Id, Vec<u8>)>,
}

/// The recorder.
#[derive(Debug)]
pub struct Recording {
    root: PathBuf,
    told: PathBuf,
    pub start: Start,
    pub events: Vec<Event>,
    names: BTreeMap<PathBuf, Id>,
    next: Id,
    /// Calls that have begun, by thread.
    open: BTreeMap<i32, Begun>,
}

/// What is to be done when a call ends.
#[derive(Debug)]
enum Begun {
    Data(Vec<usize>),
    Sync {
        id: Id,
        begun: usize,
        names: bool,
    },
    Open {
        path: PathBuf,
        is_new: bool,
        truncates: bool,
    },
    MakeFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    Link(PathBuf, PathBuf),
}

impl Recording {
    /// Records what happens in `root`; lines written to the file `told` are noted too.
    pub fn of(root: &Path, told: &Path) -> Result<Self> {
        let mut recording = Self {
            root: root.to_owned(),
            told: told.to_owned(),
            start: Start::default(),
            events: Vec::new(),
            names: BTreeMap::new(),
            next: 0,
            open: BTreeMap::new(),
        };
        recording.take_in(root)?;
        Ok(recording)
    }

    fn take_in(&mut self, path: &Path) -> Result<()> {
        let (id, inside) = (self.fresh(), path.strip_prefix(&self.root)?.to_owned());
        self.names.insert(inside.clone(), id);
        if !path.is_dir() {
            self.start.files.insert(inside, (id, fs::read(path)?));
            return Ok(());
        }
        self.start.folders.insert(inside, id);
        for entry in fs::read_dir(path)? {
            self.take_in(&entry?.path())?;
        }
        Ok(())
    }

    fn fresh(&mut self) -> Id {
        self.next += 1;
        self.next - 1
    }

    /// The path within the root, if it is there.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    /// The file behind a descriptor, if it is in the root and still has a name.
    fn file(&self, call: &Call, descriptor: u64) -> Result<Option<Id>> {
        let Ok(path) = call.file(descriptor as i32) else {
            return Ok(None); // No such descriptor: the call will fail.
        };
        let Some(inside) = self.inside(&path) else {
            return Ok(None);
        };
        match self.names.get(&inside) {
            Some(id) => Ok(Some(*id)),
            None if path.to_string_lossy().ends_with(" (deleted)") => Ok(None),
            None => bail!("{} is not known to the recording", path.display()),
        }
    }

    fn data(&mut self, id: Id, change: Change) -> Begun {
        let ended = usize::MAX;
        self.events.push(Event::Data { id, change, ended });
        Begun::Data(vec![self.events.len() - 1])
    }

    /// A write, at a place of its own or where the descriptor stands.
    fn write(
        &mut self,
        call: &Call,
        parts: &[(u64, u64)],
        at: Option<u64>,
    ) -> Result<Option<Begun>> {
        let descriptor = call.arguments[0];
        let path = call.file(descriptor as i32).unwrap_or_default();
        if path == self.told {
            let (address, length) = parts[0];
            let text = String::from_utf8(call.bytes(address, length)?)?;
            let lines = text.lines().map(|line| Event::Told(line.to_owned()));
            self.events.extend(lines);
            return Ok(None);
        }
        let Some(id) = self.file(call, descriptor)? else {
            return Ok(None);
        };
        let offset = match at {
            Some(offset) => offset,
            None => match call.position(descriptor as i32)? {
                (_, flags) if flags & O_APPEND != 0 => call.length(descriptor as i32)?,
                (position, _) => position,
            },
        };
        let mut data = Vec::new();
        for (address, length) in parts {
            data.extend(call.bytes(*address, *length)?);
        }
        let data = data.into();
        Ok(Some(self.data(id, Change::Write { offset, data })))
    }

    fn vector(call: &Call) -> Result<Vec<(u64, u64)>> {
        let raw = call.bytes(call.arguments[1], call.arguments[2] * 16)?;
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes);
        let parts = raw.chunks_exact(16);
        let parts = parts.map(|part| Ok((number(&part[..8])?, number(&part[8..])?)));
        parts.collect()
    }

    fn sync(&self, call: &Call, names: bool) -> Result<Option<Begun>> {
        let id = self.file(call, call.arguments[0])?;
        let begun = self.events.len();
        Ok(id.map(|id| Begun::Sync { id, begun, names }))
    }

    fn opens(&self, call: &Call, path: PathBuf, flags: u64) -> Result<Option<Begun>> {
        let Some(path) = self.inside(&path) else {
            return Ok(None);
        };
        let synchronous = flags & (O_SYNC | O_DSYNC) != 0;
        ensure!(
            !synchronous,
            "{call:?} opens for synchronous writes: not modelled"
        );
        let is_new = flags & O_CREAT != 0 && !self.names.contains_key(&path);
        let truncates = flags & O_TRUNC != 0;
        Ok((is_new || truncates).then_some(Begun::Open {
            path,
            is_new,
            truncates,
        }))
    }

    /// What a call on names will do, if it is about the root.
    fn about(&self, paths: &[PathBuf], begun: impl FnOnce(Vec<PathBuf>) -> Begun) -> Option<Begun> {
        let inside: Option<Vec<PathBuf>> = paths.iter().map(|path| self.inside(path)).collect();
        inside.map(begun)
    }

    fn begin(&mut self, call: &Call) -> Result<Option<Begun>> {
        let [a, b, c, d, ..] = call.arguments;
        let two = |mut paths: Vec<PathBuf>| {
            let second = paths.pop().unwrap_or_default();
            (paths.pop().unwrap_or_default(), second)
        };
        let rename = |paths| {
            let (from, to) = two(paths);
            Begun::Rename(from, to)
        };
        let link = |paths| {
            let (from, to) = two(paths);
            Begun::Link(from, to)
        };
        let remove = |mut paths: Vec<PathBuf>| Begun::Remove(paths.remove(0));
        let make = |mut paths: Vec<PathBuf>| Begun::MakeFolder(paths.remove(0));
        let link_to_elsewhere = |mut paths: Vec<PathBuf>| Begun::Open {
            path: paths.remove(0),
            is_new: true,
            truncates: false,
        };
        Ok(match call.number {
            1 => self.write(call, &[(b, c)], None)?,
            18 => self.write(call, &[(b, c)], Some(d))?,
            20 => self.write(call, &Self::vector(call)?, None)?,
            296 => self.write(call, &Self::vector(call)?, Some(d))?,
            77 => {
                let file = self.file(call, a)?;
                file.map(|id| self.data(id, Change::Truncate(b)))
            }
            74 => self.sync(call, true)?,
            75 => self.sync(call, false)?,
            277 => None, // Neither metadata nor the disk's cache: it promises nothing.
            2 => self.opens(call, call.path(0, None)?, b)?,
            257 => self.opens(call, call.path(1, Some(0))?, c)?,
            82 => self.about(&[call.path(0, None)?, call.path(1, None)?], rename),
            264 | 316 => self.about(&[call.path(1, Some(0))?, call.path(3, Some(2))?], rename),
            86 => self.about(&[call.path(0, None)?, call.path(1, None)?], link),
            265 => self.about(&[call.path(1, Some(0))?, call.path(3, Some(2))?], link),
            // A symbolic link is a name like another; the probe for syncing makes one and removes it.
            88 => self.about(&[call.path(1, None)?], link_to_elsewhere),
            266 => self.about(&[call.path(2, Some(1))?], link_to_elsewhere),
            83 => self.about(&[call.path(0, None)?], make),
            258 => self.about(&[call.path(1, Some(0))?], make),
            84 | 87 => self.about(&[call.path(0, None)?], remove),
            263 => self.about(&[call.path(1, Some(0))?], remove),
            // mmap: only a shared, writable one of a file could change it.
            9 if c & PROT_WRITE != 0 && d & MAP_SHARED_KINDS != 2 => {
                match self.file(call, call.arguments[4])? {
                    Some(_) => bail!("{call:?} maps a file for writing: not modelled"),
                    None => None,
                }
            }
            // fallocate, pwritev2, copy_file_range, sendfile: to a file of the root.
            285 | 328 | 40 => self.unmodelled(call, a)?,
            326 => self.unmodelled(call, c)?,
            // truncate, creat, openat2, io_uring_setup.
            76 | 85 | 437 | 425 => bail!("{call:?} is not modelled"),
            _ => None,
        })
    }

    fn unmodelled(&self, call: &Call, descriptor: u64) -> Result<Option<Begun>> {
        match self.file(call, descriptor)? {
            Some(_) => bail!("{call:?} is not modelled"),
            None => Ok(None),
        }
    }

    fn end(&mut self, begun: Begun, result: i64) -> Result<()> {
        match begun {
            Begun::Data(places) => {
                let now = self.events.len();
                for place in places {
                    if let Event::Data { change, ended, .. } = &mut self.events[place] {
                        *ended = now;
                        shorten(change, result);
                    }
                }
            }
            _ if result < 0 => {} // It did nothing.
            Begun::Sync { id, begun, names } => self.events.push(Event::Sync { id, begun, names }),
            Begun::Open {
                path,
                is_new,
                truncates,
            } => {
                if is_new {
                    self.make(path, false)?;
                } else if truncates {
                    let id = self.names.get(&path).context("an old file has a name")?;
                    let begun = self.data(*id, Change::Truncate(0));
                    self.end(begun, 0)?;
                }
            }
            Begun::MakeFolder(path) => self.make(path, true)?,
            Begun::Remove(path) => {
                self.names.remove(&path);
                let change = (self.parent(&path)?, name(&path), None);
                self.events.push(Event::Name(vec![change]));
            }
            Begun::Link(from, to) => {
                let id = *self.names.get(&from).context("what is linked has a name")?;
                self.names.insert(to.clone(), id);
                let change = (self.parent(&to)?, name(&to), Some(id));
                self.events.push(Event::Name(vec![change]));
            }
            Begun::Rename(from, to) => self.rename(&from, &to)?,
        }
        Ok(())
    }

    fn make(&mut self, path: PathBuf, is_folder: bool) -> Result<()> {
        let id = self.fresh();
        self.events.push(Event::Make { id, is_folder });
        let change = (self.parent(&path)?, name(&path), Some(id));
        self.events.push(Event::Name(vec![change]));
        self.names.insert(path, id);
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        let id = *self.names.get(from).context("what is renamed has a name")?;
        let changes = vec![
            (self.parent(to)?, name(to), Some(id)),
            (self.parent(from)?, name(from), None),
        ];
        self.events.push(Event::Name(changes));
        let moved: Vec<PathBuf> = self
            .names
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in moved {
            if let Some(id) = self.names.remove(&path) {
                let rest = path.strip_prefix(from)?;
                let new = if rest.as_os_str().is_empty() {
                    to.to_owned()
                } else {
                    to.join(rest)
                };
                self.names.insert(new, id);
            }
        }
        Ok(())
    }

    fn parent(&self, path: &Path) -> Result<Id> {
        let parent = path.parent().context("the root is not renamed")?;
        let id = self.names.get(parent);
        Ok(*id.with_context(|| format!("{} has no known folder", path.display()))?)
    }
}

impl Witness for Recording {
    fn enters(&mut self, call: &Call) -> Result<Order> {
        if let Some(begun) = self.begin(call)? {
            self.open.insert(call.thread.as_raw(), begun);
        }
        Ok(Order::Proceed)
    }

    fn leaves(&mut self, call: &Call, result: i64) -> Result<()> {
        match self.open.remove(&call.thread.as_raw()) {
            Some(begun) => self.end(begun, result),
            None => Ok(()),
        }
    }
}

/// A call may do less than it was asked for.
fn shorten(change: &mut Change, result: i64) {
    let done = usize::try_from(result).unwrap_or(0);
    match change {
        Change::Write { data, .. } if done < data.len() => *data = data[..done].into(),
        Change::Truncate(_) if result < 0 => {
            *change = Change::Write {
                offset: 0,
                data: Arc::from([]),
            };
        }
        _ => {}
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
