//! The promise of `durable`, on real processes: what was acknowledged before a `kill -9` is there after it.
//!
//! Writers put growing numbers under their keys while nodes are killed at seeded moments and started again;
//! after every restart each key must show a number that is at least the last one acknowledged. Emulates no
//! power loss: `tests/power_loss.rs` and `docs/decisions/0003-durable-sled.md` are about that.
//!
//! Nodes are also stopped in turn, all killed at once, and killed while a member joins and leaves.
//!
//! `REJOIN_SEED` repeats a run's choices, `REJOIN_KILL_CYCLES` sets the number of kills.
//!
//! Invariant: the checker can fail: the last test makes it find writes that a store without a disk forgot.

#[allow(
    dead_code,
    reason = "this test needs only some of what the stage offers"
)]
#[path = "cluster/stage.rs"]
mod stage;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use rejoin::wire::proto::v1::change_request::Wish;
use stage::{Node, Stage, getting, putting};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const BUCKET: &str = "ledger";
const WRITERS: usize = 4;
const KEYS_PER_WRITER: usize = 10;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number")),
    )
}

fn seeded() -> StdRng {
    let seed = number_from("REJOIN_SEED").unwrap_or_else(rand::random);
    println!("REJOIN_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn cycles(default: u64) -> u64 {
    number_from("REJOIN_KILL_CYCLES").unwrap_or(default)
}

/// One key and what its writer was told.
#[derive(Debug, Clone)]
struct Entry {
    key: String,
    acknowledged: u64,
    attempted: u64,
    /// None: the last outcome is unknown or unseen; the writer has to get first.
    context: Option<Bytes>,
}

/// A key that shows less than was acknowledged, or more than was ever written.
#[derive(Debug)]
#[allow(dead_code, reason = "it is printed")]
struct Loss {
    entry: Entry,
    found: Vec<u64>,
}

/// The only writer of its keys.
struct Writer {
    entries: Vec<Entry>,
    dice: StdRng,
    ack: proto::Ack,
}

/// What the writers of one cycle share with the killer.
#[derive(Default)]
struct Cycle {
    stopping: AtomicBool,
    acknowledged: AtomicU64,
}

impl Writer {
    fn new(number: usize, dice: &mut StdRng, ack: proto::Ack) -> Self {
        let entry = |key: usize| Entry {
            key: format!("writer-{number}-key-{key}"),
            acknowledged: 0,
            attempted: 0,
            context: None,
        };
        Self {
            entries: (0..KEYS_PER_WRITER).map(entry).collect(),
            dice: StdRng::seed_from_u64(dice.random()),
            ack,
        }
    }

    /// Writes through any node until none answers or the cycle is over.
    async fn write(mut self, mut nodes: Vec<Node>, cycle: Arc<Cycle>) -> Self {
        while !nodes.is_empty() && !cycle.stopping.load(Ordering::Relaxed) {
            let place = self.dice.random_range(0..nodes.len());
            let entry = self.dice.random_range(0..self.entries.len());
            if self.write_one(entry, &nodes[place]).await {
                cycle.acknowledged.fetch_add(1, Ordering::Relaxed);
            } else {
                nodes.remove(place);
            }
        }
        self
    }

    /// The next number under one key. False: this node did not acknowledge it.
    async fn write_one(&mut self, entry: usize, node: &Node) -> bool {
        let entry = &mut self.entries[entry];
        let context = match entry.context.take() {
            Some(context) => context,
            None => match node.try_get(getting(BUCKET, &entry.key)).await {
                Ok(found) => found.context,
                Err(_) => return false,
            },
        };
        entry.attempted += 1;
        let asked = proto::PutRequest {
            context,
            ack: self.ack.into(),
            ..putting(BUCKET, &entry.key, &entry.attempted.to_string())
        };
        let Ok(stored) = node.try_put(asked).await else {
            return false;
        };
        entry.acknowledged = entry.attempted;
        entry.context = Some(stored.context).filter(|context| !context.is_empty());
        true
    }

    async fn losses(&self, node: &Node) -> Vec<Loss> {
        let mut losses = Vec::new();
        for entry in &self.entries {
            let found = numbers(node, &entry.key).await;
            let highest = found.iter().max().copied().unwrap_or(0);
            if highest < entry.acknowledged || highest > entry.attempted {
                let entry = entry.clone();
                losses.push(Loss { entry, found });
            }
        }
        losses
    }
}

/// The numbers that a key shows; several if an unknown outcome turned out well.
async fn numbers(node: &Node, key: &str) -> Vec<u64> {
    let found = node.try_get(getting(BUCKET, key)).await;
    let found = found.unwrap_or_else(|status| panic!("{key}: {status}"));
    let text = |value: &proto::Value| String::from_utf8_lossy(&value.value).into_owned();
    let number = |value| text(value).parse().expect("a number");
    found.values.iter().map(number).collect()
}

async fn losses(writers: &[Writer], node: &Node) -> Vec<Loss> {
    let mut losses = Vec::new();
    for writer in writers {
        losses.extend(writer.losses(node).await);
    }
    losses
}

/// How a node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    /// As an operator does it, with time to finish.
    Stop,
}

/// A cluster, its writers, and the dice that decide who is killed when.
struct Game {
    stage: Stage,
    writers: Vec<Writer>,
    dice: StdRng,
    acknowledged: u64,
    /// From the start of a process to its ready line.
    starts: Vec<Duration>,
}

impl Game {
    async fn start(storage: StorageEngine, nodes: usize, ack: proto::Ack) -> Self {
        Self::with_spares(storage, (nodes, 0), ack).await
    }

    /// Nodes, and others that can join.
    async fn with_spares(
        storage: StorageEngine,
        (nodes, spares): (usize, usize),
        ack: proto::Ack,
    ) -> Self {
        let mut dice = seeded();
        let stage = Stage::with_spares(storage, nodes, spares).await;
        let writer = |number| Writer::new(number, &mut dice, ack);
        let writers = (0..WRITERS).map(writer).collect();
        let game = Self {
            stage,
            writers,
            dice,
            acknowledged: 0,
            starts: Vec::new(),
        };
        game.create_bucket(ack).await;
        game
    }

    async fn create_bucket(&self, ack: proto::Ack) {
        let nodes = self.stage.nodes().await.len() as u32;
        let properties = proto::Properties {
            n: Some(nodes),
            ack: ack.into(),
            ..proto::Properties::default()
        };
        self.stage.node(0).await.create(BUCKET, properties).await;
    }

    /// Writes, kills these nodes at some moment, goes on with the others, and starts the killed again.
    async fn kill_and_restart(&mut self, victims: &[usize]) {
        self.end_and_restart(Blow::Kill, victims).await;
    }

    /// As above, whichever way they end.
    async fn end_and_restart(&mut self, blow: Blow, victims: &[usize]) {
        let cycle = Arc::new(Cycle::default());
        let nodes = self.stage.nodes().await;
        let writing: Vec<_> = std::mem::take(&mut self.writers)
            .into_iter()
            .map(|writer| tokio::spawn(writer.write(nodes.clone(), Arc::clone(&cycle))))
            .collect();
        self.wait_for_some(&cycle).await;
        for victim in victims {
            match blow {
                Blow::Kill => self.stage.kill(*victim).await,
                Blow::Stop => {
                    let stopped = self.stage.cluster.stop_node(*victim).await;
                    assert!(stopped.expect("it can be stopped"), "{victim} stops well");
                }
            }
        }
        if victims.len() < nodes.len() {
            self.wait_for_some(&cycle).await;
        }
        cycle.stopping.store(true, Ordering::Relaxed);
        for writer in writing {
            self.writers
                .push(writer.await.expect("a writer does not panic"));
        }
        self.acknowledged += cycle.acknowledged.load(Ordering::Relaxed);
        for victim in victims {
            let started = Instant::now();
            self.stage.restart(*victim).await;
            self.starts.push(started.elapsed());
        }
        self.founders_connected().await;
    }

    /// Whoever has joined may be connected as well, or leave at any moment.
    async fn founders_connected(&self) {
        let nodes = self.stage.nodes().await;
        let names: Vec<&str> = self.stage.cluster.names().take(nodes.len()).collect();
        stage::until("all founders are connected", async || {
            for node in &nodes {
                let peers = node.status().await.peers;
                let founders = peers
                    .iter()
                    .filter(|peer| peer.is_connected && names.contains(&peer.node.as_str()));
                if founders.count() + 1 != nodes.len() {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// So many acknowledgements, and a moment more, so that kills fall anywhere within a write.
    async fn wait_for_some(&mut self, cycle: &Cycle) {
        let wanted = cycle.acknowledged.load(Ordering::Relaxed) + self.dice.random_range(1..60);
        let moment = Duration::from_micros(self.dice.random_range(0..5_000));
        stage::until("writes are acknowledged", async || {
            cycle.acknowledged.load(Ordering::Relaxed) >= wanted
        })
        .await;
        tokio::time::sleep(moment).await;
    }

    /// Asks a node that the dice choose for every key.
    async fn check(&mut self, when: &str) {
        let nodes = self.stage.nodes().await;
        let node = &nodes[self.dice.random_range(0..nodes.len())];
        let losses = losses(&self.writers, node).await;
        assert!(losses.is_empty(), "{when}, lost: {losses:#?}");
    }

    fn report(&mut self, cycles: u64) {
        let acknowledged = self.acknowledged;
        self.starts.sort();
        let median = self.starts[self.starts.len() / 2];
        let longest = self.starts.last().copied().unwrap_or_default();
        println!(
            "{acknowledged} acknowledged writes in {cycles} cycles, none lost; {} starts, median {median:.0?}, \
             longest {longest:.0?}",
            self.starts.len()
        );
    }
}

#[tokio::test]
async fn no_durable_write_of_a_single_node_is_lost_to_kill_9() {
    let mut game = Game::start(StorageEngine::Sled, 1, proto::Ack::Durable).await;
    let cycles = cycles(25);
    for cycle in 1..=cycles {
        game.kill_and_restart(&[0]).await;
        game.check(&format!("after kill {cycle}")).await;
    }
    game.report(cycles);
    game.stage.end().await;
}

#[tokio::test]
async fn no_durable_write_of_a_single_node_on_redb_is_lost_to_kill_9() {
    let mut game = Game::start(StorageEngine::Redb, 1, proto::Ack::Durable).await;
    let cycles = cycles(10);
    for cycle in 1..=cycles {
        game.kill_and_restart(&[0]).await;
        game.check(&format!("after kill {cycle}")).await;
    }
    game.report(cycles);
    game.stage.end().await;
}

#[tokio::test]
async fn no_durable_write_of_three_nodes_is_lost_to_kill_9_of_one_or_all() {
    let mut game = Game::start(StorageEngine::Sled, 3, proto::Ack::Durable).await;
    let cycles = cycles(25).div_ceil(4);
    for cycle in 1..=cycles {
        let first = game.dice.random_range(0..3);
        let victims: Vec<usize> = match cycle % 2 {
            0 => vec![0, 1, 2],
            _ => vec![first],
        };
        game.kill_and_restart(&victims).await;
        game.check(&format!("after kill {cycle} of {victims:?}"))
            .await;
    }
    game.report(cycles);
    game.stage.end().await;
}

#[tokio::test]
async fn no_durable_write_is_lost_when_all_nodes_are_restarted_in_turn() {
    let mut game = Game::start(StorageEngine::Sled, 3, proto::Ack::Durable).await;
    let rounds = cycles(1);
    for round in 1..=rounds {
        for victim in 0..3 {
            game.end_and_restart(Blow::Stop, &[victim]).await;
            game.check(&format!("in round {round}, after {victim}"))
                .await;
        }
    }
    game.report(3 * rounds);
    game.stage.end().await;
}

#[tokio::test]
async fn no_durable_write_is_lost_when_the_whole_cluster_is_killed_again_and_again() {
    let mut game = Game::start(StorageEngine::Sled, 3, proto::Ack::Durable).await;
    let cycles = cycles(3);
    for cycle in 1..=cycles {
        game.kill_and_restart(&[0, 1, 2]).await;
        game.check(&format!("after kill {cycle} of all")).await;
    }
    game.report(cycles);
    game.stage.end().await;
}

#[tokio::test]
async fn no_durable_write_is_lost_to_kills_while_a_member_joins_and_leaves() {
    let ack = proto::Ack::Durable;
    let mut game = Game::with_spares(StorageEngine::Sled, (3, 1), ack).await;
    game.stage.restart(3).await; // With the token it joins by itself, once.
    game.stage.node(0).await.settles_with(4).await;
    let cycles = cycles(2).div_ceil(2);
    for cycle in 1..=cycles {
        for (wish, members) in [
            (Wish::Leave("n4".to_owned()), 3),
            (Wish::Join(newcomer()), 4),
        ] {
            let changed = game.stage.node(0).await.change(wish, true).await;
            assert!(changed.is_committed);
            let victim = game.dice.random_range(0..3);
            game.kill_and_restart(&[victim]).await;
            let when = format!("in cycle {cycle}, on the way to {members} members");
            game.check(&when).await;
            game.stage.node(0).await.settles_with(members).await;
            game.check(&format!("in cycle {cycle}, with {members} members"))
                .await;
        }
    }
    game.report(2 * cycles);
    game.stage.end().await;
}

fn newcomer() -> proto::Nodes {
    proto::Nodes {
        nodes: vec!["n4".to_owned()],
    }
}

/// The control: buffered writes to memory must be missed, or the checker sees nothing.
#[tokio::test]
async fn the_checker_notices_what_a_store_without_a_disk_forgets() {
    let mut game = Game::start(StorageEngine::Memory, 1, proto::Ack::Buffered).await;
    game.kill_and_restart(&[0]).await;
    game.create_bucket(proto::Ack::Buffered).await;
    let node = game.stage.node(0).await;
    let losses = losses(&game.writers, &node).await;
    assert!(
        !losses.is_empty(),
        "{} writes were acknowledged",
        game.acknowledged
    );
    assert!(
        losses.iter().all(|loss| loss.found.is_empty()),
        "{losses:#?}"
    );
    game.stage.end().await;
}
