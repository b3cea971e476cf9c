//! What a resolved get costs, and how long an upload takes to be active.
//!
//! Invariant: each resolved get returned what the native merge makes of the same siblings.

use crate::town::{
    Town, cart_plugin, carts, get, histogram, median, merged, micros, note, resolved,
};
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use rejoin::cli::plugin::push;
use rejoin::wire::proto::v1 as proto;
use std::time::{Duration, Instant};

const SIBLINGS: [usize; 3] = [2, 5, 20];
/// Gets before the measured ones, of another key.
const WARM_UP: usize = 100;

/// A get that resolves for the first time and again, one that returns siblings, and the merge itself, in turns.
pub async fn of_merging(town: &Town, keys: usize) -> anyhow::Result<()> {
    println!("\n## Resolving: siblings of 1 KiB, p50 of {keys} keys, one client\n");
    println!(
        "| Siblings | get siblings, us | get resolved, us | ratio | get resolved again, us | ratio | native merge, us | resolved - siblings, us | of it in the plugin's call, us |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let plugin = town.push(cart_plugin()).await?;
    for siblings in SIBLINGS {
        let (plain, merging) = (format!("plain-{siblings}"), format!("merged-{siblings}"));
        town.create(&plain, proto::Properties::default()).await?;
        town.create(&merging, resolved(&plugin)).await?;
        let values = carts(siblings);
        for bucket in [&plain, &merging] {
            town.fill(bucket, keys + 1, &values).await?;
        }
        let node = &town.nodes[0];
        for _ in 0..WARM_UP {
            get(node, &plain, keys).await?;
            get(node, &merging, keys).await?;
        }
        let expected = merged(&values)?;
        let mut times: [Vec<Duration>; 4] = Default::default();
        for key in 0..keys {
            for turn in 0..3 {
                match (key + turn) % 3 {
                    0 => {
                        let (took, reply) = get(node, &plain, key).await?;
                        ensure!(
                            reply.values.len() == siblings,
                            "{} siblings",
                            reply.values.len()
                        );
                        times[0].push(took);
                    }
                    1 => {
                        for place in [1, 2] {
                            let (took, reply) = get(node, &merging, key).await?;
                            ensure!(reply.values.len() == 1, "not merged: {:?}", reply.resolved);
                            ensure!(reply.values[0].value == expected, "another merge");
                            times[place].push(took);
                        }
                    }
                    _ => {
                        let begun = Instant::now();
                        let made = merged(&values)?;
                        times[3].push(begun.elapsed());
                        ensure!(made == expected, "another merge");
                    }
                }
            }
        }
        let call = call_us(town, &merging).await?;
        let [plain, cold, warm, native] = times.map(|times| micros(median(times)));
        println!(
            "| {siblings} | {plain:.0} | {cold:.0} | {:.2} | {warm:.0} | {:.2} | {native:.1} | {:.0} | {call} |",
            cold / plain,
            warm / plain,
            cold - plain
        );
    }
    Ok(())
}

/// How long the guest's call took in the middle, by the node's own meter.
async fn call_us(town: &Town, bucket: &str) -> anyhow::Result<u64> {
    let node = &town.nodes[0];
    let asked = node.request(proto::PluginStatsRequest {
        bucket: bucket.to_owned(),
        plugin: String::new(),
    });
    let stats = node.plugins().stats(asked).await?.into_inner().stats;
    Ok(stats
        .first()
        .context("the plugin was not asked")?
        .wall_us_p50)
}

/// From the first byte of an upload until a bucket uses the plugin on all nodes.
pub async fn of_uploading(town: &Town, uploads: u32) -> anyhow::Result<()> {
    let node = &town.nodes[0];
    town.create("uploads", proto::Properties::default()).await?;
    let (mut pushes, mut activations) = (histogram(), histogram());
    for upload in 0..uploads {
        let bytes = of_version(&format!("2.{}.{}", upload / 10, upload % 10))?;
        let begun = Instant::now();
        let pushed = push(bytes, node).await?;
        let took = begun.elapsed();
        note(&mut pushes, took);
        ensure!(
            pushed.nodes_ready == 3,
            "{} nodes are ready",
            pushed.nodes_ready
        );
        let asked = node.request(proto::ActivateRequest {
            bucket: "uploads".to_owned(),
            plugin: pushed.plugin.context("no plugin in the reply")?.digest,
            ..proto::ActivateRequest::default()
        });
        let reply = node.plugins().activate(asked).await?.into_inner();
        ensure!(
            reply.nodes_reached == 3,
            "{} nodes know it",
            reply.nodes_reached
        );
        note(&mut activations, begun.elapsed() - took);
    }
    println!("\n## From upload to active: the cart in Rust, three nodes, {uploads} times\n");
    println!("| | p50, ms | most, ms |\n|---|---|---|");
    for (what, times) in [
        (
            "upload: check, compile, try the laws, compile on the others",
            &pushes,
        ),
        (
            "activate: try the laws again, rehearse everywhere, edit the bucket",
            &activations,
        ),
    ] {
        let ms = |us: u64| us as f64 / 1_000.0;
        println!(
            "| {what} | {:.0} | {:.0} |",
            ms(times.value_at_quantile(0.5)),
            ms(times.max())
        );
    }
    Ok(())
}

/// The cart under another version: the same code, and for a cluster another plugin.
fn of_version(version: &str) -> anyhow::Result<Bytes> {
    let mut bytes = cart_plugin().to_vec();
    let found = bytes.windows(5).position(|window| window == b"1.1.0");
    let place = found.context("the plugin does not carry its version as text")?;
    bytes[place..place + 5].copy_from_slice(version.as_bytes());
    Ok(bytes.into())
}
