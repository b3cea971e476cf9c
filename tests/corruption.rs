//! Flipped bytes in data files: what was not written is never served, and what is missing is known to be.
//!
//! Each trial copies a database, damages its files, opens it as a node does and reads all keys. Damage is
//! *harmless* if every key is as it was, and *detected* if the open quarantines, a read fails, or a scrub
//! finds it. Anything else is *silent*, and there must be none.
//!
//! `REJOIN_SEED` repeats a run, `REJOIN_CORRUPTION_TRIALS` sets the trials of each engine. The marker has its
//! own tests, beside it.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rejoin::dynamo::replica::storage::{Batch, Storage, StorageError};
use rejoin::storage::opening::{Durability, History, OpenError, Options};
use rejoin::storage::redb_engine::RedbStorage;
use rejoin::storage::scrub::Scrubbed;
use rejoin::storage::sled_engine::SledStorage;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

const KEYS: u32 = 600;
const TRIALS: u64 = 1_000;

/// What this test needs of an engine.
trait Engine: Storage + Sized {
    const FOLDER: &str;
    fn open(folder: &Path) -> Result<(Self, History), OpenError>;
    fn scrubbed(&self, range: Range<Bytes>) -> Result<Scrubbed, StorageError>;
}

impl Engine for SledStorage {
    const FOLDER: &str = "sled";

    fn open(folder: &Path) -> Result<(Self, History), OpenError> {
        let opened = Self::open(folder, options())?;
        Ok((opened.storage, opened.history))
    }

    fn scrubbed(&self, range: Range<Bytes>) -> Result<Scrubbed, StorageError> {
        self.scrub(range, usize::MAX)
    }
}

impl Engine for RedbStorage {
    const FOLDER: &str = "redb";

    fn open(folder: &Path) -> Result<(Self, History), OpenError> {
        let opened = Self::open(folder, options())?;
        Ok((opened.storage, opened.history))
    }

    fn scrubbed(&self, range: Range<Bytes>) -> Result<Scrubbed, StorageError> {
        self.scrub(range, usize::MAX)
    }
}

fn options() -> Options {
    Options {
        durability: Durability::Forgone,
        ..Options::default()
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn room() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    room.expect("a temporary folder")
}

fn everything() -> Range<Bytes> {
    Bytes::new()..Bytes::from_static(&[255])
}

/// Values of all sizes, written, overwritten and deleted; what stands in the end.
fn fill(storage: &mut impl Storage, dice: &mut StdRng) -> BTreeMap<Bytes, Bytes> {
    let mut model = BTreeMap::new();
    for round in 0..3 {
        for number in 0..KEYS {
            let mut batch = Batch::default();
            let key = Bytes::from(format!(
                "{:0width$}",
                number,
                width = 4 + number as usize % 60
            ));
            if round > 0 && dice.random_bool(0.2) {
                model.remove(&key);
                batch.delete(key);
            } else {
                let length = match dice.random_range(0..40) {
                    0 => dice.random_range(8_000..40_000),
                    _ => dice.random_range(0..1_500),
                };
                let mut value = vec![0; length];
                dice.fill_bytes(&mut value);
                let value = Bytes::from(value);
                model.insert(key.clone(), value.clone());
                batch.put(key, value);
            }
            storage.apply(batch).expect("applies");
        }
        storage.sync().expect("syncs");
    }
    model
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.filter(|path| path.is_file()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        match path.is_dir() {
            true => copy(&path, &target),
            false => fs::copy(&path, &target).map(drop).expect("copies"),
        }
    }
}

/// The place of a byte that is not zero, or of any if those are rare.
fn used(bytes: &[u8], dice: &mut StdRng) -> usize {
    let mut places = (0..1_000).map(|_| dice.random_range(0..bytes.len()));
    places.find(|at| bytes[*at] != 0).unwrap_or(0)
}

/// A byte, some bytes, a sector of zeroes, or two pages swapped: of what is not zero already.
fn damage(folder: &Path, dice: &mut StdRng) -> String {
    let files = files(folder);
    let lengths = files
        .iter()
        .map(|path| fs::metadata(path).expect("is there").len());
    let files: Vec<(PathBuf, u64)> = files
        .iter()
        .cloned()
        .zip(lengths)
        .filter(|(_, n)| *n > 0)
        .collect();
    let chosen = files.choose_weighted(dice, |(_, length)| (*length as f64).sqrt());
    let (path, _) = chosen.expect("a database has files");
    let mut bytes = fs::read(path).expect("reads");
    let at = used(&bytes, dice);
    let what = match dice.random_range(0..4) {
        0 => {
            bytes[at] ^= 1 << dice.random_range(0..8);
            "a bit"
        }
        1 => {
            for _ in 0..dice.random_range(1..64) {
                let at = used(&bytes, dice);
                bytes[at] = dice.random();
            }
            "some bytes"
        }
        2 => {
            let start = at / 512 * 512;
            let end = (start + 512).min(bytes.len());
            bytes[start..end].fill(0);
            "a sector"
        }
        _ => {
            let (one, other) = (at / 4096 * 4096, used(&bytes, dice) / 4096 * 4096);
            let pages = bytes.len() / 4096 * 4096;
            if one != other && one < pages && other < pages {
                let page = bytes[one..one + 4096].to_vec();
                bytes.copy_within(other..other + 4096, one);
                bytes[other..other + 4096].copy_from_slice(&page);
            }
            "two pages"
        }
    };
    fs::write(path, &bytes).expect("writes");
    let name = path.file_name().unwrap_or_default();
    format!("{what} of {} at {at}", name.to_string_lossy())
}

/// What came of one damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Harmless,
    Quarantined,
    ReadError,
    Scrubbed,
    /// The open failed, and nothing was put aside: a person is told what to do.
    Refused,
    /// A key is missing, or an older value is back, and nothing noticed.
    Silent,
    /// A value that nobody wrote under this key.
    Garbage,
}

fn outcome<E: Engine>(folder: &Path, model: &BTreeMap<Bytes, Bytes>) -> Outcome {
    let (storage, history) = match E::open(folder) {
        Err(_) => return Outcome::Refused,
        Ok(opened) => opened,
    };
    if matches!(history, History::Lost { .. }) {
        let empty = storage
            .scan(everything(), 1)
            .expect("an empty database can be scanned");
        assert!(empty.is_empty());
        return Outcome::Quarantined;
    }
    assert_eq!(history, History::Continued);
    let mut worst = Outcome::Harmless;
    for (key, value) in model {
        worst = worst.max(match storage.get(key) {
            Ok(Some(found)) if found == *value => Outcome::Harmless,
            Ok(Some(_)) => Outcome::Garbage, // An older value would be no better.
            Ok(None) => Outcome::Silent,
            Err(_) => Outcome::ReadError,
        });
    }
    match storage.scan(everything(), usize::MAX) {
        Err(_) => worst = worst.max(Outcome::ReadError),
        Ok(items) => {
            for (key, value) in items {
                worst = worst.max(match model.get(&key) {
                    Some(expected) if *expected == value => Outcome::Harmless,
                    _ => Outcome::Garbage,
                });
            }
        }
    }
    if worst == Outcome::Silent {
        let scrubbed = storage.scrubbed(everything());
        if scrubbed.map_or(true, |scrubbed| !scrubbed.corrupt.is_empty()) {
            return Outcome::Scrubbed;
        }
    }
    worst
}

fn flipped_bytes_are_harmless_or_noticed<E: Engine>() {
    let seed = number_from("REJOIN_SEED").unwrap_or_else(rand::random);
    let trials = number_from("REJOIN_CORRUPTION_TRIALS").unwrap_or(TRIALS);
    let (room, started) = (room(), Instant::now());
    let sound = room.path().join("sound");
    let mut dice = StdRng::seed_from_u64(seed);
    let (mut storage, _) = E::open(&sound).expect("a new folder opens");
    let model = fill(&mut storage, &mut dice);
    drop(storage);
    drop(E::open(&sound).expect("opens again")); // sled makes its snapshot now.
    let mut counts: BTreeMap<Outcome, u64> = BTreeMap::new();
    let mut bad = Vec::new();
    for trial in 0..trials {
        let folder = room.path().join("broken");
        copy(&sound, &folder);
        let what = damage(&folder.join(E::FOLDER), &mut dice);
        let outcome = outcome::<E>(&folder, &model);
        *counts.entry(outcome).or_default() += 1;
        if outcome >= Outcome::Refused {
            bad.push(format!("trial {trial}: {outcome:?} after {what}"));
        }
        fs::remove_dir_all(&folder).expect("removes");
    }
    println!(
        "{} REJOIN_SEED={seed}: {trials} trials, {counts:?}, {:.1?}",
        E::FOLDER,
        started.elapsed()
    );
    let quarantined = counts.get(&Outcome::Quarantined).copied().unwrap_or(0);
    assert!(
        quarantined > 0 || trials < 100,
        "damage that hurts nothing proves nothing"
    );
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn flipped_bytes_in_sled_are_harmless_or_noticed() {
    flipped_bytes_are_harmless_or_noticed::<SledStorage>();
}

#[test]
fn flipped_bytes_in_redb_are_harmless_or_noticed() {
    flipped_bytes_are_harmless_or_noticed::<RedbStorage>();
}

/// sled warns of a wrong checksum and believes the settings: a flipped digit named another segment size.
#[test]
fn flipped_settings_of_sled_are_quarantined() {
    let room = room();
    let sound = room.path().join("sound");
    drop(<SledStorage as Engine>::open(&sound).expect("a new folder opens"));
    let settings = fs::read(sound.join("sled/conf")).expect("reads");
    for at in 0..settings.len() {
        for bit in 0..8 {
            let folder = room.path().join("broken");
            copy(&sound, &folder);
            let mut flipped = settings.clone();
            flipped[at] ^= 1 << bit;
            fs::write(folder.join("sled/conf"), &flipped).expect("writes");
            let (_, history) = <SledStorage as Engine>::open(&folder).expect("opens empty");
            assert!(
                matches!(history, History::Lost { .. }),
                "bit {bit} of byte {at}"
            );
            fs::remove_dir_all(&folder).expect("removes");
        }
    }
}

#[test]
fn a_scrub_finds_what_is_corrupt_and_goes_on_where_it_stopped() {
    let folder = room();
    let (mut storage, _) = <SledStorage as Engine>::open(folder.path()).expect("opens");
    let mut batch = Batch::default();
    for key in ["a", "b", "c", "d"] {
        batch.put(Bytes::from(key), Bytes::from(vec![7; 20_000]));
    }
    storage.apply(batch).expect("applies");
    storage.sync().expect("syncs");
    drop(storage);
    let config = sled::Config::new().path(folder.path().join("sled"));
    let db = config.segment_size(8 * 1024 * 1024).flush_every_ms(None);
    let db = loop {
        match db.open() {
            Ok(db) => break db,
            Err(error) => assert!(error.to_string().contains("acquire lock"), "{error}"),
        }
    };
    let items = db.open_tree("items").expect("opens");
    let other = items.get("a").expect("reads").expect("is there");
    items.insert("c", other).expect("swaps");
    drop((items, db));
    let (storage, _) = <SledStorage as Engine>::open(folder.path()).expect("opens");
    let first = storage.scrub(everything(), 2).expect("scrubs");
    assert_eq!((first.items, &first.corrupt[..]), (2, &[][..]));
    let rest = first.next.expect("there is more")..everything().end;
    let second = storage.scrub(rest, 2).expect("scrubs");
    assert_eq!(
        (second.items, &second.corrupt[..]),
        (2, &[Bytes::from("c")][..])
    );
    let end = second.next.expect("a full slice may not be the last")..everything().end;
    assert_eq!(storage.scrub(end, 2), Ok(Scrubbed::default()));
}
