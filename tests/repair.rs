//! Repair without reads: hash trees, anti-entropy, transfers to new owners, stray copies (Dynamo 4.7, 4.9, 6.5).
//!
//! Whole machines over disks in memory. Names carry the section and the identifier of the project's list of
//! mechanisms, as in `dynamo_paper.rs`.
//!
//! Invariant: every claim here is checked on what the disks hold or on what was sent, never on a status alone.

#[path = "repair/clearing.rs"]
mod clearing;
#[path = "repair/cluster.rs"]
mod cluster;
#[path = "repair/converging.rs"]
mod converging;
#[path = "stage/memory.rs"]
mod memory;
#[path = "repair/moving.rs"]
mod moving;
#[path = "repair/pressure.rs"]
mod pressure;
#[path = "repair/removal.rs"]
mod removal;
#[path = "repair/room.rs"]
mod room;
#[path = "repair/steward.rs"]
mod steward;
#[path = "repair/trees.rs"]
mod trees;

use cluster::{Cluster, key, node};
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::names::Key;
use rejoin::dynamo::repair::inquiry::{Answer, Ask};
use rejoin::dynamo::repair::settings::Settings;

fn keys(count: usize) -> Vec<Key> {
    let key = |number: usize| match number % 5 {
        0 => key("pairs", &format!("key-{number}")),
        _ => key("notes", &format!("key-{number}")),
    };
    (0..count).map(key).collect()
}

fn filled(names: &[&str], partitions: u16, keys: &[Key]) -> Cluster {
    let mut cluster = Cluster::of(names, partitions);
    for key in keys {
        cluster.put("a", key, "first");
    }
    cluster.run(10_000);
    cluster.sent.clear();
    cluster
}

fn moved(cluster: &Cluster) -> usize {
    let moves = cluster.sent.iter().filter(|(_, _, message)| match message {
        Message::Repair { ask, .. } => matches!(**ask, Ask::Copy { .. } | Ask::Give { .. }),
        _ => false,
    });
    moves.count()
}

#[test]
fn s4_7_d22_replicas_that_diverged_become_equal_without_being_read() {
    let keys = keys(60);
    let mut cluster = filled(&["a", "b", "c", "d"], 4, &keys);
    for key in &keys[..20] {
        cluster.put_to_one(key, "second");
    }
    for id in cluster.ids() {
        cluster.step(&id, Event::ExchangeNow);
    }
    cluster.run(60_000);
    cluster.check_settled(&keys);
    assert!(cluster.repairs() >= 20, "{}", cluster.repairs());
    for machine in cluster.machines.values() {
        let status = machine.anti_entropy();
        assert_eq!((status.rounds_finished, status.exchanges_failed), (1, 0));
        assert!(!status.is_in_progress && machine.exchanges() == 0);
    }
}

#[test]
fn s4_7_d22_a_wiped_replica_gets_everything_back_by_its_own_round() {
    let keys = keys(700);
    let mut cluster = filled(&["a", "b", "c"], 2, &keys);
    cluster.wipe("b");
    cluster.start("b");
    cluster.step(&node("b"), Event::ExchangeNow);
    cluster.run(60_000);
    cluster.check_settled(&keys);
}

#[test]
fn s4_7_d22_only_keys_that_differ_move() {
    let keys = keys(500);
    let mut cluster = filled(&["a", "b", "c"], 1, &keys);
    let first = cluster.put_to_one(&keys[7], "second");
    cluster.sent.clear();
    cluster.step(&first, Event::ExchangeNow);
    cluster.run(10_000);
    cluster.check_settled(&keys);
    assert_eq!(moved(&cluster), 4, "asked of two peers, and given to both");
}

#[test]
fn f61_comparing_equal_replicas_costs_two_small_messages_and_writes_nothing() {
    let keys = keys(100);
    let mut cluster = filled(&["a", "b", "c"], 1, &keys);
    cluster.step(&node("a"), Event::ExchangeNow);
    cluster.run(10_000); // Builds the trees.
    let writes = cluster.storage_writes();
    cluster.sent.clear();
    for _ in 0..3 {
        cluster.step(&node("a"), Event::ExchangeNow);
        cluster.run(10_000);
    }
    let exchanges = cluster.machines[&node("a")].anti_entropy().exchanges;
    assert_eq!(exchanges % 4, 0, "four rounds");
    assert_eq!(cluster.sent.len() as u64, 2 * exchanges * 3 / 4);
    for (_, _, message) in &cluster.sent {
        assert!(message.size_bytes() < 200, "{message:?}");
    }
    assert_eq!((cluster.storage_writes(), cluster.repairs()), (writes, 0));
}

#[test]
fn law_6_a_settled_idle_cluster_repairs_and_writes_nothing_for_three_rounds() {
    let interval_ms = 5_000;
    let settings = Settings {
        anti_entropy_interval_ms: interval_ms,
        ..Settings::default()
    };
    let mut cluster = Cluster::with(&["a", "b", "c", "d", "e"], 16, settings);
    let keys = keys(100);
    for key in &keys {
        cluster.put("c", key, "first");
    }
    cluster.run(2 * interval_ms);
    let (writes, repairs) = (cluster.storage_writes(), cluster.repairs());
    let rounds = |cluster: &Cluster| -> Vec<u64> {
        let machines = cluster.machines.values();
        machines.map(|m| m.anti_entropy().rounds_finished).collect()
    };
    let before = rounds(&cluster);
    cluster.run(3 * interval_ms + 1_000);
    for (before, after) in before.iter().zip(rounds(&cluster)) {
        assert!(after >= before + 3, "{before} and {after} rounds");
    }
    assert_eq!(
        (cluster.storage_writes(), cluster.repairs()),
        (writes, repairs)
    );
    cluster.check_settled(&keys);
}

#[test]
fn each_pair_of_primaries_is_compared_once_in_a_regular_round() {
    let settings = Settings {
        anti_entropy_interval_ms: 1_000_000,
        ..Settings::default()
    };
    let mut cluster = Cluster::with(&["a", "b", "c"], 6, settings);
    cluster.run(1_000_000);
    let mut pairs: Vec<_> = cluster
        .sent
        .iter()
        .filter_map(|(from, to, message)| match message {
            Message::Repaired { answer, .. } if matches!(**answer, Answer::Root(_)) => {
                Some((from.clone().min(to.clone()), from.clone().max(to.clone())))
            }
            _ => None,
        })
        .collect();
    pairs.sort();
    let all = pairs.len();
    pairs.dedup();
    // Six partitions; three pairs at n = 3, one pair at n = 2.
    assert_eq!((all, pairs.len()), (6 * 4, 3));
}

#[test]
fn a_round_skips_a_peer_that_is_gone_and_still_ends() {
    let keys = keys(40);
    let mut cluster = filled(&["a", "b", "c"], 8, &keys);
    cluster.machines.remove(&node("c"));
    cluster.step(&node("a"), Event::ExchangeNow);
    cluster.run(1_000);
    let status = cluster.machines[&node("a")].anti_entropy();
    assert!(!status.is_in_progress);
    assert_eq!(status.rounds_finished, 1);
    let asked = cluster.sent.iter().filter(|(_, to, message)| {
        let compares = matches!(message, Message::Repair { .. });
        *to == node("c") && compares
    });
    assert_eq!(asked.count(), 1, "asked once, then left alone");
}

#[test]
fn an_exchange_that_is_cut_off_ends_and_the_next_goes_on_where_it_was() {
    let keys = keys(600);
    let mut cluster = filled(&["a", "b", "c"], 1, &keys);
    cluster.wipe("b");
    cluster.start("b");
    cluster.cut.insert((node("b"), node("c")));
    cluster.step(&node("b"), Event::ExchangeNow);
    let held = |cluster: &Cluster| {
        let keys = keys.iter();
        keys.filter(|key| cluster.has(&node("b"), key)).count()
    };
    cluster.run_until(|cluster| held(cluster) >= 50);
    let held = held(&cluster);
    cluster.cut.insert((node("a"), node("b")));
    cluster.run(30_000);
    assert!(!cluster.machines[&node("b")].anti_entropy().is_in_progress);
    cluster.cut.clear();
    cluster.sent.clear();
    cluster.step(&node("b"), Event::ExchangeNow);
    cluster.run(30_000);
    cluster.check_settled(&keys);
    let moved = moved(&cluster);
    let kept = keys
        .iter()
        .filter(|key| cluster.primaries(key).contains(&node("b")));
    let kept = kept.count();
    assert!((50..kept).contains(&held), "{held} of {kept} were there");
    assert_eq!(moved, kept - held, "{held} of {kept} were there");
}
