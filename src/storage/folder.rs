//! The data folder: one process at a time, a marker, and room to put a broken database aside.
//!
//! ```text
//! lock                    held while a process uses the folder; its pid is inside, for people
//! marker                  see marker.rs
//! sled/ or redb/          the engine's own files
//! quarantine-<unix>-<n>/  a database that was given up; never deleted by us
//! ```
//! Knows nothing of what the engine keeps.
//!
//! Invariant: every name that matters is synced, with its folder, before the call that made it returns.

use crate::storage::marker::{EngineName, FORMAT, Marker, Reading};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process holds the lock.
    #[error(
        "the folder {} is in use by another rejoin process ({pid}); stop it, or give this node a data \
         folder of its own", folder.display()
    )]
    InUse { folder: PathBuf, pid: String },
    /// A newer release wrote here; nothing was changed.
    #[error(
        "the folder {} has storage format {found}, this release reads up to {known}; run the newer \
         release again, or start with another data folder", folder.display()
    )]
    NewerFormat {
        folder: PathBuf,
        found: u32,
        known: u32,
    },
    /// Another engine keeps its database here; nothing was changed.
    #[error(
        "the folder {} holds a database of {found}, and this node is configured for {asked}; set \
         `storage = \"{found}\"`, or give the node another data folder, which its peers will fill",
        folder.display(), found = found.as_str(), asked = asked.as_str()
    )]
    OtherEngine {
        folder: PathBuf,
        found: EngineName,
        asked: EngineName,
    },
    /// The system refused; nothing is known to be lost.
    #[error("cannot {what} {}: {source}; check permissions and space, then start again", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// What stands where the marker belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Absent,
    Damaged,
    Valid(Marker),
}

/// A data folder that this process has for itself, until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    engine: EngineName,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if need be, and locks it for this engine.
    pub fn claim(path: &Path, engine: EngineName) -> Result<Self, FolderError> {
        fs::create_dir_all(path).map_err(at("create", path))?;
        let path = path.canonicalize().map_err(at("find", path))?;
        let lock = lock(&path)?;
        let folder = Self {
            path,
            engine,
            _lock: lock,
        };
        let mut others = EngineName::ALL.into_iter().filter(|name| *name != engine);
        match others.find(|other| folder.path.join(other.as_str()).exists()) {
            Some(other) => Err(folder.other_engine(other)),
            None => Ok(folder),
        }
    }

    /// Whose files it holds.
    pub fn engine_name(&self) -> EngineName {
        self.engine
    }

    /// The folder, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engine keeps its files.
    pub fn engine(&self) -> PathBuf {
        self.path.join(self.engine.as_str())
    }

    /// Reads the marker; one of a newer release, or of another engine, is an error.
    pub fn marker(&self) -> Result<Found, FolderError> {
        let path = self.path.join("marker");
        match fs::read(&path).map(|bytes| Marker::read(&bytes)) {
            Ok(Reading::Newer(found)) => Err(FolderError::NewerFormat {
                folder: self.path.clone(),
                found,
                known: FORMAT,
            }),
            Ok(Reading::Valid(marker)) if marker.engine != self.engine => {
                Err(self.other_engine(marker.engine))
            }
            Ok(Reading::Valid(marker)) => Ok(Found::Valid(marker)),
            Ok(Reading::Damaged) => Ok(Found::Damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Absent),
            Err(error) => Err(at("read", &path)(error)),
        }
    }

    /// Replaces the marker, durably and as a whole.
    pub fn mark(&self, marker: &Marker) -> Result<(), FolderError> {
        let (new, path) = (self.path.join("marker.new"), self.path.join("marker"));
        let mut file = File::create(&new).map_err(at("create", &new))?;
        file.write_all(marker.to_string().as_bytes())
            .map_err(at("write", &new))?;
        file.sync_all().map_err(at("sync", &new))?;
        fs::rename(&new, &path).map_err(at("replace", &path))?;
        sync(&self.path)
    }

    /// Moves the engine's files aside, durably, and says where to.
    pub fn quarantine(&self) -> Result<PathBuf, FolderError> {
        let from = self.engine();
        let to = self.unused_quarantine();
        fs::rename(&from, &to).map_err(at("move aside", &from))?;
        sync(&self.path)?;
        Ok(to)
    }

    /// Syncs the folder and the one it stands in, so that its own name survives.
    pub fn sync_names(&self) -> Result<(), FolderError> {
        sync(&self.path)?;
        self.path.parent().map_or(Ok(()), sync)
    }

    fn other_engine(&self, found: EngineName) -> FolderError {
        FolderError::OtherEngine {
            folder: self.path.clone(),
            found,
            asked: self.engine,
        }
    }

    fn unused_quarantine(&self) -> PathBuf {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        (0u32..)
            .map(|n| self.path.join(format!("quarantine-{seconds}-{n}")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| self.path.join("quarantine"))
    }
}

/// Syncs a file or a folder to the disk.
pub fn sync(path: &Path) -> Result<(), FolderError> {
    let file = File::open(path).map_err(at("open", path))?;
    file.sync_all().map_err(at("sync", path))
}

/// What stands in a folder.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let entries = fs::read_dir(folder).map_err(at("list", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(at("list", folder))
}

/// Names the path and the deed in an error of the system.
pub fn at<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FolderError + 'a {
    move |source| FolderError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join("lock");
    let options = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .to_owned();
    let mut file = options.open(&path).map_err(at("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let folder = folder.to_owned();
            return Err(FolderError::InUse {
                folder,
                pid: holder(file),
            });
        }
        Err(TryLockError::Error(error)) => return Err(at("lock", &path)(error)),
    }
    file.set_len(0).map_err(at("write", &path))?;
    write!(file, "{}", std::process::id()).map_err(at("write", &path))?;
    Ok(file)
}

fn holder(lock: File) -> String {
    let mut text = String::new();
    match lock.take(20).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("pid {}", text.trim()),
        _ => "pid unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_serves_one_process_and_the_error_names_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let held = DataFolder::claim(folder.path(), EngineName::Sled).expect("nobody holds it");
        let refused = DataFolder::claim(folder.path(), EngineName::Sled).expect_err("it is held");
        assert!(
            refused
                .to_string()
                .contains(&format!("(pid {})", std::process::id()))
        );
        drop(held);
        DataFolder::claim(folder.path(), EngineName::Sled).expect("it is free again");
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = "rejoin-storage-format 99\nwhatever follows\n";
        fs::write(folder.path().join("marker"), text).expect("writable");
        let claimed = DataFolder::claim(folder.path(), EngineName::Sled).expect("nobody holds it");
        let refused = claimed.marker().expect_err("99 is newer");
        assert!(matches!(
            refused,
            FolderError::NewerFormat { found: 99, .. }
        ));
        assert_eq!(
            fs::read_to_string(folder.path().join("marker"))
                .ok()
                .as_deref(),
            Some(text)
        );
    }

    #[test]
    fn quarantine_moves_and_never_overwrites() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let claimed = DataFolder::claim(folder.path(), EngineName::Sled).expect("nobody holds it");
        let moved: Vec<PathBuf> = (0..3)
            .map(|n| {
                fs::create_dir(claimed.engine()).expect("not there");
                fs::write(claimed.engine().join("db"), [n]).expect("writable");
                claimed.quarantine().expect("moves")
            })
            .collect();
        for (n, path) in moved.iter().enumerate() {
            assert_eq!(fs::read(path.join("db")).expect("kept"), [n as u8]);
        }
    }
}
