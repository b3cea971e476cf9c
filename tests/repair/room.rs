//! Nodes whose disks are full: their puts are stored by others, once, and come home when there is room (Dynamo 4.6).
//!
//! Invariant: what is claimed is looked for on disks and counted in messages; no time is measured.

use super::cluster::{Cluster, key, node};
use rejoin::dynamo::coordinator::request::PutError;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::names::{Key, NodeId};
use rejoin::dynamo::repair::settings::Settings;
use rejoin::dynamo::replica::room::Room;
use rejoin::limits::disk::FULL_REMEMBERED_MS;

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn cluster(names: &[&str]) -> Cluster {
    let settings = Settings {
        anti_entropy_interval_ms: 0,
        reap_interval_ms: 0,
        ..Settings::default()
    };
    let mut cluster = Cluster::with(names, 8, settings);
    cluster.w = Some(2);
    cluster
}

fn set_room(cluster: &mut Cluster, nodes: &[NodeId], room: Room) {
    for id in nodes {
        cluster.step(id, Event::Room(room));
    }
    cluster.deliver();
}

fn holders(cluster: &mut Cluster, key: &Key) -> Vec<NodeId> {
    let ids = cluster.ids();
    ids.into_iter().filter(|id| cluster.has(id, key)).collect()
}

/// One put made one dot, wherever it stands now.
fn check_settled(cluster: &mut Cluster, key: &Key, puts: usize) {
    cluster.run(60_000);
    cluster.check_settled(std::slice::from_ref(key));
    let first = cluster.primaries(key).remove(0);
    assert_eq!(cluster.object(&first, key).versions().count(), puts);
}

fn writes_to(cluster: &Cluster, to: &NodeId) -> usize {
    let sent = cluster.sent.iter();
    sent.filter(|(_, at, message)| at == to && matches!(message, Message::Write { .. }))
        .count()
}

#[test]
fn s4_6_a_put_at_a_node_whose_disk_is_full_is_stored_by_the_others_and_comes_home_when_there_is_room()
 {
    let mut cluster = cluster(&["a", "b", "c"]);
    let key = key("notes", "cart");
    set_room(&mut cluster, &[node("a")], Room::Spent);
    for round in 0..3 {
        assert!(cluster.put("a", &key, &format!("value {round}")));
    }
    cluster.run(60_000);
    assert_eq!(holders(&mut cluster, &key), [node("b"), node("c")]);
    set_room(&mut cluster, &[node("a")], Room::Ample);
    check_settled(&mut cluster, &key, 3);
    assert_eq!(cluster.refused, []);
}

#[test]
fn s4_6_a_fallback_takes_the_seat_of_a_primary_whose_disk_is_full_and_hands_over_what_is_a_repair()
{
    let mut cluster = cluster(&NODES);
    let key = key("notes", "cart");
    let primaries = cluster.primaries(&key);
    set_room(&mut cluster, &primaries[..1], Room::Scarce);
    cluster.w = Some(3);
    assert!(cluster.put(primaries[1].as_str(), &key, "value"), "at once");
    assert!(!cluster.has(&primaries[0], &key));
    // What its stand-in hands over is not a client's value any more.
    check_settled(&mut cluster, &key, 1);
}

#[test]
fn s4_6_where_all_primaries_are_full_others_take_the_put_whoever_was_asked_and_it_makes_one_dot() {
    for asked in NODES {
        let mut cluster = cluster(&NODES);
        let key = key("notes", "cart");
        let primaries = cluster.primaries(&key);
        set_room(&mut cluster, &primaries, Room::Spent);
        assert!(cluster.put(asked, &key, "value"), "at {asked}");
        cluster.run(10_000);
        assert_eq!(holders(&mut cluster, &key), [], "only hints");
        set_room(&mut cluster, &primaries, Room::Ample);
        check_settled(&mut cluster, &key, 1);
    }
}

#[test]
fn f_where_all_disks_are_full_nothing_is_stored_and_the_client_is_told_so() {
    for room in [Room::Scarce, Room::Spent] {
        let mut cluster = cluster(&NODES);
        let key = key("notes", "cart");
        let all = cluster.ids();
        set_room(&mut cluster, &all, room);
        for via in NODES {
            assert!(!cluster.put(via, &key, "value"));
        }
        cluster.run(10_000);
        let told = &cluster.refused;
        assert_eq!(told.len(), NODES.len());
        assert!(
            told.iter().all(|e| matches!(e, PutError::DiskFull(_))),
            "{told:?}"
        );
        assert_eq!(cluster.storage_writes(), 0);
        set_room(&mut cluster, &all, Room::Ample);
        assert!(cluster.put("a", &key, "value"));
        check_settled(&mut cluster, &key, 1);
    }
}

#[test]
fn f_a_write_that_too_few_disks_take_is_unknown_once_and_then_refused_before_it_is_stored() {
    let mut cluster = cluster(&["a", "b", "c"]);
    let key = key("notes", "cart");
    set_room(&mut cluster, &[node("b"), node("c")], Room::Scarce);
    assert!(!cluster.put("a", &key, "stored at one"));
    assert!(!cluster.put("a", &key, "stored nowhere"));
    let told = std::mem::take(&mut cluster.refused);
    assert!(
        matches!(
            &told[..],
            [
                PutError::Unknown {
                    acknowledged: 1,
                    ..
                },
                PutError::DiskFull(_)
            ]
        ),
        "{told:?}"
    );
    assert_eq!(cluster.object(&node("a"), &key).versions().count(), 1);
    cluster.w = Some(1);
    assert!(cluster.put("a", &key, "one is enough"), "law 2");
}

#[test]
fn f_a_strict_quorum_counts_no_fallback_for_a_full_primary() {
    let mut cluster = cluster(&NODES);
    let key = key("notes", "cart");
    let primaries = cluster.primaries(&key);
    set_room(&mut cluster, &primaries[..1], Room::Scarce);
    (cluster.w, cluster.pw) = (Some(3), Some(3));
    for _ in 0..3 {
        assert!(!cluster.put(primaries[1].as_str(), &key, "value"));
    }
    let told = &cluster.refused;
    assert!(matches!(told[0], PutError::Unknown { .. }), "{told:?}");
    assert!(
        matches!(told[1..], [PutError::DiskFull(_), PutError::DiskFull(_)]),
        "{told:?}"
    );
    (cluster.w, cluster.pw) = (Some(3), Some(2));
    assert!(cluster.put(primaries[1].as_str(), &key, "value"));
}

#[test]
fn f_a_full_node_is_asked_once_a_second_and_nobody_waits_for_it() {
    let mut cluster = cluster(&NODES);
    let key = key("notes", "cart");
    let primaries = cluster.primaries(&key);
    set_room(&mut cluster, &primaries[..1], Room::Spent);
    cluster.w = Some(3);
    for _ in 0..20 {
        assert!(cluster.put(primaries[1].as_str(), &key, "value"));
    }
    assert_eq!(writes_to(&cluster, &primaries[0]), 1);
    cluster.now_ms += FULL_REMEMBERED_MS;
    assert!(cluster.put(primaries[1].as_str(), &key, "value"));
    assert_eq!(writes_to(&cluster, &primaries[0]), 2);
}

#[test]
fn f_deletes_and_repairs_are_taken_where_room_is_scarce_and_nothing_where_there_is_none() {
    let mut cluster = cluster(&["a", "b", "c"]);
    cluster.w = Some(3);
    let (gone, kept) = (key("notes", "gone"), key("notes", "kept"));
    assert!(cluster.put("a", &gone, "value") && cluster.put("a", &kept, "value"));
    set_room(&mut cluster, &[node("a")], Room::Scarce);
    cluster.delete("a", &gone);
    assert_eq!(cluster.object(&node("a"), &gone).values().count(), 0);
    let written = |cluster: &Cluster| {
        let copies = cluster.machines[&node("a")].activity().copies;
        copies.storage_writes
    };
    set_room(&mut cluster, &[node("a")], Room::Spent);
    let before = written(&cluster);
    cluster.w = Some(2);
    for round in 0..10 {
        assert!(cluster.put("b", &kept, &format!("value {round}")));
        cluster.delete("b", &gone);
        cluster.get("c", &kept);
        for id in cluster.ids() {
            cluster.step(&id, Event::ExchangeNow);
            cluster.step(&id, Event::ReapNow);
        }
        cluster.run(10_000);
    }
    assert_eq!(written(&cluster), before);
    assert!(
        cluster.object(&node("a"), &kept).versions().count() == 1,
        "it reads on"
    );
    set_room(&mut cluster, &[node("a")], Room::Ample);
    check_settled(&mut cluster, &kept, 11);
}

#[test]
fn f_a_shard_without_room_wakes_no_more_often_than_it_has_to() {
    let mut cluster = cluster(&["a", "b", "c"]);
    let key = key("notes", "cart");
    assert!(cluster.put("a", &key, "value"));
    // A hint for a node that is away, and a round that is due: both would write.
    cluster.silent.insert(node("c"));
    assert!(cluster.put("a", &key, "value"));
    cluster.run(3_000);
    cluster.silent.clear();
    set_room(&mut cluster, &[node("a"), node("b")], Room::Spent);
    cluster.step(&node("a"), Event::ExchangeNow);
    let mut wakes = 0;
    let end_ms = cluster.now_ms + 10_000;
    while let Some(at) = cluster.machines[&node("a")].next_deadline() {
        if at.0 > end_ms || wakes > 1_000 {
            break;
        }
        wakes += 1;
        cluster.now_ms = cluster.now_ms.max(at.0);
        cluster.step(&node("a"), Event::Tick);
        cluster.deliver();
    }
    assert!(wakes < 100, "{wakes} wakes in ten seconds");
}
