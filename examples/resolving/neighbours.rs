//! What clients of one bucket notice of what goes on in another.
//!
//! Invariant: the kinds of turns alternate, so that each meets the same machine.

use crate::town::{Town, cart_plugin, carts, get, histogram, merged, note, resolved};
use anyhow::ensure;
use bytes::Bytes;
use hdrhistogram::Histogram;
use rejoin::cli::connection::Connection;
use rejoin::limits::GUEST_FUEL_PER_SECOND_MAX;
use rejoin::wire::proto::v1 as proto;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Clients of the bucket that is measured, and of its neighbour.
const CLIENTS: usize = 4;
/// Between two requests of one client, so that the clients do not themselves fill the machine.
const PAUSE: Duration = Duration::from_millis(4);
const CALM_KEYS: usize = 200;
/// So many that nearly each request of the neighbour is a call, and not remembered.
const NEIGHBOUR_KEYS: usize = 2_400;
/// Of a call's 50 million units of fuel nearly all: seven units for each round.
const ROUNDS: usize = 7_000_000;
const CONVERGE_PATIENCE: Duration = Duration::from_secs(300);

/// One bucket, alone and beside three kinds of neighbours with the same requests.
pub async fn noisy(town: &Town, seconds: u64, turns: usize) -> anyhow::Result<()> {
    let cart = town.push(cart_plugin()).await?;
    let burner = town.push(burner()?).await?;
    town.create("calm", resolved(&cart)).await?;
    town.create("cheap", resolved(&cart)).await?;
    town.create("burning", resolved(&burner)).await?;
    let lifted = proto::Properties {
        resolver_limits: Some(proto::GuestLimits {
            fuel_per_second: Some(GUEST_FUEL_PER_SECOND_MAX),
            wall_ms: Some(2_000),
            ..proto::GuestLimits::default()
        }),
        ..resolved(&burner)
    };
    town.create("lifted", lifted).await?;
    let values = carts(2);
    town.fill("calm", CALM_KEYS, &values).await?;
    let kinds: [(&str, Option<&'static str>); 4] = [
        ("nobody", None),
        ("a bucket with the same resolver", Some("cheap")),
        (
            "a plugin that burns 49 million units a call",
            Some("burning"),
        ),
        (
            "the same, its budget of fuel a second lifted",
            Some("lifted"),
        ),
    ];
    for neighbour in kinds.iter().filter_map(|(_, bucket)| *bucket) {
        town.fill(neighbour, NEIGHBOUR_KEYS, &values).await?;
    }
    let cursors: [AtomicUsize; 4] = Default::default();
    let cursors = Arc::new(cursors);
    let expected: Bytes = merged(&values)?.into();
    let mut measured = [histogram(), histogram(), histogram(), histogram()];
    for _ in 0..turns {
        for (kind, (_, neighbour)) in kinds.iter().enumerate() {
            let done = Arc::new(AtomicBool::new(false));
            let mut others = JoinSet::new();
            if let Some(bucket) = *neighbour {
                for client in 0..CLIENTS {
                    let node = town.nodes[client % town.nodes.len()].clone();
                    let (done, cursors) = (Arc::clone(&done), Arc::clone(&cursors));
                    others.spawn(async move {
                        while !done.load(Ordering::Relaxed) {
                            let key = cursors[kind].fetch_add(1, Ordering::Relaxed);
                            get(&node, bucket, key % NEIGHBOUR_KEYS).await?;
                            tokio::time::sleep(PAUSE).await;
                        }
                        anyhow::Ok(())
                    });
                }
            }
            let end = Instant::now() + Duration::from_secs(seconds);
            let seen = reading(town, "calm", &expected, end).await?;
            measured[kind].add(&seen)?;
            done.store(true, Ordering::Relaxed);
            while let Some(other) = others.join_next().await {
                other??;
            }
        }
    }
    println!(
        "\n## Beside a noisy neighbour: gets of a resolved bucket, {CLIENTS} clients, {turns} turns of {seconds} s each\n"
    );
    println!(
        "| Neighbour, {CLIENTS} clients | its calls a second | gets | p50, ms | p99, ms | p99.9, ms | p50 ratio | p99 ratio |\n|---|---|---|---|---|---|---|---|"
    );
    for (kind, (what, bucket)) in kinds.iter().enumerate() {
        let calls = match bucket {
            Some(bucket) => calls(town, bucket).await? as f64 / (seconds as f64 * turns as f64),
            None => 0.0,
        };
        print_row(
            &format!("{what} | {calls:.0}"),
            &measured[kind],
            &measured[0],
        );
    }
    Ok(())
}

/// Calls of guests for a bucket, on all nodes.
async fn calls(town: &Town, bucket: &str) -> anyhow::Result<u64> {
    let mut sum = 0;
    for node in &town.nodes {
        let asked = node.request(proto::PluginStatsRequest {
            bucket: bucket.to_owned(),
            plugin: String::new(),
        });
        let stats = node.plugins().stats(asked).await?.into_inner().stats;
        sum += stats.iter().map(|stats| stats.calls).sum::<u64>();
    }
    Ok(sum)
}

fn print_row(what: &str, measured: &Histogram<u64>, alone: &Histogram<u64>) {
    let ms = |quantile| measured.value_at_quantile(quantile) as f64 / 1_000.0;
    let ratio = |quantile| {
        measured.value_at_quantile(quantile) as f64 / alone.value_at_quantile(quantile) as f64
    };
    println!(
        "| {what} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        measured.len(),
        ms(0.5),
        ms(0.99),
        ms(0.999),
        ratio(0.5),
        ratio(0.99)
    );
}

/// Gets of the keys of a bucket until a time; all have to be merged.
async fn reading(
    town: &Town,
    bucket: &'static str,
    expected: &Bytes,
    end: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let node = town.nodes[client % town.nodes.len()].clone();
        let expected = expected.clone();
        clients.spawn(async move {
            let mut seen = histogram();
            let mut key = client * 17;
            while Instant::now() < end {
                key = (key + 1) % CALM_KEYS;
                let (took, reply) = get(&node, bucket, key).await?;
                let values = reply.values.iter().map(|value| &value.value);
                ensure!(values.eq([&expected]), "not merged: {:?}", reply.resolved);
                note(&mut seen, took);
                tokio::time::sleep(PAUSE).await;
            }
            Ok(seen)
        });
    }
    sum(clients).await
}

async fn sum(
    mut clients: JoinSet<anyhow::Result<Histogram<u64>>>,
) -> anyhow::Result<Histogram<u64>> {
    let mut all = histogram();
    while let Some(client) = clients.join_next().await {
        all.add(client??)?;
    }
    Ok(all)
}

/// A resolver that burns, and then picks the first.
fn burner() -> anyhow::Result<Bytes> {
    let resolve = format!(
        r#"(func (export "cm32p2|rejoin:plugin/resolver@1|resolve")
             (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (local $round i32)
             (loop $burn
               (br_if $burn (i32.lt_u
                 (local.tee $round (i32.add (local.get $round) (i32.const 1)))
                 (i32.const {ROUNDS}))))
             (call $answer (i32.const 2) (i32.const 0) (i32.const 0)))"#
    );
    let mut text = include_str!("../../tests/sandbox/plugin.wat").to_owned();
    for (place, put) in [
        ("{memory}", "2"),
        ("{describe}", "(i32.const 128)"),
        ("{resolver}", &resolve),
        ("{validator}", ""),
        ("{more}", ""),
        ("{name-length}", r"\06\00\00\00"),
        ("{name}", "burner"),
        ("{samples}", r"\00\00\00\00\00\00\00\00"),
    ] {
        text = text.replace(place, put);
    }
    Ok(wat::parse_str(text)?.into())
}

/// Gets and puts of one bucket before, while and after the conflicts of another are merged, twice.
pub async fn converging(town: &Town, seconds: u64, conflicts: usize) -> anyhow::Result<()> {
    let cart = town.push(cart_plugin()).await?;
    let values = carts(2);
    town.create("busy", proto::Properties::default()).await?;
    town.fill("busy", CALM_KEYS, &values[..1]).await?;
    let (mut quiet, mut merging) = (histogram(), histogram());
    let mut took = Vec::new();
    for bucket in ["cold-1", "cold-2"] {
        town.create(bucket, resolved(&cart)).await?;
        town.fill(bucket, conflicts, &values).await?;
        let turn = Duration::from_secs(seconds);
        quiet.add(&mixed(town, async || tokio::time::sleep(turn).await).await?)?;
        let merges = town.count("background_merges").await?;
        let open = town.count("conflicts_open").await?;
        ensure!(open >= conflicts as u64, "{open} conflicts");
        let properties = proto::Properties {
            merge_on_put: Some(true),
            ..resolved(&cart)
        };
        town.create(bucket, properties).await?;
        let begun = Instant::now();
        let merged = async || {
            while begun.elapsed() < CONVERGE_PATIENCE {
                let now = town.count("background_merges").await.unwrap_or_default();
                if now >= merges + conflicts as u64 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        merging.add(&mixed(town, merged).await?)?;
        took.push(begun.elapsed().as_secs_f64());
        let now = town.count("background_merges").await?;
        ensure!(
            now >= merges + conflicts as u64,
            "only {} merges",
            now - merges
        );
        quiet.add(&mixed(town, async || tokio::time::sleep(turn).await).await?)?;
    }
    println!(
        "\n## Beside the background merge of {conflicts} cold conflicts: gets and puts of another bucket, {CLIENTS} clients, twice\n"
    );
    println!(
        "| Background | requests | p50, ms | p99, ms | p99.9, ms | p50 ratio | p99 ratio |\n|---|---|---|---|---|---|---|"
    );
    print_row("none, before and after", &quiet, &quiet);
    let took: Vec<String> = took.iter().map(|took| format!("{took:.0}")).collect();
    print_row(
        &format!("merging, for {} s", took.join(" and ")),
        &merging,
        &quiet,
    );
    Ok(())
}

/// Gets and puts in turns, until something else is over.
async fn mixed(town: &Town, until: impl AsyncFnOnce()) -> anyhow::Result<Histogram<u64>> {
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let node = town.nodes[client % town.nodes.len()].clone();
        let done = Arc::clone(&done);
        clients.spawn(async move {
            let mut seen = histogram();
            // Keys of its own, so that no siblings arise.
            let mut key = client;
            while !done.load(Ordering::Relaxed) {
                key = (key + CLIENTS) % CALM_KEYS;
                let (took, reply) = get(&node, "busy", key).await?;
                note(&mut seen, took);
                tokio::time::sleep(PAUSE).await;
                note(&mut seen, replace(&node, key, reply).await?);
                tokio::time::sleep(PAUSE).await;
            }
            Ok(seen)
        });
    }
    until().await;
    done.store(true, Ordering::Relaxed);
    sum(clients).await
}

async fn replace(
    node: &Connection,
    key: usize,
    seen: proto::GetResponse,
) -> anyhow::Result<Duration> {
    let asked = node.request(proto::PutRequest {
        bucket: "busy".to_owned(),
        key: crate::town::key_bytes(key),
        value: seen
            .values
            .first()
            .map(|value| value.value.clone())
            .unwrap_or_default(),
        context: seen.context,
        ..proto::PutRequest::default()
    });
    let begun = Instant::now();
    node.kv().put(asked).await?;
    Ok(begun.elapsed())
}
