//! The file that redb keeps: how it is opened, read and written.
//!
//! Each write is one transaction that redb has synced when it returns (`Durability::Immediate`). An open
//! verifies the checksum of every page, which takes a read of the whole file: redb trusts pages later on.
//!
//! Does not gather writes: `buffer` does.
//!
//! Invariant: what `write` was given is there as a whole or not at all, whenever the power fails.

use crate::storage::changes::Changes;
use crate::storage::durability::NotDurable;
use crate::storage::envelope;
use crate::storage::marker::EngineName;
use crate::storage::opening::{Database, Options};
use bytes::Bytes;
use redb::{ReadableDatabase, TableDefinition};
use std::fs;
use std::path::Path;

/// Items, each in its envelope.
const ITEMS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("items");
/// What the engine itself notes.
const NOTES: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("notes");

/// Items as redb gives them out, one after another.
pub type Range = redb::Range<'static, &'static [u8], &'static [u8]>;

/// An open file.
#[derive(Debug)]
pub struct RedbFile {
    database: redb::Database,
}

/// The items of one moment.
pub struct View {
    table: redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Database for RedbFile {
    const NAME: EngineName = EngineName::Redb;
    type Error = redb::Error;

    /// redb calls fdatasync by itself and believes nothing less.
    fn prove_durable(_folder: &Path) -> Result<(), NotDurable> {
        Ok(())
    }

    fn start(folder: &Path, options: &Options) -> Result<Self, redb::Error> {
        fs::create_dir_all(folder)?;
        let mut builder = redb::Database::builder();
        builder.set_cache_size(usize::try_from(options.cache_bytes).unwrap_or(usize::MAX));
        builder.set_check_integrity_on_open(true);
        let database = builder.create(folder.join("db"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(ITEMS)?;
        transaction.open_table(NOTES)?;
        transaction.commit()?;
        Ok(Self { database })
    }

    fn read_note(&self, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
        let table = self.database.begin_read()?.open_table(NOTES)?;
        Ok(table.get(key)?.map(|stored| stored.value().to_vec()))
    }

    fn write_note(&self, key: &[u8], content: &[u8]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(NOTES)?.insert(key, content)?;
        Ok(transaction.commit()?)
    }
}

impl RedbFile {
    /// The items as they are now, whatever is written meanwhile.
    pub fn view(&self) -> Result<View, redb::Error> {
        Ok(View {
            table: self.database.begin_read()?.open_table(ITEMS)?,
        })
    }

    /// Makes the changes, all or none, and syncs.
    pub fn write(&self, changes: &Changes) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ITEMS)?;
            for (key, value) in changes {
                match value {
                    Some(value) => {
                        table.insert(&key[..], &envelope::seal(key, &[value])[..])?;
                    }
                    None => {
                        table.remove(&key[..])?;
                    }
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

impl View {
    /// What stands under a key, in its envelope.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, redb::Error> {
        let stored = self.table.get(key)?;
        Ok(stored.map(|stored| Bytes::copy_from_slice(stored.value())))
    }

    /// The items of a range, in order.
    pub fn range(&self, range: std::ops::Range<&[u8]>) -> Result<Range, redb::Error> {
        Ok(self.table.range::<&[u8]>(range)?)
    }
}

/// The next item of a range, as it is stored.
pub fn next(range: &mut Range) -> Result<Option<(Bytes, Bytes)>, redb::Error> {
    let item = range.next().transpose()?;
    Ok(item.map(|(key, stored)| {
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        (copy(key.value()), copy(stored.value()))
    }))
}
