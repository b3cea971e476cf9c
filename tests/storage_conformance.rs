//! What every engine promises, asked of each: order, bounds, atomic batches, deletion, reopening.
//!
//! A random history of batches, scans, syncs and reopenings must look the same on an engine as on a
//! `BTreeMap`. Values reach beyond one chunk, so that runs are written, replaced and removed.
//!
//! Does not test durability or corruption: `tests/storage_sled.rs`, `tests/storage_redb.rs` and
//! `tests/power_loss.rs` do.

use bytes::Bytes;
use proptest::prelude::*;
use rejoin::dynamo::replica::storage::{Batch, Item, Storage};
use rejoin::storage::changes::KEY_BYTES_MAX;
use rejoin::storage::memory::MemoryStorage;
use rejoin::storage::opening::{Durability, Options};
use rejoin::storage::redb_engine::RedbStorage;
use rejoin::storage::sled_engine::SledStorage;
use std::collections::BTreeMap;
use std::path::Path;

fn buffered() -> Options {
    Options {
        durability: Durability::Forgone,
        ..Options::default()
    }
}

fn sled(folder: &Path) -> SledStorage {
    let opened = SledStorage::open(folder, buffered());
    opened.expect("the folder is free").storage
}

fn redb(folder: &Path) -> RedbStorage {
    let opened = RedbStorage::open(folder, buffered());
    opened.expect("the folder is free").storage
}

/// Runs the claim on every engine.
fn on_every_engine(claim: impl Fn(&mut dyn Storage)) {
    claim(&mut MemoryStorage::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    claim(&mut sled(&folder.path().join("sled")));
    claim(&mut redb(&folder.path().join("redb")));
}

fn put(storage: &mut dyn Storage, items: &[(&[u8], &[u8])]) {
    let mut batch = Batch::default();
    for (key, value) in items {
        batch.put(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }
    storage.apply(batch).expect("applies");
}

fn delete(storage: &mut dyn Storage, key: &[u8]) {
    let mut batch = Batch::default();
    batch.delete(Bytes::copy_from_slice(key));
    storage.apply(batch).expect("applies");
}

fn keys(storage: &dyn Storage, from: &[u8], to: &[u8], items_max: usize) -> Vec<Vec<u8>> {
    let range = Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to);
    let items = storage.scan(range, items_max).expect("scans");
    items.into_iter().map(|(key, _)| key.to_vec()).collect()
}

#[test]
fn a_scan_is_ordered_and_keeps_its_bounds() {
    on_every_engine(|storage| {
        for key in [b"d", b"b", b"a", b"c", b"e"] {
            put(storage, &[(key, b"value")]);
        }
        assert_eq!(keys(storage, b"b", b"d", 10), [b"b", b"c"]);
        assert_eq!(keys(storage, b"", b"z", 3), [b"a", b"b", b"c"]);
        assert_eq!(keys(storage, b"b\0", b"c\0", 10), [b"c"]);
        assert!(keys(storage, b"d", b"b", 10).is_empty());
        assert!(keys(storage, b"b", b"b", 10).is_empty());
        assert!(keys(storage, b"a", b"z", 0).is_empty());
    });
}

#[test]
fn keys_may_be_prefixes_of_each_other_and_empty() {
    on_every_engine(|storage| {
        put(
            storage,
            &[(b"ab", b"2"), (b"", b"0"), (b"a", b"1"), (b"abc", b"3")],
        );
        assert_eq!(
            keys(storage, b"", b"b", 10),
            [&b""[..], b"a", b"ab", b"abc"]
        );
        delete(storage, b"ab");
        assert_eq!(storage.get(b"ab"), Ok(None));
        assert_eq!(storage.get(b"abc"), Ok(Some(Bytes::from("3"))));
        assert_eq!(storage.get(b""), Ok(Some(Bytes::from("0"))));
    });
}

#[test]
fn an_empty_value_is_a_value() {
    on_every_engine(|storage| {
        put(storage, &[(b"key", b"")]);
        assert_eq!(storage.get(b"key"), Ok(Some(Bytes::new())));
        assert_eq!(storage.get(b"other"), Ok(None));
    });
}

#[test]
fn deleting_what_is_not_there_is_no_error() {
    on_every_engine(|storage| {
        delete(storage, b"key");
        assert_eq!(storage.get(b"key"), Ok(None));
    });
}

#[test]
fn the_last_change_of_a_key_in_a_batch_counts() {
    on_every_engine(|storage| {
        let mut batch = Batch::default();
        batch.put(Bytes::from("a"), Bytes::from("first"));
        batch.delete(Bytes::from("a"));
        batch.put(Bytes::from("b"), Bytes::from("first"));
        batch.put(Bytes::from("b"), Bytes::from("second"));
        storage.apply(batch).expect("applies");
        assert_eq!(storage.get(b"a"), Ok(None));
        assert_eq!(storage.get(b"b"), Ok(Some(Bytes::from("second"))));
    });
}

#[test]
fn an_empty_batch_is_no_error() {
    on_every_engine(|storage| storage.apply(Batch::default()).expect("applies"));
}

#[test]
fn the_longest_keys_and_large_values_come_back() {
    on_every_engine(|storage| {
        let long = vec![b'k'; KEY_BYTES_MAX];
        let large: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        put(storage, &[(&long, &large), (b"small", b"value")]);
        assert_eq!(
            storage.get(&long).expect("reads").as_deref(),
            Some(&large[..])
        );
        put(storage, &[(&long, b"replaced")]);
        assert_eq!(storage.get(&long), Ok(Some(Bytes::from("replaced"))));
    });
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<(Vec<u8>, Option<usize>)>),
    Scan(Vec<u8>, Vec<u8>, usize),
    Sync,
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..4u8, 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![4 => 0..64usize, 1 => 8_100..8_300usize, 1 => 20_000..90_000usize];
    let change = (key(), proptest::option::weighted(0.7, length));
    prop_oneof![
        8 => proptest::collection::vec(change, 1..6).prop_map(Step::Apply),
        4 => (key(), key(), 0..20usize).prop_map(|(from, to, max)| Step::Scan(from, to, max)),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ]
}

fn value(key: &[u8], length: usize) -> Bytes {
    key.iter()
        .copied()
        .chain(0..=255)
        .cycle()
        .take(length)
        .collect()
}

fn batch(changes: &[(Vec<u8>, Option<usize>)], model: &mut BTreeMap<Bytes, Bytes>) -> Batch {
    let mut batch = Batch::default();
    for (key, length) in changes {
        let bytes = Bytes::copy_from_slice(key);
        match length.map(|length| value(key, length)) {
            Some(value) => {
                model.insert(bytes.clone(), value.clone());
                batch.put(bytes, value);
            }
            None => {
                model.remove(&bytes);
                batch.delete(bytes);
            }
        }
    }
    batch
}

fn expected(model: &BTreeMap<Bytes, Bytes>, from: &[u8], to: &[u8], max: usize) -> Vec<Item> {
    let inside = model
        .iter()
        .filter(|(key, _)| &key[..] >= from && &key[..] < to);
    inside
        .take(max)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn check<S: Storage>(steps: &[Step], mut storage: S, reopen: impl Fn(S) -> S) {
    let mut model = BTreeMap::new();
    for step in steps {
        match step {
            Step::Apply(changes) => storage.apply(batch(changes, &mut model)).expect("applies"),
            Step::Sync => storage.sync().expect("syncs"),
            Step::Reopen => storage = reopen(storage),
            Step::Scan(from, to, max) => {
                let range = Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to);
                let found = storage.scan(range, *max).expect("scans");
                assert_eq!(found, expected(&model, from, to, *max));
            }
        }
    }
    for (key, value) in &model {
        assert_eq!(storage.get(key).expect("reads").as_ref(), Some(value));
    }
    let all = storage.scan(Bytes::new()..Bytes::from_static(&[9]), usize::MAX);
    assert_eq!(all.expect("scans"), model.into_iter().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_a_map(steps in proptest::collection::vec(step(), 1..40)) {
        check(&steps, MemoryStorage::new(), |storage| storage);
    }

    #[test]
    fn sled_is_a_map_over_reopenings(steps in proptest::collection::vec(step(), 1..40)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        check(&steps, sled(folder.path()), |storage| {
            drop(storage);
            sled(folder.path())
        });
    }

    #[test]
    fn redb_is_a_map_over_reopenings(steps in proptest::collection::vec(step(), 1..40)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        check(&steps, redb(folder.path()), |storage| {
            drop(storage);
            redb(folder.path())
        });
    }
}
