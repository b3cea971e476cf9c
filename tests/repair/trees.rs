//! Hash trees against trees that are built anew, after any sequence of writes.

use super::memory::Memory;
use bytes::Bytes;
use proptest::prelude::*;
use rejoin::dynamo::bucket::{BucketTable, Properties};
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::causality::dot::Incarnation;
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::names::{BucketName, Key, Millis};
use rejoin::dynamo::repair::forest::Forest;
use rejoin::dynamo::replica::copy::Copies;
use rejoin::dynamo::replica::layout::Place;
use rejoin::dynamo::ring::partition::PartitionId;

const PARTITION: PartitionId = PartitionId(3);

#[derive(Debug, Clone)]
enum Act {
    Put {
        key: u16,
        is_blind: bool,
    },
    Delete {
        key: u16,
    },
    /// Everything of another replica arrives.
    Merge {
        key: u16,
    },
    Forget {
        key: u16,
    },
    /// A slice of the tree is built.
    Grow,
}

fn act() -> impl Strategy<Value = Act> {
    let key = || 0..400u16;
    prop_oneof![
        6 => (key(), any::<bool>()).prop_map(|(key, is_blind)| Act::Put { key, is_blind }),
        2 => key().prop_map(|key| Act::Delete { key }),
        2 => key().prop_map(|key| Act::Merge { key }),
        1 => key().prop_map(|key| Act::Forget { key }),
        1 => Just(Act::Grow),
    ]
}

fn bucket(number: u16) -> BucketName {
    BucketName::new(["a", "bb", "stranger"][usize::from(number % 3)]).expect("a good name")
}

fn key(number: u16) -> Key {
    let bytes = Bytes::copy_from_slice(format!("key-{number}").as_bytes());
    Key::new(bucket(number), bytes).expect("a good key")
}

fn buckets() -> BucketTable {
    let properties = |n| Properties {
        n,
        ..Properties::default()
    };
    BucketTable::from([(bucket(0), properties(3)), (bucket(1), properties(2))])
}

fn grow(forest: &mut Forest, copies: &Copies<Memory>) -> bool {
    let Some((partition, after)) = forest.next_slice() else {
        return false;
    };
    let slice = copies.slice(partition, after.as_ref(), None);
    forest.on_slice(
        partition,
        &slice.expect("a good disk"),
        &buckets(),
        Millis(0),
    );
    true
}

fn write(copies: &mut Copies<Memory>, other: &mut Copies<Memory>, act: &Act) {
    match act {
        Act::Put {
            key: number,
            is_blind,
        } => {
            let key = key(*number);
            let context = match is_blind {
                true => Context::default(),
                false => copies
                    .record(PARTITION, &key)
                    .expect("good")
                    .object
                    .context(),
            };
            let version = Version::value(format!("v{number}"), 1);
            let put = copies.coordinate(
                &Place::Home,
                PARTITION,
                &key,
                &context,
                version.clone(),
                None,
            );
            put.expect("it is stored");
            let put = other.coordinate(&Place::Home, PARTITION, &key, &context, version, None);
            put.expect("it is stored");
        }
        Act::Delete { key: number } => {
            let key = key(*number);
            let context = copies
                .record(PARTITION, &key)
                .expect("good")
                .object
                .context();
            let version = Version::tombstone(1);
            let put = copies.coordinate(&Place::Home, PARTITION, &key, &context, version, None);
            put.expect("it is stored");
        }
        Act::Merge { key: number } => {
            let key = key(*number);
            let object: Object = other.record(PARTITION, &key).expect("good").object;
            let written = copies.write(&Place::Home, PARTITION, &key, object, &[]);
            written.expect("it is stored");
        }
        Act::Forget { key: number } => copies
            .forget(PARTITION, &key(*number))
            .expect("a good disk"),
        Act::Grow => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn s4_7_d22_a_tree_kept_with_the_writes_equals_one_built_anew(
        before in proptest::collection::vec(act(), 0..700),
        after in proptest::collection::vec(act(), 0..200),
    ) {
        let mut copies = Copies::new(Memory::default(), Incarnation(1));
        let mut other = Copies::new(Memory::default(), Incarnation(2));
        for act in &before {
            write(&mut copies, &mut other, act);
        }
        copies.take_noted();
        let mut kept = Forest::default();
        kept.want(PARTITION, Millis(0));
        for act in &after {
            write(&mut copies, &mut other, act);
            kept.note(copies.take_noted(), &buckets(), Millis(0));
            if let Act::Grow = act {
                grow(&mut kept, &copies);
            }
        }
        while grow(&mut kept, &copies) {}
        let mut anew = Forest::default();
        anew.want(PARTITION, Millis(0));
        while grow(&mut anew, &copies) {}
        for n in 1..=3 {
            prop_assert_eq!(kept.tree(PARTITION, n), anew.tree(PARTITION, n), "n = {}", n);
        }
    }
}

#[test]
fn a_tree_knows_tombstones_and_nothing_of_headers() {
    let mut writer = Copies::new(Memory::default(), Incarnation(1));
    let mut reader = Copies::new(Memory::default(), Incarnation(2));
    let key = key(0);
    let put = writer.coordinate(
        &Place::Home,
        PARTITION,
        &key,
        &Context::default(),
        Version::tombstone(1),
        None,
    );
    let object = put.expect("it is stored").object;
    reader
        .write(&Place::Home, PARTITION, &key, object, &[])
        .expect("it is stored");
    let tree = |copies: &Copies<Memory>| {
        let mut forest = Forest::default();
        forest.want(PARTITION, Millis(0));
        while grow(&mut forest, copies) {}
        forest.tree(PARTITION, 3).expect("it is built").clone()
    };
    assert_ne!(
        writer.record(PARTITION, &key).expect("good").header,
        reader.record(PARTITION, &key).expect("good").header
    );
    assert_eq!(tree(&writer).records(), 1);
    assert_eq!(tree(&writer), tree(&reader));
}

#[test]
fn a_bucket_that_keeps_another_number_of_copies_is_counted_anew() {
    let mut copies = Copies::new(Memory::default(), Incarnation(1));
    let stranger = key(2);
    let put = copies.coordinate(
        &Place::Home,
        PARTITION,
        &stranger,
        &Context::default(),
        Version::value("v", 1),
        None,
    );
    put.expect("it is stored");
    let mut forest = Forest::default();
    forest.want(PARTITION, Millis(0));
    while grow(&mut forest, &copies) {}
    let mut known = buckets();
    forest.on_buckets(&known, &buckets());
    assert!(forest.is_built(PARTITION), "nothing is new");
    known.insert(bucket(2), Properties::default());
    forest.on_buckets(&buckets(), &known);
    assert!(!forest.is_built(PARTITION), "its records were in no tree");
}
