//! The audit log: JSON lines in a file, written by a thread of its own.
//!
//! Who waits for a line waits together with others for one sync of the disk. Refusals are limited in number, so that
//! nobody fills the disk by being turned away; those without a line are counted.
//!
//! Invariant: `record` returns well only when the line is on the disk. A line that cannot be written is an error
//! of whatever needs it, never passed over.

mod file;
mod line;

pub use line::{Event, Line, Stage, shown};

use super::caller::{Caller, Refusal};
use crate::limits::access::{AUDIT_QUEUE_MAX, AUDIT_REFUSALS_PER_SECOND_MAX};
use file::{Durability, LogFile};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

/// The most bytes that are written at once.
const BATCH_BYTES: usize = 256 * 1024;

/// Why a line is not on the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    #[error("{0}")]
    Failed(String),
    #[error("{AUDIT_QUEUE_MAX} lines wait to be written")]
    Full,
}

/// What has become of lines.
#[derive(Debug, Default)]
pub struct Counts {
    pub written: AtomicU64,
    pub failed: AtomicU64,
    /// Refusals without a line of their own.
    pub unlisted: AtomicU64,
}

/// The log of one node.
#[derive(Debug)]
pub struct Audit {
    node: String,
    queue: SyncSender<Entry>,
    pub counts: Arc<Counts>,
    /// Guards three numbers; never held over an await.
    second: Mutex<Second>,
}

/// The refusals of the second that passes.
#[derive(Debug)]
struct Second {
    began: Instant,
    listed: u32,
    unlisted: u64,
}

struct Entry {
    line: Vec<u8>,
    /// Tells who waits for the disk.
    waits: Option<Waiting>,
}

type Waiting = Box<dyn FnOnce(Result<(), AuditError>) + Send>;

impl Audit {
    /// Starts the thread; the file is opened with the first line.
    pub fn start(path: PathBuf, node: &str) -> io::Result<Self> {
        let (queue, entries) = sync_channel(AUDIT_QUEUE_MAX);
        let counts: Arc<Counts> = Arc::default();
        let (file, counted) = (LogFile::new(path), Arc::clone(&counts));
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(&entries, file, &counted))?;
        Ok(Self {
            node: node.to_owned(),
            queue,
            counts,
            second: Mutex::new(Second {
                began: Instant::now(),
                listed: 0,
                unlisted: 0,
            }),
        })
    }

    /// Writes a line and waits until it is on the disk.
    pub async fn record(&self, line: &Line) -> Result<(), AuditError> {
        let (waits, written) = oneshot::channel();
        // Whoever has gone meanwhile needs no answer.
        self.send(line, Box::new(move |outcome| drop(waits.send(outcome))))?;
        written.await.unwrap_or_else(|_| Err(thread_is_gone()))
    }

    /// As `record`, for threads that may wait.
    pub fn record_blocking(&self, line: &Line) -> Result<(), AuditError> {
        let (waits, written) = sync_channel(1);
        self.send(line, Box::new(move |outcome| drop(waits.send(outcome))))?;
        written.recv().unwrap_or_else(|_| Err(thread_is_gone()))
    }

    fn send(&self, line: &Line, waits: Waiting) -> Result<(), AuditError> {
        let entry = Entry {
            line: self.encode(line),
            waits: Some(waits),
        };
        let sent = self.queue.try_send(entry);
        sent.map_err(|_| {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            AuditError::Full
        })
    }

    /// Has a line written soon, for what has happened already; nobody waits for it.
    pub fn note(&self, line: &Line) {
        let entry = Entry {
            line: self.encode(line),
            waits: None,
        };
        if self.queue.try_send(entry).is_err() {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes a request that was turned away, unless there are too many of them.
    pub fn refused(
        &self,
        refusal: &Refusal,
        caller: Option<&Caller>,
        remote: Option<SocketAddr>,
        rpc: &str,
        request: &str,
    ) {
        if let Some(unlisted) = self.may_list() {
            self.note(&Line {
                unlisted,
                ..Line::refused(refusal, caller, remote, rpc, request)
            });
        }
    }

    /// Notes a connection to the peer listener that was turned away, unless there are too many of them.
    pub fn refused_peer(&self, remote: Option<SocketAddr>, why: &str) {
        if let Some(unlisted) = self.may_list() {
            self.note(&Line {
                remote: remote.map_or(String::new(), |remote| remote.to_string()),
                detail: shown(why),
                outcome: "REFUSED".to_owned(),
                unlisted,
                ..Line::of(Event::PeerRefused)
            });
        }
    }

    /// Whether there is room for one more refusal in this second, and how many had none before it.
    fn may_list(&self) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if second.began.elapsed().as_secs() >= 1 {
            second.began = Instant::now();
            second.listed = 0;
        }
        if second.listed == AUDIT_REFUSALS_PER_SECOND_MAX {
            second.unlisted += 1;
            self.counts.unlisted.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        second.listed += 1;
        Some(std::mem::take(&mut second.unlisted))
    }

    fn encode(&self, line: &Line) -> Vec<u8> {
        let line = Line {
            node: self.node.clone(),
            ..line.clone()
        };
        line.encode()
    }
}

fn thread_is_gone() -> AuditError {
    AuditError::Failed("the thread that writes it has ended".to_owned())
}

/// Writes what waits, together, until the log is dropped.
fn write_all(entries: &Receiver<Entry>, mut file: LogFile, counts: &Counts) {
    while let Ok(first) = entries.recv() {
        let mut batch = vec![first];
        let mut bytes = batch[0].line.clone();
        while bytes.len() < BATCH_BYTES
            && let Ok(next) = entries.try_recv()
        {
            bytes.extend_from_slice(&next.line);
            batch.push(next);
        }
        let durability = match batch.iter().any(|entry| entry.waits.is_some()) {
            true => Durability::Sync,
            false => Durability::Later,
        };
        let written = file.append(&bytes, durability);
        let count = match &written {
            Ok(()) => &counts.written,
            Err(error) => {
                tracing::error!(%error, lines = batch.len(), "the audit log was not written");
                &counts.failed
            }
        };
        count.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let written = written.map_err(|error| AuditError::Failed(error.to_string()));
        for waits in batch.into_iter().filter_map(|entry| entry.waits) {
            waits(written.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).expect("a log");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    #[test]
    fn what_is_recorded_is_on_the_disk_after_what_was_noted_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let audit = Audit::start(path.clone(), "n1").expect("a thread");
        audit.refused_peer(None, "no certificate");
        audit
            .record_blocking(&Line::of(Event::Started))
            .expect("recorded");
        let lines = lines(&path);
        assert_eq!(lines[0]["event"], "peer-refused");
        assert_eq!(lines[0]["detail"], "no certificate");
        assert_eq!(lines[1]["event"], "started");
        assert_eq!(lines[1]["node"], "n1");
        assert_eq!(audit.counts.written.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_flood_of_refusals_is_counted_rather_than_listed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let audit = Audit::start(path.clone(), "n1").expect("a thread");
        let most = u64::from(AUDIT_REFUSALS_PER_SECOND_MAX);
        let mut sent = 0;
        while audit.counts.unlisted.load(Ordering::Relaxed) < 10 {
            audit.refused(&Refusal::NoCredential, None, None, "/a/B", "1");
            sent += 1;
        }
        assert!(sent >= most + 10);
        audit
            .record_blocking(&Line::of(Event::Started))
            .expect("recorded");
        let listed = lines(&path).len() as u64 - 1;
        assert_eq!(listed + 10, sent, "each has a line or is counted");
    }

    #[test]
    fn a_line_that_cannot_be_written_is_an_error() {
        let audit = Audit::start("/dev/full".into(), "n1").expect("a thread");
        let failed = audit.record_blocking(&Line::of(Event::Started));
        assert!(matches!(failed, Err(AuditError::Failed(_))), "{failed:?}");
        assert_eq!(audit.counts.failed.load(Ordering::Relaxed), 1);
    }
}
