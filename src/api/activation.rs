//! The part of `rejoin.v1.Plugins` that binds plugins to buckets: activation in two phases, rollback, pause.
//!
//! The first phase is `node::staging`; the second is an edit of the bucket's row.
//!
//! Invariant: what is bound was checked against this cluster, and the row is edited only as it was looked at.

use super::buckets::{BucketsService, bucket_name};
use super::status;
use crate::dynamo::bucket::{Binding, Policy, Properties};
use crate::dynamo::metadata::row::{Fact, Subject};
use crate::dynamo::names::{BucketName, Digest, NodeId};
use crate::limits::FUEL_DEFAULT;
use crate::node::server::Node;
use crate::node::staging::{StageError, Staged, judge};
use crate::wire::activation::encode_bucket;
use crate::wire::proto::v1 as proto;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::Status;

/// Binds a plugin to a bucket, once all members have it and find the same.
pub async fn activate(
    node: &Arc<Node>,
    request: proto::ActivateRequest,
) -> Result<proto::ActivateResponse, Status> {
    let (name, before) = bucket(node, &request.bucket)?;
    let digest = find(node, &request.plugin)?;
    let mut wanted = bound(node, &request, digest, &before)?;
    let service = BucketsService {
        node: Arc::clone(node),
    };
    service.check(&wanted).await?;
    let had_resolver = before.policy.resolver().is_some();
    let merge_on_put = request.merge_on_put;
    let merge_on_put = merge_on_put.or(had_resolver.then_some(before.merge_on_put));
    service.check_laws(&name, merge_on_put, &mut wanted).await?;
    let binding = match wanted.policy.resolver() {
        Some(binding) if binding.digest == digest => binding.clone(),
        _ => wanted.validator.clone().unwrap_or(Binding::new(digest)),
    };
    let without = members(&request.without)?;
    let staged = node.stage_everywhere(&binding).await;
    let verdict = judge(&staged, &without);
    verdict.map_err(|error| match &error {
        StageError::Late(_) => status::not_now("STAGING", error),
        _ => status::not_now("NOT_STAGED", error),
    })?;
    let (after, nodes_reached) = match request.dry_run {
        true => (before.clone(), 0),
        false => edit(node, &name, &before, wanted.after(&before)).await?,
    };
    Ok(proto::ActivateResponse {
        digest: digest.to_string(),
        epoch: after.activation.epoch,
        previous_epoch: before.activation.epoch,
        members: staged.into_iter().map(encode_staged).collect(),
        nodes_reached,
        nodes_total: node.nodes_total() as u32,
        dry_run: request.dry_run,
    })
}

/// The bucket's properties with the plugin bound; what the request leaves out stays as it is.
#[allow(clippy::result_large_err)] // Its caller returns it as it is.
fn bound(
    node: &Node,
    request: &proto::ActivateRequest,
    digest: Digest,
    before: &Properties,
) -> Result<Properties, Status> {
    use proto::PluginRole as Role;
    let catalog = node.registry.catalog();
    let resolves = catalog
        .plugin(digest)
        .is_some_and(|facts| facts.is_resolver);
    let (as_resolver, as_validator) = match Role::try_from(request.role) {
        Ok(Role::Unspecified) => (resolves, !resolves),
        Ok(Role::Resolver) => (true, false),
        Ok(Role::Validator) => (false, true),
        Ok(Role::Both) => (true, true),
        Err(_) => {
            let error = "give the role 1 (resolver), 2 (validator), 3 (both), or none";
            return Err(status::invalid("BAD_ROLE", error));
        }
    };
    let binding = |now: Option<&Binding>| Binding {
        digest,
        params: match (&request.params, now) {
            (Some(params), _) => params.clone(),
            (None, Some(now)) => now.params.clone(),
            (None, None) => Default::default(),
        },
        fuel: match (request.fuel, now) {
            (0, Some(now)) => now.fuel,
            (0, None) => FUEL_DEFAULT,
            (fuel, _) => fuel,
        },
        limits: now.map(|now| now.limits).unwrap_or_default(),
    };
    let mut wanted = before.clone();
    if as_resolver {
        wanted.policy = Policy::Resolver(binding(before.policy.resolver()));
        // Last-write-wins merges by itself; a resolver has to be asked for it.
        if before.policy == Policy::LastWriteWins {
            wanted.merge_on_put = false;
        }
    }
    if as_validator {
        wanted.validator = Some(binding(before.validator.as_ref()));
    }
    wanted.merge_on_put = request.merge_on_put.unwrap_or(wanted.merge_on_put);
    let checked = wanted.check();
    checked.map_err(|error| status::invalid("BAD_PROPERTIES", error))?;
    Ok(wanted)
}

/// Binds again what was bound before.
pub async fn rollback(
    node: &Node,
    request: proto::RollbackRequest,
) -> Result<proto::RollbackResponse, Status> {
    let (name, before) = bucket(node, &request.bucket)?;
    let back = before.rolled_back(request.to_epoch);
    let back = back.map_err(|error| status::not_now("NO_WAY_BACK", error))?;
    let (after, nodes_reached) = edit(node, &name, &before, back).await?;
    Ok(proto::RollbackResponse {
        bucket: Some(encode_bucket(&name, &after)),
        nodes_reached,
        nodes_total: node.nodes_total() as u32,
    })
}

/// Stops asking a bucket's resolver, or goes on with it.
pub async fn pause(
    node: &Node,
    request: proto::PauseRequest,
) -> Result<proto::PauseResponse, Status> {
    let (name, before) = bucket(node, &request.bucket)?;
    if before.policy.resolver().is_none() {
        let error = format!("{name} has no resolver that could be paused");
        return Err(status::not_now("NO_RESOLVER", error));
    }
    let mut after = before.clone();
    after.activation.is_paused = request.is_paused;
    let (after, nodes_reached) = edit(node, &name, &before, after).await?;
    Ok(proto::PauseResponse {
        bucket: Some(encode_bucket(&name, &after)),
        nodes_reached,
        nodes_total: node.nodes_total() as u32,
    })
}

/// Edits the row of a bucket that is as it was looked at. How many nodes have it then.
pub async fn edit(
    node: &Node,
    name: &BucketName,
    before: &Properties,
    after: Properties,
) -> Result<(Properties, u32), Status> {
    let overtaken = || {
        status::overtaken(format!(
            "{name} was changed by somebody else meanwhile; look at it with `rejoin bucket describe {name}`, and try again"
        ))
    };
    if node.registry.catalog().bucket(name) != Some(before) {
        return Err(overtaken());
    }
    let fact = Fact::Bucket(after.clone());
    let subject = Subject::Bucket(name.clone());
    let edited = node.registry.edit(subject, fact, true).await;
    let nodes_reached = edited.map_err(status::of_registry)? as u32;
    // An edit that another node made at the same time may have won.
    match node.registry.catalog().bucket(name) {
        Some(now) if *now == after => Ok((after, nodes_reached)),
        _ => Err(overtaken()),
    }
}

/// A bucket that there is.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn bucket(node: &Node, name: &str) -> Result<(BucketName, Properties), Status> {
    let name = bucket_name(name)?;
    match node.registry.catalog().bucket(&name) {
        Some(properties) => Ok((name, properties.clone())),
        None => {
            let error =
                format!("there is no bucket {name}; create it with `rejoin bucket create {name}`");
            Err(status::missing("NO_SUCH_BUCKET", error))
        }
    }
}

/// The plugin that people call so.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn find(node: &Node, wanted: &str) -> Result<Digest, Status> {
    let found = node.registry.catalog().find_plugin(wanted);
    found.map_err(|error| status::missing("NO_SUCH_PLUGIN", error))
}

#[allow(clippy::result_large_err)] // Its caller returns it as it is.
fn members(names: &[String]) -> Result<BTreeSet<NodeId>, Status> {
    let members = names.iter().map(|name| NodeId::new(name));
    let members: Result<_, _> = members.collect();
    members.map_err(|error| status::invalid("BAD_NAME", error))
}

fn encode_staged((node, said): (NodeId, Staged)) -> proto::StagedMember {
    let (rehearsal, message) = match said {
        Staged::Ready(rehearsal) => (Some(rehearsal), String::new()),
        Staged::Down => (None, "it cannot be reached".to_owned()),
        Staged::Late => (None, "it is still compiling the plugin".to_owned()),
        Staged::Failed(why) => (None, why),
    };
    proto::StagedMember {
        node: node.to_string(),
        agrees: rehearsal.is_some(),
        rehearsal: rehearsal
            .map(|found| found.hash.to_string())
            .unwrap_or_default(),
        calls: rehearsal.map_or(0, |found| found.calls),
        message,
    }
}
