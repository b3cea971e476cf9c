//! `rejoin plugin inspect`: what a plugin is and what was found of it.
//!
//! A file is looked at on this machine, as an upload would be; anything else is asked of the cluster.
//!
//! Invariant: nothing is uploaded.

use super::listing::{as_json, as_line, find, listed};
use super::offline::Bench;
use crate::cli::arguments::Server;
use crate::cli::connection::Connection;
use crate::cli::output::print_json;
use crate::limits::PLUGIN_BYTES_MAX;
use crate::wire::proto::v1 as proto;
use serde_json::json;
use std::path::Path;

pub async fn run(plugin: &str, server: &Server) -> anyhow::Result<()> {
    let file = Path::new(plugin);
    if file.is_file() {
        return inspect_file(file, server.json).await;
    }
    let connection = Connection::open(server).await?;
    let digest = find(plugin, &connection).await?;
    let statuses = listed(&connection).await?;
    for status in statuses {
        let found = status.plugin.clone().unwrap_or_default();
        if found.digest == digest {
            print_status(&found, &status, server.json);
        }
    }
    Ok(())
}

async fn inspect_file(file: &Path, json: bool) -> anyhow::Result<()> {
    let admitted = Bench::open(PLUGIN_BYTES_MAX)?.admit(file).await?;
    let plugin = proto::Plugin {
        digest: admitted.digest.to_string(),
        name: admitted.description.name.clone(),
        version: admitted.description.version.clone(),
        size_bytes: admitted.size_bytes as u64,
        is_resolver: admitted.roles.resolver,
        is_validator: admitted.roles.validator,
        laws: admitted.description.laws.names(),
        law_check: None,
    };
    let samples = admitted.description.samples.len();
    if json {
        let mut object = as_json(&plugin);
        object["samples"] = json!(samples);
        object["native_bytes"] = json!(admitted.native_bytes);
        print_json(&object);
        return Ok(());
    }
    println!("{}", as_line(&plugin));
    println!("sha256: {}", plugin.digest);
    println!("laws claimed: {}", plugin.laws.join(", "));
    println!("samples: {samples}");
    println!("native code: {} bytes", admitted.native_bytes);
    eprintln!("next: rejoin plugin test {}", file.display());
    Ok(())
}

fn print_status(plugin: &proto::Plugin, status: &proto::PluginStatus, json: bool) {
    if json {
        let mut object = as_json(plugin);
        object["is_ready"] = json!(status.is_ready);
        object["buckets"] = json!(status.buckets);
        return print_json(&object);
    }
    println!("{}", as_line(plugin));
    println!("sha256: {}", plugin.digest);
    println!("laws claimed: {}", plugin.laws.join(", "));
    if let Some(check) = &plugin.law_check {
        println!(
            "law check: grade {} on {} cases; fuel {} in the middle, {} at most",
            check.grade, check.cases, check.fuel_median, check.fuel_most
        );
        if !check.finding.is_empty() {
            println!("found: {}", check.finding);
        }
    }
    println!("buckets: {}", status.buckets.join(", "));
}
