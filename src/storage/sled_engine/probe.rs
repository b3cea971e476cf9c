//! Asks sled, by its own system calls, how it syncs here.
//!
//! The database file leads to `/dev/null`: written bytes vanish, `sync_file_range` answers ESPIPE and
//! fsync EINVAL, so the error of a flush tells which of them sled went by. Nothing is opened twice: if
//! another probe on this machine has sled's lock on `/dev/null`, this one waits its turn.
//!
//! Invariant: an answer other than the two expected is reported, never guessed at.

use super::database;
use super::fault::guarded;
use std::path::Path;

/// Which call sled's flush ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// fsync: what was flushed survives power loss.
    Synced,
    /// `sync_file_range`: it does not.
    RangeOnly,
}

/// Flushes a sled whose file is `/dev/null`. Leaves files in `folder`, which must be empty.
#[cfg(target_os = "linux")]
pub fn flush_to_null(folder: &Path) -> Result<Answer, String> {
    std::os::unix::fs::symlink("/dev/null", folder.join("db"))
        .map_err(|error| format!("cannot link to /dev/null in {}: {error}", folder.display()))?;
    let config = database::config(folder, 1024 * 1024);
    match guarded(|| database::open_patiently(&config)?.flush()) {
        Err(fault) => judge(&format!("{fault:?}")),
        Ok(bytes) => Err(format!("a flush of {bytes} bytes to /dev/null succeeded")),
    }
}

/// Elsewhere sled calls fsync without a detour.
#[cfg(not(target_os = "linux"))]
pub fn flush_to_null(_folder: &Path) -> Result<Answer, String> {
    Ok(Answer::Synced)
}

#[cfg(target_os = "linux")]
fn judge(fault: &str) -> Result<Answer, String> {
    match fault {
        _ if fault.contains("os error 22") || fault.contains("code: 22") => Ok(Answer::Synced),
        _ if fault.contains("os error 29") || fault.contains("code: 29") => Ok(Answer::RangeOnly),
        _ => Err(format!("flushing sled to /dev/null gave {fault}")),
    }
}
