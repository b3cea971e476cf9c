//! The part of `rejoin.v1.Cluster` that shows and changes the members.

use super::status;
use crate::dynamo::membership::plan::{Asked, Plan, Wish};
use crate::dynamo::membership::snapshot::Snapshot;
use crate::dynamo::metadata::facts::{MembershipPolicy, NodeFacts};
use crate::dynamo::metadata::row::{Fact, Subject};
use crate::dynamo::names::NodeId;
use crate::dynamo::ring::member::Member;
use crate::node::registry::Suspected;
use crate::node::server::Node;
use crate::wire::proto::v1 as proto;
use proto::change_request::Wish as Asks;
use std::collections::BTreeSet;
use tonic::Status;

/// Everybody that the cluster has heard of.
pub fn members(node: &Node) -> proto::MembersResponse {
    let snapshot = node.snapshot();
    let suspected = node.registry.suspected();
    let placement = &snapshot.placement;
    let known = snapshot.catalog.nodes().map(|(id, _)| id);
    let all: BTreeSet<&NodeId> = known.chain(placement.nodes()).collect();
    let change = snapshot.catalog.change();
    let log = change.map_or(&[][..], |change| &change.log);
    proto::MembersResponse {
        nodes: all
            .into_iter()
            .map(|id| info(node, &snapshot, &suspected, id))
            .collect(),
        version: placement.version(),
        partitions_moving: placement.unsettled().count() as u32,
        partitions_total: u32::from(placement.partitions().count()),
        log: log
            .iter()
            .map(|entry| proto::ChangeEntry {
                version: entry.version,
                issued_at_ms: entry.issued_at_ms,
                by: entry.by.to_string(),
                what: entry.what.clone(),
            })
            .collect(),
        policy: Some(encode_policy(&snapshot.catalog.policy())),
        cluster_version: snapshot.cluster_version(),
        unknown_rows: snapshot.catalog.unknown_rows() as u32,
    }
}

fn info(node: &Node, snapshot: &Snapshot, suspected: &Suspected, id: &NodeId) -> proto::NodeInfo {
    let placement = &snapshot.placement;
    let nothing = NodeFacts::default();
    let facts = snapshot.catalog.node(id).unwrap_or(&nothing);
    let member = placement.members().iter().find(|member| member.id == *id);
    let copies = snapshot
        .catalog
        .buckets()
        .map(|(_, properties)| properties.n);
    let copies = copies.max().unwrap_or(3);
    let held = |n: u8| {
        let all = placement.partitions().all();
        all.filter(|p| placement.primaries(*p, n).contains(id))
            .count() as u32
    };
    let is_me = id == node.id();
    let link = node.peers.link(id);
    proto::NodeInfo {
        node: id.to_string(),
        role: role(snapshot, id, facts).into(),
        weight: u32::from(member.map_or(facts.weight, |member| member.weight)),
        zone: member.map_or(&facts.zone, |member| &member.zone).clone(),
        peer_address: facts.peer_address.clone(),
        client_address: facts.client_address.clone(),
        is_connected: is_me || link.is_some_and(|link| link.is_connected()),
        partitions_first: held(1),
        partitions_held: held(copies),
        suspected_by: suspected
            .get(id)
            .into_iter()
            .flatten()
            .map(|(observer, missed_ms)| proto::Suspicion {
                observer: observer.to_string(),
                missed_ms: *missed_ms,
            })
            .collect(),
        protocol_min: snapshot.speaks(id).min,
        protocol_max: snapshot.speaks(id).max,
    }
}

fn role(snapshot: &Snapshot, id: &NodeId, facts: &NodeFacts) -> proto::Role {
    let placement = &snapshot.placement;
    let is_member = placement.members().iter().any(|member| member.id == *id);
    let change = snapshot.catalog.change();
    let was_member =
        change.is_some_and(|change| change.members_before.iter().any(|member| member.id == *id));
    match (is_member, placement.nodes().contains(id)) {
        (true, _) if !was_member && !placement.is_settled() => proto::Role::Joining,
        (true, _) => proto::Role::Member,
        (false, true) => proto::Role::Leaving,
        (false, false) if facts.wants_to_join => proto::Role::WantsToJoin,
        (false, false) => proto::Role::Past,
    }
}

/// Plans a change, and commits it if asked to.
pub async fn change(
    node: &Node,
    request: proto::ChangeRequest,
) -> Result<proto::ChangeResponse, Status> {
    let wish = decode_wish(request.wish)?;
    let what = wish.to_string();
    let plan = match request.commit {
        true => {
            let expected = Some(request.expected_version).filter(|version| *version > 0);
            node.registry.commit(wish, expected, request.force).await
        }
        false => {
            let asked = Asked {
                by: node.id().clone(),
                at_ms: node.clock.now().wall_ms,
                force: request.force,
            };
            node.registry.plan(wish, asked).await
        }
    };
    let plan = plan.map_err(status::of_registry)?;
    Ok(encode_plan(&plan, what, request.commit))
}

fn decode_wish(wish: Option<Asks>) -> Result<Wish, Status> {
    match wish {
        Some(Asks::Join(nodes)) => {
            let nodes: Result<BTreeSet<NodeId>, Status> =
                nodes.nodes.iter().map(|name| decode_node(name)).collect();
            Ok(Wish::Join(nodes?))
        }
        Some(Asks::Leave(name)) => Ok(Wish::Leave(decode_node(&name)?)),
        Some(Asks::Remove(name)) => Ok(Wish::Remove(decode_node(&name)?)),
        Some(Asks::Replace(names)) => Ok(Wish::Replace {
            gone: decode_node(&names.gone)?,
            new: decode_node(&names.new)?,
        }),
        Some(Asks::Resize(member)) => Ok(Wish::Resize(Member {
            id: decode_node(&member.node)?,
            weight: u16::try_from(member.weight).unwrap_or(u16::MAX),
            zone: member.zone,
        })),
        Some(Asks::Cancel(true)) => Ok(Wish::Cancel),
        Some(Asks::Cancel(false)) | None => {
            let error = "the request names no change; set one of join, leave, remove, replace, resize or cancel";
            Err(status::invalid("NO_WISH", error))
        }
    }
}

fn decode_node(name: &str) -> Result<NodeId, Status> {
    NodeId::new(name).map_err(|error| status::invalid("BAD_NAME", error))
}

fn encode_plan(plan: &Plan, what: String, is_committed: bool) -> proto::ChangeResponse {
    let shares = plan.shares.iter();
    proto::ChangeResponse {
        version: plan.change.version,
        what,
        shares: shares
            .map(|(node, share)| proto::Share {
                node: node.to_string(),
                before: share.before as u32,
                after: share.after as u32,
                gained: share.gained as u32,
            })
            .collect(),
        copies_moved: plan.copies_moved as u32,
        copies_total: plan.copies_total as u32,
        is_committed,
    }
}

/// Changes what is set, and leaves the rest.
pub async fn set_policy(
    node: &Node,
    request: proto::SetPolicyRequest,
) -> Result<proto::MembershipPolicy, Status> {
    let mut policy = node.snapshot().catalog.policy();
    policy.auto_join = request.auto_join.unwrap_or(policy.auto_join);
    policy.paused = request.paused.unwrap_or(policy.paused);
    if let Some(ms) = request.replace_after_ms {
        policy.replace_after_ms = Some(ms).filter(|ms| *ms > 0);
    }
    let checked = policy.check();
    checked.map_err(|error| status::invalid("BAD_POLICY", error))?;
    let fact = Fact::Policy(policy.clone());
    let edited = node.registry.edit(Subject::Policy, fact, true).await;
    edited.map_err(status::of_registry)?;
    Ok(encode_policy(&policy))
}

fn encode_policy(policy: &MembershipPolicy) -> proto::MembershipPolicy {
    proto::MembershipPolicy {
        auto_join: policy.auto_join,
        replace_after_ms: policy.replace_after_ms.unwrap_or(0),
        paused: policy.paused,
    }
}
