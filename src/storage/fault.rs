//! What becomes of an error or a panic of an engine.
//!
//! After any of them nothing more is written: a sync that failed once must not be tried again, since the
//! kernel may have dropped the pages and would report success. Each engine sorts its own errors.
//!
//! Invariant: once halted, an engine stays halted until the process opens it again.

use crate::dynamo::replica::storage::StorageError;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// A failure of an engine, sorted by what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No room on the disk. Free some, then start again.
    Full(String),
    /// The system failed a read, a write or a sync.
    System(String),
    /// The database contradicts itself; it must not be opened again.
    Broken(String),
    /// This build of the engine cannot open this database.
    Unsupported(String),
}

impl Fault {
    /// Sorts an error of the system that an engine met as `text`.
    pub fn of_system(error: &io::Error, text: String) -> Self {
        match error {
            error if is_full(error) => Self::Full(text),
            error if is_truncated(error) => Self::Broken(text),
            _ => Self::System(text),
        }
    }

    /// What the caller is told whose call failed.
    pub fn to_storage_error(&self) -> StorageError {
        match self {
            Self::Full(text) => StorageError::Full(format!(
                "no space is left for the data folder: {text}; free some, and the node starts over by itself"
            )),
            Self::System(text) => StorageError::Failed(format!(
                "the disk or file system failed: {text}; check the disk and start this node again"
            )),
            Self::Broken(text) | Self::Unsupported(text) => StorageError::Failed(format!(
                "the database failed: {text}; start this node again, it puts a broken database aside and \
                 refills from its peers"
            )),
        }
    }
}

/// Runs an engine, turning its errors and its panics into faults.
pub fn guarded<T, E: Into<Fault>>(call: impl FnOnce() -> Result<T, E>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => Err(Fault::Broken(panic_text(panic.as_ref()))),
    }
}

/// The first fault of an engine, for good.
#[derive(Debug, Default)]
pub struct Halt {
    first: OnceLock<Fault>,
}

impl Halt {
    /// An error once anything went wrong. Whoever asks before a write has written nothing.
    pub fn check(&self) -> Result<(), StorageError> {
        match self.first.get().map(Fault::to_storage_error) {
            None => Ok(()),
            Some(StorageError::Full(why)) => Err(StorageError::ReadOnly(why)),
            Some(error) => Err(error),
        }
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
    fn a_full_disk_is_told_from_a_failed_one() {
        let of = |code| {
            let error = io::Error::from_raw_os_error(code);
            Fault::of_system(&error, error.to_string()).to_storage_error()
        };
        assert!(matches!(of(28), StorageError::Full(_)));
        assert!(matches!(of(122), StorageError::Full(_)), "a quota");
        assert!(matches!(of(5), StorageError::Failed(_)));
        assert!(of(28).is_in_doubt() && of(5).is_in_doubt());
    }

    #[test]
    fn a_panic_is_a_fault_with_its_text() {
        let fault = guarded::<(), Fault>(|| panic!("page {} is odd", 7)).expect_err("it panicked");
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
