//! The redb engine where it differs from a map, and what both engines share: one folder, one engine.
//!
//! Power loss is `tests/power_loss.rs`, flipped bytes `tests/corruption.rs`.

use bytes::Bytes;
use rejoin::dynamo::replica::storage::{Batch, Storage, StorageError};
use rejoin::limits::STORAGE_BUFFER_BYTES_MAX;
use rejoin::storage::opening::{Durability, History, OnLoss, OpenError, Options};
use rejoin::storage::redb_engine::RedbStorage;
use rejoin::storage::sled_engine::SledStorage;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

type Opened = rejoin::storage::opening::Opened<RedbStorage>;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn buffered() -> Options {
    Options {
        durability: Durability::Forgone,
        ..Options::default()
    }
}

fn open(folder: &Path) -> Opened {
    RedbStorage::open(folder, Options::default()).expect("opens")
}

fn put(storage: &mut RedbStorage, key: &str, value: impl Into<Bytes>) {
    let mut batch = Batch::default();
    batch.put(Bytes::copy_from_slice(key.as_bytes()), value.into());
    storage.apply(batch).expect("applies");
}

fn size(folder: &Path) -> u64 {
    fs::metadata(folder.join("redb/db"))
        .expect("is there")
        .len()
}

#[test]
fn redb_is_durable_without_a_filter_and_continues() {
    let folder = folder();
    let mut opened = open(folder.path());
    assert_eq!(opened.history, History::Fresh);
    assert!(opened.storage.is_durable());
    put(&mut opened.storage, "cart", "milk");
    opened.storage.sync().expect("syncs");
    drop(opened);
    let opened = open(folder.path());
    assert_eq!(opened.history, History::Continued);
    assert_eq!(opened.storage.get(b"cart"), Ok(Some(Bytes::from("milk"))));
}

#[test]
fn what_waits_for_a_sync_is_read_by_all_handles() {
    let folder = folder();
    let Opened { mut storage, .. } = open(folder.path());
    let other = storage.clone();
    put(&mut storage, "a", "1");
    put(&mut storage, "b", "1");
    storage.sync().expect("syncs");
    put(&mut storage, "b", "2");
    let mut batch = Batch::default();
    batch.delete(Bytes::from("a"));
    storage.apply(batch).expect("applies");
    assert_eq!(other.get(b"a"), Ok(None));
    let found = other.scan(Bytes::new()..Bytes::from("z"), 10);
    assert_eq!(found, Ok(vec![(Bytes::from("b"), Bytes::from("2"))]));
}

#[test]
fn a_full_buffer_is_written_unasked() {
    let folder = folder();
    let Opened { mut storage, .. } = open(folder.path());
    let before = size(folder.path());
    for n in 0..=STORAGE_BUFFER_BYTES_MAX / 1_000_000 {
        put(&mut storage, &format!("key {n}"), vec![7; 1_000_000]);
    }
    assert!(size(folder.path()) > before + STORAGE_BUFFER_BYTES_MAX as u64 / 2);
    assert_eq!(storage.health().syncs, 0);
}

/// Opens what `break_it` did to a database; it must be told as lost, and kept if there is anything.
fn lost(break_it: impl FnOnce(&Path)) {
    let folder = folder();
    let mut opened = open(folder.path());
    put(&mut opened.storage, "cart", "milk");
    opened.storage.sync().expect("syncs");
    drop(opened);
    break_it(folder.path());
    let refusing = Options {
        on_loss: OnLoss::Refuse,
        ..buffered()
    };
    let refused = RedbStorage::open(folder.path(), refusing).expect_err("it is lost");
    assert!(matches!(refused, OpenError::Lost { .. }), "{refused}");
    let there = folder.path().join("redb").exists();
    let opened = open(folder.path());
    assert_eq!(opened.storage.get(b"cart"), Ok(None));
    match opened.history {
        History::Lost { quarantined_to, .. } => assert_eq!(quarantined_to.is_some(), there),
        other => panic!("{other:?} is not a loss"),
    }
}

#[test]
fn a_redb_that_vanished_or_is_empty_is_lost_and_not_fresh() {
    lost(|folder| fs::remove_dir_all(folder.join("redb")).expect("removes"));
    lost(|folder| fs::remove_file(folder.join("redb/db")).expect("removes"));
    lost(|folder| fs::write(folder.join("redb/db"), b"").expect("empties"));
}

#[test]
fn a_cut_zeroed_or_foreign_redb_is_lost() {
    let db = |folder: &Path| folder.join("redb/db");
    lost(|folder| {
        let bytes = fs::read(db(folder)).expect("reads");
        fs::write(db(folder), &bytes[..bytes.len() / 2]).expect("cuts");
    });
    lost(|folder| fs::write(db(folder), vec![0; size(folder) as usize]).expect("zeroes"));
    lost(|folder| fs::write(db(folder), b"no database at all").expect("writes"));
    let other = folder();
    drop(open(other.path()));
    lost(|folder| {
        fs::copy(db(other.path()), db(folder)).expect("copies");
    });
}

#[test]
fn an_older_copy_of_a_redb_is_lost() {
    let folder = folder();
    drop(open(folder.path()));
    let db = folder.path().join("redb/db");
    let old = fs::read(&db).expect("reads");
    drop(open(folder.path()));
    fs::write(&db, old).expect("writes");
    assert!(matches!(open(folder.path()).history, History::Lost { .. }));
}

/// The folder of one engine, opened as the other's: refused with the fix, and nothing is changed.
fn check_refusal(refused: &OpenError, found: &str, asked: &str) {
    let text = refused.to_string();
    assert!(text.contains(&format!("database of {found}")), "{text}");
    assert!(text.contains(&format!("configured for {asked}")), "{text}");
    assert!(
        text.contains(&format!("set `storage = \"{found}\"`")),
        "{text}"
    );
}

#[test]
fn a_sled_folder_is_refused_by_redb_with_the_fix() {
    let folder = folder();
    drop(SledStorage::open(folder.path(), buffered()).expect("opens"));
    let refused = RedbStorage::open(folder.path(), buffered()).expect_err("it is sled's");
    check_refusal(&refused, "sled", "redb");
    fs::remove_file(folder.path().join("marker")).expect("removes");
    let refused = RedbStorage::open(folder.path(), buffered()).expect_err("its files are sled's");
    check_refusal(&refused, "sled", "redb");
    let opened = SledStorage::open(folder.path(), buffered()).expect("it is as it was");
    assert_eq!(opened.history, History::Continued);
}

#[test]
fn a_redb_folder_is_refused_by_sled_with_the_fix() {
    let folder = folder();
    drop(open(folder.path()));
    let refused = SledStorage::open(folder.path(), buffered()).expect_err("it is redb's");
    check_refusal(&refused, "redb", "sled");
    fs::remove_dir_all(folder.path().join("redb")).expect("removes");
    let refused = SledStorage::open(folder.path(), buffered()).expect_err("the marker says so");
    check_refusal(&refused, "redb", "sled");
    assert!(matches!(open(folder.path()).history, History::Lost { .. }));
}

/// Runs in a process of its own, whose files may not grow beyond 24 MiB.
fn fill_up(folder: &Path) {
    let Opened { mut storage, .. } = open(folder);
    for n in 0u32.. {
        let mut batch = Batch::default();
        let key = Bytes::from(n.to_be_bytes().to_vec());
        batch.put(key, Bytes::from(vec![n as u8; 70_000]));
        let done = storage.apply(batch).and_then(|()| storage.sync());
        let Err(error) = done else {
            fs::write(folder.join("synced"), n.to_be_bytes()).expect("a small file fits");
            continue;
        };
        assert!(matches!(error, StorageError::Full(_)), "{error}");
        assert!(
            storage.sync().is_err(),
            "a failed write is never tried again"
        );
        return;
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_makes_redb_read_only_and_loses_nothing_synced() {
    if let Ok(folder) = std::env::var("REJOIN_TEST_FOLDER") {
        return fill_up(Path::new(&folder)); // The limited process that this test starts.
    }
    let folder = folder();
    let child = std::env::current_exe().expect("this test has a program");
    let test = "a_full_disk_makes_redb_read_only_and_loses_nothing_synced";
    let limited = format!("trap '' XFSZ; ulimit -f 24576; exec \"$0\" {test} --exact");
    let status = std::process::Command::new("bash")
        .args(["-c", &limited])
        .arg(child)
        .env("REJOIN_TEST_FOLDER", folder.path())
        .status()
        .expect("bash runs");
    assert!(status.success());
    let synced = fs::read(folder.path().join("synced")).expect("something was synced");
    let last = u32::from_be_bytes(synced.try_into().expect("four bytes"));
    let Opened { storage, history } = open(folder.path());
    assert_eq!(history, History::Continued);
    for n in 0..=last {
        let value = storage.get(&n.to_be_bytes()).expect("reads");
        assert_eq!(value.expect("was synced"), vec![n as u8; 70_000]);
    }
}
