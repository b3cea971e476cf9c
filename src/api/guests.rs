//! The part of `rejoin.v1.Plugins` that shows what guests cost, and what they said.
//!
//! Invariant: what is told is this node's own; nobody else is asked.

use super::status;
use crate::dynamo::names::{BucketName, Digest};
use crate::limits::PLUGIN_LOG_LINES_MAX;
use crate::node::guests::meter::{LaneMeter, is_of};
use crate::node::server::Node;
use crate::wasm::guest::Level;
use crate::wasm::workers::{Lane, WorkersStatus};
use crate::wire::proto::v1 as proto;
use tonic::Status;

/// What plugins cost on this node.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn stats(
    node: &Node,
    asked: proto::PluginStatsRequest,
) -> Result<proto::PluginStatsResponse, Status> {
    let bucket = match asked.bucket.as_str() {
        "" => None,
        name => {
            let name = BucketName::new(name);
            Some(name.map_err(|error| status::invalid("BAD_NAME", error))?)
        }
    };
    let plugin = match asked.plugin.as_str() {
        "" => None,
        digits => Some(digest(digits)?),
    };
    let workers = node.guests.status();
    let measured = node.guests.measured().into_iter();
    let wanted = measured.filter(|(lane, _, _)| is_of(lane, bucket.as_ref(), plugin));
    Ok(proto::PluginStatsResponse {
        node: node.id().to_string(),
        stats: wanted
            .map(|(lane, role, meter)| encode(&lane, role, &meter, &workers))
            .collect(),
    })
}

fn encode(
    lane: &Lane,
    role: &str,
    meter: &LaneMeter,
    workers: &WorkersStatus,
) -> proto::GuestStats {
    let mut breakers = workers.breakers.iter();
    let breaker = breakers.find(|(other, _)| other == lane);
    let outcomes = meter.outcomes.iter();
    proto::GuestStats {
        bucket: lane.bucket.to_string(),
        plugin: lane.digest.to_string(),
        role: role.to_owned(),
        calls: meter.calls,
        remembered: meter.remembered,
        outcomes: outcomes
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect(),
        fuel: meter.fuel,
        fuel_p50: meter.fuel_percentile(50),
        fuel_p99: meter.fuel_percentile(99),
        wall_us_p50: meter.wall_us_percentile(50),
        wall_us_p99: meter.wall_us_percentile(99),
        memory_bytes_max: meter.memory_bytes_max,
        breaker: breaker
            .map_or("closed", |(_, breaker)| breaker.label())
            .to_owned(),
    }
}

/// What a plugin has logged on this node.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn logs(
    node: &Node,
    asked: proto::PluginLogsRequest,
) -> Result<proto::PluginLogsResponse, Status> {
    let lines_max = match asked.lines_max {
        0 => PLUGIN_LOG_LINES_MAX,
        lines => lines as usize,
    };
    let lines = node
        .guests
        .log(digest(&asked.plugin)?, lines_max)
        .into_iter();
    Ok(proto::PluginLogsResponse {
        node: node.id().to_string(),
        lines: lines
            .map(|line| proto::PluginLogLine {
                at_ms: line.at_ms,
                bucket: line.bucket.to_string(),
                level: line.level.map_or("", level).to_owned(),
                text: line.text,
            })
            .collect(),
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub(super) fn digest(digits: &str) -> Result<Digest, Status> {
    Digest::parse(digits).ok_or_else(|| {
        let error =
            format!("{digits:?} is no plugin; give the 64 hexadecimal digits of its digest");
        status::invalid("BAD_DIGEST", error)
    })
}
