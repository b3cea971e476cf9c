//! Conflicts that go without being read, merges that breed no merges, and who asks the guests (Dynamo 4.4, 6.5).
//!
//! `REJOIN_CONFLICTS=<count>` sets how many conflicts there are.

use super::cluster::{Cluster, key, node};
use bytes::Bytes;
use rejoin::dynamo::bucket::{Ack, Binding, BucketTable, Policy, Properties};
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::names::{BucketName, Digest, Key, NodeId};
use rejoin::dynamo::reconcile::answer::{Answer, GuestFailure, Judgement, Resolution};
use rejoin::dynamo::reconcile::question::{Ask, Question};
use rejoin::dynamo::repair::settings::Settings;
use std::collections::BTreeSet;

const RESOLVER: Digest = Digest([1; 32]);
const VALIDATOR: Digest = Digest([2; 32]);
const QUIET_MS: u64 = 1_000;
const CONFLICTS_DEFAULT: usize = 1_000;

fn settings() -> Settings {
    Settings {
        anti_entropy_interval_ms: 0,
        reap_interval_ms: 0,
        tombstone_horizon_ms: 30_000,
        hints_max: 0,
        converge_quiet_ms: QUIET_MS,
        ..Settings::default()
    }
}

/// The bucket `notes`, with what a test changes of it.
fn buckets(change: impl Fn(&mut Properties)) -> BucketTable {
    let mut properties = Properties {
        n: 3,
        r: 1,
        w: 1,
        ack: Ack::Buffered,
        ..Properties::default()
    };
    change(&mut properties);
    let name = BucketName::new("notes").expect("a good name");
    BucketTable::from([(name, properties)])
}

fn merging(properties: &mut Properties) {
    properties.policy = Policy::Resolver(Binding::new(RESOLVER));
    properties.merge_on_put = true;
}

fn words(bytes: &Bytes) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    text.split(',').map(str::to_owned).collect()
}

/// Lawful: the union of comma-separated words. As a validator it accepts everything.
fn union(question: &Question) -> Answer {
    match &question.ask {
        Ask::Resolve(siblings) => {
            let values = siblings.iter().filter_map(Version::bytes);
            let all: BTreeSet<String> = values.flat_map(words).collect();
            let all: Vec<String> = all.into_iter().collect();
            Answer::Resolved {
                resolution: Resolution::Merged(Bytes::from(all.join(","))),
                fuel: 1,
            }
        }
        Ask::Validate(_) => Answer::Judged {
            judgement: Judgement::Accepted,
            fuel: 1,
        },
    }
}

fn traps(question: &Question) -> Answer {
    Answer::Failed(GuestFailure::Trap {
        digest: question.binding.digest,
        message: "unreachable".to_owned(),
    })
}

fn keys(count: usize) -> Vec<Key> {
    let name = |number: usize| key("notes", &format!("key-{number}"));
    (0..count).map(name).collect()
}

/// Two values under each key, on every replica, and a bucket that does not merge yet.
fn torn(names: &[&str], keys: &[Key]) -> Cluster {
    let mut cluster = Cluster::with(names, 8, settings());
    cluster.rule(buckets(|_| {}));
    cluster.guest = Some(union);
    for (place, key) in keys.iter().enumerate() {
        let names = [names[place % names.len()], names[(place + 1) % names.len()]];
        for (name, value) in names.iter().zip(["left", "right"]) {
            assert!(cluster.put(name, key, value));
        }
    }
    cluster.run(5_000);
    cluster
}

fn open(cluster: &Cluster) -> u64 {
    let machines = cluster.machines.values();
    machines.map(|machine| machine.converged().open).sum()
}

fn merged(cluster: &Cluster) -> u64 {
    let machines = cluster.machines.values();
    machines.map(|machine| machine.converged().merged).sum()
}

fn values(object: &Object) -> Vec<String> {
    let texts = object.values().filter_map(Version::bytes);
    texts
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .collect()
}

/// Nothing is written, asked or sent any more.
fn check_rest(cluster: &mut Cluster) {
    cluster.run(10_000);
    let before = (
        cluster.storage_writes(),
        cluster.asked.len(),
        merged(cluster),
    );
    cluster.run(3_600_000);
    let after = (
        cluster.storage_writes(),
        cluster.asked.len(),
        merged(cluster),
    );
    assert_eq!(before, after, "writes, questions and merges while at rest");
}

#[test]
fn u17_cold_conflicts_go_without_a_read_and_nothing_is_written_after() {
    let count = std::env::var("REJOIN_CONFLICTS").map_or(CONFLICTS_DEFAULT, |text| {
        text.parse().expect("REJOIN_CONFLICTS is a number")
    });
    let keys = keys(count);
    let mut cluster = torn(&["a", "b", "c", "d"], &keys);
    assert_eq!(
        open(&cluster),
        3 * count as u64,
        "every replica knows of each"
    );
    cluster.run(100_000);
    assert_eq!(
        merged(&cluster),
        0,
        "a bucket that merges nothing is left alone"
    );
    cluster.rule(buckets(merging));
    cluster.run_until(|cluster| open(cluster) == 0);
    assert_eq!(merged(&cluster), count as u64, "one merge of each");
    assert_eq!(cluster.asked.len(), count, "one question about each");
    cluster.check_settled(&keys);
    let owner = |cluster: &Cluster, key: &Key| cluster.primaries(key).remove(0);
    for key in &keys {
        let first = owner(&cluster, key);
        assert_eq!(
            values(&cluster.object(&first, key)),
            ["left,right"],
            "{key}"
        );
    }
    check_rest(&mut cluster);
    assert_eq!(open(&cluster), 0);
}

#[test]
fn u17_a_process_that_starts_finds_the_conflicts_that_are_stored() {
    let keys = keys(20);
    let mut cluster = torn(&["a", "b", "c"], &keys);
    cluster.rule(buckets(merging));
    for name in ["a", "b", "c"] {
        cluster.machines.remove(&node(name));
    }
    for name in ["a", "b", "c"] {
        cluster.start(name);
    }
    cluster.run_until(|cluster| merged(cluster) == 20 && open(cluster) == 0);
    cluster.check_settled(&keys);
    check_rest(&mut cluster);
}

fn parted(cluster: &Cluster, alone: &str) -> BTreeSet<(NodeId, NodeId)> {
    let alone = node(alone);
    let others = cluster.ids().into_iter().filter(|id| *id != alone);
    let pairs = others.map(|id| (id.clone().min(alone.clone()), id.max(alone.clone())));
    pairs.collect()
}

#[test]
fn u2_two_owners_that_merge_the_same_at_once_breed_no_merge() {
    let keys = keys(60);
    let mut cluster = torn(&["a", "b", "c"], &keys);
    cluster.cut = parted(&cluster, "a");
    cluster.rule(buckets(merging));
    // Both sides take the other for dead, and merge everything.
    cluster.run(60_000);
    let both = merged(&cluster);
    assert_eq!(both, 2 * keys.len() as u64, "each side has merged each key");
    cluster.cut.clear();
    cluster.run(10_000);
    for id in cluster.ids() {
        cluster.step(&id, Event::ExchangeNow);
    }
    cluster.run(20_000);
    cluster.check_settled(&keys);
    assert_eq!(merged(&cluster), both, "equal merges are not merged again");
    assert_eq!(open(&cluster), 0);
    for key in &keys {
        let object = cluster.object(&node("b"), key);
        let all: BTreeSet<String> = values(&object).into_iter().collect();
        assert_eq!(all, BTreeSet::from(["left,right".to_owned()]), "{key}");
        assert!(object.versions().count() <= 2, "{key}: {object:?}");
    }
    check_rest(&mut cluster);
    // The next write leaves one.
    for key in &keys {
        assert!(cluster.put("b", key, "more"));
        let object = cluster.object(&cluster.primaries(key)[0].clone(), key);
        assert_eq!(values(&object), ["left,more,right"], "{key}");
    }
}

#[test]
fn u17_a_client_that_writes_meanwhile_keeps_its_value_and_meets_no_new_sibling() {
    let keys = keys(1);
    let mut cluster = torn(&["a", "b", "c"], &keys);
    cluster.guest = None; // The guest is slow.
    cluster.rule(buckets(merging));
    cluster.run_until(|cluster| !cluster.asked.is_empty());
    let (owner, ticket, question) = cluster.asked.remove(0);
    // A client that has seen both values writes, and only then the guest answers.
    cluster.put_over(owner.as_str(), &keys[0], "chosen");
    let answer = union(&question);
    cluster.step(&owner, Event::Answered { ticket, answer });
    cluster.run(10_000);
    let object = cluster.object(&owner, &keys[0]);
    assert_eq!(values(&object), ["chosen"]);
    assert_eq!((merged(&cluster), open(&cluster)), (0, 0));
}

#[test]
fn u17_a_resolver_that_fails_costs_ever_fewer_questions_and_no_write() {
    let keys = keys(3);
    let mut cluster = torn(&["a", "b", "c"], &keys);
    cluster.guest = Some(traps);
    let before = cluster.storage_writes();
    cluster.rule(buckets(merging));
    cluster.run(3_600_000);
    assert_eq!(cluster.storage_writes(), before);
    assert_eq!(open(&cluster), 9, "the siblings stand");
    let questions = cluster.asked.len();
    assert!(questions < 3 * 20, "{questions} questions in an hour");
}

#[test]
fn u18_sixty_four_blind_writers_of_one_key_leave_as_many_values_as_coordinators() {
    let key = key("notes", "storm");
    let mut cluster = Cluster::with(&["a", "b", "c"], 8, settings());
    cluster.guest = Some(union);
    cluster.rule(buckets(merging));
    let (writers, rounds) = (64, 20);
    let names = ["a", "b", "c"];
    for round in 0..rounds {
        for writer in 0..writers {
            // All are on their way before any has arrived.
            cluster.begin_put(names[(round + writer) % 3], &key, &format!("w{writer:02}"));
        }
        cluster.deliver();
        for name in names {
            let object = cluster.object(&node(name), &key);
            let siblings = object.values().count();
            assert!(
                siblings <= 3,
                "{siblings} values at {name} in round {round}"
            );
            let bytes: usize = values(&object).iter().map(String::len).sum();
            assert!(bytes <= 3 * 4 * writers, "{bytes} bytes at {name}");
        }
    }
    cluster.run(10_000);
    let all = (writers * rounds) as u64;
    assert_eq!(
        (cluster.replies, cluster.acknowledged),
        (all, all),
        "none was refused"
    );
    cluster.run_until(|cluster| open(cluster) == 0);
    let wanted: Vec<String> = (0..writers).map(|writer| format!("w{writer:02}")).collect();
    for name in names {
        assert_eq!(
            values(&cluster.object(&node(name), &key)),
            [wanted.join(",")]
        );
    }
    check_rest(&mut cluster);
}

#[test]
fn law_10_validators_judge_what_clients_write_and_never_what_is_replicated() {
    let keys = keys(30);
    let hints_max = Settings::default().hints_max;
    let settings = Settings {
        hints_max,
        ..settings()
    };
    let mut cluster = Cluster::with(&["a", "b", "c", "d"], 8, settings);
    cluster.guest = Some(union);
    cluster.rule(buckets(|properties| {
        properties.validator = Some(Binding::new(VALIDATOR));
    }));
    for key in &keys {
        assert!(cluster.put("a", key, "first"));
    }
    // Hints, and their delivery.
    cluster.cut = parted(&cluster, "c");
    for key in &keys {
        assert!(cluster.put("a", key, "second"));
        cluster.run(1_500);
    }
    cluster.cut.clear();
    cluster.run(60_000);
    // Anti-entropy, onto a disk that was lost.
    cluster.wipe("b");
    cluster.start("b");
    for id in cluster.ids() {
        cluster.step(&id, Event::ExchangeNow);
    }
    cluster.run(60_000);
    // Handoff.
    cluster.change(&["a", "b", "c"], &[]);
    cluster.run(120_000);
    cluster.spread();
    cluster.run(120_000);
    cluster.check_settled(&keys);
    let judged = cluster.asked.iter();
    let judged = judged.filter(|(_, _, question)| matches!(question.ask, Ask::Validate(_)));
    assert_eq!(
        judged.count(),
        2 * keys.len(),
        "one question for each client's write"
    );
}
