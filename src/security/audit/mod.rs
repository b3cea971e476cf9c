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

use super::pace::Pace;
use crate::limits::access::{
    AUDIT_KNOWN_REFUSALS_PER_SECOND_MAX, AUDIT_QUEUE_MAX, AUDIT_REFUSALS_PER_SECOND_MAX,
};
use file::{Durability, LogFile};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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
    /// How fast refusals may come of those whom nobody knows, and of those whom the access file names.
    strangers: Pace,
    known: Pace,
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
            strangers: Pace::of(AUDIT_REFUSALS_PER_SECOND_MAX),
            known: Pace::of(AUDIT_KNOWN_REFUSALS_PER_SECOND_MAX),
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

    /// Notes what was turned away, unless there is too much of it. Strangers take no room from known callers.
    pub fn refused(&self, line: Line) {
        let pace = match line.who.is_empty() {
            true => &self.strangers,
            false => &self.known,
        };
        match pace.take() {
            Some(unlisted) => self.note(&Line { unlisted, ..line }),
            None => {
                self.counts.unlisted.fetch_add(1, Ordering::Relaxed);
            }
        }
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
    use super::super::caller::{Attempt, Caller, Proof, Refusal};
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
        audit.refused(Line::turned_away(
            Event::PeerRefused,
            None,
            "no certificate",
        ));
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
    fn a_flood_of_refusals_is_counted_rather_than_listed_and_hides_no_known_caller() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let audit = Audit::start(path.clone(), "n1").expect("a thread");
        let attempt = |caller| Attempt {
            caller,
            remote: None,
            rpc: "/a/B",
            request: "1",
        };
        let most = u64::from(AUDIT_REFUSALS_PER_SECOND_MAX);
        let mut sent = 0;
        while audit.counts.unlisted.load(Ordering::Relaxed) < 10 {
            audit.refused(Line::refused(&Refusal::NoCredential, attempt(None)));
            sent += 1;
        }
        assert!(sent >= most + 10);
        let known = Caller {
            name: "anna".into(),
            proof: Proof::Certificate,
            remote: None,
        };
        for _ in 0..most {
            audit.refused(Line::refused(&Refusal::NotAdmin, attempt(Some(&known))));
        }
        audit
            .record_blocking(&Line::of(Event::Started))
            .expect("recorded");
        let lines = lines(&path);
        let of_anna = lines.iter().filter(|line| line["who"] == "anna").count() as u64;
        assert_eq!(of_anna, most, "all of hers are listed");
        let listed = lines.len() as u64 - 1 - of_anna;
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
