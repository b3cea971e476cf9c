//! `rejoin dev`: a cluster on this machine, to try things out.

use super::arguments::Dev;
use super::demo;
use super::local::{LocalCluster, Plan, Wiring};
use super::output::print_json;
use super::serve::Signals;
use crate::config::StorageEngine;
use anyhow::Context as _;
use serde_json::json;
use std::path::PathBuf;

pub async fn run(dev: Dev, json: bool) -> anyhow::Result<()> {
    if dev.demo {
        return play(dev).await;
    }
    let folder = dev.data.unwrap_or_else(|| PathBuf::from("rejoin-dev"));
    let wiring = match dev.port {
        0 => Wiring::Links,
        port => Wiring::Ports(port),
    };
    let mut signals = Signals::listen()?;
    let mut cluster = LocalCluster::start(plan(folder.clone(), dev.nodes.into(), wiring)?).await?;
    match json {
        true => print_addresses(&cluster),
        false => print_hints(&cluster, &folder),
    }
    let ended = tokio::select! {
        _ = signals.received() => None,
        ended = cluster.ended() => Some(ended),
    };
    let failed = cluster.stop().await?;
    anyhow::ensure!(failed.is_empty(), "{} did not stop well", failed.join(", "));
    match ended {
        None => Ok(()),
        Some(ended) => anyhow::bail!("{ended}; see the logs in {}", folder.display()),
    }
}

fn plan(folder: PathBuf, nodes: usize, wiring: Wiring) -> anyhow::Result<Plan> {
    Ok(Plan {
        binary: std::env::current_exe().context("finding this program")?,
        folder,
        nodes,
        spares: 0,
        wiring,
        storage: StorageEngine::Sled,
        settings: Vec::new(),
        certificates: Vec::new(),
    })
}

fn print_addresses(cluster: &LocalCluster) {
    let urls: Vec<String> = (0..cluster.names().count())
        .map(|place| cluster.url(place))
        .collect();
    let names: Vec<&str> = cluster.names().collect();
    print_json(&json!({"nodes": names, "urls": urls}));
}

fn print_hints(cluster: &LocalCluster, folder: &std::path::Path) {
    for (place, name) in cluster.names().enumerate() {
        println!("{name}  {}", cluster.url(place));
    }
    println!("data and logs: {}", folder.display());
    let server = match cluster.url(0).as_str() {
        "http://127.0.0.1:7001" => String::new(),
        url => format!(" --server {url}"),
    };
    println!("\nin another terminal:");
    println!("  rejoin{server} bucket create notes");
    println!("  rejoin{server} put notes hello 'world'");
    println!("  rejoin{server} get notes hello");
    println!("  rejoin{server} plugin push plugins/bin/shopping-cart.wasm");
    println!("  rejoin{server} bucket create carts --resolver shopping-cart");
    println!("  rejoin{server} put carts anna '{{\"items\":{{\"milk\":1}}}}'");
    println!("  rejoin{server} put carts anna '{{\"items\":{{\"bread\":2}}}}'");
    println!("  rejoin{server} get carts anna --siblings");
    println!("  rejoin{server} cluster status");
    println!("\nCtrl-C ends the cluster; its data stays.");
}

/// The demonstration runs on free ports and, unless told otherwise, in a folder that goes with it.
async fn play(dev: Dev) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new().prefix("rejoin-demo-").tempdir()?;
    let folder = dev.data.unwrap_or_else(|| temporary.path().to_owned());
    let mut signals = Signals::listen()?;
    let cluster = LocalCluster::start(plan(folder, 3, Wiring::Links)?).await?;
    let told = tokio::select! {
        told = demo::tell(&cluster) => told,
        signal = signals.received() => Err(anyhow::anyhow!("interrupted by {signal}")),
    };
    let failed = cluster.stop().await?;
    told?;
    anyhow::ensure!(failed.is_empty(), "{} did not stop well", failed.join(", "));
    println!("\nAll steps went as told.");
    Ok(())
}
