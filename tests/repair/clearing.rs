//! Removed buckets: what is left of them goes from every disk, and comes back by no way.
//!
//! Invariant: what is gone is looked for on the disks, hints and retained merges included.

use super::cluster::{Cluster, key, node};
use super::keys;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::names::Key;
use rejoin::dynamo::repair::settings::Settings;

const NODES: [&str; 4] = ["a", "b", "c", "d"];

fn notes(count: usize) -> Vec<Key> {
    (0..count).map(|n| key("notes", &format!("k{n}"))).collect()
}

fn filled(settings: Settings, keys: &[Key]) -> Cluster {
    let mut cluster = Cluster::with(&NODES, 4, settings);
    for key in keys {
        cluster.put("a", key, "first");
    }
    cluster.run(10_000);
    cluster
}

fn silent() -> Settings {
    Settings {
        anti_entropy_interval_ms: 0,
        reap_interval_ms: 0,
        ..Settings::default()
    }
}

fn compare_all(cluster: &mut Cluster) {
    for id in cluster.ids() {
        cluster.step(&id, Event::ExchangeNow);
    }
    cluster.run(60_000);
}

#[test]
fn f3_a_removed_bucket_goes_from_every_disk_and_the_others_stay() {
    let keys = keys(400);
    let mut cluster = filled(silent(), &keys);
    cluster.remove_notes(false);
    NODES.iter().for_each(|name| cluster.tell_buckets(name));
    cluster.run(10_000);
    let (notes, pairs): (Vec<Key>, Vec<Key>) = keys
        .into_iter()
        .partition(|key| key.bucket().plain() == "notes");
    for name in NODES {
        let left = notes.iter().filter(|key| cluster.has(&node(name), key));
        assert_eq!(left.count(), 0, "{name}");
    }
    cluster.check_settled(&pairs);
    let before = cluster.storage_writes();
    compare_all(&mut cluster);
    assert_eq!(
        cluster.storage_writes(),
        before,
        "nothing is left to be compared"
    );
    assert!(!cluster.put("a", &notes[0], "late"));
}

#[test]
fn f3_a_node_that_was_away_gives_nothing_back_and_clears_its_own_disk_when_it_hears() {
    let keys = notes(60);
    let mut cluster = filled(silent(), &keys);
    cluster.machines.remove(&node("d"));
    cluster.remove_notes(false);
    ["a", "b", "c"]
        .iter()
        .for_each(|name| cluster.tell_buckets(name));
    cluster.run(10_000);
    assert!(cluster.stored("d") > 0, "or there is nothing to give back");
    cluster.start_as_at_first("d");
    compare_all(&mut cluster);
    for name in ["a", "b", "c"] {
        assert_eq!(cluster.stored(name), 0, "{name}");
    }
    cluster.tell_buckets("d");
    cluster.run(10_000);
    assert_eq!(cluster.stored("d"), 0);
}

#[test]
fn f3_hints_of_a_removed_bucket_go_too_and_are_not_counted_any_more() {
    let keys = notes(60);
    let mut cluster = filled(silent(), &[]);
    cluster.machines.remove(&node("d"));
    for key in &keys {
        cluster.put("a", key, "for all");
        cluster.run(10);
    }
    cluster.run(5_000);
    let pending = |cluster: &Cluster| -> u64 {
        let machines = cluster.machines.values();
        machines
            .map(|machine| machine.activity().hints_pending)
            .sum()
    };
    assert!(pending(&cluster) > 0, "or nobody has missed anything");
    cluster.remove_notes(false);
    ["a", "b", "c"]
        .iter()
        .for_each(|name| cluster.tell_buckets(name));
    cluster.run(20_000);
    assert_eq!(pending(&cluster), 0);
    for name in ["a", "b", "c"] {
        assert_eq!(cluster.stored(name), 0, "{name}");
    }
}

#[test]
fn f3_a_bucket_that_is_created_again_is_empty_whoever_still_has_the_old_records() {
    let keys = notes(60);
    let mut cluster = filled(silent(), &keys);
    cluster.machines.remove(&node("d"));
    cluster.remove_notes(true);
    ["a", "b", "c"]
        .iter()
        .for_each(|name| cluster.tell_buckets(name));
    for key in &keys {
        for name in ["a", "b", "c"] {
            assert!(
                cluster.object(&node(name), key).is_empty(),
                "{key} at {name}"
            );
        }
    }
    assert!(cluster.put("a", &keys[0], "second"));
    cluster.start_as_at_first("d");
    compare_all(&mut cluster);
    cluster.tell_buckets("d");
    cluster.run(10_000);
    compare_all(&mut cluster);
    let held = |cluster: &mut Cluster, key: &Key| {
        let ids = cluster.ids().into_iter();
        let objects = ids.map(|id| cluster.object(&id, key));
        objects
            .filter(|object| !object.is_empty())
            .collect::<Vec<_>>()
    };
    for object in held(&mut cluster, &keys[0]) {
        assert_eq!(object.values().count(), 1);
    }
    assert_eq!(held(&mut cluster, &keys[0]).len(), 3);
    for key in &keys[1..] {
        assert_eq!(held(&mut cluster, key), [], "{key}");
    }
}

#[test]
fn f3_clearing_begins_anew_after_a_restart_in_the_middle_of_it() {
    let keys = notes(2_000);
    let mut cluster = filled(silent(), &keys);
    cluster.remove_notes(false);
    let before = cluster.stored("a");
    cluster.tell_buckets("a");
    cluster.run_until(|cluster| cluster.stored("a") < before);
    let left = cluster.stored("a");
    assert!(left > 0, "a slice is not all");
    cluster.start("a");
    cluster.run(10_000);
    assert_eq!(cluster.stored("a"), 0);
}
