//! What it costs that conflicts are resolved by uploaded code, on real nodes of this machine.
//!
//! ```text
//! cargo build --release --bin rejoin --example resolving && target/release/examples/resolving
//! ```
//!
//! Starts three nodes and measures in turns, so that what else the machine does meets both sides of each ratio: a get
//! that resolves against one that returns siblings and against the same merge as native Rust; the way from the start of
//! an upload to an active resolver; the latencies of one bucket beside another whose plugin burns all of its fuel; and
//! those of clients while conflicts that nobody reads are merged in the background. Nodes and clients share the
//! machine, so absolute figures are worth little, ratios more.
//!
//! Invariant: a figure is printed only if every answer that went into it was the right one.

// The plugin's own merge, and the crate that it is made of, compiled for this machine.
extern crate self as mergeable;
#[allow(dead_code)]
#[path = "../plugins/shopping-cart/src/cart.rs"]
mod cart;
#[allow(dead_code, unused_imports)]
#[path = "../plugins/mergeable/src/json/mod.rs"]
pub mod json;
#[allow(dead_code)]
#[path = "../plugins/mergeable/src/siblings.rs"]
pub mod siblings;

#[path = "resolving/costs.rs"]
mod costs;
#[path = "resolving/neighbours.rs"]
mod neighbours;
#[path = "resolving/town.rs"]
mod town;

use clap::Parser;
use std::path::PathBuf;
use town::Town;

/// Measures what resolving costs, and prints tables.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The nodes take this port and those after it, and the ones 100 higher.
    #[arg(long, default_value_t = 17_001)]
    port: u16,
    /// The `rejoin` binary [default: the one beside this example].
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Keys of each number of siblings.
    #[arg(long, default_value_t = 300)]
    keys: usize,
    /// Uploads.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=90))]
    uploads: u32,
    /// Seconds of each turn beside a neighbour.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Turns of each kind.
    #[arg(long, default_value_t = 4)]
    turns: usize,
    /// Cold keys in conflict.
    #[arg(long, default_value_t = 2_000)]
    conflicts: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let town = Town::start(arguments.port, arguments.binary.clone()).await?;
    costs::of_merging(&town, arguments.keys).await?;
    costs::of_uploading(&town, arguments.uploads).await?;
    neighbours::noisy(&town, arguments.seconds, arguments.turns).await?;
    neighbours::converging(&town, arguments.seconds, arguments.conflicts).await?;
    town.end().await
}
