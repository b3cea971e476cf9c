//! Opening sled itself: what is removed before it, and redone after it.
//!
//! Does not judge whether what opened is what belongs here: `storage::opening` does.
//!
//! Invariant: the journal is empty once a database is started.

use super::database;
use super::journal::{Identities, RecoveryError, Trees, recover};
use super::tidy::Tidy;
use crate::storage::durability::{self, NotDurable};
use crate::storage::fault::Fault;
use crate::storage::folder::FolderError;
use crate::storage::marker::EngineName;
use crate::storage::opening::{Database, Options};
use std::path::Path;

/// A database that sled opened, and whose journal is finished.
#[derive(Debug)]
pub struct Started {
    pub db: sled::Db,
    pub trees: Trees,
    pub identities: Identities,
    pub tidy: Tidy,
}

impl Database for Started {
    const NAME: EngineName = EngineName::Sled;
    type Error = Fault;

    fn prove_durable(folder: &Path) -> Result<(), NotDurable> {
        durability::verify(folder)
    }

    fn start(folder: &Path, options: &Options) -> Result<Self, Fault> {
        if folder.exists() {
            database::remove_half_snapshots(folder).map_err(system)?;
            database::check_settings(folder)?;
        }
        let db = database::open_patiently(&database::config(folder, options.cache_bytes))?;
        let trees = Trees {
            items: db.open_tree("items")?,
            chunks: db.open_tree("chunks")?,
            entries: db.open_tree("journal")?,
        };
        recover(&trees).map_err(|error| match error {
            RecoveryError::Engine(error) => error.into(),
            error => Fault::Broken(error.to_string()),
        })?;
        let identities = Identities::after(&trees)?;
        let tidy = Tidy::new(db.open_tree("tidy")?);
        Ok(Self {
            db,
            trees,
            identities,
            tidy,
        })
    }

    fn read_note(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.db.get(key)?.map(|stored| stored.to_vec()))
    }

    fn write_note(&self, key: &[u8], content: &[u8]) -> Result<(), Fault> {
        self.db.insert(key, content)?;
        self.db.flush()?;
        Ok(())
    }
}

fn system(error: FolderError) -> Fault {
    match error {
        FolderError::Io { ref source, .. } => Fault::of_system(source, error.to_string()),
        error => Fault::System(error.to_string()),
    }
}
