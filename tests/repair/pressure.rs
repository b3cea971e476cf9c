//! Nodes that are slow or have too much to do: the others turn elsewhere, and what was missed arrives (Dynamo 5, 6).
//!
//! Invariant: what is claimed is counted in messages and looked for on disks; no time is measured.

use super::cluster::{Cluster, key, node};
use bytes::Bytes;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::names::{ClientId, Key, NodeId};
use rejoin::dynamo::repair::settings::Settings;
use rejoin::dynamo::replica::stretch::Stretch;
use rejoin::dynamo::ring::partition::{Partitions, Token};
use rejoin::limits::SHARD_WAITING_MAX;
use std::sync::Arc;

const NODES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A cluster, a key that `a` keeps no copy of, and who does.
fn cluster() -> (Cluster, Key, Vec<NodeId>) {
    let settings = Settings {
        anti_entropy_interval_ms: 0,
        reap_interval_ms: 0,
        ..Settings::default()
    };
    let cluster = Cluster::with(&NODES, 8, settings);
    let mut keys = (0..100).map(|n| key("notes", &format!("k{n}")));
    let found = keys.find(|key| !cluster.primaries(key).contains(&node("a")));
    let key = found.expect("six nodes keep three copies");
    let primaries = cluster.primaries(&key);
    (cluster, key, primaries)
}

fn passed_to(cluster: &Cluster, to: &NodeId) -> usize {
    let sent = cluster.sent.iter();
    sent.filter(|(_, at, message)| at == to && matches!(message, Message::Forward { .. }))
        .count()
}

fn wait(cluster: &mut Cluster, names: &[NodeId], waiting: usize) {
    for name in names {
        cluster.step(name, Event::Waiting(waiting));
    }
}

#[test]
fn f65_puts_go_round_a_node_that_does_not_answer_and_come_back_when_it_does() {
    let (mut cluster, key, primaries) = cluster();
    cluster.silent.insert(primaries[0].clone());
    assert!(!cluster.put("a", &key, "into the void"));
    cluster.run(300);
    for round in 0..20 {
        assert!(cluster.put("a", &key, "next"), "{round}");
    }
    assert_eq!(passed_to(&cluster, &primaries[0]), 1);
    cluster.silent.clear();
    cluster.run(20_000);
    assert!(cluster.put("a", &key, "again"));
    assert_eq!(passed_to(&cluster, &primaries[0]), 2);
}

#[test]
fn f65_a_replica_that_is_overloaded_is_asked_last_and_gets_what_it_missed() {
    let (mut cluster, key, primaries) = cluster();
    wait(&mut cluster, &primaries[..1], SHARD_WAITING_MAX);
    assert!(cluster.put("a", &key, "first"));
    assert!(cluster.put("a", &key, "second"));
    assert_eq!(
        passed_to(&cluster, &primaries[0]),
        1,
        "it has said that it is busy"
    );
    assert!(cluster.object(&primaries[0], &key).is_empty());
    wait(&mut cluster, &primaries[..1], 0);
    cluster.run(60_000);
    let own = cluster.object(&primaries[0], &key);
    assert_eq!(own, cluster.object(&primaries[1], &key));
    assert_eq!(own.values().count(), 2);
}

#[test]
fn a_replica_that_has_not_heard_of_the_bucket_yet_is_gone_round() {
    let (mut cluster, key, primaries) = cluster();
    cluster.step(&primaries[0], Event::Buckets(Arc::default()));
    assert!(cluster.put("a", &key, "first"), "the others know it");
    assert_eq!(passed_to(&cluster, &primaries[0]), 1);
    assert_eq!(cluster.object(&primaries[1], &key).values().count(), 1);
}

#[test]
fn f65_where_everybody_is_overloaded_requests_end_soon_and_nothing_is_stored() {
    let (mut cluster, key, primaries) = cluster();
    let others: Vec<NodeId> = NODES[1..].iter().map(|name| node(name)).collect();
    cluster.put("a", &key, "before");
    cluster.run(5_000);
    wait(&mut cluster, &others, SHARD_WAITING_MAX);
    cluster.sent.clear();
    cluster.get("a", &key);
    assert_eq!(cluster.turned_away, 1, "not found would be a lie");
    assert!(
        cluster.sent.len() <= 4 * primaries.len(),
        "an avalanche: {:?}",
        cluster.sent
    );
    cluster.w = Some(2);
    let before = cluster.storage_writes();
    for turned_away in 2..5 {
        assert!(!cluster.put("a", &key, "too much"));
        assert_eq!(cluster.turned_away, turned_away);
    }
    assert_eq!(cluster.storage_writes(), before);
    cluster.w = None;
    assert!(cluster.put("a", &key, "for one, this node is enough"));
}

fn list(cluster: &mut Cluster, via: &str, key: &Key) {
    let partitions = Partitions::new(8).expect("in bounds");
    let stretch = Stretch {
        bucket: key.bucket().clone(),
        partition: partitions.of(Token::of(key)),
        prefix: Bytes::new(),
        after: Bytes::new(),
        items_max: 10,
        wanted: Default::default(),
    };
    let event = Event::List {
        client: ClientId(9_000),
        stretch,
        timeout_ms: 5_000,
    };
    cluster.step(&node(via), event);
    cluster.deliver();
}

#[test]
fn f65_a_listing_goes_round_who_is_overloaded_and_where_all_are_it_ends_soon() {
    let (mut cluster, key, primaries) = cluster();
    assert!(cluster.put("a", &key, "milk"));
    cluster.run(5_000);
    wait(&mut cluster, &primaries[..1], SHARD_WAITING_MAX);
    let replies = cluster.replies;
    list(&mut cluster, "a", &key);
    assert_eq!(cluster.replies, replies + 1, "two others answer");
    assert_eq!(cluster.turned_away, 0);
    let others: Vec<NodeId> = NODES[1..].iter().map(|name| node(name)).collect();
    wait(&mut cluster, &others, SHARD_WAITING_MAX);
    list(&mut cluster, "a", &key);
    assert_eq!(cluster.turned_away, 1, "before its deadline");
}
