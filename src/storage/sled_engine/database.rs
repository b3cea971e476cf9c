//! sled's own settings and files: how it is opened, and what is done for it before and after.
//!
//! Knows nothing of items. sled's flusher thread stays off: it syncs behind our back and only logs an
//! error, which hides a failed sync from the next one.
//!
//! Invariant: sled sees no half of a snapshot and no damaged settings, and no page beside its log stays
//! unsynced.

use super::run::SEGMENT_BYTES;
use crate::storage::fault::Fault;
use crate::storage::folder::{self, FolderError};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How sled is opened in `folder`.
pub fn config(folder: &Path, cache_bytes: u64) -> sled::Config {
    sled::Config::new()
        .path(folder)
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None)
}

/// Opens sled, waiting up to some ten seconds for its file lock.
///
/// sled's threads may hold the files of a database for a moment after its last handle is gone. Other
/// processes are kept away by our own lock.
pub fn open_patiently(config: &sled::Config) -> sled::Result<sled::Db> {
    for _ in 0..2_000 {
        match config.open() {
            Err(sled::Error::Io(error)) if is_locked(&error) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
    config.open()
}

/// Removes what a crash during an earlier open left: sled would take it for a snapshot.
pub fn remove_half_snapshots(folder: &Path) -> Result<(), FolderError> {
    for path in folder::entries(folder)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(folder::at("remove", &path))?;
        }
    }
    Ok(())
}

/// Refuses settings whose checksum is wrong.
///
/// sled itself only warns of one, and then takes a flipped digit for another release's database, which would
/// end in a refusal for a person to solve. Fewer than nine bytes are left to sled: it writes them anew.
pub fn check_settings(folder: &Path) -> Result<(), Fault> {
    let path = folder.join("conf");
    let stored = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let text = format!("cannot read {}: {error}", path.display());
            return Err(Fault::of_system(&error, text));
        }
        Ok(stored) => stored,
    };
    match stored.split_last_chunk() {
        Some((settings, checksum))
            if stored.len() > 8 && crc32fast::hash(settings) != u32::from_le_bytes(*checksum) =>
        {
            let text = format!("the checksum of {} is wrong", path.display());
            Err(Fault::Broken(text))
        }
        _ => Ok(()),
    }
}

/// Syncs the values that sled put beside its log, and says how many; there should be none, ever.
pub fn sync_blobs(folder: &Path) -> Result<u64, FolderError> {
    let blobs = folder.join("blobs");
    let files = folder::entries(&blobs)?;
    for path in &files {
        match folder::sync(path) {
            Err(FolderError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            synced => synced?,
        }
    }
    if !files.is_empty() {
        folder::sync(&blobs)?;
    }
    Ok(files.len() as u64)
}

fn is_locked(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::Other && error.to_string().contains("could not acquire lock")
}
