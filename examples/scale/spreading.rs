//! What gossip costs at one size: a change told to all, idle rounds, a node that nobody reaches, a whole change.
//!
//! Drives `town`; reads the CPU time of this thread and no other clock.
//!
//! Invariant: all but the CPU times follow from the seed.

use super::layouts::{members, partitions};
use super::town::{Sent, Telling, Town, catalog, movers};
use anyhow::{Context, ensure};
use rejoin::dynamo::codec::Writer;
use rejoin::dynamo::membership::plan::{Asked, Wish, plan};
use rejoin::dynamo::metadata::row::{Fact, Subject};
use rejoin::dynamo::ring::assignment::assign;
use rejoin::dynamo::ring::partition::Partitions;
use rejoin::dynamo::ring::placement::Placement;
use std::collections::{BTreeMap, BTreeSet};

/// A change that has not reached everybody by then never will.
const LIMIT_MS: u64 = 120_000;
const IDLE_MS: u64 = 10_000;
/// Two rounds: what is said in one is said in all.
const MISSING_MS: u64 = 2_000;
const TELLINGS: [Telling; 3] = [
    Telling::Push { loss: 0.0 },
    Telling::Push { loss: 0.2 },
    Telling::RoundsAlone,
];

/// How a change reached everybody.
pub struct Spread {
    pub nodes: u16,
    pub telling: Telling,
    /// Until the last one knew.
    pub reached_ms: u64,
    pub sent: Sent,
    /// Of this process, per node; encoding and decoding included.
    pub cpu_ms_per_node: f64,
}

/// What goes round when nothing happens.
pub struct Idle {
    pub nodes: u16,
    pub a_second: Sent,
    /// The same while one node is reached by nobody.
    pub missing_a_second: Sent,
}

/// What a node keeps and computes.
pub struct State {
    pub nodes: u16,
    pub partitions: usize,
    pub catalog_bytes: usize,
    pub members_bytes: usize,
    /// The row that tells of a change, as it is pushed.
    pub change_bytes: usize,
    /// Nodes with a duty in a join.
    pub movers: usize,
    pub copies_moved: usize,
    pub assign_cpu_ms: f64,
}

/// A join from its commit until all see that it is over.
pub struct Whole {
    pub nodes: u16,
    pub movers: usize,
    pub took_ms: u64,
    pub sent: Sent,
}

/// CPU time of this thread so far; none where the system does not tell.
fn cpu_ms() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = told
        .split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok());
    spent.map_or(f64::NAN, |ns: f64| ns / 1e6)
}

/// One town: first nothing happens, then a node is missing, then changes are told, each in another way.
pub fn rounds(
    nodes: u16,
    partitions: Partitions,
    seed: u64,
) -> anyhow::Result<(Idle, Vec<Spread>)> {
    let mut town = Town::new(nodes, partitions, seed);
    town.run_for(IDLE_MS);
    let quiet = town.sent;
    town.miss(Some(1));
    town.run_for(MISSING_MS);
    let idle = Idle {
        nodes,
        a_second: quiet.over(IDLE_MS / 1_000),
        missing_a_second: town.sent.since(quiet).over(MISSING_MS / 1_000),
    };
    town.miss(None);
    let mut spreads = Vec::new();
    // Back to where it was before is a change like another.
    for (wish, telling) in [town.joining(), Wish::Cancel, town.joining()]
        .iter()
        .zip(TELLINGS)
    {
        town.run_for(1_000);
        spreads.push(spread(&mut town, nodes, wish, telling)?);
    }
    Ok((idle, spreads))
}

fn spread(town: &mut Town, nodes: u16, wish: &Wish, telling: Telling) -> anyhow::Result<Spread> {
    let (before, start_ms, start_cpu) = (town.sent, town.now_ms, cpu_ms());
    let version = town.commit(wish, telling);
    let all_know = town.run_until_all_know(version, start_ms + LIMIT_MS);
    ensure!(
        all_know && town.all_agree(),
        "a change did not reach {nodes} nodes by {LIMIT_MS} ms"
    );
    Ok(Spread {
        nodes,
        telling,
        reached_ms: town.now_ms - start_ms,
        sent: town.sent.since(before),
        cpu_ms_per_node: (cpu_ms() - start_cpu) / f64::from(nodes),
    })
}

pub fn state(nodes: u16) -> anyhow::Result<State> {
    let numbers: Vec<u16> = (0..nodes).collect();
    let (members, partitions) = (members(0, &numbers), partitions(usize::from(nodes)));
    let start = cpu_ms();
    let owners = assign(partitions, &members);
    let assign_cpu_ms = cpu_ms() - start;
    let mut catalog = catalog(nodes, partitions);
    let first = catalog.change().context("a catalog without a change")?;
    let now = Placement::new(first, BTreeMap::new())?;
    let newcomer = members
        .last()
        .context("a cluster without nodes")?
        .id
        .clone();
    let asked = Asked {
        by: members[0].id.clone(),
        at_ms: 0,
        force: false,
    };
    let wish = Wish::Join(BTreeSet::from([newcomer]));
    let plan = plan(&catalog, &now, &wish, asked)?;
    let goal = Placement::new(&plan.change, BTreeMap::new())?;
    let fact = Fact::Change(Box::new(plan.change.clone()));
    catalog.edit(Subject::Change, fact, members[0].id.clone())?;
    let mut writer = Writer::default();
    members.iter().for_each(|member| member.encode(&mut writer));
    Ok(State {
        nodes,
        partitions: owners.len(),
        catalog_bytes: catalog.encode().len(),
        members_bytes: writer.finish().len(),
        change_bytes: catalog.only(&[Subject::Change]).encode().len(),
        movers: movers(&goal),
        copies_moved: plan.copies_moved,
        assign_cpu_ms,
    })
}

/// A join, with duties that are fulfilled as soon as they are known.
pub fn whole(nodes: u16, partitions: Partitions, seed: u64) -> anyhow::Result<Whole> {
    let mut town = Town::new(nodes, partitions, seed);
    town.run_for(1_000);
    let (before, start_ms) = (town.sent, town.now_ms);
    town.work();
    let version = town.commit(&town.joining(), Telling::Push { loss: 0.0 });
    let movers = town.movers();
    let limit_ms = start_ms + LIMIT_MS;
    let all_know = town.run_until_all_know(version, limit_ms);
    ensure!(
        all_know && town.run_until_all_are_settled(limit_ms),
        "a change among {nodes} nodes was not over by {LIMIT_MS} ms"
    );
    Ok(Whole {
        nodes,
        movers,
        took_ms: town.now_ms - start_ms,
        sent: town.sent.since(before),
    })
}
