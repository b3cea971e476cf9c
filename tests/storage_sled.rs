//! The sled engine where it differs from a map: durability, loss, corruption, chunks, a full disk.
//!
//! Power loss itself is not emulated here: the probe watches sled's system calls instead.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rejoin::dynamo::replica::storage::{Batch, Storage, StorageError};
use rejoin::storage::durability::{self, NotDurable};
use rejoin::storage::opening::{Durability, History, OnLoss, OpenError, Options};
use rejoin::storage::sled_engine::SledStorage;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

type Opened = rejoin::storage::opening::Opened<SledStorage>;

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

#[test]
fn a_database_continues_and_its_syncs_are_counted() {
    let folder = folder();
    let mut opened = open(folder.path());
    assert_eq!(opened.history, History::Fresh);
    put(&mut opened.storage, "cart", "milk");
    let before = opened.storage.health();
    opened.storage.sync().expect("syncs");
    assert_eq!(opened.storage.health().syncs, before.syncs + 1);
    drop(opened);
    let opened = open(folder.path());
    assert_eq!(opened.history, History::Continued);
    assert_eq!(opened.storage.get(b"cart"), Ok(Some(Bytes::from("milk"))));
}

#[test]
fn all_handles_share_one_database_and_one_lock() {
    let folder = folder();
    let Opened { mut storage, .. } = open(folder.path());
    let mut committer = storage.clone();
    put(&mut storage, "cart", "milk");
    committer.sync().expect("syncs");
    assert_eq!(committer.get(b"cart"), Ok(Some(Bytes::from("milk"))));
    let refused = SledStorage::open(folder.path(), buffered()).expect_err("it is open");
    assert!(
        refused
            .to_string()
            .contains("in use by another rejoin process (pid"),
        "{refused}"
    );
}

/// Opens what `break_it` did to a database, and says what was lost.
fn lost(break_it: impl FnOnce(&Path)) -> (TempDir, Opened, Option<PathBuf>) {
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
    let refused = SledStorage::open(folder.path(), refusing).expect_err("it is lost");
    assert!(matches!(refused, OpenError::Lost { .. }), "{refused}");
    let opened = open(folder.path());
    assert_eq!(opened.storage.get(b"cart"), Ok(None));
    match opened.history.clone() {
        History::Lost { quarantined_to, .. } => (folder, opened, quarantined_to),
        other => panic!("{other:?} is not a loss"),
    }
}

#[test]
fn a_database_that_vanished_is_lost_and_not_fresh() {
    let (_folder, _, aside) =
        lost(|folder| fs::remove_dir_all(folder.join("sled")).expect("removes"));
    assert_eq!(aside, None);
}

#[test]
fn a_database_that_opens_empty_is_lost_and_kept_aside() {
    let (_folder, _, aside) =
        lost(|folder| fs::write(folder.join("sled/db"), b"").expect("empties"));
    assert!(aside.expect("moved aside").join("conf").exists());
}

#[test]
fn a_zeroed_log_under_an_existing_snapshot_is_lost() {
    lost(|folder| {
        let db = folder.join("sled/db");
        let length = fs::metadata(&db).expect("is there").len();
        fs::write(&db, vec![0; length as usize]).expect("zeroes");
    });
}

#[test]
fn garbage_in_the_snapshot_is_lost() {
    lost(|folder| {
        drop(open(folder)); // A snapshot is written by an open after the first.
        let sled = files(&folder.join("sled"));
        let snapshots = sled
            .iter()
            .filter(|path| path.to_string_lossy().contains("snap."));
        let broken = snapshots
            .map(|path| fs::write(path, [7; 100]).expect("writes"))
            .count();
        assert!(broken > 0);
    });
}

#[test]
fn an_older_copy_of_the_database_is_lost() {
    let folder = folder();
    drop(open(folder.path()));
    let (sled, old) = (folder.path().join("sled"), folder.path().join("old"));
    copy(&sled, &old);
    let mut opened = open(folder.path());
    put(&mut opened.storage, "cart", "milk");
    drop(opened);
    fs::remove_dir_all(&sled).expect("removes");
    fs::rename(&old, &sled).expect("renames");
    assert!(matches!(open(folder.path()).history, History::Lost { .. }));
}

#[test]
fn another_nodes_database_is_lost() {
    let other = folder();
    drop(open(other.path()));
    lost(|folder| {
        fs::remove_dir_all(folder.join("sled")).expect("removes");
        copy(&other.path().join("sled"), &folder.join("sled"));
    });
}

#[test]
fn a_damaged_or_missing_marker_does_not_cost_the_database() {
    let folder = folder();
    let mut opened = open(folder.path());
    put(&mut opened.storage, "cart", "milk");
    drop(opened);
    for damage in [Some("rejoin-storage-format 1\ngener"), Some(""), None] {
        let marker = folder.path().join("marker");
        match damage {
            Some(text) => fs::write(&marker, text).expect("writes"),
            None => fs::remove_file(&marker).expect("removes"),
        }
        let opened = open(folder.path());
        assert_eq!(opened.history, History::Continued);
        assert_eq!(opened.storage.get(b"cart"), Ok(Some(Bytes::from("milk"))));
    }
}

#[test]
fn a_newer_format_is_refused() {
    let folder = folder();
    drop(open(folder.path()));
    fs::write(folder.path().join("marker"), "rejoin-storage-format 3\n").expect("writes");
    let refused = SledStorage::open(folder.path(), buffered()).expect_err("it is newer");
    assert!(
        refused.to_string().contains("run the newer release"),
        "{refused}"
    );
}

#[test]
fn a_half_written_snapshot_is_removed_before_sled_sees_it() {
    let folder = folder();
    let mut opened = open(folder.path());
    put(&mut opened.storage, "cart", "milk");
    drop(opened);
    let half = folder.path().join("sled/snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(&half, b"half a snapshot").expect("writes");
    let opened = open(folder.path());
    assert_eq!(opened.history, History::Continued);
    assert!(!half.exists());
}

#[test]
fn a_system_error_at_open_is_not_a_loss() {
    let folder = folder();
    drop(open(folder.path()));
    let db = folder.path().join("sled/db");
    fs::remove_file(&db).expect("removes");
    fs::create_dir(&db).expect("a folder where a file belongs");
    let refused = SledStorage::open(folder.path(), buffered()).expect_err("cannot be opened");
    assert!(matches!(refused, OpenError::Engine { .. }), "{refused}");
    assert!(folder.path().join("sled").exists());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for path in files(from) {
        let to = to.join(path.file_name().expect("an entry has a name"));
        match path.is_dir() {
            true => copy(&path, &to),
            false => fs::copy(&path, &to).map(drop).expect("copies"),
        }
    }
}

fn random_value(dice: &mut StdRng) -> Bytes {
    let length = match dice.random_range(0..10) {
        0 => dice.random_range(0..6 * 1024 * 1024),
        1 | 2 => dice.random_range(0..1024 * 1024),
        3..6 => dice.random_range(8_100..40_000),
        _ => dice.random_range(0..2_000),
    };
    let mut value = vec![0; length];
    dice.fill_bytes(&mut value);
    value.into()
}

/// Keys of up to the longest, that share long prefixes, so that index pages hold long keys too.
fn random_key(dice: &mut StdRng) -> Bytes {
    let length = dice.random_range(0..rejoin::storage::changes::KEY_BYTES_MAX - 8);
    let mut key = vec![b'k'; length];
    key.extend_from_slice(&dice.random_range(0..400u64).to_be_bytes());
    key.into()
}

#[test]
fn nothing_is_ever_put_beside_the_log() {
    let folder = folder();
    let Opened { mut storage, .. } = open(folder.path());
    let mut dice = StdRng::seed_from_u64(seed());
    for _ in 0..60 {
        let mut batch = Batch::default();
        for _ in 0..dice.random_range(1..40) {
            match dice.random_bool(0.3) {
                true => batch.delete(random_key(&mut dice)),
                false if dice.random_bool(0.2) => {
                    batch.put(random_key(&mut dice), random_value(&mut dice));
                }
                false => batch.put(random_key(&mut dice), Bytes::from(vec![7; 8 * 1024])),
            }
        }
        storage.apply(batch).expect("applies");
        storage.sync().expect("syncs");
        assert!(files(&folder.path().join("sled/blobs")).is_empty());
    }
    assert_eq!(storage.health().stray_blobs, 0);
}

/// What stands in sled, behind the engine's back.
fn raw(folder: &Path) -> sled::Db {
    let config = sled::Config::new().path(folder.join("sled"));
    let config = config.segment_size(8 * 1024 * 1024).flush_every_ms(None);
    loop {
        match config.open() {
            Ok(db) => return db,
            Err(error) => assert!(error.to_string().contains("acquire lock"), "{error}"),
        }
    }
}

#[test]
fn a_corrupt_item_is_reported_passed_over_counted_and_repaired() {
    let folder = folder();
    let mut opened = open(folder.path());
    put(&mut opened.storage, "a", "milk");
    put(&mut opened.storage, "b", "bread");
    put(&mut opened.storage, "c", vec![7; 100_000]);
    drop(opened);
    let db = raw(folder.path());
    let items = db.open_tree("items").expect("opens");
    let swapped = items.get("b").expect("reads").expect("is there");
    items.insert("a", swapped).expect("swaps");
    let chunks = db.open_tree("chunks").expect("opens");
    chunks.pop_max().expect("drops a chunk");
    drop((items, chunks, db));

    let Opened { mut storage, .. } = open(folder.path());
    assert!(matches!(storage.get(b"a"), Err(StorageError::Corrupt(_))));
    assert!(matches!(storage.get(b"c"), Err(StorageError::Corrupt(_))));
    let range = Bytes::new()..Bytes::from("z");
    let found = storage.scan(range.clone(), 10).expect("scans");
    assert_eq!(found, [(Bytes::from("b"), Bytes::from("bread"))]);
    assert_eq!(storage.health().corrupt_items, 4);
    put(&mut storage, "a", "milk");
    put(&mut storage, "c", "wine");
    assert_eq!(storage.scan(range, 10).expect("scans").len(), 3);
}

/// Writes more than two segments.
fn fill(folder: &Path) {
    let Opened { mut storage, .. } = open(folder);
    for n in 0..6_000 {
        put(&mut storage, &format!("key {n}"), vec![b'?'; 2_000]);
    }
}

/// Breaks the values in the first segment; an open reads only the last one again.
fn break_values(folder: &Path) {
    let db = folder.join("sled/db");
    let mut bytes = fs::read(&db).expect("reads");
    let parts = bytes[..8 * 1024 * 1024].chunks_mut(64);
    let values = parts.filter(|part| part.iter().all(|byte| *byte == b'?'));
    values.for_each(|part| part[0] = b'!');
    fs::write(&db, bytes).expect("writes");
}

#[test]
fn a_panic_of_sled_at_open_is_a_loss() {
    let folder = folder();
    fill(folder.path());
    break_values(folder.path());
    match open(folder.path()).history {
        History::Lost { reason, .. } => assert!(reason.contains("panicked"), "{reason}"),
        other => panic!("{other:?} is not a loss"),
    }
}

#[test]
fn a_broken_page_stops_the_engine_and_the_next_start_puts_it_aside() {
    let folder = folder();
    fill(folder.path());
    drop(open(folder.path())); // Its snapshot spares the next open from reading the log.
    break_values(folder.path());
    let Opened {
        mut storage,
        history,
    } = open(folder.path());
    assert_eq!(history, History::Continued);
    let mut reads = (0..6_000).map(|n| storage.get(format!("key {n}").as_bytes()));
    let error = reads.find_map(Result::err).expect("a page is broken");
    assert!(matches!(error, StorageError::Failed(_)), "{error}");
    assert!(matches!(storage.sync(), Err(StorageError::Failed(_))));
    assert!(matches!(
        storage.apply(Batch::default()),
        Err(StorageError::Failed(_))
    ));
    drop(storage);
    assert!(matches!(open(folder.path()).history, History::Lost { .. }));
}

#[test]
fn replaced_and_deleted_values_leave_no_chunks() {
    let folder = folder();
    let Opened { mut storage, .. } = open(folder.path());
    for round in 0..5 {
        put(&mut storage, "large", vec![round; 5_000_000]);
        put(&mut storage, "other", vec![round; 300_000]);
    }
    let mut batch = Batch::default();
    batch.delete(Bytes::from("large"));
    batch.put(Bytes::from("other"), Bytes::from("small"));
    storage.apply(batch).expect("applies");
    drop(storage);
    let db = raw(folder.path());
    assert!(db.open_tree("chunks").expect("opens").is_empty());
    assert!(db.open_tree("journal").expect("opens").is_empty());
}

/// Runs in a process of its own, whose files may not grow beyond 24 MiB.
fn fill_up(folder: &Path) {
    let Opened { mut storage, .. } = open(folder);
    for n in 0u32.. {
        let mut batch = Batch::default();
        batch.put(
            Bytes::from(n.to_be_bytes().to_vec()),
            Bytes::from(vec![n as u8; 7_000]),
        );
        let done = storage.apply(batch).and_then(|()| storage.sync());
        let Err(error) = done else {
            fs::write(folder.join("synced"), n.to_be_bytes()).expect("a small file fits");
            continue;
        };
        assert!(matches!(error, StorageError::Full(_)), "{error}");
        assert!(matches!(storage.sync(), Err(StorageError::ReadOnly(_))));
        assert!(matches!(storage.get(&0u32.to_be_bytes()), Ok(Some(_))));
        return;
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_makes_the_engine_read_only_and_loses_nothing_synced() {
    if let Ok(folder) = std::env::var("REJOIN_TEST_FOLDER") {
        return fill_up(Path::new(&folder)); // The limited process that this test starts.
    }
    let folder = folder();
    let child = std::env::current_exe().expect("this test has a program");
    let test = "a_full_disk_makes_the_engine_read_only_and_loses_nothing_synced";
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
        let value = storage
            .get(&n.to_be_bytes())
            .expect("reads")
            .expect("was synced");
        assert_eq!(value, vec![n as u8; 7_000]);
    }
}
