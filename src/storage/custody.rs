//! What an open engine of any kind holds: its folder, its marker, and its first fault.
//!
//! Does not open anything: `opening` does, and hands this over.
//!
//! Invariant: after a fault no write is acknowledged until the database is opened again, and a database
//! that contradicts itself is marked, so that the next start puts it aside.

use crate::dynamo::replica::storage::StorageError;
use crate::storage::fault::{Fault, Halt, guarded};
use crate::storage::folder::DataFolder;
use crate::storage::marker::Marker;
use std::path::{Path, PathBuf};

/// The hold of a process on its database. Dropped last: the lock outlives the database.
#[derive(Debug)]
pub struct Custody {
    folder: DataFolder,
    marker: Marker,
    halt: Halt,
    durable: bool,
}

impl Custody {
    /// Takes over a folder whose marker says `marker`.
    pub fn new(folder: DataFolder, marker: Marker, durable: bool) -> Self {
        Self {
            folder,
            marker,
            halt: Halt::default(),
            durable,
        }
    }

    /// Whether a sync was proved to survive power loss.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the engine keeps its files.
    pub fn engine(&self) -> PathBuf {
        self.folder.engine()
    }

    /// An error once anything went wrong.
    pub fn check(&self) -> Result<(), StorageError> {
        self.halt.check()
    }

    /// Runs the engine; a fault halts it for good.
    pub fn call<T, E: Into<Fault>>(
        &self,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, StorageError> {
        guarded(call).map_err(|fault| self.halted(fault))
    }

    /// Halts the engine for good.
    pub fn halted(&self, fault: Fault) -> StorageError {
        let error = fault.to_storage_error();
        let condemned = matches!(fault, Fault::Broken(_));
        if self.halt.set(fault) {
            tracing::error!(%error, "the storage engine stopped taking writes");
            if condemned {
                self.condemn(&error.to_string());
            }
        }
        error
    }

    /// Has the next start put this database aside; if even that fails, the engine fails again then.
    fn condemn(&self, reason: &str) {
        let marker = Marker {
            condemned: Some(reason.to_owned()),
            ..self.marker.clone()
        };
        if let Err(error) = self.folder.mark(&marker) {
            tracing::error!(%error, "the broken database could not be marked as such");
        }
    }
}

/// An item that is not believed.
pub fn corrupt(key: &[u8], why: &str) -> StorageError {
    StorageError::Corrupt(format!("key {}: {why}", hex::encode(key)))
}
