//! The commands of `rejoin cluster` that show and change the members: plan, look, commit.

use super::arguments::{Cluster, Commit, Policy};
use super::connection::Connection;
use super::output::print_json;
use crate::wire::proto::v1 as proto;
use proto::change_request::Wish;
use serde_json::json;

pub async fn run(command: Cluster, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let (wish, commit) = match command {
        Cluster::Join { nodes, commit } => (Wish::Join(proto::Nodes { nodes }), commit),
        Cluster::Leave { node, commit } => (Wish::Leave(node), commit),
        Cluster::Remove { node, commit } => (Wish::Remove(node), commit),
        Cluster::Replace { gone, new, commit } => {
            (Wish::Replace(proto::Replacement { gone, new }), commit)
        }
        Cluster::Resize {
            node,
            weight,
            zone,
            commit,
        } => {
            let member = proto::Member {
                node,
                weight,
                zone,
                ..proto::Member::default()
            };
            (Wish::Resize(member), commit)
        }
        Cluster::Cancel { commit } => (Wish::Cancel(true), commit),
        Cluster::Policy(policy) => return set_policy(policy, connection, json).await,
        _ => return members(connection, json).await,
    };
    change(wish, commit, connection, json).await
}

async fn change(
    wish: Wish,
    commit: Commit,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let asked = proto::ChangeRequest {
        wish: Some(wish),
        commit: commit.commit.is_some(),
        expected_version: commit.commit.unwrap_or(0),
        force: commit.force,
    };
    let asked = connection.request(asked);
    let plan = connection.cluster().change(asked).await?.into_inner();
    if json {
        let shares = plan.shares.iter().map(|share| {
            json!({"node": share.node, "before": share.before, "after": share.after, "gained": share.gained})
        });
        print_json(&json!({
            "plan": plan.version,
            "what": plan.what,
            "is_committed": plan.is_committed,
            "copies_moved": plan.copies_moved,
            "copies_total": plan.copies_total,
            "shares": shares.collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    let percent = 100.0 * f64::from(plan.copies_moved) / f64::from(plan.copies_total.max(1));
    println!("{}: plan {}", plan.what, plan.version);
    println!(
        "{} of {} copies of partitions move ({percent:.1} %)",
        plan.copies_moved, plan.copies_total
    );
    for share in &plan.shares {
        let Share { node, change } = describe(share);
        println!("{node}  {change}");
    }
    match plan.is_committed {
        true => println!("committed; `rejoin cluster members` shows how far it is"),
        false => println!(
            "nothing is changed yet; to commit, add `--commit {}`",
            plan.version
        ),
    }
    Ok(())
}

struct Share<'a> {
    node: &'a str,
    change: String,
}

fn describe(share: &proto::Share) -> Share<'_> {
    let proto::Share {
        node,
        before,
        after,
        gained,
    } = share;
    Share {
        node,
        change: format!("{before} copies -> {after}, {gained} of them new"),
    }
}

async fn members(connection: &Connection, json: bool) -> anyhow::Result<()> {
    let asked = connection.request(proto::MembersRequest {});
    let reply = connection.cluster().members(asked).await?.into_inner();
    let policy = reply.policy.unwrap_or_default();
    if json {
        let nodes = reply.nodes.iter().map(|node| {
            json!({
                "node": node.node,
                "role": role(node),
                "weight": node.weight,
                "zone": node.zone,
                "peer_address": node.peer_address,
                "client_address": node.client_address,
                "is_connected": node.is_connected,
                "partitions_first": node.partitions_first,
                "partitions_held": node.partitions_held,
                "suspected_by": suspected_by(node),
                "protocol": [node.protocol_min, node.protocol_max],
            })
        });
        let log = reply.log.iter().map(|entry| {
            json!({"plan": entry.version, "issued_at_ms": entry.issued_at_ms, "by": entry.by, "what": entry.what})
        });
        print_json(&json!({
            "plan": reply.version,
            "partitions_moving": reply.partitions_moving,
            "partitions_total": reply.partitions_total,
            "cluster_version": reply.cluster_version,
            "unknown_rows": reply.unknown_rows,
            "nodes": nodes.collect::<Vec<_>>(),
            "log": log.collect::<Vec<_>>(),
            "policy": policy_json(&policy),
        }));
        return Ok(());
    }
    for node in &reply.nodes {
        let reached = match node.is_connected {
            true => "connected",
            false => "NOT CONNECTED",
        };
        println!(
            "{}  {}  weight {}  zone {:?}  {} partitions  {}  protocol {} to {}  {reached}",
            node.node,
            role(node),
            node.weight,
            node.zone,
            node.partitions_held,
            node.peer_address,
            node.protocol_min,
            node.protocol_max
        );
        for suspicion in &node.suspected_by {
            let seconds = suspicion.missed_ms / 1000;
            println!("  missed by {} for {seconds} s", suspicion.observer);
        }
    }
    println!(
        "plan {}: {} of {} partitions still move",
        reply.version, reply.partitions_moving, reply.partitions_total
    );
    println!(
        "everybody speaks version {} of the protocol between nodes",
        reply.cluster_version
    );
    for entry in &reply.log {
        println!("plan {} by {}: {}", entry.version, entry.by, entry.what);
    }
    print_policy(&policy);
    Ok(())
}

fn suspected_by(node: &proto::NodeInfo) -> Vec<serde_json::Value> {
    let suspicions = node.suspected_by.iter();
    let suspicions =
        suspicions.map(|said| json!({"observer": said.observer, "missed_ms": said.missed_ms}));
    suspicions.collect()
}

fn role(node: &proto::NodeInfo) -> &'static str {
    match node.role() {
        proto::Role::Unspecified => "unknown",
        proto::Role::Member => "member",
        proto::Role::Joining => "joining",
        proto::Role::Leaving => "leaving",
        proto::Role::WantsToJoin => "wants to join",
        proto::Role::Past => "past",
    }
}

async fn set_policy(policy: Policy, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let asked = proto::SetPolicyRequest {
        auto_join: policy.auto_join,
        replace_after_ms: policy
            .replace_after
            .map(|seconds| seconds.saturating_mul(1000)),
        paused: policy.paused,
    };
    let asked = connection.request(asked);
    let policy = connection.cluster().set_policy(asked).await?.into_inner();
    match json {
        true => print_json(&policy_json(&policy)),
        false => print_policy(&policy),
    }
    Ok(())
}

fn policy_json(policy: &proto::MembershipPolicy) -> serde_json::Value {
    json!({
        "auto_join": policy.auto_join,
        "replace_after_ms": policy.replace_after_ms,
        "paused": policy.paused,
    })
}

fn print_policy(policy: &proto::MembershipPolicy) {
    let replace = match policy.replace_after_ms {
        0 => "never".to_owned(),
        ms => format!("after {} s", ms / 1000),
    };
    println!(
        "policy: auto-join {}, replace {replace}, paused {}",
        policy.auto_join, policy.paused
    );
}
