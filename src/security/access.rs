//! Who is let in to a node and what for, by an access file that is read again while the node runs.
//!
//! Without an access file everybody may do everything; the configuration allows that on loopback only.
//!
//! Invariant: a file that is wrong changes nothing, and one that is right is in force for the next request, also on
//! connections and streams that are open.

use super::audit::{Audit, AuditError, Event, Line, shown};
use super::book::{Book, BookError, Changes};
use super::caller::{Attempt, Caller, Proof, Refusal};
use super::connection::ConnectionInfo;
use super::moment;
use super::policy::Need;
use super::roles::{Rights, Role};
use super::strangers::Strangers;
use super::tokens::TokenHash;
use crate::limits::access::{ACCESS_FILE_BYTES_MAX, AUDIT_NAMES_MAX, CREDENTIAL_BYTES_MAX};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Why an access file is not in force.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("the access file {file}: {source}")]
    Read { file: PathBuf, source: io::Error },
    #[error("the access file {file}: others than its owner may write it; use `chmod go-w`")]
    Writable { file: PathBuf },
    #[error("the access file {file}: {source}")]
    Wrong { file: PathBuf, source: BookError },
    #[error("the audit log {file} cannot be written, so nobody may change anything: {why}")]
    Audit { file: PathBuf, why: String },
}

/// What was seen at a look at the file.
#[derive(Debug)]
pub enum Look {
    Same,
    Taken,
    Broken(AccessError),
}

/// The doors of a node.
#[derive(Debug)]
pub struct Access {
    watched: Option<Watched>,
    pub audit: Option<Audit>,
    pub strangers: Strangers,
    /// By the places of `Refusal::REASONS`.
    denied: [AtomicU64; Refusal::REASONS.len()],
    looks_failed: AtomicU64,
}

#[derive(Debug)]
struct Watched {
    file: PathBuf,
    /// Guards one pointer; never held over an await or a read of the disk.
    book: RwLock<Arc<Book>>,
    is_broken: AtomicBool,
    /// Guards what was seen last; held while the file is read, by one thread that may wait.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Of the bytes or, of a file that could not be read, of the error.
    sum: Vec<u8>,
    /// Told when the log can be written again.
    untold: Vec<Line>,
}

impl Access {
    /// Somebody who is no node of this cluster came to the listener of the nodes.
    pub fn refused_peer(&self, remote: Option<SocketAddr>, why: &str) {
        self.strangers.peer(remote, why, self.audit.as_ref());
    }

    /// Somebody came to the listener of clients and was not let in.
    pub fn refused_client(&self, remote: Option<SocketAddr>, why: &str) {
        self.strangers.client(remote, why, self.audit.as_ref());
    }

    /// Reads the access file and begins the audit log.
    pub fn open(
        file: Option<&Path>,
        audit: Option<&Path>,
        node: &str,
    ) -> Result<Self, AccessError> {
        let watched = file.map(Watched::read).transpose()?;
        let log = audit.map(|path| begin_log(path, node)).transpose()?;
        let access = Self {
            watched,
            audit: log,
            strangers: Strangers::default(),
            denied: Default::default(),
            looks_failed: AtomicU64::new(0),
        };
        if let (Some(watched), Some(log), Some(path)) = (&access.watched, &access.audit, audit) {
            let line = watched.line(&watched.book().changes_since(&Book::default()));
            let recorded = log.record_blocking(&line);
            recorded.map_err(|error| of_audit(path, &error))?;
        }
        Ok(access)
    }

    /// Everybody may do everything, and nobody writes it down.
    pub fn for_everybody() -> Self {
        Self {
            watched: None,
            audit: None,
            strangers: Strangers::default(),
            denied: Default::default(),
            looks_failed: AtomicU64::new(0),
        }
    }

    /// Whether callers have to say who they are.
    pub fn is_guarded(&self) -> bool {
        self.watched.is_some()
    }

    /// Who sends a request, by its `authorization` header or the certificate of its connection. A header that is
    /// there decides: a wrong token does not pass because the certificate is right.
    pub fn identify(
        &self,
        connection: &ConnectionInfo,
        authorization: Option<&[u8]>,
    ) -> Result<Caller, Refusal> {
        let of = |name: Arc<str>, proof| Caller {
            name,
            proof,
            remote: connection.remote,
        };
        let Some(watched) = &self.watched else {
            return Ok(of("".into(), Proof::Nothing));
        };
        let book = watched.book();
        match (authorization, &connection.certificate) {
            (Some(header), _) => {
                let hash = bearer(header).ok_or(Refusal::UnknownToken)?;
                let name = book.holder(&hash, moment::now_ms())?;
                Ok(of(name, Proof::Token(hash)))
            }
            (None, Some(name)) => match book.rights(name) {
                Some(_) => Ok(of(name.as_str().into(), Proof::Certificate)),
                None => Err(Refusal::UnknownCertificate),
            },
            (None, None) => Err(Refusal::NoCredential),
        }
    }

    /// Judges by what a caller may do now; an error if he is no longer known.
    pub fn judge<T>(
        &self,
        caller: &Caller,
        judge: impl FnOnce(&Rights) -> T,
    ) -> Result<T, Refusal> {
        let Some(watched) = &self.watched else {
            return Ok(judge(&Rights::of_admin()));
        };
        let book = watched.book();
        let unknown = match &caller.proof {
            Proof::Nothing => return Err(Refusal::NoCredential),
            Proof::Certificate => Refusal::UnknownCertificate,
            Proof::Token(hash) => match book.holder(hash, moment::now_ms())? == caller.name {
                true => Refusal::UnknownToken,
                // It was given to somebody else meanwhile.
                false => return Err(Refusal::UnknownToken),
            },
        };
        book.rights(&caller.name).map(judge).ok_or(unknown)
    }

    /// Counts and notes a request that is turned away.
    pub fn on_refusal(&self, refusal: &Refusal, attempt: Attempt<'_>) {
        let mut reasons = Refusal::REASONS.iter();
        if let Some(place) = reasons.position(|reason| *reason == refusal.reason()) {
            self.denied[place].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(audit) = &self.audit {
            audit.refused(Line::refused(refusal, attempt));
        }
    }

    /// How many requests were turned away, by reason.
    pub fn denied(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self
            .denied
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        Refusal::REASONS.into_iter().zip(counts)
    }

    /// How many callers are known, whether the file that is there now is not in force, and how often one was not.
    pub fn file_state(&self) -> Option<(usize, bool, u64)> {
        let watched = self.watched.as_ref()?;
        let is_broken = watched.is_broken.load(Ordering::Relaxed);
        let failed = self.looks_failed.load(Ordering::Relaxed);
        Some((watched.book().callers(), is_broken, failed))
    }

    /// Reads the access file again. Waits for the disk. What the log could not be told is told at the next look: a
    /// revoked token does not go on being taken because a disk is full.
    pub fn look(&self) -> Look {
        let Some(watched) = &self.watched else {
            return Look::Same;
        };
        let mut seen = watched.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read(&watched.file);
        let sum = sum_of(&read);
        let look = match sum == seen.sum {
            true => Look::Same,
            false => {
                let (look, line) = watched.take(read, &self.looks_failed);
                seen.untold.push(line);
                look
            }
        };
        seen.sum = sum;
        match &self.audit {
            Some(audit) => seen
                .untold
                .retain(|line| audit.record_blocking(line).is_err()),
            None => seen.untold.clear(),
        }
        let excess = seen.untold.len().saturating_sub(AUDIT_NAMES_MAX);
        seen.untold.drain(..excess);
        look
    }
}

impl Watched {
    fn read(file: &Path) -> Result<Self, AccessError> {
        let read = read(file);
        let sum = sum_of(&read);
        let book = book_of(file, read)?;
        Ok(Self {
            file: file.to_owned(),
            book: RwLock::new(Arc::new(book)),
            is_broken: AtomicBool::new(false),
            seen: Mutex::new(Seen {
                sum,
                untold: Vec::new(),
            }),
        })
    }

    fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, read: io::Result<Vec<u8>>, failed: &AtomicU64) -> (Look, Line) {
        match book_of(&self.file, read) {
            Ok(book) => {
                let line = self.line(&book.changes_since(&self.book()));
                *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
                self.is_broken.store(false, Ordering::Relaxed);
                (Look::Taken, line)
            }
            Err(error) => {
                self.is_broken.store(true, Ordering::Relaxed);
                failed.fetch_add(1, Ordering::Relaxed);
                let line = Line {
                    detail: shown(&error.to_string()),
                    outcome: "the callers stay as they were".to_owned(),
                    ..Line::of(Event::AccessBroken)
                };
                (Look::Broken(error), line)
            }
        }
    }

    fn line(&self, changes: &Changes) -> Line {
        let list = |what: &str, names: &[String]| match names.len() {
            0 => String::new(),
            count => {
                let first: Vec<&str> = names
                    .iter()
                    .take(AUDIT_NAMES_MAX)
                    .map(String::as_str)
                    .collect();
                let rest = match count - first.len() {
                    0 => String::new(),
                    rest => format!(" and {rest} more"),
                };
                format!("{what} {}{rest}; ", first.join(" "))
            }
        };
        let told = [
            list("added", &changes.added),
            list("removed", &changes.removed),
            list("changed", &changes.changed),
        ];
        Line {
            detail: told.concat().trim_end_matches("; ").to_owned(),
            outcome: "OK".to_owned(),
            ..Line::of(Event::Access)
        }
    }
}

fn begin_log(path: &Path, node: &str) -> Result<Audit, AccessError> {
    let audit = Audit::start(path.to_owned(), node);
    let audit = audit.map_err(|error| of_audit(path, &error))?;
    let recorded = audit.record_blocking(&Line::of(Event::Started));
    recorded.map_err(|error: AuditError| of_audit(path, &error))?;
    Ok(audit)
}

fn of_audit(path: &Path, why: &impl ToString) -> AccessError {
    AccessError::Audit {
        file: path.to_owned(),
        why: why.to_string(),
    }
}

/// The bytes of the file, one more than there may be at most; an error of its own if others may write it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.mode() & 0o022 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut bytes = Vec::new();
    file.take(ACCESS_FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sum_of(read: &io::Result<Vec<u8>>) -> Vec<u8> {
    match read {
        Ok(bytes) => Sha256::digest(bytes).to_vec(),
        Err(error) => error.to_string().into_bytes(),
    }
}

fn book_of(file: &Path, read: io::Result<Vec<u8>>) -> Result<Book, AccessError> {
    let file = file.to_owned();
    match read {
        Ok(bytes) => Book::parse(&bytes).map_err(|source| AccessError::Wrong { file, source }),
        // The kernel gives such an error a number; ours has none.
        Err(source)
            if source.kind() == io::ErrorKind::PermissionDenied
                && source.raw_os_error().is_none() =>
        {
            Err(AccessError::Writable { file })
        }
        Err(source) => Err(AccessError::Read { file, source }),
    }
}

/// The hash of the token in `Bearer <token>`; none if the header is anything else.
fn bearer(header: &[u8]) -> Option<TokenHash> {
    let (scheme, token) = header.split_at_checked("Bearer ".len())?;
    let is_bearer = header.len() <= CREDENTIAL_BYTES_MAX && scheme.eq_ignore_ascii_case(b"Bearer ");
    is_bearer.then(|| TokenHash::of(token.trim_ascii()))
}

/// Whether these rights are enough for a request to `bucket`, if it is to one.
pub fn check(need: Need, rights: &Rights, bucket: Option<&str>) -> Result<(), Refusal> {
    let named = bucket.map(shown);
    let in_bucket = |role: Role| match bucket {
        Some(bucket) if rights.may(role, bucket) => Ok(()),
        _ => Err(Refusal::NoRole {
            role,
            bucket: named.clone(),
        }),
    };
    match (need, bucket) {
        // The elements of the stream are of buckets, not the stream.
        (Need::Nothing | Need::Known, _) | (Need::InEach(_), None) => Ok(()),
        (Need::In(role) | Need::InEach(role), _) => in_bucket(role),
        (Need::AnyRole, Some(bucket)) if rights.may_see(bucket) => Ok(()),
        (Need::AnyRole, _) => Err(Refusal::NoBusiness {
            bucket: named.unwrap_or_default(),
        }),
        (Need::Somewhere(role), _) if rights.may_somewhere(role) => Ok(()),
        (Need::Somewhere(role), _) => Err(Refusal::NoRole { role, bucket: None }),
        (Need::Admin, _) if rights.is_admin => Ok(()),
        (Need::Admin, _) => Err(Refusal::NotAdmin),
    }
}
