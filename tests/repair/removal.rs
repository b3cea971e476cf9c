//! Tombstones that go, actors that retire, and what must not come of it (law 9).
//!
//! Invariant: what is gone is looked for on the disks.

use super::cluster::{Cluster, key, node};
use rejoin::dynamo::bucket::Ack;
use rejoin::dynamo::causality::dot::{Actor, Incarnation};
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::names::{Key, NodeId, Ticket};
use rejoin::dynamo::repair::settings::Settings;
use rejoin::limits::ACTORS_RETIRE_FROM;

/// A walk of every steward, the horizon, and the second round.
fn reap(cluster: &mut Cluster) {
    for id in cluster.ids() {
        cluster.step(&id, Event::ReapNow);
    }
    cluster.run(40_000);
}

fn holders(cluster: &Cluster, key: &Key) -> Vec<NodeId> {
    let all = cluster.ids().into_iter();
    all.filter(|id| cluster.has(id, key)).collect()
}

/// A write from a peer, as it would come late.
fn arrive(cluster: &mut Cluster, to: &str, key: &Key, object: &Object) {
    let message = Message::Write {
        ticket: Ticket { life: 0, count: 1 },
        key: key.clone(),
        object: object.clone(),
        replaced: Vec::new(),
        ack: Ack::Buffered,
        hint_for: None,
        placement_version: cluster.placement.version(),
        is_new: false,
    };
    let from = node("c");
    cluster.step(&node(to), Event::Message { from, message });
    cluster.deliver();
}

#[test]
fn f81_tombstones_go_from_every_disk_and_values_stay() {
    let mut cluster = Cluster::of(&["a", "b", "c", "d"], 4);
    let keys: Vec<Key> = (0..100).map(|n| key("notes", &format!("k{n}"))).collect();
    for key in &keys {
        cluster.put("a", key, "milk");
    }
    cluster.run(5_000);
    for key in &keys[..90] {
        let via = cluster.primaries(key)[0].clone();
        cluster.delete(via.as_str(), key);
    }
    reap(&mut cluster);
    for key in &keys[..90] {
        assert_eq!(holders(&cluster, key), []);
    }
    cluster.check_settled(&keys[90..]);
    let writes = cluster.storage_writes();
    reap(&mut cluster);
    assert_eq!(
        cluster.storage_writes(),
        writes,
        "there is nothing to do any more"
    );
}

#[test]
fn f81_a_node_that_is_away_keeps_every_tombstone_and_walks_go_on_by_themselves() {
    let settings = Settings {
        anti_entropy_interval_ms: 5_000,
        reap_interval_ms: 10_000,
        tombstone_horizon_ms: 30_000,
        ..Settings::default()
    };
    let mut cluster = Cluster::with(&["a", "b", "c"], 1, settings);
    let key = key("notes", "k");
    cluster.put("a", &key, "milk");
    cluster.run(5_000);
    let away = cluster.machines.remove(&node("c"));
    cluster.delete("a", &key);
    cluster.run(300_000);
    assert_eq!(holders(&cluster, &key).len(), 2);
    cluster
        .machines
        .insert(node("c"), away.expect("it was there"));
    cluster.run(120_000);
    assert_eq!(holders(&cluster, &key), []);
    assert!(
        !cluster.has(&node("c"), &key),
        "nor does the value come back"
    );
}

#[test]
fn f81_a_key_is_written_between_the_rounds_and_stays() {
    let mut cluster = Cluster::of(&["a", "b", "c"], 1);
    let key = key("notes", "k");
    cluster.put("a", &key, "milk");
    cluster.delete("a", &key);
    for id in cluster.ids() {
        cluster.step(&id, Event::ReapNow);
    }
    cluster.run(10_000);
    cluster.put("b", &key, "eggs");
    cluster.run(40_000);
    let object = cluster.object(&node("a"), &key);
    assert_eq!(object.live(0).count(), 1);
    assert_eq!(
        object.versions().count(),
        2,
        "the tombstone stays beside it"
    );
}

#[test]
fn f23_a_tombstone_that_comes_late_never_covers_the_key_that_was_written_anew() {
    let mut cluster = Cluster::of(&["a", "b", "c"], 1);
    let key = key("notes", "k");
    cluster.put("a", &key, "milk");
    cluster.delete("a", &key);
    let tombstone = cluster.object(&node("a"), &key);
    reap(&mut cluster);
    assert_eq!(holders(&cluster, &key), []);
    cluster.put("a", &key, "eggs");
    cluster.run(5_000);
    for name in ["a", "b", "c"] {
        arrive(&mut cluster, name, &key, &tombstone);
        assert_eq!(cluster.object(&node(name), &key).live(0).count(), 1);
    }
}

#[test]
fn f22_actors_of_whom_nothing_stands_are_retired_and_the_values_stay() {
    let mut cluster = Cluster::of(&["a", "b", "c"], 1);
    let key = key("notes", "k");
    let mut object = Object::default();
    for number in 0..2 * ACTORS_RETIRE_FROM as u64 {
        let actor = Actor {
            incarnation: Incarnation(1_000 + number),
            epoch: 1,
        };
        object.discard(&object.context());
        object.event(actor, Version::value("milk", 0));
    }
    assert_eq!(object.actors(), 2 * ACTORS_RETIRE_FROM);
    for name in ["a", "b", "c"] {
        arrive(&mut cluster, name, &key, &object);
    }
    let before = cluster.object(&node("a"), &key);
    let versions = |object: &Object| -> Vec<_> {
        let versions = object.versions();
        versions
            .map(|(dot, version)| (dot, version.clone()))
            .collect()
    };
    reap(&mut cluster);
    for name in ["a", "b", "c"] {
        let after = cluster.object(&node(name), &key);
        assert_eq!(after.actors(), 1);
        assert_eq!(versions(&after), versions(&before));
    }
    // A client that read the long clock, and writes now, covers what it has seen and nothing else.
    arrive(&mut cluster, "a", &key, &before);
    assert_eq!(
        versions(&cluster.object(&node("a"), &key)),
        versions(&before)
    );
}
