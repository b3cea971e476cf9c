//! Random histories of clients that follow the rules of the READMEs, against the slow and obvious way to keep count.
//!
//! A history reads stale replicas, writes beside what it has not seen, and repeats writes whose outcome is unknown.

use mergeable::json::Json;
use mergeable::pn_counter::PnCounter;
use mergeable::{grow_only_set, observed_remove_set, pn_counter};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const REPLICAS: usize = 3;
const CLIENTS: usize = 3;

/// What happens next. Each number is taken modulo what it may name.
#[derive(Clone, Debug)]
enum Event {
    /// A client reads one replica, changes what it read, and writes to another.
    Write {
        client: usize,
        from: usize,
        to: usize,
        change: Change,
    },
    /// A client repeats its last write at another replica.
    Retry { client: usize, to: usize },
    /// A replica learns what another holds.
    Gossip { from: usize, to: usize },
}

#[derive(Clone, Debug)]
enum Change {
    Add(usize),
    Remove(usize),
}

fn any_history() -> impl Strategy<Value = Vec<Event>> {
    let change = prop_oneof![
        (0..3usize).prop_map(Change::Add),
        (0..3usize).prop_map(Change::Remove)
    ];
    let event = prop_oneof![
        4 => (0..CLIENTS, 0..REPLICAS, 0..REPLICAS, change)
            .prop_map(|(client, from, to, change)| Event::Write { client, from, to, change }),
        1 => (0..CLIENTS, 0..REPLICAS).prop_map(|(client, to)| Event::Retry { client, to }),
        1 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, to)| Event::Gossip { from, to }),
    ];
    vec(event, 0..40)
}

const NAMES: [&str; 3] = ["bread", "eggs", "milk"];

// ---- Observed-remove set ----

/// What a client holds in its hands, as plain data; it is written as the README says.
#[derive(Clone, Default)]
struct SetValue {
    items: BTreeMap<String, BTreeMap<String, Vec<u64>>>,
    seen: BTreeMap<String, Vec<Json<'static>>>,
}

fn owned(json: Json) -> Json<'static> {
    match json {
        Json::Array(elements) => Json::Array(elements.into_iter().map(owned).collect()),
        Json::Number(_) => Json::integer(json.as_integer(u64::MAX).unwrap()),
        other => panic!("{other:?} in a set"),
    }
}

impl SetValue {
    fn read(text: &[u8]) -> SetValue {
        let mut value = SetValue::default();
        for (field, member) in Json::parse(text).unwrap().into_members().unwrap() {
            for (name, dots) in member.into_members().unwrap() {
                if field == "seen" {
                    let runs = dots.into_elements().unwrap().into_iter().map(owned);
                    value.seen.insert(name.into_owned(), runs.collect());
                    continue;
                }
                let dots = dots
                    .into_members()
                    .unwrap()
                    .into_iter()
                    .map(|(actor, counts)| {
                        let counts = counts.into_elements().unwrap();
                        let counts = counts.iter().flat_map(|run| match run {
                            Json::Array(ends) => {
                                ends[0].as_integer(99).unwrap()..=ends[1].as_integer(99).unwrap()
                            }
                            one => one.as_integer(99).unwrap()..=one.as_integer(99).unwrap(),
                        });
                        (actor.into_owned(), counts.collect())
                    });
                value.items.insert(name.into_owned(), dots.collect());
            }
        }
        value
    }

    fn write(&self) -> Vec<u8> {
        let counts = |counts: &Vec<u64>| {
            Json::Array(counts.iter().map(|count| Json::integer(*count)).collect())
        };
        let item = |(name, dots): (&String, &BTreeMap<String, Vec<u64>>)| {
            let dots = dots
                .iter()
                .map(|(actor, of)| (actor.clone().into(), counts(of)));
            (name.clone().into(), Json::Object(dots.collect()))
        };
        let seen = self
            .seen
            .iter()
            .map(|(actor, runs)| (actor.clone().into(), Json::Array(runs.clone())));
        let items = Json::Object(self.items.iter().map(item).collect());
        Json::Object(vec![
            ("items".into(), items),
            ("seen".into(), Json::Object(seen.collect())),
        ])
        .to_bytes()
    }
}

/// The obvious OR-set: every addition ever made, and every addition that was taken out.
#[derive(Clone, Default)]
struct Tombstones {
    added: BTreeSet<(usize, usize, u64)>,
    removed: BTreeSet<(usize, usize, u64)>,
}

impl Tombstones {
    fn merge(&mut self, other: &Tombstones) {
        self.added.extend(&other.added);
        self.removed.extend(&other.removed);
    }

    fn visible(&self) -> BTreeSet<String> {
        let there = self.added.difference(&self.removed);
        there.map(|(name, ..)| NAMES[*name].to_owned()).collect()
    }
}

fn merged(values: &[&[u8]]) -> Vec<u8> {
    observed_remove_set::merge(values).unwrap_or_else(|unfit| panic!("{unfit}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn an_addition_is_there_unless_somebody_who_saw_it_took_it_out(history in any_history()) {
        let empty = br#"{"items":{},"seen":{}}"#.to_vec();
        let mut replicas = vec![(empty, Tombstones::default()); REPLICAS];
        let mut counts = [0u64; CLIENTS];
        let mut last = vec![None; CLIENTS];
        for event in history {
            let (written, to) = match event {
                Event::Write { client, from, to, change } => {
                    let (text, mut oracle) = replicas[from].clone();
                    let mut value = SetValue::read(&text);
                    let actor = format!("client-{client}");
                    match change {
                        Change::Add(name) => {
                            counts[client] += 1;
                            let count = counts[client];
                            // The new dot stands for the ones that it was seen to replace.
                            value.items.insert(NAMES[name].into(), BTreeMap::from([(actor.clone(), vec![count])]));
                            value.seen.entry(actor).or_default().push(Json::integer(count));
                            let replaced = oracle.added.iter().filter(|(added, ..)| *added == name).copied();
                            oracle.removed.extend(replaced.collect::<Vec<_>>());
                            oracle.added.insert((name, client, count));
                        }
                        Change::Remove(name) => {
                            value.items.remove(NAMES[name]);
                            let seen = oracle.added.iter().filter(|(added, ..)| *added == name).copied();
                            oracle.removed.extend(seen.collect::<Vec<_>>());
                        }
                    }
                    last[client] = Some((value.write(), oracle));
                    (last[client].clone(), to)
                }
                Event::Retry { client, to } => (last[client].clone(), to),
                Event::Gossip { from, to } => (Some(replicas[from].clone()), to),
            };
            if let Some((text, oracle)) = written {
                replicas[to].0 = merged(&[&replicas[to].0, &text]);
                replicas[to].1.merge(&oracle);
            }
            for (text, oracle) in &replicas {
                let there: BTreeSet<String> = SetValue::read(text).items.into_keys().collect();
                prop_assert_eq!(there, oracle.visible());
            }
        }
    }

    #[test]
    fn every_increment_counts_once_however_often_it_was_written(history in any_history()) {
        let mut replicas = vec![b"{}".to_vec(); REPLICAS];
        // As the README says: the totals are the client's own, never those that it read.
        let mut totals = [(0u64, 0u64); CLIENTS];
        let mut last = vec![None; CLIENTS];
        let mut expected = 0i128;
        for event in history {
            let (written, to) = match event {
                Event::Write { client, from, to, change } => {
                    let (by, total) = match change {
                        Change::Add(by) => (by as i128 + 1, &mut totals[client].0),
                        Change::Remove(by) => (-(by as i128) - 1, &mut totals[client].1),
                    };
                    *total += by.unsigned_abs() as u64;
                    expected += by;
                    let (added, taken) = totals[client];
                    let own = format!("{{\"client-{client}\":[{added},{taken}]}}");
                    let value = pn_counter::merge(&[&replicas[from], own.as_bytes()]).unwrap();
                    last[client] = Some(value);
                    (last[client].clone(), to)
                }
                Event::Retry { client, to } => (last[client].clone(), to),
                Event::Gossip { from, to } => (Some(replicas[from].clone()), to),
            };
            if let Some(value) = written {
                replicas[to] = pn_counter::merge(&[&replicas[to], &value]).unwrap();
            }
        }
        let all: Vec<&[u8]> = replicas.iter().map(Vec::as_slice).collect();
        let all = pn_counter::merge(&all).unwrap();
        let counter = PnCounter::read(Json::parse(&all).unwrap()).unwrap();
        prop_assert_eq!(counter.count(), expected);
    }
}

#[test]
fn equal_bytes_of_two_writes_of_one_actor_are_one_increment_and_of_two_actors_are_two() {
    let merged = |values: &[&[u8]]| String::from_utf8(pn_counter::merge(values).unwrap()).unwrap();
    assert_eq!(
        merged(&[br#"{"a":[1,0]}"#, br#"{"a":[1,0]}"#]),
        r#"{"a":[1,0]}"#
    );
    assert_eq!(
        merged(&[br#"{"a":[1,0]}"#, br#"{"b":[1,0]}"#]),
        r#"{"a":[1,0],"b":[1,0]}"#
    );
}

#[test]
fn values_of_another_shape_are_named_with_their_place() {
    type Merge = fn(&[&[u8]]) -> Result<Vec<u8>, mergeable::siblings::Unfit>;
    let cases: [(Merge, &str, &str, &str); 10] = [
        (
            grow_only_set::merge,
            "[]",
            "{}",
            "is not a set: an object, expected an array",
        ),
        (
            grow_only_set::merge,
            "[]",
            "[",
            "is not a set: expected a value at byte 1",
        ),
        (
            pn_counter::merge,
            "{}",
            "[]",
            "is not a counter: an array, expected an object",
        ),
        (
            pn_counter::merge,
            "{}",
            r#"{"a":[1]}"#,
            "actor \"a\" needs two integers",
        ),
        (
            pn_counter::merge,
            "{}",
            r#"{"a":[1,-1]}"#,
            "actor \"a\" needs two integers",
        ),
        (
            pn_counter::merge,
            "{}",
            r#"{"a":[9007199254740992,0]}"#,
            "actor \"a\" needs two integers",
        ),
        (
            observed_remove_set::merge,
            r#"{"items":{},"seen":{}}"#,
            r#"{"items":{}}"#,
            "`seen` is missing",
        ),
        (
            observed_remove_set::merge,
            r#"{"items":{},"seen":{}}"#,
            r#"{"items":{},"seen":{},"x":1}"#,
            "unknown field \"x\"",
        ),
        (
            observed_remove_set::merge,
            r#"{"items":{},"seen":{}}"#,
            r#"{"items":[],"seen":{}}"#,
            "`items` is an array",
        ),
        (
            observed_remove_set::merge,
            r#"{"items":{},"seen":{}}"#,
            r#"{"items":{"milk":{"a":[2]}},"seen":{"a":[1]}}"#,
            "item \"milk\" has a dot that is not in `seen`",
        ),
    ];
    for (merge, good, bad, part) in cases {
        let refused = merge(&[good.as_bytes(), bad.as_bytes()])
            .unwrap_err()
            .to_string();
        assert!(refused.starts_with("sibling 2 of 2 is not a"), "{refused}");
        assert!(refused.contains(part), "{bad}: {refused}");
    }
}
