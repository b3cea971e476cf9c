//! The Dynamo paper as a table of contents: one test for each mechanism, named by section and by the number that
//! the project's reading of it gives it.
//!
//! | Section | Where, if not here |
//! |---|---|
//! | 4.7 replica synchronisation (D22) | `tests/repair.rs` |
//! | 4.8.1, 4.8.2 membership, gossip, seeds (D23 to D25) | `tests/membership.rs` |
//! | 4.9 adding and removing nodes (D27) | `tests/repair/moving.rs`, on processes `tests/cluster/members.rs` |
//! | 6.2 load and the three strategies (D36 to D39), 6.6 scale (D46) | `tests/scale.rs` |
//! | 6.4 client-driven coordination (D42) | `tests/client.rs` |
//! | 6.5 background against foreground (D44) | `tests/repair/moving.rs` |
//!
//! `docs/scoreboard.md` has the whole list, and a test that every name in it exists.
//!
//! Invariant: a test that carries a section proves what that section says, on the real machines.

mod stage;

use bytes::Bytes;
use rejoin::dynamo::causality::dot::{Actor, Incarnation};
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::names::{BucketName, Key, NodeId};
use rejoin::dynamo::replica::storage::{Batch, Change, Item, Storage, StorageError};
use rejoin::dynamo::ring::member::Member;
use rejoin::dynamo::ring::partition::{Partitions, Token};
use rejoin::dynamo::ring::placement::Placement;
use rejoin::dynamo::ring::preference::Ring;
use rejoin::storage::memory::MemoryStorage;
use rejoin::storage::opening::{Durability, Options};
use rejoin::storage::redb_engine::RedbStorage;
use rejoin::storage::sled_engine::SledStorage;
use stage::{play, play_on};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Plays commands, each a step, and gives the lines that each of them led to.
fn steps(commands: &[&str]) -> Vec<Vec<String>> {
    let played = play(&script(commands));
    let steps = played.split("----\n").skip(1);
    let lines = steps.map(|step| {
        let told = step.lines().take_while(|line| !line.is_empty());
        told.map(str::to_owned).collect()
    });
    lines.collect()
}

fn script(commands: &[&str]) -> String {
    let steps = commands
        .iter()
        .map(|command| format!("{command}\n----\n\n"));
    steps.collect()
}

/// The line in which the client is answered.
fn answer(step: &[String]) -> &str {
    let found = step.iter().find(|line| line.starts_with("answer"));
    found.expect("the client is answered")
}

fn key(name: &str) -> Key {
    let bucket = BucketName::new("carts").expect("a good name");
    Key::new(bucket, Bytes::copy_from_slice(name.as_bytes())).expect("a good key")
}

fn member(number: usize, weight: u16) -> Member {
    let id = NodeId::new(&format!("node-{number}")).expect("a good name");
    Member {
        weight,
        ..Member::new(id)
    }
}

fn ring(members: impl Iterator<Item = Member>) -> Ring {
    let partitions = Partitions::new(256).expect("in bounds");
    Ring::new(partitions, members.collect()).expect("distinct members")
}

/// Copies of partitions that each node keeps at N = 3.
fn loads(ring: &Ring) -> BTreeMap<NodeId, usize> {
    let mut loads = BTreeMap::new();
    for partition in ring.partitions().all() {
        for node in ring.primaries(partition, 3) {
            *loads.entry(node.clone()).or_insert(0) += 1;
        }
    }
    loads
}

#[test]
fn s4_1_d10_get_returns_all_conflicting_versions_with_one_context() {
    let steps = steps(&[
        "cluster nodes=a,b,c w=1",
        "put via=a key=cart value=milk",
        "put via=b key=cart value=tea",
        "get via=c key=cart",
    ]);
    assert!(answer(&steps[3]).starts_with("answer milk|tea context={a:1,b:1}"));
}

#[test]
fn s4_1_d11_the_md5_of_the_key_is_its_place_on_the_ring() {
    use md5::{Digest, Md5};
    let digest: [u8; 16] = Md5::digest(b"carts\0cart").into();
    assert_eq!(Token::of(&key("cart")), Token(u128::from_be_bytes(digest)));
}

#[test]
fn s4_2_d12_the_load_of_a_failed_node_spreads_over_the_others_and_follows_weight() {
    let before = loads(&ring((0..8).map(|number| member(number, 1))));
    let after = loads(&ring((1..8).map(|number| member(number, 1))));
    let lost = before[&member(0, 1).id];
    for (node, load) in &after {
        let taken = load.saturating_sub(before[node]);
        assert!(2 * taken < lost, "{node} takes {taken} of {lost}");
    }
    let weighted = loads(&ring(
        (0..8).map(|number| member(number, 1 + u16::from(number == 0))),
    ));
    assert!(weighted[&member(0, 2).id] > 3 * before[&member(1, 1).id] / 2);
}

#[test]
fn s4_2_d12_a_node_that_joins_takes_its_share_from_everyone() {
    let before = ring((0..8).map(|number| member(number, 1)));
    let after = ring((0..9).map(|number| member(number, 1)));
    let mut givers = BTreeSet::new();
    for partition in before.partitions().all() {
        let kept: BTreeSet<_> = after.primaries(partition, 3).collect();
        givers.extend(
            before
                .primaries(partition, 3)
                .filter(|node| !kept.contains(node)),
        );
    }
    assert_eq!(givers.len(), 8, "{givers:?}");
}

#[test]
fn s4_3_d13_the_preference_list_names_distinct_nodes_and_more_than_n_of_them() {
    let ring = ring((0..7).map(|number| member(number, 1)));
    for partition in ring.partitions().all() {
        let list: Vec<_> = ring.preference_list(partition).collect();
        let distinct: BTreeSet<_> = list.iter().collect();
        assert_eq!((list.len(), distinct.len()), (7, 7));
        let primaries: Vec<_> = ring.primaries(partition, 3).collect();
        assert_eq!(primaries, list[..3]);
    }
}

#[test]
fn s4_4_d14_concurrent_additions_to_a_cart_are_never_lost() {
    let steps = steps(&[
        "cluster nodes=a,b,c w=1 r=3",
        "put via=a key=cart value=milk as=alice",
        "get via=b key=cart as=bob",
        "cut a-b a-c\nput via=a key=cart value=milk,eggs as=alice",
        "put via=b key=cart value=milk,tea as=bob",
        "heal\nget via=c key=cart as=alice",
        "put via=c key=cart value=milk,eggs,tea as=alice",
        "get via=a key=cart",
    ]);
    assert!(answer(&steps[5]).starts_with("answer milk,eggs|milk,tea "));
    assert!(answer(&steps[7]).starts_with("answer milk,eggs,tea "));
}

/// The figure of 4.4: D1 and D2 by Sx, D3 by Sy and D4 by Sz from D2, D5 by Sx from both.
#[test]
fn s4_4_d15_a_context_of_several_versions_collapses_the_branches() {
    let steps = steps(&[
        "cluster nodes=x,y,z w=1 r=3",
        "put via=x key=k value=d1 as=one",
        "put via=x key=k value=d2 as=one",
        "get via=x key=k as=two\nget via=x key=k as=three",
        "cut y-z\nlose y>x z>x\nput via=y key=k value=d3 as=two",
        "put via=z key=k value=d4 as=three",
        "heal\nget via=x key=k as=one",
        "put via=x key=k value=d5 as=one",
        "show key=k",
    ]);
    assert!(answer(&steps[6]).starts_with("answer d3|d4 context={x:2,y:1,z:1}"));
    for node in &steps[8] {
        assert!(node.ends_with(" has {x:3,y:1,z:1}=d5"), "{node}");
    }
}

#[test]
fn s4_4_d16_no_pair_of_a_clock_is_dropped_however_many_there_are() {
    let mut object = Object::default();
    for incarnation in 0..1_000 {
        let incarnation = Incarnation(incarnation);
        let actor = Actor {
            incarnation,
            epoch: 1,
        };
        let seen = object.context();
        object.discard(&seen);
        object.event(actor, Version::value("value", incarnation.0));
    }
    assert_eq!(object.actors(), 1_000);
    let read = Object::decode(object.encode()).expect("our own bytes");
    assert_eq!(read.context(), object.context());
    assert_eq!(read.live(0).count(), 1);
}

#[test]
fn s4_5_d17_any_node_takes_a_request_and_one_outside_the_top_n_passes_the_put_on() {
    let steps = steps(&[
        "cluster nodes=a,b,c,d,e n=2 w=2 r=2",
        "put via=a key=k value=one\nput via=b key=k value=two\nput via=c key=k value=three",
        "put via=d key=k value=four\nput via=e key=k value=five",
        "get via=e key=k",
    ]);
    let lines: Vec<&String> = steps[1].iter().chain(&steps[2]).collect();
    let passed = lines
        .iter()
        .filter(|line| line.contains(" forward "))
        .count();
    let done = lines
        .iter()
        .filter(|line| line.starts_with("answer ok"))
        .count();
    assert_eq!((passed, done), (3, 5));
    assert!(answer(&steps[3]).contains(" from=2"));
}

#[test]
fn s4_5_d18_a_put_succeeds_after_w_and_a_get_after_r_answers() {
    let steps = steps(&[
        "cluster nodes=a,b,c n=3 r=2 w=2",
        "lose a>c\nput via=a key=k value=one",
        "lose a>b\nput via=a key=k value=two timeout_ms=100",
        "advance ms=100",
        "heal\nhold c>b\nget via=b key=k",
    ]);
    assert!(answer(&steps[1]).starts_with("answer ok context={a:1} after=2"));
    assert!(!steps[2].iter().any(|line| line.starts_with("answer")));
    assert!(answer(&steps[3]).contains("the outcome is unknown: 1 of 2"));
    assert!(answer(&steps[4]).contains(" from=2"));
}

#[test]
fn s4_5_d18_the_reconciled_versions_are_written_back() {
    let steps = steps(&[
        "cluster nodes=a,b,c n=3 r=3 w=1",
        "cut a-b a-c b-c\nput via=a key=k value=one",
        "put via=b key=k value=two",
        "heal\nget via=c key=k",
        "show key=k",
    ]);
    for node in &steps[4] {
        assert!(node.ends_with(" has {a:1,b:1}=one|two"), "{node}");
    }
}

#[test]
fn s4_6_d19_the_first_n_healthy_nodes_of_the_preference_list_take_part() {
    let steps = steps(&[
        "cluster nodes=a,b,c,d,e n=3 r=2 w=2",
        "cut a-c a-e b-c b-e d-c d-e\nput via=a key=k value=one",
        "advance ms=2000",
        "put via=a key=k value=two\nget via=a key=k",
        "get via=a key=k pr=2",
    ]);
    assert!(answer(&steps[1]).starts_with("answer ok context={a:1} after=2 primaries=1"));
    // Known to be down, they are not asked: the next ones of the list are, at once.
    assert!(steps[3][0].ends_with("hint-for=e"), "{:?}", steps[3][0]);
    assert!(steps[3][1].ends_with("hint-for=c"), "{:?}", steps[3][1]);
    assert!(!steps[3].iter().any(|line| line.contains("(refused)")));
    assert!(answer(&steps[4]).contains("primaries answered, 2 are needed"));
}

#[test]
fn s4_6_d20_hints_name_their_owner_are_handed_over_when_it_is_back_and_are_deleted_then() {
    let steps = steps(&[
        "cluster nodes=a,b,c,d n=3 r=2 w=2",
        "cut a-c b-c d-c\nput via=a key=k value=one",
        "hints",
        "restart d\nhints",
        "heal\nadvance ms=3000",
        "hints\nshow key=k",
    ]);
    assert_eq!(steps[2], ["d keeps for c {a:1}=one"]);
    assert_eq!(steps[3], steps[2], "a hint is on the disk");
    assert_eq!(steps[4], ["d -> c  write k {a:1}=one", "c -> d  wrote"]);
    let homes = "a has {a:1}=one, b has {a:1}=one, c has {a:1}=one, d has nothing";
    assert_eq!(steps[5].join(", "), homes);
}

#[test]
fn s4_6_d20_with_w_of_one_a_write_fails_only_if_no_node_at_all_can_be_reached() {
    let steps = steps(&[
        "cluster nodes=a,b,c,d,e n=3 r=1 w=1",
        "cut b-a b-c b-d b-e\nput via=b key=k value=one",
        "get via=b key=k",
        "heal\nadvance ms=4000",
        "get via=c key=k r=3",
    ]);
    assert!(answer(&steps[1]).starts_with("answer ok context={b:1} after=1 primaries=0"));
    assert!(answer(&steps[2]).starts_with("answer one "));
    assert_eq!(answer(&steps[4]), "answer one context={b:1} from=3");
}

#[test]
fn s4_6_d21_copies_and_their_stand_ins_are_spread_over_data_centres() {
    let members = (0..9).map(|number| Member {
        zone: format!("dc-{}", number % 3),
        ..member(number, 1)
    });
    let zones: BTreeMap<NodeId, String> = members.clone().map(|m| (m.id, m.zone)).collect();
    let placement = Placement::still(ring(members));
    for partition in placement.partitions().all() {
        let seats = placement.seats(partition, 3);
        let held: BTreeSet<_> = seats.primaries.iter().map(|node| &zones[node]).collect();
        assert_eq!(held.len(), 3, "a whole data centre may go");
        let others: BTreeSet<_> = seats.others.iter().map(|node| &zones[node]).collect();
        assert_eq!(others.len(), 3);
    }
}

#[test]
fn s4_8_d26_failure_is_detected_by_traffic_and_each_node_has_its_own_opinion() {
    let steps = steps(&[
        "cluster nodes=a,b,c n=3 r=2 w=2",
        "cut a-b\nadvance ms=60000\nopinions",
        "put via=a key=k value=one\nadvance ms=2000\nopinions",
        "heal\nadvance ms=2000\nopinions",
    ]);
    assert!(steps[1].is_empty(), "nobody asks, so nobody notices");
    let opinions = steps[2].iter().filter(|line| line.contains("holds"));
    assert_eq!(opinions.collect::<Vec<_>>(), ["a holds b to be down"]);
    assert!(!steps[3].iter().any(|line| line.contains("holds")));
}

/// Another engine for the same trait: a log that is searched from its end.
#[derive(Debug, Default)]
struct Log {
    changes: Vec<Change>,
}

impl Storage for Log {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        for change in self.changes.iter().rev() {
            match change {
                Change::Put { key: found, value } if found == key => {
                    return Ok(Some(value.clone()));
                }
                Change::Delete { key: found } if found == key => return Ok(None),
                Change::Put { .. } | Change::Delete { .. } => {}
            }
        }
        Ok(None)
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        let keys = self.changes.iter().map(|change| match change {
            Change::Put { key, .. } | Change::Delete { key } => key,
        });
        let keys: BTreeSet<&Bytes> = keys.filter(|key| range.contains(*key)).collect();
        let mut items = Vec::new();
        for key in keys {
            let value = self.get(key)?;
            items.extend(value.map(|value| (key.clone(), value)));
        }
        items.truncate(items_max);
        Ok(items)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        self.changes.extend(batch.changes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

#[test]
fn s5_d28_every_engine_gives_the_same_transcript() {
    let script = script(&[
        "cluster nodes=a,b,c policy=resolver merge-on-put",
        "put via=a key=k value=one as=alice",
        "put via=b key=k value=two",
        "lose a>c\nput via=a key=k value=three as=alice",
        "heal\nforget b key=k\nget via=b key=k r=3",
        "delete via=c key=k",
        "show key=k",
    ]);
    let on_the_stage = play(&script);
    assert_eq!(play_on(&script, |_| Log::default()), on_the_stage);
    assert_eq!(play_on(&script, |_| MemoryStorage::new()), on_the_stage);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sled = |node: &str| {
        let opened = SledStorage::open(&folder.path().join("sled").join(node), volatile());
        opened.expect("a new folder opens").storage
    };
    assert_eq!(play_on(&script, sled), on_the_stage);
    let redb = |node: &str| {
        let opened = RedbStorage::open(&folder.path().join("redb").join(node), volatile());
        opened.expect("a new folder opens").storage
    };
    assert_eq!(play_on(&script, redb), on_the_stage);
}

/// A transcript has no power loss, so nothing has to be synced for it.
fn volatile() -> Options {
    Options {
        durability: Durability::Forgone,
        ..Options::default()
    }
}

#[test]
fn s5_d29_each_request_has_its_own_machine_and_one_does_not_wait_for_another() {
    let steps = steps(&[
        "cluster nodes=a,b,c policy=resolver w=1 r=2",
        "cut a-b\nput via=a key=cart value=milk\nput via=b key=cart value=tea",
        "heal\nguest silent\nget via=a key=cart r=3",
        "put via=a key=other value=one\nget via=a key=other",
        "guest willing\nanswer",
    ]);
    assert!(!steps[2].iter().any(|line| line.starts_with("answer")));
    assert!(steps[3].iter().any(|line| line.starts_with("answer one")));
    assert!(answer(&steps[4]).starts_with("answer milk+tea"));
}

#[test]
fn s5_d30_a_stale_replica_that_answers_late_is_repaired() {
    let steps = steps(&[
        "cluster nodes=a,b,c n=3 r=2 w=2",
        "lose a>c\nput via=a key=k value=one",
        "heal\nhold c>a\nget via=a key=k",
        "heal\nrelease",
        "show key=k",
    ]);
    assert!(!steps[2].iter().any(|line| line.contains("write")));
    assert_eq!(steps[3], ["a -> c  write k {a:1}=one", "c -> a  wrote"]);
    assert!(steps[4].iter().all(|node| node.ends_with("{a:1}=one")));
}

#[test]
fn s5_d31_the_node_that_answered_the_read_fastest_coordinates_the_write() {
    for (slow, fast) in [
        ("d>a d>b", "d -> c"),
        ("d>a d>c", "d -> b"),
        ("d>b d>c", "d -> a"),
    ] {
        let hold = format!("hold {slow}\nget via=d key=k r=1 as=alice");
        let steps = steps(&[
            "cluster nodes=a,b,c,d n=3 r=2 w=2",
            "put via=d key=k value=one",
            &hold,
            "heal\nput via=d key=k value=two as=alice",
        ]);
        let forward = format!("{fast}  forward k two context={{a:1}}");
        assert_eq!(steps[3][0], forward);
    }
}
