//! `rejoin plugin stats` and `rejoin plugin logs`.
//!
//! Invariant: what is printed is the asked node's own, and says so.

use crate::cli::connection::Connection;
use crate::cli::output::{print_json, short};
use crate::wire::proto::v1 as proto;
use serde_json::json;
use std::collections::BTreeMap;

pub async fn stats(
    bucket: Option<String>,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let asked = connection.request(proto::PluginStatsRequest {
        bucket: bucket.unwrap_or_default(),
        plugin: String::new(),
    });
    let reply = connection.plugins().stats(asked).await?.into_inner();
    for stats in &reply.stats {
        let outcomes: BTreeMap<_, _> = stats.outcomes.iter().collect();
        if json {
            print_json(&json!({
                "node": reply.node,
                "bucket": stats.bucket,
                "plugin": stats.plugin,
                "role": stats.role,
                "calls": stats.calls,
                "remembered": stats.remembered,
                "outcomes": outcomes,
                "fuel": stats.fuel,
                "fuel_p50": stats.fuel_p50,
                "fuel_p99": stats.fuel_p99,
                "wall_us_p50": stats.wall_us_p50,
                "wall_us_p99": stats.wall_us_p99,
                "memory_bytes_max": stats.memory_bytes_max,
                "breaker": stats.breaker,
            }));
            continue;
        }
        let outcomes = outcomes
            .iter()
            .map(|(name, count)| format!("{name} {count}"));
        println!(
            "{} {} {}  {} calls, {} remembered  fuel p50 {} p99 {}  {} us p50 {} us p99  {} bytes  breaker {}",
            stats.bucket,
            short(&stats.plugin),
            stats.role,
            stats.calls,
            stats.remembered,
            stats.fuel_p50,
            stats.fuel_p99,
            stats.wall_us_p50,
            stats.wall_us_p99,
            stats.memory_bytes_max,
            stats.breaker,
        );
        println!("  {}", outcomes.collect::<Vec<_>>().join(", "));
    }
    if reply.stats.is_empty() && !json {
        println!(
            "no plugin was asked on node {} since it started",
            reply.node
        );
    }
    Ok(())
}

/// Of the plugin with this digest.
pub async fn logs(
    plugin: String,
    lines: u32,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let asked = connection.request(proto::PluginLogsRequest {
        plugin,
        lines_max: lines,
    });
    let reply = connection.plugins().logs(asked).await?.into_inner();
    for line in &reply.lines {
        if json {
            print_json(&json!({
                "node": reply.node,
                "at_ms": line.at_ms,
                "bucket": line.bucket,
                "level": line.level,
                "text": line.text,
            }));
            continue;
        }
        let level = match line.level.as_str() {
            "" => "node",
            level => level,
        };
        let (at_ms, bucket) = (line.at_ms, &line.bucket);
        println!("{at_ms} {} {bucket} {level}: {}", reply.node, line.text);
    }
    if reply.lines.is_empty() && !json {
        println!("node {} has no lines of this plugin", reply.node);
    }
    Ok(())
}
