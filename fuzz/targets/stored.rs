//! What a disk gives back, and what nodes send each other as canonical bytes: records, objects, versions, merges, saved
//! records, envelopes and the places of hints.

use super::bytes_of;
use bytes::Bytes;
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::replica::layout::{decode_hint_key, hint_key};
use rejoin::dynamo::replica::record::{Record, Replaced};
use rejoin::dynamo::replica::saved::Saved;
use rejoin::limits::{ACTORS_MAX, SIBLINGS_MAX};
use rejoin::storage::envelope;

pub fn run(bytes: &[u8]) {
    let given = Bytes::copy_from_slice(bytes);
    check_envelope(bytes);
    if let Ok(record) = Record::decode(given.clone()) {
        assert_eq!(record.encode(), given, "a record has one encoding");
        check_object(record.object);
    }
    if let Ok(object) = Object::decode(given.clone()) {
        assert_eq!(object.encode(), given, "an object has one encoding");
        check_object(object);
    }
    if let Ok(replaced) = Replaced::decode(given.clone()) {
        assert_eq!(replaced.encode(), given, "a merge has one encoding");
        assert!(replaced.inputs.len() <= SIBLINGS_MAX);
        assert_eq!(replaced.named_inputs().count(), replaced.inputs.len());
    }
    if let Ok(saved) = Saved::decode(given.clone()) {
        assert_eq!(saved.encode(), given, "a saved record has one encoding");
        let mut twice = saved.clone();
        twice.unite(saved.clone());
        assert_eq!(
            twice.object, saved.object,
            "uniting with itself adds nothing"
        );
    }
    if let Ok((home, partition, key)) = decode_hint_key(&given) {
        assert_eq!(hint_key(&home, partition, &key), given);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let record = Record {
        header: Some(bytes_of::actor(9)),
        object: bytes_of::object(),
    };
    let saved = Saved {
        key: bytes_of::key("k"),
        object: bytes_of::object(),
        replaced: vec![bytes_of::replaced()],
    };
    let partition = rejoin::dynamo::ring::partition::PartitionId(3);
    let hint = hint_key(&bytes_of::node("b"), partition, &bytes_of::key("k"));
    let mut seeds: Vec<Vec<u8>> = [
        record.encode(),
        Record::default().encode(),
        record.object.encode(),
        bytes_of::replaced().encode(),
        bytes_of::plain_replaced().encode(),
        saved.encode(),
        hint,
    ]
    .into_iter()
    .map(Vec::from)
    .collect();
    seeds.push(envelope::seal(b"k", &[&record.encode()]));
    seeds
}

fn check_envelope(bytes: &[u8]) {
    if let Ok(content) = envelope::open(b"k", bytes) {
        assert_eq!(envelope::seal(b"k", &[content]), bytes);
    }
    let sealed = envelope::seal(b"k", &[bytes]);
    assert_eq!(envelope::open(b"k", &sealed), Ok(bytes));
    assert!(bytes.is_empty() || envelope::open(bytes, &sealed).is_err() || bytes == b"k");
}

/// What `sync` promises, with an object that somebody else made.
fn check_object(object: Object) {
    assert!(object.actors() <= ACTORS_MAX && object.versions().count() <= SIBLINGS_MAX);
    let ours = bytes_of::object();
    // A dot names one value for ever: of two there is no telling which was meant, and nothing is promised.
    let is_same = |(dot, version)| object.version(dot).is_none_or(|found| found == version);
    if !ours.versions().all(is_same) {
        return;
    }
    let both = [(&object, &ours), (&ours, &object)].map(|(one, other)| {
        let mut synced = one.clone();
        synced.sync(other.clone());
        synced
    });
    assert_eq!(
        both[0].encode(),
        both[1].encode(),
        "the order does not matter"
    );
    let [mut synced, _] = both;
    assert!(synced.descends(&ours) && synced.descends(&object));
    let context = synced.context();
    synced.expired(8_999);
    synced.discard(&context);
    assert_eq!(
        synced.versions().count(),
        0,
        "its own context covers it all"
    );
    synced.retire_idle_actors();
}
