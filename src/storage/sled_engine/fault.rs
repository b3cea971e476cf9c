//! What becomes of an error or a panic of sled.
//!
//! After any of them nothing more is written: sled keeps the error itself, and a sync that failed once
//! must not be tried again, since the kernel may have dropped the pages and would report success.
//!
//! Invariant: once halted, an engine stays halted until the process opens it again.

use crate::dynamo::replica::storage::StorageError;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// A failure of sled, sorted by what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No room on the disk. Free some, then start again.
    Full(String),
    /// The system failed a read, a write or a sync.
    System(String),
    /// The database contradicts itself; it must not be opened again.
    Broken(String),
    /// This build of sled cannot open this database.
    Unsupported(String),
}

impl Fault {
    pub fn of(error: &sled::Error) -> Self {
        let text = error.to_string();
        match error {
            sled::Error::Io(error) if is_full(error) => Self::Full(text),
            sled::Error::Io(error) if is_truncated(error) => Self::Broken(text),
            sled::Error::Io(_) => Self::System(text),
            sled::Error::Unsupported(_) => Self::Unsupported(text),
            sled::Error::CollectionNotFound(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. } => Self::Broken(text),
        }
    }

    /// What the caller of the engine is told.
    pub fn to_storage_error(&self) -> StorageError {
        match self {
            Self::Full(text) => StorageError::ReadOnly(format!(
                "no space left for the data folder: {text}; free some and start this node again"
            )),
            Self::System(text) => StorageError::Failed(format!(
                "the disk or file system failed: {text}; check the disk and start this node again"
            )),
            Self::Broken(text) | Self::Unsupported(text) => StorageError::Failed(format!(
                "sled failed: {text}; start this node again, it puts a broken database aside and \
                 refills from its peers"
            )),
        }
    }
}

/// Runs sled, turning its errors and its panics into faults.
pub fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Fault::of(&error)),
        Err(panic) => Err(Fault::Broken(panic_text(panic.as_ref()))),
    }
}

/// The first fault of an engine, for good.
#[derive(Debug, Default)]
pub struct Halt {
    first: OnceLock<Fault>,
}

impl Halt {
    /// An error once anything went wrong.
    pub fn check(&self) -> Result<(), StorageError> {
        self.first
            .get()
            .map_or(Ok(()), |fault| Err(fault.to_storage_error()))
    }

    /// Records the fault; `true` for the first one.
    pub fn set(&self, fault: Fault) -> bool {
        self.first.set(fault).is_ok()
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn is_truncated(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | InvalidData)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_read_only_and_a_failed_sync_is_not() {
        let full = sled::Error::Io(io::Error::from_raw_os_error(28));
        let eio = sled::Error::Io(io::Error::from_raw_os_error(5));
        assert!(matches!(
            Fault::of(&full).to_storage_error(),
            StorageError::ReadOnly(_)
        ));
        assert!(matches!(
            Fault::of(&eio).to_storage_error(),
            StorageError::Failed(_)
        ));
    }

    #[test]
    fn a_panic_is_a_fault_with_its_text() {
        let fault = guarded::<()>(|| panic!("page {} is odd", 7)).expect_err("it panicked");
        assert_eq!(fault, Fault::Broken("panicked: page 7 is odd".to_owned()));
    }

    #[test]
    fn the_first_fault_stays() {
        let halt = Halt::default();
        assert_eq!(halt.check(), Ok(()));
        assert!(halt.set(Fault::Full("first".to_owned())));
        assert!(!halt.set(Fault::System("second".to_owned())));
        assert!(
            matches!(halt.check(), Err(StorageError::ReadOnly(text)) if text.contains("first"))
        );
    }
}
