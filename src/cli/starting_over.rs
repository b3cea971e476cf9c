//! What a node does whose disk has no room for its engine: waits until there is some, and starts over in place.
//!
//! A write that failed is never tried again, so the engine is at its end and its database has to be opened anew. The
//! process replaces its own program, so that nothing of the old one is left, and keeps its pid: whoever started it
//! sees no end, and no supervisor has to count restarts.
//!
//! Decides nothing about which failures are worth waiting for.
//!
//! Invariant: between two starts there was room for what opening may write, or a pause.

use crate::limits::disk::{ROOM_DOUBT_MS, ROOM_LOOK_MS, ROOM_TOLD_MS};
use crate::storage::opening::OpenError;
use crate::storage::space::{CRITICAL_BYTES, Space};
use anyhow::Context as _;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Where the node listened, so that it is found there again.
pub struct Listening {
    pub client: SocketAddr,
    pub peer: SocketAddr,
    pub metrics: Option<SocketAddr>,
}

/// Whether an error at the start is the disk's, that it is full.
pub fn is_full(error: &anyhow::Error) -> bool {
    let is_opening = matches!(error.downcast_ref(), Some(OpenError::Full { .. }));
    let is_system = |cause: &io::Error| {
        let kind = cause.kind();
        kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded
    };
    let causes = || error.chain().filter_map(|cause| cause.downcast_ref());
    is_opening || causes().any(is_system)
}

/// Whether the disk has too little room for a database to be opened on it. What cannot be known is left to the opening.
pub fn lacks_room(folder: &Path) -> bool {
    free_bytes(folder).is_some_and(|free| free < CRITICAL_BYTES)
}

/// Resolves when there is room for a start, and says meanwhile how much is missing.
pub async fn wait_for_room(folder: &Path, why: &str) {
    let begun = Instant::now();
    // Where the numbers say that there was room, they say nothing.
    let pause = match lacks_room(folder) {
        true => Duration::ZERO,
        false => Duration::from_millis(ROOM_DOUBT_MS),
    };
    let mut told: Option<Instant> = None;
    while begun.elapsed() < pause || lacks_room(folder) {
        if told.is_none_or(|told| told.elapsed() >= Duration::from_millis(ROOM_TOLD_MS)) {
            told = Some(Instant::now());
            tracing::error!(
                why,
                folder = %folder.display(),
                free_bytes = free_bytes(folder),
                needed_bytes = CRITICAL_BYTES,
                "the disk is full: this node waits for room, and starts over by itself"
            );
        }
        tokio::time::sleep(Duration::from_millis(ROOM_LOOK_MS)).await;
    }
}

/// Puts a new process in the place of this one, with the same arguments. Comes back only with an error.
pub fn start_over(at: Option<&Listening>) -> anyhow::Error {
    tracing::info!("there is room again: starting over");
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let mut command = Command::new(program());
    command.args(arguments);
    if let Some(name) = name {
        command.arg0(name);
    }
    if let Some(at) = at {
        command.env("REJOIN_CLIENT", at.client.to_string());
        command.env("REJOIN_PEER", at.peer.to_string());
        if let Some(metrics) = at.metrics {
            command.env("REJOIN_METRICS", metrics.to_string());
        }
    }
    let error = command.exec();
    let failed: Result<(), io::Error> = Err(error);
    match failed.context("starting over after the disk was full") {
        Err(error) => error,
        Ok(()) => anyhow::anyhow!("starting over came back"),
    }
}

/// This program, also if it was replaced or removed since it was started.
fn program() -> PathBuf {
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    own.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Of the folder, or of the nearest above it that exists.
fn free_bytes(folder: &Path) -> Option<u64> {
    let space = folder.ancestors().find_map(|above| match above {
        above if above.as_os_str().is_empty() => Space::of(Path::new(".")).ok(),
        above => Space::of(above).ok(),
    });
    space.map(|space| space.free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_any_other_error_of_a_start() {
        let full = || OpenError::Full {
            folder: PathBuf::from("/data"),
            reason: "quota".to_owned(),
        };
        let wrapped = Err::<(), _>(full()).context("opening the data folder");
        assert!(is_full(&wrapped.expect_err("it is one")));
        let of = |kind: io::ErrorKind| anyhow::Error::from(io::Error::from(kind));
        assert!(is_full(
            &of(io::ErrorKind::StorageFull).context("the library")
        ));
        assert!(is_full(&of(io::ErrorKind::QuotaExceeded)));
        assert!(!is_full(&of(io::ErrorKind::PermissionDenied)));
        assert!(!is_full(&anyhow::anyhow!("no space left, says a text")));
    }

    #[test]
    fn room_is_looked_for_above_a_folder_that_is_not_there_yet() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let missing = folder.path().join("not/yet");
        assert!(free_bytes(&missing).is_some());
        assert!(free_bytes(Path::new("not-yet/either")).is_some());
    }
}
