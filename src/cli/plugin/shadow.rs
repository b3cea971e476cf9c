//! `rejoin plugin shadow` and `shadow-report`.

use super::activation::{params, warn_unreached};
use crate::cli::connection::Connection;
use crate::cli::output::{print_json, short};
use crate::cli::plugin_arguments::Shadow;
use crate::wire::proto::v1 as proto;
use serde_json::json;
use std::time::Duration;

/// The nodes replay side by side, each for 20 s at most.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(40);

pub async fn shadow(shadow: Shadow, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let bucket = shadow.bucket.clone();
    let asked = connection.request(proto::ShadowRequest {
        bucket: shadow.bucket,
        plugin: shadow.plugin.unwrap_or_default(),
        params: params(shadow.params_file.as_deref())?,
        fuel: shadow.fuel.unwrap_or(0),
        percent: u32::from(shadow.percent),
    });
    let reply = connection.plugins().shadow(asked).await?.into_inner();
    let activation = reply.bucket.unwrap_or_default().activation;
    let tried = activation.unwrap_or_default().shadow;
    match (json, tried) {
        (true, tried) => print_json(&json!({
            "bucket": bucket,
            "shadow": tried.map(|tried| tried.plugin),
            "nodes_reached": reply.nodes_reached,
            "nodes_total": reply.nodes_total,
        })),
        (false, None) => println!("{bucket}: nothing is tried"),
        (false, Some(tried)) => {
            println!("{bucket}: {} is tried", short(&tried.plugin));
            eprintln!("next: rejoin plugin shadow-report {bucket}");
        }
    }
    warn_unreached(reply.nodes_reached, reply.nodes_total);
    Ok(())
}

pub async fn report(
    bucket: String,
    replay: bool,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let mut asked = connection.request(proto::ShadowReportRequest { bucket, replay });
    if replay {
        asked.set_timeout(REPLAY_TIMEOUT);
    }
    let report = connection
        .plugins()
        .shadow_report(asked)
        .await?
        .into_inner();
    if json {
        let differences = report.differences.iter().map(|found| {
            json!({
                "key_hex": hex::encode(&found.key),
                "active": found.active,
                "shadow": found.shadow,
            })
        });
        print_json(&json!({
            "active": report.active,
            "shadow": report.shadow,
            "calls": report.calls,
            "same": report.same,
            "different": report.different,
            "failed": report.failed,
            "last_failure": report.last_failure,
            "dropped": report.dropped,
            "differences": differences.collect::<Vec<_>>(),
            "active_fuel": {"p50": report.active_fuel_p50, "p99": report.active_fuel_p99},
            "shadow_fuel": {"p50": report.shadow_fuel_p50, "p99": report.shadow_fuel_p99},
            "active_bytes": report.active_bytes,
            "shadow_bytes": report.shadow_bytes,
            "nodes_reached": report.nodes_reached,
            "nodes_total": report.nodes_total,
            "nodes_cut": report.nodes_cut,
        }));
        return Ok(());
    }
    println!(
        "{} beside {}: {} calls, {} the same, {} different, {} failed, {} not asked",
        short(&report.shadow),
        short(&report.active),
        report.calls,
        report.same,
        report.different,
        report.failed,
        report.dropped
    );
    println!(
        "fuel p50 {} and {}, p99 {} and {}; {} and {} bytes in all",
        report.active_fuel_p50,
        report.shadow_fuel_p50,
        report.active_fuel_p99,
        report.shadow_fuel_p99,
        report.active_bytes,
        report.shadow_bytes
    );
    for found in &report.differences {
        let key = found.key.escape_ascii();
        println!(
            "  {key}: {} and {}",
            short(&found.active),
            short(&found.shadow)
        );
    }
    if report.nodes_cut > 0 {
        eprintln!(
            "{} nodes have recorded more than they replayed",
            report.nodes_cut
        );
    }
    if !report.last_failure.is_empty() {
        println!("last failure: {}", report.last_failure);
    }
    warn_unreached(report.nodes_reached, report.nodes_total);
    Ok(())
}
