//! Partitions that go to other owners, and copies that are where they do not belong (Dynamo 4.9, 6.5).

use super::cluster::{Cluster, key, node};
use super::{filled, keys};
use rejoin::dynamo::coordinator::request::GetRequest;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::names::ClientId;
use rejoin::dynamo::repair::inquiry::Ask;
use rejoin::dynamo::repair::settings::Settings;
use rejoin::dynamo::repair::transfer::Stage;
use rejoin::dynamo::ring::placement::Duty;
use rejoin::limits::{BACKGROUND_RATE_MAX, BACKGROUND_RATE_MIN, TRANSFERS_MAX};

/// Until every partition is with its new owners and no stray copy is left.
fn settle(cluster: &mut Cluster) {
    cluster.run(60_000);
    assert!(cluster.placement.is_settled(), "{:?}", cluster.told);
}

fn given(cluster: &Cluster) -> usize {
    let sent = cluster.sent.iter();
    let gives = sent.filter(|(_, _, message)| match message {
        Message::Repair { ask, .. } => matches!(**ask, Ask::Give { .. } | Ask::Copy { .. }),
        _ => false,
    });
    gives.count()
}

#[test]
fn s4_9_d27_a_node_that_joins_is_given_its_partitions_and_the_givers_keep_nothing() {
    let keys = keys(300);
    let mut cluster = filled(&["a", "b", "c", "d"], 16, &keys);
    cluster.start("e");
    cluster.change(&["a", "b", "c", "d", "e"], &[]);
    settle(&mut cluster);
    cluster.check_settled(&keys);
    assert!(keys.iter().any(|key| cluster.has(&node("e"), key)));
    let handed_over: u64 = cluster
        .machines
        .values()
        .map(|machine| machine.activity().strays_handed_over)
        .sum();
    assert!(handed_over > 0, "old owners have dropped their copies");
    for machine in cluster.machines.values() {
        assert_eq!((machine.transfers().len(), machine.exchanges()), (0, 0));
    }
}

#[test]
fn s4_9_d27_a_node_that_leaves_gives_away_all_it_has() {
    let keys = keys(200);
    let mut cluster = filled(&["a", "b", "c", "d", "e"], 16, &keys);
    cluster.change(&["a", "b", "c", "d"], &[]);
    settle(&mut cluster);
    cluster.check_settled(&keys);
    assert!(keys.iter().all(|key| !cluster.has(&node("e"), key)));
}

#[test]
fn s4_9_d27_what_a_dead_node_held_is_taken_from_those_that_are_left() {
    let keys = keys(200);
    let mut cluster = filled(&["a", "b", "c", "d", "e"], 16, &keys);
    cluster.machines.remove(&node("e"));
    cluster.change(&["a", "b", "c", "d"], &["e"]);
    settle(&mut cluster);
    cluster.check_settled(&keys);
}

#[test]
fn f75_released_is_told_once_and_after_copied_by_everybody_who_moves_something() {
    let keys = keys(100);
    let mut cluster = filled(&["a", "b", "c", "d"], 8, &keys);
    cluster.start("e");
    cluster.change(&["a", "b", "c", "d", "e"], &[]);
    settle(&mut cluster);
    for partition in 0..8 {
        let told = cluster.told.iter().filter(|(_, at, _)| *at == partition);
        let stages: Vec<Stage> = told.map(|(_, _, stage)| *stage).collect();
        let half = stages.len() / 2;
        assert!(stages[..half].iter().all(|stage| *stage == Stage::Copied));
        assert!(stages[half..].iter().all(|stage| *stage == Stage::Released));
        let movers = cluster
            .placement
            .movers(rejoin::dynamo::ring::partition::PartitionId(partition));
        assert_eq!(half, movers.len(), "{:?}", cluster.told);
    }
}

#[test]
fn f75_a_giver_that_releases_takes_no_writes_at_once_and_nothing_is_lost() {
    let keys = keys(60);
    let mut cluster = filled(&["a", "b", "c", "d"], 4, &keys);
    cluster.start("e");
    cluster.is_mute = true;
    cluster.change(&["a", "b", "c", "d", "e"], &[]);
    cluster.run(60_000);
    assert!(
        cluster
            .told
            .iter()
            .all(|(_, _, stage)| *stage == Stage::Copied)
    );
    for key in &keys {
        assert!(cluster.put("a", key, "while copied"));
    }
    // Everybody hears that all is copied; nobody hears of any release.
    cluster.spread();
    cluster.run(60_000);
    assert!(!cluster.placement.is_settled());
    let mut refused = 0;
    let mut acknowledged: Vec<bool> = Vec::new();
    for key in &keys {
        let holders = cluster.primaries(key);
        let before: Vec<_> = holders.iter().map(|id| cluster.object(id, key)).collect();
        acknowledged.push(cluster.put("a", key, "while released"));
        for (id, before) in holders.iter().zip(before) {
            let duties = cluster
                .placement
                .duties(cluster.placement.partition_of(key), cluster.copies(key));
            let gives = matches!(duties.get(id), Some(Duty::Give(_)));
            let is_same = cluster.object(id, key) == before;
            assert_eq!(gives, is_same, "{key} at {id}");
            refused += u32::from(gives);
        }
    }
    assert!(refused > 0);
    cluster.is_mute = false;
    cluster.spread();
    settle(&mut cluster);
    for id in cluster.ids() {
        cluster.step(&id, Event::ExchangeNow);
    }
    cluster.run(60_000);
    cluster.check_settled(&keys);
    for (key, acknowledged) in keys.iter().zip(acknowledged) {
        let holder = cluster.primaries(key).remove(0);
        let versions = cluster.object(&holder, key).versions().count();
        assert_eq!(
            versions,
            2 + usize::from(acknowledged),
            "the blind writes of {key}"
        );
    }
}

#[test]
fn f75_a_transfer_goes_on_after_a_restart_and_moves_only_what_is_missing() {
    let keys = keys(400);
    let mut cluster = filled(&["a", "b", "c"], 4, &keys);
    cluster.start("d");
    cluster.change(&["a", "b", "c", "d"], &[]);
    let at_d = |cluster: &Cluster| {
        keys.iter()
            .filter(|key| cluster.has(&node("d"), key))
            .count()
    };
    cluster.run_until(|cluster| at_d(cluster) >= 60);
    let held = at_d(&cluster);
    assert!(held < 250, "{held} of them are there");
    for name in ["a", "b", "c", "d"] {
        cluster.start(name);
    }
    cluster.sent.clear();
    settle(&mut cluster);
    cluster.check_settled(&keys);
    let (given, wanted) = (given(&cluster), at_d(&cluster));
    assert!(
        given <= wanted - held,
        "{given} were given; {held} of {wanted} were there"
    );
}

#[test]
fn f75_a_new_change_cancels_the_old_one() {
    let keys = keys(200);
    let mut cluster = filled(&["a", "b", "c", "d"], 8, &keys);
    cluster.start("e");
    cluster.change(&["a", "b", "c", "d", "e"], &[]);
    cluster.run(5);
    cluster.change(&["a", "b", "c", "d"], &[]);
    settle(&mut cluster);
    cluster.check_settled(&keys);
    assert!(
        keys.iter().all(|key| !cluster.has(&node("e"), key)),
        "given back"
    );
}

#[test]
fn f75_the_stop_button_stops_transfers_and_lets_them_go_on() {
    let keys = keys(300);
    let mut cluster = filled(&["a", "b", "c", "d"], 4, &keys);
    cluster.start("e");
    cluster.change(&["a", "b", "c", "d", "e"], &[]);
    cluster.run(2);
    for id in cluster.ids() {
        cluster.step(&id, Event::Pause(true));
        assert_eq!(cluster.machines[&id].exchanges(), 0);
    }
    cluster.run(10);
    cluster.sent.clear();
    cluster.run(60_000);
    assert!(cluster.sent.is_empty(), "{:?}", cluster.sent.first());
    assert!(!cluster.placement.is_settled());
    for id in cluster.ids() {
        cluster.step(&id, Event::Pause(false));
    }
    settle(&mut cluster);
    cluster.check_settled(&keys);
}

#[test]
fn f75_a_shard_has_a_bounded_number_of_transfers_at_a_time_and_tells_how_far_they_are() {
    let keys = keys(400);
    let mut cluster = filled(&["a", "b", "c", "d"], 32, &keys);
    cluster.start("e");
    cluster.change(&["a", "b", "c", "d", "e"], &[]);
    let mut seen = 0;
    for _ in 0..2_000 {
        for machine in cluster.machines.values() {
            assert!(machine.exchanges() <= TRANSFERS_MAX + 1, "and one stray");
        }
        let told = cluster.machines[&node("a")].transfers();
        seen += usize::from(told.iter().any(|t| t.stage == Stage::Copying && t.left > 0));
        cluster.run(1);
    }
    assert!(seen > 0);
    settle(&mut cluster);
}

/// A copy that lies at a node which is no owner.
fn with_a_stray() -> (Cluster, rejoin::dynamo::names::Key) {
    let stray = key("notes", "stray");
    let mut cluster = Cluster::of(&["a", "b", "c", "d"], 4);
    let first = cluster.put_to_one(&stray, "precious");
    let disk = cluster.disks[&first].clone();
    let owners = cluster.primaries(&stray);
    let outsider = cluster.ids().into_iter().find(|id| !owners.contains(id));
    let outsider = outsider.expect("four nodes, three copies");
    // The owners lose it; the outsider finds it on the disk that it starts on.
    for id in &owners {
        cluster.wipe(id.as_str());
    }
    cluster.disks.insert(outsider.clone(), disk);
    cluster.machines.remove(&outsider);
    (cluster, stray)
}

#[test]
fn a_stray_copy_goes_to_all_owners_and_only_then_away() {
    let (mut cluster, stray) = with_a_stray();
    let owners = cluster.primaries(&stray);
    let outsider = ["a", "b", "c", "d"]
        .into_iter()
        .find(|name| !owners.contains(&node(name)));
    let outsider = outsider.expect("four nodes, three copies");
    cluster.start(owners[0].as_str());
    cluster.start(owners[1].as_str());
    cluster.start(outsider);
    cluster.run(60_000);
    assert!(
        cluster.has(&node(outsider), &stray),
        "the third owner has not confirmed"
    );
    cluster.start(owners[2].as_str());
    cluster.run(60_000);
    cluster.check_settled(&[stray]);
    let activity = cluster.machines[&node(outsider)].activity();
    assert_eq!(activity.strays_handed_over, 1);
}

/// Gets at `a` that wait for a peer which does not answer, half of a second each; how fast `a` then works for others.
fn wait_for_a_second(cluster: &mut Cluster) -> u64 {
    let before = cluster.replies;
    for client in 0..5 {
        let request = GetRequest {
            key: key("notes", "key-1"),
            r: Some(3),
            pr: None,
        };
        let client = ClientId(1_000_000 + cluster.now_ms * 10 + client);
        let event = Event::Get {
            client,
            request,
            timeout_ms: 500,
        };
        cluster.step(&node("a"), event);
    }
    cluster.run(1_000);
    assert_eq!(cluster.replies, before + 5);
    cluster.machines[&node("a")].activity().background_rate
}

#[test]
fn s6_5_d44_hints_give_way_to_clients_that_wait() {
    let settings = Settings {
        anti_entropy_interval_ms: 0,
        reap_interval_ms: 0,
        ..Settings::default()
    };
    let mut cluster = Cluster::with(&["a", "b", "c"], 1, settings);
    let keys: Vec<_> = (0..200)
        .map(|n| key("notes", &format!("key-{n}")))
        .collect();
    cluster.silent.insert(node("c"));
    for key in &keys {
        assert!(cluster.put("a", key, "missed by c"));
    }
    cluster.run(10_000);
    let kept = |cluster: &Cluster| -> usize {
        let waiting = ["a", "b"].map(|name| cluster.machines[&node(name)].hints());
        waiting.iter().flatten().map(|waiting| waiting.count).sum()
    };
    assert_eq!(kept(&cluster), keys.len());
    let rates: Vec<u64> = (0..12).map(|_| wait_for_a_second(&mut cluster)).collect();
    assert_eq!(rates.last(), Some(&BACKGROUND_RATE_MIN), "{rates:?}");
    cluster.silent.clear();
    cluster.run_until(|cluster| kept(cluster) < keys.len());
    cluster.run(2_000);
    let delivered = keys.len() - kept(&cluster);
    assert!(
        (1..60).contains(&delivered),
        "{delivered} hints in two seconds"
    );
    cluster.run(300_000);
    assert_eq!(kept(&cluster), 0);
    assert!(keys.iter().all(|key| cluster.has(&node("c"), key)));
}

#[test]
fn s6_5_d44_transfers_give_way_to_clients_that_wait() {
    let keys = keys(300);
    let rate = |cluster: &Cluster| cluster.machines[&node("a")].activity().background_rate;
    let mut cluster = filled(&["a", "b", "c"], 1, &keys);
    assert_eq!(rate(&cluster), BACKGROUND_RATE_MAX);
    cluster.wipe("c");
    cluster.silent.insert(node("c"));
    let rates: Vec<u64> = (0..12).map(|_| wait_for_a_second(&mut cluster)).collect();
    assert!(rates.is_sorted_by(|a, b| a >= b), "{rates:?}");
    assert_eq!(*rates.last().expect("twelve"), BACKGROUND_RATE_MIN);
    // At the floor the work goes on, slowly.
    cluster.silent.clear();
    cluster.start("c");
    cluster.step(&node("a"), Event::ExchangeNow);
    cluster.run(2_000);
    let held = keys
        .iter()
        .filter(|key| cluster.has(&node("c"), key))
        .count();
    assert!((1..60).contains(&held), "{held} keys in two seconds");
    cluster.run(300_000);
    cluster.check_settled(&keys);
    cluster.put("a", &keys[0], "quick");
    assert_eq!(
        rate(&cluster),
        BACKGROUND_RATE_MAX,
        "clients are well again"
    );
}

#[test]
fn f75_a_node_that_does_not_know_its_buckets_yet_says_nothing_of_its_transfers() {
    let keys = keys(80);
    let mut cluster = filled(&["a", "b", "c"], 4, &keys);
    cluster.is_mute = true;
    cluster.change(&["b", "c", "d"], &[]);
    for name in ["a", "b", "c", "d"] {
        cluster.start_ignorant(name);
    }
    cluster.told.clear();
    cluster.spread();
    cluster.run(10_000);
    assert!(cluster.told.is_empty(), "{:?}", cluster.told);
    cluster.is_mute = false;
    for name in ["a", "b", "c", "d"] {
        cluster.start(name);
    }
    settle(&mut cluster);
    cluster.check_settled(&keys);
}
