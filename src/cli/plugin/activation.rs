//! `rejoin plugin activate`, `rollback`, `history`, `pause` and `resume`.

use crate::cli::connection::Connection;
use crate::cli::output::{print_json, short};
use crate::cli::plugin_arguments::{Activate, RoleChoice};
use crate::limits::versions::UPLOAD_STAGE_MS_MAX;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use bytes::Bytes;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tonic_types::StatusExt as _;

/// Members compile before they answer.
const ACTIVATE_TIMEOUT: Duration = Duration::from_secs(60);
/// As long as the nodes themselves wait for each other after an upload.
const STAGING_PATIENCE: Duration = Duration::from_millis(UPLOAD_STAGE_MS_MAX);

pub async fn activate(
    activate: Activate,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let role = match activate.role {
        None => proto::PluginRole::Unspecified,
        Some(RoleChoice::Resolver) => proto::PluginRole::Resolver,
        Some(RoleChoice::Validator) => proto::PluginRole::Validator,
        Some(RoleChoice::Both) => proto::PluginRole::Both,
    };
    let bucket = activate.bucket.clone();
    let asked = proto::ActivateRequest {
        bucket: activate.bucket,
        plugin: activate.plugin,
        role: role.into(),
        params: params(activate.params_file.as_deref())?,
        fuel: activate.fuel.unwrap_or(0),
        merge_on_put: activate.merge_on_put,
        without: activate.without,
        dry_run: activate.dry_run,
    };
    let reply = when_staged(asked, connection).await?;
    if json {
        print_json(&json!({
            "bucket": bucket,
            "digest": reply.digest,
            "epoch": reply.epoch,
            "previous_epoch": reply.previous_epoch,
            "dry_run": reply.dry_run,
            "members": reply.members.iter().map(member_as_json).collect::<Vec<_>>(),
            "nodes_reached": reply.nodes_reached,
            "nodes_total": reply.nodes_total,
        }));
        return Ok(());
    }
    for member in &reply.members {
        println!("{}", member_as_line(member));
    }
    if reply.dry_run {
        println!("nothing was changed: a dry run");
        return Ok(());
    }
    println!(
        "{bucket}: {} is active in epoch {}",
        short(&reply.digest),
        reply.epoch
    );
    warn_unreached(reply.nodes_reached, reply.nodes_total);
    eprintln!("way back: rejoin plugin rollback {bucket}");
    Ok(())
}

/// Asks again as long as some node still compiles the plugin.
async fn when_staged(
    wanted: proto::ActivateRequest,
    connection: &Connection,
) -> anyhow::Result<proto::ActivateResponse> {
    let begun = Instant::now();
    loop {
        let mut asked = connection.request(wanted.clone());
        asked.set_timeout(ACTIVATE_TIMEOUT);
        let status = match connection.plugins().activate(asked).await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) => status,
        };
        let details = status.get_error_details();
        let is_staging = details
            .error_info()
            .is_some_and(|info| info.reason == "STAGING");
        if !is_staging || begun.elapsed() > STAGING_PATIENCE {
            return Err(status.into());
        }
        eprintln!(
            "after {} s: {}",
            begun.elapsed().as_secs(),
            status.message()
        );
    }
}

/// What is in a file, if one is named.
pub fn params(file: Option<&Path>) -> anyhow::Result<Option<Bytes>> {
    let Some(file) = file else { return Ok(None) };
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(Some(bytes.into()))
}

fn member_as_json(member: &proto::StagedMember) -> Value {
    json!({
        "node": member.node,
        "agrees": member.agrees,
        "rehearsal": member.rehearsal,
        "calls": member.calls,
        "message": member.message,
    })
}

fn member_as_line(member: &proto::StagedMember) -> String {
    match member.agrees {
        true => format!(
            "{}: ready, {} calls gave {}",
            member.node,
            member.calls,
            short(&member.rehearsal)
        ),
        false => format!("{}: left out, {}", member.node, member.message),
    }
}

/// Says who has yet to hear of an edit.
pub fn warn_unreached(reached: u32, total: u32) {
    if reached < total {
        eprintln!(
            "{reached} of {total} nodes know it; the others learn it when they can be reached"
        );
    }
}

pub async fn rollback(
    bucket: String,
    to_epoch: Option<u64>,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let asked = proto::RollbackRequest {
        bucket: bucket.clone(),
        to_epoch,
    };
    let asked = connection.request(asked);
    let reply = connection.plugins().rollback(asked).await?.into_inner();
    print(&reply.bucket.unwrap_or_default(), json);
    warn_unreached(reply.nodes_reached, reply.nodes_total);
    if !json {
        eprintln!("what was merged meanwhile: rejoin plugin unmerge {bucket} --dry-run");
    }
    Ok(())
}

pub async fn pause(
    bucket: String,
    is_paused: bool,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let asked = connection.request(proto::PauseRequest { bucket, is_paused });
    let reply = connection.plugins().pause(asked).await?.into_inner();
    print(&reply.bucket.unwrap_or_default(), json);
    warn_unreached(reply.nodes_reached, reply.nodes_total);
    Ok(())
}

pub async fn history(bucket: String, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let asked = connection.request(proto::DescribeBucketRequest { bucket });
    let reply = connection.buckets().describe(asked).await?.into_inner();
    print(&reply.bucket.unwrap_or_default(), json);
    Ok(())
}

fn print(bucket: &proto::Bucket, json: bool) {
    let properties = bucket.properties.clone().unwrap_or_default();
    let activation = bucket.activation.clone().unwrap_or_default();
    let now = proto::PastBinding {
        epoch: activation.epoch,
        policy: properties.policy,
        resolver: properties.resolver,
        validator: properties.validator,
        merge_on_put: properties.merge_on_put.unwrap_or(false),
    };
    if json {
        print_json(&json!({
            "bucket": bucket.bucket,
            "is_paused": activation.is_paused,
            "now": as_json(&now),
            "shadow": activation.shadow.map(|shadow| shadow.plugin),
            "past": activation.past.iter().map(as_json).collect::<Vec<_>>(),
        }));
        return;
    }
    let paused = if activation.is_paused { ", paused" } else { "" };
    println!("{}: {}{paused}", bucket.bucket, as_line(&now));
    if let Some(shadow) = activation.shadow {
        let percent = activation.shadow_percent;
        println!("  tried beside it: {} ({percent} %)", short(&shadow.plugin));
    }
    for past in &activation.past {
        println!("  before: {}", as_line(past));
    }
}

fn as_json(past: &proto::PastBinding) -> Value {
    json!({
        "epoch": past.epoch,
        "policy": past.policy().as_str_name(),
        "resolver": past.resolver.as_ref().map(|bound| &bound.plugin),
        "validator": past.validator.as_ref().map(|bound| &bound.plugin),
        "merge_on_put": past.merge_on_put,
    })
}

fn as_line(past: &proto::PastBinding) -> String {
    let mut line = format!("epoch {}, ", past.epoch);
    line += &match (past.policy(), &past.resolver) {
        (_, Some(resolver)) => format!("resolver {}", short(&resolver.plugin)),
        (proto::Policy::LastWriteWins, None) => "last write wins".to_owned(),
        _ => "siblings".to_owned(),
    };
    if let Some(validator) = &past.validator {
        line += &format!(", validator {}", short(&validator.plugin));
    }
    if past.merge_on_put {
        line += ", merges on put";
    }
    line
}
