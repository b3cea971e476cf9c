//! Asks sled, by its own system calls, how it syncs here.
//!
//! The database file leads to `/dev/null`: written bytes vanish, `sync_file_range` answers ESPIPE and
//! fsync EINVAL, so the error of a flush tells which of them sled went by. sled locks its file, so probes
//! of several processes wait for each other; where somebody holds `/dev/null` for good, `/dev/zero`
//! answers the same.
//!
//! Invariant: an answer other than the two expected is reported, never guessed at.

use super::database;
use crate::storage::fault::guarded;
use std::path::Path;

/// Which call sled's flush ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// fsync: what was flushed survives power loss.
    Synced,
    /// `sync_file_range`: it does not.
    RangeOnly,
}

/// Flushes a sled whose file takes everything and keeps nothing. Leaves files in `folder`.
#[cfg(target_os = "linux")]
pub fn flush_to_nowhere(folder: &Path) -> Result<Answer, String> {
    flush_to("/dev/null", &folder.join("null")).or_else(|why| {
        flush_to("/dev/zero", &folder.join("zero")).map_err(|also| why + "; " + &also)
    })
}

/// Elsewhere sled calls fsync without a detour.
#[cfg(not(target_os = "linux"))]
pub fn flush_to_nowhere(_folder: &Path) -> Result<Answer, String> {
    Ok(Answer::Synced)
}

#[cfg(target_os = "linux")]
fn flush_to(device: &str, folder: &Path) -> Result<Answer, String> {
    std::fs::create_dir(folder)
        .and_then(|()| std::os::unix::fs::symlink(device, folder.join("db")))
        .map_err(|error| format!("cannot link to {device} in {}: {error}", folder.display()))?;
    let config = database::config(folder, 1024 * 1024);
    match guarded(|| database::open_patiently(&config)?.flush()) {
        Err(fault) => judge(device, &format!("{fault:?}")),
        Ok(bytes) => Err(format!("a flush of {bytes} bytes to {device} succeeded")),
    }
}

#[cfg(target_os = "linux")]
fn judge(device: &str, fault: &str) -> Result<Answer, String> {
    match fault {
        _ if fault.contains("os error 22") || fault.contains("code: 22") => Ok(Answer::Synced),
        _ if fault.contains("os error 29") || fault.contains("code: 29") => Ok(Answer::RangeOnly),
        _ => Err(format!("flushing sled to {device} gave {fault}")),
    }
}
