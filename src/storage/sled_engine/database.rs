//! sled's own settings and files: how it is opened, and what is done for it before and after.
//!
//! Knows nothing of items. sled's flusher thread stays off: it syncs behind our back and only logs an
//! error, which hides a failed sync from the next one.
//!
//! Invariant: sled sees no half of a snapshot, and no page beside its log stays unsynced.

use super::run::SEGMENT_BYTES;
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
