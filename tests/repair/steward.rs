//! The steward of a removal by itself: two rounds, a horizon, and what keeps a key (law 9).
//!
//! Invariant: time passes only where a test says so.

use bytes::Bytes;
use rejoin::dynamo::names::{BucketName, Key, Millis, NodeId, Ticket};
use rejoin::dynamo::repair::reaping::{Batch, Reaper};
use rejoin::dynamo::ring::partition::PartitionId;
use rejoin::limits::VOUCH_TIMEOUT_MS;

const HORIZON_MS: u64 = 60_000;

fn nodes() -> Vec<NodeId> {
    ["a", "b", "c"]
        .map(|name| NodeId::new(name).expect("a good name"))
        .to_vec()
}

fn batch(keys: &[&'static str]) -> Batch {
    let bucket = BucketName::new("b").expect("a good name");
    let key = |name: &&'static str| {
        let key = Key::new(bucket.clone(), Bytes::from_static(name.as_bytes()));
        (key.expect("a good key"), 7)
    };
    Batch {
        partition: PartitionId(3),
        keys: keys.iter().map(key).collect(),
    }
}

fn ticket(count: u64) -> Ticket {
    Ticket { life: 1, count }
}

fn reaper() -> Reaper {
    let mut reaper = Reaper::new(1);
    reaper.set(Millis(0), 0, HORIZON_MS);
    reaper
}

/// All nodes answer alike; what the last of them set free.
fn answer(reaper: &mut Reaper, now: u64, count: u64, granted: Option<&[bool]>) -> Option<Batch> {
    let answers = nodes().into_iter();
    let freed =
        answers.filter_map(|node| reaper.on_answer(Millis(now), ticket(count), &node, granted));
    freed.last()
}

/// Where the first round has ended well.
fn asked_once(keys: &[&'static str]) -> Reaper {
    let mut reaper = reaper();
    reaper.ask(Millis(0), ticket(1), batch(keys), &nodes());
    let granted = vec![true; keys.len()];
    assert_eq!(answer(&mut reaper, 10, 1, Some(&granted)), None);
    reaper
}

#[test]
fn a_key_is_free_after_two_unanimous_rounds_a_horizon_apart() {
    let mut reaper = asked_once(&["k", "l"]);
    assert_eq!(reaper.rested(Millis(HORIZON_MS)), None);
    let at = reaper.wakes_at(Millis(20)).expect("it rests");
    assert!(at.0 > 10 + HORIZON_MS, "{at:?}");
    let rested = reaper.rested(at).expect("its time has come");
    reaper.again(at, ticket(2), rested, &nodes());
    let freed = answer(&mut reaper, at.0, 2, Some(&[true, true]));
    assert_eq!(freed, Some(batch(&["k", "l"])));
    reaper.remove(at, ticket(3), batch(&["k", "l"]), &nodes());
    assert_eq!(reaper.status().pending, 2);
    answer(&mut reaper, at.0, 3, Some(&[true, true]));
    assert_eq!(reaper.status().pending, 0);
    assert_eq!((reaper.status().granted, reaper.status().refused), (2, 0));
}

#[test]
fn one_no_in_either_round_keeps_the_key_and_no_other() {
    let mut reaper = reaper();
    reaper.ask(Millis(0), ticket(1), batch(&["k", "l", "m"]), &nodes());
    let nodes = nodes();
    for (node, granted) in
        nodes
            .iter()
            .zip([[true, true, true], [false, true, true], [true, true, true]])
    {
        reaper.on_answer(Millis(0), ticket(1), node, Some(&granted));
    }
    let at = reaper.wakes_at(Millis(0)).expect("two are left");
    let rested = reaper.rested(at).expect("its time has come");
    assert_eq!(rested, batch(&["l", "m"]));
    reaper.again(at, ticket(2), rested, &nodes);
    for (node, granted) in nodes
        .iter()
        .zip([[true, true], [true, true], [true, false]])
    {
        let freed = reaper.on_answer(at, ticket(2), node, Some(&granted));
        assert_eq!(freed.is_some(), node.as_str() == "c");
    }
    assert_eq!((reaper.status().pending, reaper.status().refused), (1, 2));
}

#[test]
fn a_node_that_is_silent_or_refuses_keeps_everything() {
    for says_no in [true, false] {
        for is_second in [false, true] {
            let (mut reaper, mut now) = (reaper(), Millis(0));
            let open = match is_second {
                false => Reaper::ask,
                true => {
                    reaper = asked_once(&["k"]);
                    now = reaper.wakes_at(Millis(0)).expect("it rests");
                    reaper.rested(now);
                    Reaper::again
                }
            };
            open(&mut reaper, now, ticket(5), batch(&["k"]), &nodes());
            for node in &nodes()[..2] {
                assert_eq!(reaper.on_answer(now, ticket(5), node, Some(&[true])), None);
            }
            match says_no {
                true => assert_eq!(reaper.on_answer(now, ticket(5), &nodes()[2], None), None),
                false => {
                    let until = reaper.wakes_at(now).expect("it waits");
                    assert_eq!(until, now.after(VOUCH_TIMEOUT_MS));
                    reaper.on_time(until);
                }
            }
            assert_eq!((reaper.status().pending, reaper.status().refused), (0, 1));
            assert_eq!(reaper.wakes_at(now), None);
        }
    }
}

#[test]
fn one_node_that_answers_often_is_not_everybody() {
    let mut reaper = reaper();
    reaper.ask(Millis(0), ticket(1), batch(&["k"]), &nodes());
    for _ in 0..5 {
        reaper.on_answer(Millis(0), ticket(1), &nodes()[0], Some(&[true]));
    }
    assert_eq!(reaper.rested(Millis(10 * HORIZON_MS)), None);
}

#[test]
fn an_answer_that_does_not_fit_its_question_is_a_no() {
    let mut reaper = reaper();
    reaper.ask(Millis(0), ticket(1), batch(&["k"]), &nodes());
    reaper.on_answer(Millis(0), ticket(1), &nodes()[0], Some(&[true, true]));
    assert_eq!(reaper.status().refused, 1);
}

#[test]
fn another_placement_voids_what_was_said() {
    let mut reaper = asked_once(&["k"]);
    reaper.set_version(2);
    assert_eq!(reaper.rested(Millis(10 * HORIZON_MS)), None);
    assert_eq!(reaper.status().pending, 0);
}

#[test]
fn a_walk_goes_over_each_partition_once_and_then_rests() {
    let mut reaper = reaper();
    reaper.set(Millis(0), 1_000, HORIZON_MS);
    let at = reaper.wakes_at(Millis(0)).expect("it is armed");
    assert!((500..=1_000).contains(&at.0) && reaper.is_due(at));
    reaper.begin(at, [PartitionId(1), PartitionId(2)].into_iter());
    let mut seen = Vec::new();
    let more = [Some(Bytes::from_static(b"x")), None, None];
    for next in more {
        let (partition, from) = reaper.place().expect("there is more");
        seen.push((partition.0, from.is_some()));
        reaper.on_looked(next);
    }
    assert_eq!(seen, [(1, false), (1, true), (2, false)]);
    assert_eq!(reaper.place(), None);
    assert_eq!(reaper.status().walks_finished, 1);
    assert!(reaper.wakes_at(at).is_some_and(|next| next > at));
}
