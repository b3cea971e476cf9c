//! The sled engine where it differs from a map: durability, loss, corruption, chunks, a full disk.
//!
//! Power loss itself is not emulated here: the probe watches sled's system calls instead.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rejoin::dynamo::replica::storage::{Batch, Storage, StorageError};
use rejoin::storage::durability::{self, NotDurable};
use rejoin::storage::sled_engine::{
    Durability, History, OnLoss, OpenError, Opened, Options, SledStorage,
};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn buffered() -> Options {
    Options {
        durability: Durability::Forgone,
        ..Options::default()
    }
}

fn open(folder: &Path) -> Opened {
    SledStorage::open(folder, buffered()).expect("opens")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn put(storage: &mut SledStorage, key: &str, value: impl Into<Bytes>) {
    let mut batch = Batch::default();
    batch.put(Bytes::copy_from_slice(key.as_bytes()), value.into());
    storage.apply(batch).expect("applies");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries
        .map(|entry| entry.expect("readable").path())
        .collect()
}

fn seed() -> u64 {
    let seed = std::env::var("REJOIN_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("REJOIN_SEED={seed}");
    seed
}

#[test]
#[cfg(target_os = "linux")]
fn durable_is_refused_until_the_filter_is_installed_and_granted_after() {
    let folder = folder();
    assert_eq!(
        durability::verify(folder.path()),
        Err(NotDurable::Unfiltered)
    );
    let refused = SledStorage::open(folder.path(), Options::default()).expect_err("not durable");
    assert!(
        refused.to_string().contains("durability::install"),
        "{refused}"
    );
    durability::install().expect("seccomp is allowed here");
    durability::install().expect("a second time changes nothing");
    assert_eq!(durability::verify(folder.path()), Ok(()));
    let opened = SledStorage::open(folder.path(), Options::default()).expect("durable");
    assert!(opened.storage.is_durable());
    assert_eq!(opened.history, History::Fresh);
}
