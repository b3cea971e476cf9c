//! The part of `rejoin.v1.Plugins` that tries a resolver beside the bound one, and tells how it compares.
//!
//! Adds up what the nodes have found; they ask it themselves (`node::shadows`).
//!
//! Invariant: a resolver that is tried has passed the same checks as one that is bound.

use super::activation::{bucket, edit, find};
use super::buckets::BucketsService;
use super::status;
use crate::dynamo::bucket::activation::Shadow;
use crate::dynamo::bucket::{Binding, Policy, Properties};
use crate::dynamo::names::BucketName;
use crate::limits::versions::{
    REPLAY_MS_MAX, SHADOW_KEYS_MAX, SHADOW_PERCENT_DEFAULT, SHADOW_READINGS_MAX,
};
use crate::node::dialing::client;
use crate::node::listening::{encode_replayed, encode_report};
use crate::node::server::Node;
use crate::wire::activation::encode_bucket;
use crate::wire::proto::{peer, v1 as proto};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// How long a node may take to tell what it has found.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The same of a replay, which ends by itself before.
const REPLAY_TIMEOUT: Duration = Duration::from_millis(REPLAY_MS_MAX + 5_000);

/// Has a resolver asked beside the bound one, or no longer.
pub async fn shadow(
    node: &Arc<Node>,
    request: proto::ShadowRequest,
) -> Result<proto::ShadowResponse, Status> {
    let (name, before) = bucket(node, &request.bucket)?;
    let mut after = before.clone();
    after.activation.shadow = match request.plugin.is_empty() {
        true => None,
        false => Some(tried(node, &name, request, &before).await?),
    };
    let (after, nodes_reached) = edit(node, &name, &before, after).await?;
    Ok(proto::ShadowResponse {
        bucket: Some(encode_bucket(&name, &after)),
        nodes_reached,
        nodes_total: node.nodes_total() as u32,
    })
}

async fn tried(
    node: &Arc<Node>,
    name: &BucketName,
    request: proto::ShadowRequest,
    before: &Properties,
) -> Result<Shadow, Status> {
    let Some(bound) = before.policy.resolver() else {
        let error = format!("{name} has no resolver to compare with; activate one first");
        return Err(status::not_now("NO_RESOLVER", error));
    };
    let binding = Binding {
        digest: find(node, &request.plugin)?,
        params: request.params.unwrap_or_else(|| bound.params.clone()),
        fuel: match request.fuel {
            0 => bound.fuel,
            fuel => fuel,
        },
        limits: bound.limits,
    };
    let percent = match u8::try_from(request.percent) {
        Ok(0) => SHADOW_PERCENT_DEFAULT,
        Ok(percent @ 1..=100) => percent,
        _ => {
            let error = format!("{} of a hundred; give 1 to 100", request.percent);
            return Err(status::invalid("BAD_SHARE", error));
        }
    };
    let as_if = Properties {
        policy: Policy::Resolver(binding.clone()),
        merge_on_put: false,
        ..before.clone()
    };
    let checked = as_if.check();
    checked.map_err(|error| status::invalid("BAD_PROPERTIES", error))?;
    let service = BucketsService {
        node: Arc::clone(node),
    };
    service.check(&as_if).await?;
    Ok(Shadow { binding, percent })
}

/// What all nodes that can be reached have found.
pub async fn report(
    node: &Node,
    request: proto::ShadowReportRequest,
) -> Result<proto::ShadowReportResponse, Status> {
    let (name, properties) = bucket(node, &request.bucket)?;
    let asked = node.peers.connected().into_iter().map(|(_, channel)| {
        let request = peer::ShadowReportRequest {
            bucket: name.as_str().to_owned(),
            replay: request.replay,
        };
        let limit = match request.replay {
            true => REPLAY_TIMEOUT,
            false => REPORT_TIMEOUT,
        };
        async move {
            let mut client = client(channel);
            let wanted = request.replay;
            let reply = tokio::time::timeout(limit, client.shadow_report(request)).await;
            let reply = reply.ok()?.ok()?.into_inner();
            (reply.is_replay == wanted).then_some(reply)
        }
    });
    let theirs = futures_util::future::join_all(asked);
    let (theirs, mine) = match request.replay {
        true => {
            let wall_ms = node.clock.now().wall_ms;
            let replayer = node.replayer();
            let mine = replayer.replay(name.clone(), wall_ms);
            let (theirs, mine) = tokio::join!(theirs, mine);
            let mine = mine.map_err(|error| status::not_now("NO_REPLAY", error))?;
            (theirs, Some(encode_replayed(mine)))
        }
        false => (theirs.await, node.shadows.report(&name).map(encode_report)),
    };
    let reports: Vec<_> = theirs
        .into_iter()
        .flatten()
        .chain([mine.unwrap_or_default()])
        .collect();
    let shadow = properties.activation.shadow.as_ref();
    let shadow = shadow.map(|shadow| Bytes::copy_from_slice(&shadow.binding.digest.0));
    // Of one that is no longer tried, what this node remembers.
    let shadow = shadow.or_else(|| Some(reports.last()?.shadow.clone()));
    let shadow = shadow.unwrap_or_default();
    let active = properties.policy.resolver();
    Ok(proto::ShadowReportResponse {
        active: active.map_or_else(String::new, |bound| bound.digest.to_string()),
        shadow: hex::encode(&shadow),
        nodes_reached: reports.len() as u32,
        nodes_total: node.nodes_total() as u32,
        nodes_cut: reports.iter().filter(|of| of.is_cut).count() as u32,
        ..summed(reports.into_iter().filter(|of| of.shadow == shadow))
    })
}

fn summed(
    reports: impl Iterator<Item = peer::ShadowReportResponse>,
) -> proto::ShadowReportResponse {
    let mut sum = proto::ShadowReportResponse::default();
    let mut differences = BTreeMap::new();
    let (mut active_fuel, mut shadow_fuel) = (Vec::new(), Vec::new());
    for report in reports {
        sum.calls += report.calls;
        sum.same += report.same;
        sum.different += report.different;
        sum.failed += report.failed;
        sum.dropped += report.dropped;
        sum.active_bytes += report.active_bytes;
        sum.shadow_bytes += report.shadow_bytes;
        if !report.last_failure.is_empty() {
            sum.last_failure = report.last_failure;
        }
        for found in report.differences.into_iter().take(SHADOW_KEYS_MAX) {
            differences.insert(found.key, (found.active, found.shadow));
        }
        active_fuel.extend(report.active_fuel.into_iter().take(SHADOW_READINGS_MAX));
        shadow_fuel.extend(report.shadow_fuel.into_iter().take(SHADOW_READINGS_MAX));
    }
    let differences = differences.into_iter().take(SHADOW_KEYS_MAX);
    sum.differences = differences
        .map(|(key, (active, shadow))| proto::ShadowDifference {
            key,
            active,
            shadow,
        })
        .collect();
    (sum.active_fuel_p50, sum.active_fuel_p99) = percentiles(active_fuel);
    (sum.shadow_fuel_p50, sum.shadow_fuel_p99) = percentiles(shadow_fuel);
    sum
}

/// The 50th and the 99th; 0 of nothing.
fn percentiles(mut readings: Vec<u64>) -> (u64, u64) {
    readings.sort_unstable();
    let at = |percent: usize| {
        let place = (readings.len() * percent).div_ceil(100).saturating_sub(1);
        readings.get(place).copied().unwrap_or(0)
    };
    (at(50), at(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_readings_that_there_were() {
        assert_eq!(percentiles(Vec::new()), (0, 0));
        assert_eq!(percentiles(vec![7]), (7, 7));
        assert_eq!(percentiles((1..=200).rev().collect()), (100, 198));
    }

    #[test]
    fn the_keys_of_all_nodes_are_named_once() {
        let of = |key: &'static str| peer::ShadowReportResponse {
            calls: 2,
            different: 1,
            differences: vec![peer::ShadowDifference {
                key: Bytes::from_static(key.as_bytes()),
                ..Default::default()
            }],
            ..Default::default()
        };
        let sum = summed([of("anna"), of("ben"), of("anna")].into_iter());
        assert_eq!((sum.calls, sum.different, sum.differences.len()), (6, 3, 2));
    }
}
