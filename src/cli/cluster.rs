//! `rejoin cluster`.

use super::arguments::{Cluster, Server};
use super::connection::Connection;
use super::inspection;
use super::members;
use super::output::{print_json, sibling, sibling_line};
use crate::wire::proto::v1 as proto;
use serde_json::json;
use std::collections::BTreeMap;

pub async fn run(command: Cluster, server: &Server) -> anyhow::Result<()> {
    let connection = Connection::open(server).await?;
    match command {
        Cluster::Status => status(&connection, server.json).await,
        Cluster::Ring => ring(&connection, server.json).await,
        Cluster::Preference { bucket, key } => {
            preference(bucket, key, &connection, server.json).await
        }
        Cluster::Record { bucket, key } => record(bucket, key, &connection, server.json).await,
        Cluster::Repair { now } => super::repair::run(now, &connection, server.json).await,
        Cluster::Hints => inspection::hints(&connection, server.json).await,
        Cluster::Transfers => inspection::transfers(&connection, server.json).await,
        Cluster::Reap { now } => super::reaping::run(now, &connection, server.json).await,
        Cluster::Scrub { now } => super::scrub::run(now, &connection, server.json).await,
        other => members::run(other, &connection, server.json).await,
    }
}

async fn status(connection: &Connection, json: bool) -> anyhow::Result<()> {
    let asked = connection.request(proto::StatusRequest {});
    let status = connection.cluster().status(asked).await?.into_inner();
    let counters: BTreeMap<_, _> = status.counters.iter().collect();
    if json {
        let peers = status.peers.iter().map(|peer| {
            json!({"node": peer.node, "address": peer.address, "is_connected": peer.is_connected})
        });
        print_json(&json!({
            "node": status.node,
            "version": status.version,
            "uptime_ms": status.uptime_ms,
            "storage": status.storage,
            "durable_available": status.durable_available,
            "ring_hash": format!("{:016x}", status.ring_hash),
            "metadata_hash": format!("{:016x}", status.metadata_hash),
            "peers": peers.collect::<Vec<_>>(),
            "counters": counters,
        }));
        return Ok(());
    }
    let seconds = status.uptime_ms / 1000;
    println!(
        "{}  rejoin {}  up {seconds} s  storage {}",
        status.node, status.version, status.storage
    );
    println!(
        "ring {:016x}  metadata {:016x}",
        status.ring_hash, status.metadata_hash
    );
    for peer in &status.peers {
        let state = if peer.is_connected {
            "connected"
        } else {
            "NOT CONNECTED"
        };
        println!("peer {}  {}  {state}", peer.node, peer.address);
    }
    for (name, value) in counters {
        println!("{name} {value}");
    }
    Ok(())
}

async fn ring(connection: &Connection, json: bool) -> anyhow::Result<()> {
    let asked = connection.request(proto::RingRequest {});
    let ring = connection.cluster().ring(asked).await?.into_inner();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for owners in &ring.partitions {
        if let Some(owner) = owners.nodes.first() {
            *first.entry(owner).or_default() += 1;
        }
    }
    if json {
        let members = ring.members.iter().map(|member| {
            json!({"node": member.node, "weight": member.weight, "zone": member.zone, "address": member.address})
        });
        let partitions: Vec<_> = ring.partitions.iter().map(|owners| &owners.nodes).collect();
        print_json(&json!({
            "ring_hash": format!("{:016x}", ring.ring_hash),
            "members": members.collect::<Vec<_>>(),
            "partitions": partitions,
        }));
        return Ok(());
    }
    println!(
        "ring {:016x}  {} partitions",
        ring.ring_hash,
        ring.partitions.len()
    );
    for member in &ring.members {
        let leads = first.get(member.node.as_str()).copied().unwrap_or(0);
        println!(
            "{}  {}  weight {}  first of {leads} partitions",
            member.node, member.address, member.weight
        );
    }
    Ok(())
}

async fn preference(
    bucket: String,
    key: String,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let key = key.into();
    let asked = connection.request(proto::PreferenceListRequest { bucket, key });
    let reply = connection
        .cluster()
        .preference_list(asked)
        .await?
        .into_inner();
    if json {
        print_json(&json!({"partition": reply.partition, "n": reply.n, "nodes": reply.nodes}));
        return Ok(());
    }
    println!("partition {}", reply.partition);
    for (place, node) in reply.nodes.iter().enumerate() {
        let role = if place < reply.n as usize {
            "primary"
        } else {
            "fallback"
        };
        println!("{node}  {role}");
    }
    Ok(())
}

async fn record(
    bucket: String,
    key: String,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let key = key.into();
    let asked = connection.request(proto::LocalRecordRequest { bucket, key });
    let record = connection.cluster().local_record(asked).await?.into_inner();
    if json {
        let retained = record.retained.iter().map(|merge| {
            json!({
                "dot": merge.dot,
                "merged_by": merge.merged_by,
                "merged_at_ms": merge.merged_at_ms,
                "inputs": merge.inputs.iter().map(sibling).collect::<Vec<_>>(),
            })
        });
        print_json(&json!({
            "object_hash": format!("{:016x}", record.object_hash),
            "actors": record.actors,
            "siblings": record.siblings.iter().map(sibling).collect::<Vec<_>>(),
            "retained": retained.collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    println!(
        "object {:016x}  {} actors",
        record.object_hash, record.actors
    );
    for sibling in &record.siblings {
        println!("{}", sibling_line(sibling));
    }
    for merge in &record.retained {
        println!("kept: {} was merged from", merge.dot);
        for input in &merge.inputs {
            println!("  {}", sibling_line(input).trim_start());
        }
    }
    Ok(())
}
