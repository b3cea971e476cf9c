//! Scale past this machine, by simulation: the ring and the gossip that nodes run, for up to a thousand of them.
//!
//! `cargo run --release --example scale` measures and writes `docs/scale.md` and its plots; with `--check` it measures
//! the ring of 10 and 100 nodes again and compares with what is written there. Dynamo 6.2 and 6.6. Runs no processes,
//! moves no data and opens no socket.
//!
//! Invariant: all that it writes but CPU times and the date follows from the sizes and the seed.

use anyhow::{Context, bail};
use clap::Parser;
use std::iter;
use std::path::{Path, PathBuf};

#[path = "scale/drawing.rs"]
mod drawing;
#[path = "scale/layouts.rs"]
mod layouts;
#[path = "scale/page.rs"]
mod page;
#[path = "scale/rings.rs"]
mod rings;
#[path = "scale/spreading.rs"]
mod spreading;
#[path = "scale/town.rs"]
mod town;

use layouts::partitions;
use page::Findings;
use rejoin::dynamo::ring::partition::Partitions;
use rings::{Measured, STRATEGIES, measure, positions};
use spreading::{rounds, state, whole};

const KEYS: u32 = 1_000_000;
const PAGE: &str = "scale.md";
/// How far a number may be off what is written.
const TOLERANCE: f64 = 0.02;

/// Measures how the ring and the gossip scale, and writes it down.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of the page and its plots.
    #[arg(long, default_value = "docs")]
    into: PathBuf,
    /// Of the gossip's dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The most partitions where whole clusters gossip: every one of the nodes computes its own ring.
    #[arg(long, default_value_t = 512)]
    gossip_partitions: u16,
    /// Write nothing; measure the ring of 10 and 100 nodes and compare with the page.
    #[arg(long)]
    check: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.check {
        return check(&arguments.into);
    }
    let seed = arguments.seed;
    let gossiping = |nodes: u16| {
        let most = partitions(usize::from(nodes)).count();
        Partitions::new(most.min(arguments.gossip_partitions))
    };
    let (mut idles, mut spreads, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    for nodes in [10, 100, 1_000] {
        eprintln!("gossip of {nodes} nodes");
        let (idle, spread) = rounds(nodes, gossiping(nodes)?, seed)?;
        idles.push(idle);
        spreads.extend(spread);
    }
    for nodes in [10, 30, 100] {
        eprintln!("a whole join among {nodes} nodes");
        wholes.push(whole(nodes, gossiping(nodes)?, seed)?);
    }
    let findings = Findings {
        rings: measure_rings(&[10, 30, 100, 1_000]),
        states: [10, 100, 1_000]
            .into_iter()
            .map(state)
            .collect::<Result<_, _>>()?,
        idles,
        spreads,
        wholes,
        seed,
        gossip_partitions: arguments.gossip_partitions,
    };
    for (name, text) in findings.files() {
        let path = arguments.into.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn measure_rings(sizes: &[u16]) -> Vec<Measured> {
    let positions = positions(KEYS);
    let mut measured = Vec::new();
    for nodes in sizes {
        for strategy in STRATEGIES {
            eprintln!("ring of {nodes} nodes, strategy {}", strategy.number());
            measured.push(measure(strategy, *nodes, rings_of(*nodes), &positions));
        }
    }
    measured
}

/// Rings that are measured: fewer where each takes long.
fn rings_of(nodes: u16) -> u64 {
    if nodes < 1_000 { 20 } else { 5 }
}

/// Compares each row of the ring's tables with the page, number by number.
fn check(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(PAGE);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "reading {}; run the example without --check first",
            path.display()
        )
    })?;
    for measured in measure_rings(&[10, 100]) {
        let moves = page::has_moves(&measured).then(|| page::moves_row(&measured));
        for row in iter::once(page::balance_row(&measured)).chain(moves) {
            let found = text.lines().find(|line| same_row(line, &row));
            let Some(found) = found else {
                bail!("{} has no row like {row}; write it anew", path.display());
            };
            println!("ok {found}");
        }
    }
    Ok(())
}

fn same_row(line: &str, row: &str) -> bool {
    let cells = |text: &str| {
        text.split('|')
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let (found, expected) = (cells(line), cells(row));
    let number = |cell: &str| cell.trim_end_matches(" %").parse::<f64>().ok();
    let is_same = |(found, expected): (&String, &String)| match (number(found), number(expected)) {
        (Some(found), Some(expected)) => (found - expected).abs() <= TOLERANCE * expected.abs(),
        _ => found == expected,
    };
    found.len() == expected.len() && found.iter().zip(&expected).all(is_same)
}
