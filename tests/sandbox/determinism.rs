//! The same question on three nodes and after a restart: the same bytes and the same fuel (law 7).
//!
//! Each node is a library of its own, with its own engine, its own compilation and its own folder.
//! `REJOIN_CALLS=<count>` sets how many calls are made, over all nodes and plugins.

use super::plugins::{Shelf, asking};
use bytes::Bytes;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::names::Digest;
use rejoin::dynamo::reconcile::question::{Ask, Question, canonical};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Enough to show a difference in a test of seconds; the figure in the documents is of 100,000.
const CALLS_DEFAULT: usize = 12_000;
const NODES: usize = 3;
const PLUGINS: [&str; 3] = ["shopping-cart.wasm", "last-writer.wasm", "max.wasm"];

fn cart(dice: &mut ChaCha8Rng) -> String {
    let names = ["bread", "milk", "eggs", "\\u00e4pfel", "a b"];
    let lines = (0..dice.random_range(0..6)).map(|_| {
        let name = names.choose(dice).expect("not empty");
        format!("\"{name}\":{}", dice.random_range(1..20))
    });
    let lines: std::collections::BTreeSet<String> = lines.collect();
    let lines: Vec<String> = lines.into_iter().collect();
    format!("{{\"items\":{{{}}}}}", lines.join(","))
}

fn value(dice: &mut ChaCha8Rng) -> Bytes {
    match dice.random_range(0..4) {
        0 => {
            let mut noise = vec![0; dice.random_range(0..200)];
            dice.fill_bytes(&mut noise);
            noise.into()
        }
        1 => dice.random_range(-1000..1000).to_string().into(),
        _ => cart(dice).into(),
    }
}

fn ask(digest: Digest, dice: &mut ChaCha8Rng) -> Question {
    let siblings = (0..dice.random_range(2..8)).map(|_| {
        let written_at_ms = dice.random_range(0..5);
        Version::value(value(dice), written_at_ms)
    });
    asking(digest, Ask::Resolve(canonical(siblings.collect())))
}

/// A sum over all answers and their fuel; node by node, in the order of the questions.
fn sum(shelf: &Shelf, digest: Digest, seed: u64, calls: usize) -> u64 {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut hasher = DefaultHasher::new();
    for _ in 0..calls {
        let report = shelf.library.answer(&ask(digest, &mut dice));
        format!("{:?}", report.answer).hash(&mut hasher);
    }
    hasher.finish()
}

#[tokio::test]
async fn three_nodes_and_a_restart_give_the_same_bytes_and_fuel() {
    let given = std::env::var("REJOIN_CALLS").ok();
    let calls = given.map_or(CALLS_DEFAULT, |calls| calls.parse().expect("a number"));
    let each = calls / (PLUGINS.len() * (NODES + 1));
    let mut nodes: Vec<Shelf> = (0..NODES).map(|_| Shelf::open()).collect();
    for (seed, file) in PLUGINS.iter().enumerate() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/bin/");
        let bytes = std::fs::read(format!("{folder}{file}")).expect("it is committed");
        let mut sums = Vec::new();
        for node in &nodes {
            let digest = node.admit(bytes.clone()).await;
            sums.push(sum(node, digest, seed as u64, each));
        }
        let restarted = nodes.remove(0).reopen();
        let digest = restarted.admit(bytes).await;
        sums.push(sum(&restarted, digest, seed as u64, each));
        nodes.push(restarted);
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{file}: {sums:?}");
    }
}
