//! Versions of a bucket's plugin over time: activation and rollback on whole clusters of machines, also while they
//! cannot reach each other, and what is left of a bad version's merges.
//!
//! No dice but the seed's, no clock, no network: `REJOIN_SEED` replays one run, `REJOIN_SEEDS` says how many are tried.
//!
//! Invariant: whatever a run does follows from its seed.

#[path = "stage/memory.rs"]
mod memory;
#[path = "versions/town.rs"]
mod town;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::bucket::Properties;
use rejoin::dynamo::bucket::activation::{PAUSED, Retention};
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::coordinator::request::{PutError, Resolved};
use rejoin::dynamo::coordinator::unmerge::{Effort, Unmerged};
use rejoin::dynamo::replica::record::fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use town::{FIRST, Guest, NEXT, POOR, Town, bound, key};

const SEEDS_DEFAULT: u64 = 60;
const KEYS: usize = 1_000;

fn seeds() -> Vec<u64> {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse().expect("a number"));
    match number("REJOIN_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("REJOIN_SEEDS").unwrap_or(SEEDS_DEFAULT)).collect(),
    }
}

/// What a random run has done.
struct Run {
    town: Town,
    dice: ChaCha8Rng,
    seed: u64,
    puts: usize,
    /// Words of acknowledged puts.
    written: BTreeMap<usize, BTreeSet<String>>,
    /// What every dot that was ever seen stood for.
    dots: BTreeMap<(usize, String), u128>,
}

impl Run {
    fn of(seed: u64) -> Self {
        Self {
            town: Town::of(4, &bound(FIRST, true)),
            dice: ChaCha8Rng::seed_from_u64(seed),
            seed,
            puts: 0,
            written: BTreeMap::new(),
            dots: BTreeMap::new(),
        }
    }

    /// One thing that clients, operators or the network do.
    fn act(&mut self) {
        let node = self.dice.random_range(0..4);
        match self.dice.random_range(0..20) {
            0 => self.town.part(self.dice.random_range(1..4)),
            1 => self.town.heal(),
            2 => self.rebind(node, |now| bound(NEXT, true).after(now)),
            3 => self.rebind(node, |now| now.rolled_back(None).unwrap_or(now.clone())),
            4 => self.rebind(node, |now| {
                let mut changed = now.clone();
                changed.activation.is_paused = !now.activation.is_paused;
                changed
            }),
            5..8 => {
                let at = self.dice.random_range(0..5);
                drop(self.town.get(node, &key(at)));
            }
            _ => self.put(node),
        }
        self.look();
    }

    fn put(&mut self, node: usize) {
        let at = self.dice.random_range(0..5);
        let word = format!("w{}", self.puts);
        self.puts += 1;
        let (context, value) = match self.dice.random_bool(0.3) {
            false => (Context::default(), word.clone()),
            true => match self.town.get(node, &key(at)) {
                // A careful client writes what it saw and more.
                Ok(seen) => {
                    let words = seen.versions.iter().flat_map(town::words);
                    let words: BTreeSet<String> = words.chain([word.clone()]).collect();
                    let words: Vec<String> = words.into_iter().collect();
                    (seen.context, words.join(","))
                }
                Err(_) => (Context::default(), word.clone()),
            },
        };
        match self.town.put(node, &key(at), &value, context) {
            Ok(_) => drop(self.written.entry(at).or_default().insert(word)),
            Err(PutError::Unknown { .. } | PutError::NotStored(_)) => {}
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
    }

    /// An operator edits the bucket where it can be reached; the others hear of it when they can.
    fn rebind(&mut self, node: usize, change: impl Fn(&Properties) -> Properties) {
        let changed = change(self.town.properties(node));
        self.town.edit(node, changed);
    }

    /// No dot stands for two values, on whatever node and at whatever time.
    fn look(&mut self) {
        for at in 0..5 {
            for (dot, version) in self.town.standing(&key(at)) {
                let found = fingerprint(&version);
                let known = *self.dots.entry((at, dot.to_string())).or_insert(found);
                assert_eq!(
                    known, found,
                    "seed {}: {dot} of key {at} is two values",
                    self.seed
                );
            }
        }
    }
}

#[test]
fn activation_and_rollback_across_a_partition_leave_one_value_and_no_dot_with_two() {
    for seed in seeds() {
        let mut run = Run::of(seed);
        for _ in 0..120 {
            run.act();
        }
        run.town.heal();
        let mut last = bound(NEXT, true).after(run.town.properties(0));
        last.activation.is_paused = false;
        run.town.edit(0, last);
        assert!(
            run.dots.len() <= run.puts,
            "seed {seed}: merges bred merges"
        );
        let before = run.puts;
        for at in 0..5 {
            run.town.get(0, &key(at)).expect("all nodes are there");
            let merged = run.town.put(at % 4, &key(at), "last", Context::default());
            merged.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            run.town.get(1, &key(at)).expect("all nodes are there");
            run.look();
            let standing: BTreeMap<_, _> = run.town.standing(&key(at)).into_iter().collect();
            assert_eq!(standing.len(), 1, "seed {seed}: {standing:?}");
            let (_, version) = standing.first_key_value().expect("one");
            let words = town::words(version);
            let lost = run.written.entry(at).or_default().difference(&words).next();
            assert_eq!(lost, None, "seed {seed}: key {at} lost a write");
            // Alone from the start is the one case in which nothing had to be merged.
            let by = version.merged_by;
            assert!(
                by.is_none_or(|digest| digest == NEXT.digest()),
                "seed {seed}"
            );
        }
        assert!(
            run.dots.len() <= before + 5,
            "seed {seed}: merges bred merges"
        );
    }
}

/// Blind writers of two sides, before and under a version that may be poor, and what stands then.
fn deploy(poor: Guest, keys: usize) -> Town {
    let mut town = Town::of(3, &bound(FIRST, true));
    let blind = |town: &mut Town, node: usize, at: usize, word: &str| {
        let stored = town.put(node, &key(at), word, Context::default());
        stored.expect("two of three are there");
    };
    for at in 0..keys {
        blind(&mut town, at % 3, at, "apple");
        blind(&mut town, (at + 1) % 3, at, "bread");
    }
    let next = bound(poor, true).after(town.properties(0));
    town.edit(0, next);
    for at in 0..keys {
        blind(&mut town, at % 3, at, "cheese");
        if at % 2 == 0 {
            blind(&mut town, (at + 1) % 3, at, "dates"); // A merge of a merge.
        }
        if at % 5 == 0 {
            // Two sides merge the same siblings.
            town.part_alone(2);
            blind(&mut town, 0, at, "eggs");
            town.put_with_w(2, &key(at), "figs", 1).expect("itself");
            town.heal();
            town.get(0, &key(at)).expect("all are there");
        }
    }
    town
}

#[test]
fn a_thousand_keys_that_a_bad_version_merged_are_what_the_good_one_would_have_made() {
    let mut good = deploy(NEXT, KEYS);
    let mut town = deploy(POOR, KEYS);
    let wrong = (0..KEYS).filter(|at| {
        let found = town.get(at % 3, &key(*at)).expect("all are there");
        !town::shows(&found, &good.get(at % 3, &key(*at)).expect("all are there"))
    });
    assert_eq!(wrong.count(), KEYS, "the bad version did harm");
    let back = town
        .properties(0)
        .rolled_back(None)
        .expect("there is a past");
    town.edit(0, back);
    let blame = town.properties(0).blame(None, None);
    assert_eq!(blame.digests, BTreeSet::from([POOR.digest()]));
    let looked = town.unmerge(&key(0), &blame, Effort::Look);
    assert_eq!(looked, Ok(Unmerged::WouldRewrite { is_whole: true }));
    for at in 0..KEYS {
        let outcome = town.unmerge(&key(at), &blame, Effort::Whole);
        let is_whole = matches!(outcome, Ok(Unmerged::Rewritten { is_whole: true, .. }));
        assert!(is_whole, "key {at}: {outcome:?}");
        let again = town.unmerge(&key(at), &blame, Effort::Whole);
        assert_eq!(
            again,
            Ok(Unmerged::Unchanged),
            "key {at}: it can be resumed"
        );
    }
    for at in 0..KEYS {
        let wanted = good.get(at % 3, &key(at)).expect("all are there");
        for node in 0..3 {
            let found = town.get(node, &key(at)).expect("all are there");
            assert!(town::shows(&found, &wanted), "key {at}: {found:?}");
        }
        let standing: BTreeMap<_, _> = town.standing(&key(at)).into_iter().collect();
        assert_eq!(
            standing.len(),
            1,
            "key {at}: one new dot covers the bad ones"
        );
        let (_, version) = standing.first_key_value().expect("one");
        assert_eq!(version.merged_by, Some(FIRST.digest()));
    }
}

#[test]
fn what_is_no_longer_retained_stays_as_it_is_and_is_said() {
    let retention = Retention {
        merges: 1,
        ..Retention::default()
    };
    let properties = Properties {
        retention,
        ..bound(POOR, true)
    };
    let mut town = Town::of(3, &properties);
    for word in ["apple", "bread", "cheese"] {
        let stored = town.put(0, &key(0), word, Context::default());
        stored.expect("all are there");
    }
    let good = bound(FIRST, true).after(town.properties(0));
    town.edit(0, Properties { retention, ..good });
    let blame = town.properties(0).blame(None, None);
    let before = town.standing(&key(0));
    assert_eq!(
        town.unmerge(&key(0), &blame, Effort::Whole),
        Ok(Unmerged::NotRetained)
    );
    assert_eq!(town.standing(&key(0)), before);
    let best = town.unmerge(&key(0), &blame, Effort::Best);
    assert!(
        matches!(
            best,
            Ok(Unmerged::Rewritten {
                is_whole: false,
                ..
            })
        ),
        "{best:?}"
    );
}

#[test]
fn without_a_resolver_that_makes_one_of_them_what_stands_stays() {
    for (now, says) in [
        (Properties::default(), "no resolver"),
        (bound(town::KEEPER, true), "I cannot choose"),
        (bound(town::TRAPPING, true), "R001"),
    ] {
        let mut town = deploy(POOR, 1);
        let next = now.after(town.properties(0));
        town.edit(0, next);
        let before = town.standing(&key(0));
        let blame = town.properties(0).blame(None, None);
        let outcome = town.unmerge(&key(0), &blame, Effort::Best);
        let error = outcome.expect_err("nothing to put there").to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(town.standing(&key(0)), before);
    }
}

#[test]
fn every_record_of_a_merge_makes_the_same_bytes_when_it_is_made_again() {
    let mut seen = 0;
    let mut run = Run::of(7);
    for _ in 0..400 {
        run.act();
        for at in 0..5 {
            for (node, replaced) in run.town.retained(&key(at)) {
                let noted = replaced.provenance.as_ref().expect("this release notes it");
                assert_eq!(noted.dots.len(), replaced.inputs.len());
                let bound = run.town.bound_at(noted.epoch, replaced.merged_by);
                let again = town::again(&key(at), &replaced, &bound);
                assert_eq!(fingerprint(&again), noted.result, "node {node}, key {at}");
                let standing = run.town.standing(&key(at)).into_iter();
                for (_, version) in standing.filter(|(dot, _)| *dot == replaced.dot) {
                    assert_eq!(fingerprint(&version), noted.result);
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen} merges were made again");
}

#[test]
fn a_paused_resolver_is_not_asked_and_the_siblings_say_why() {
    let mut town = Town::of(3, &bound(FIRST, true));
    let mut paused = town.properties(0).clone();
    paused.activation.is_paused = true;
    town.edit(0, paused);
    town.put(0, &key(0), "apple", Context::default())
        .expect("all are there");
    let second = town
        .put(1, &key(0), "bread", Context::default())
        .expect("all are there");
    let reason = PAUSED.to_owned();
    assert_eq!(
        second.resolved,
        Resolved::Siblings {
            reason: reason.clone()
        }
    );
    let found = town.get(2, &key(0)).expect("all are there");
    assert_eq!(
        (found.versions.len(), found.resolved),
        (2, Resolved::Siblings { reason })
    );
    let mut resumed = town.properties(0).clone();
    resumed.activation.is_paused = false;
    town.edit(0, resumed);
    let found = town.get(2, &key(0)).expect("all are there");
    assert_eq!(found.versions.len(), 1);
    assert_eq!(town.asked, 1, "only what was not paused was asked");
}

#[test]
fn a_node_that_lacks_a_version_answers_siblings_and_loses_nothing() {
    let mut town = Town::of(3, &bound(FIRST, true));
    town.lacks.insert((1, NEXT.digest()));
    let next = bound(NEXT, true).after(town.properties(0));
    town.edit(0, next);
    town.put(0, &key(0), "apple", Context::default())
        .expect("all are there");
    let kept = town
        .put(1, &key(0), "bread", Context::default())
        .expect("it is stored");
    assert_eq!(kept.siblings, 2);
    let Resolved::Siblings { reason } = kept.resolved else {
        panic!("it has no resolver");
    };
    assert!(reason.starts_with("R005"), "{reason}");
    let found = town.get(0, &key(0)).expect("all are there");
    assert_eq!(town::words(&found.versions[0]).len(), 2);
}

#[test]
fn retention_is_the_buckets_in_number_and_in_bytes() {
    for (retention, wanted) in [
        (
            Retention {
                merges: 9,
                ..Retention::default()
            },
            9,
        ),
        (
            Retention {
                merges: 2,
                ..Retention::default()
            },
            2,
        ),
        // The last merge is kept whatever it weighs.
        (
            Retention {
                bytes: 1,
                ..Retention::default()
            },
            1,
        ),
    ] {
        let properties = Properties {
            retention,
            ..bound(FIRST, true)
        };
        let mut town = Town::of(3, &properties);
        let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        for word in words {
            town.put(0, &key(0), word, Context::default())
                .expect("all are there");
        }
        for node in 0..3 {
            let kept = town.retained(&key(0)).into_iter();
            let kept = kept.filter(|(at, _)| *at == node).count();
            assert_eq!(kept, wanted, "{retention:?} on node {node}");
        }
    }
}
