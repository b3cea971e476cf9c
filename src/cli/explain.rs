//! `rejoin explain`: why a key reads as it does.

use super::arguments::Server;
use super::connection::Connection;
use super::output::{print_json, resolved, resolved_line, sibling, sibling_line};
use crate::wire::proto::v1 as proto;
use serde_json::{Value, json};

pub async fn run(bucket: String, key: String, server: &Server) -> anyhow::Result<()> {
    let connection = Connection::open(server).await?;
    let key = key.into();
    let asked = connection.request(proto::ExplainRequest { bucket, key });
    let reply = connection.cluster().explain(asked).await?.into_inner();
    match server.json {
        true => print_json(&as_json(&reply)),
        false => print(&reply),
    }
    Ok(())
}

fn as_json(reply: &proto::ExplainResponse) -> Value {
    let replicas = reply.replicas.iter().map(|replica| {
        let hints = replica.hints.iter().map(|hint| {
            let siblings: Vec<Value> = hint.siblings.iter().map(sibling).collect();
            json!({"home": hint.home, "siblings": siblings})
        });
        json!({
            "node": replica.node,
            "seat": seat(replica),
            "unreached": replica.unreached,
            "object_hash": format!("{:016x}", replica.object_hash),
            "actors": replica.actors,
            "actor": replica.actor,
            "siblings": replica.siblings.iter().map(sibling).collect::<Vec<_>>(),
            "retained": replica.retained.iter().map(merge).collect::<Vec<_>>(),
            "hints": hints.collect::<Vec<_>>(),
        })
    });
    let answer = reply.answer.as_ref();
    json!({
        "partition": reply.partition,
        "n": reply.n,
        "is_equal": reply.is_equal,
        "replicas": replicas.collect::<Vec<_>>(),
        "resolved": answer.map(|answer| resolved(answer.resolved.as_ref())),
        "values": answer.map(|a| a.values.iter().map(super::output::value).collect::<Vec<_>>()),
        "unanswered": reply.unanswered,
    })
}

fn merge(merge: &proto::RetainedMerge) -> Value {
    json!({
        "dot": merge.dot,
        "merged_by": merge.merged_by,
        "merged_at_ms": merge.merged_at_ms,
        "inputs": merge.inputs.iter().map(sibling).collect::<Vec<_>>(),
    })
}

fn seat(replica: &proto::ReplicaView) -> &'static str {
    match replica.seat() {
        proto::Seat::Primary => "primary",
        proto::Seat::Fallback => "fallback",
        proto::Seat::Pending => "pending",
        proto::Seat::Unspecified => "unknown",
    }
}

fn print(reply: &proto::ExplainResponse) {
    let equal = match reply.is_equal {
        true => "all primaries hold the same",
        false => "the primaries differ, or not all answer",
    };
    println!("partition {}, {} copies; {equal}", reply.partition, reply.n);
    for replica in &reply.replicas {
        println!("{}  {}  {}", replica.node, seat(replica), state(replica));
        for sibling in &replica.siblings {
            println!("  {}", sibling_line(sibling));
        }
        for hint in &replica.hints {
            println!("  for {}:", hint.home);
            for sibling in &hint.siblings {
                println!("    {}", sibling_line(sibling));
            }
        }
        for merge in &replica.retained {
            println!(
                "  {} was merged at {} ms from",
                merge.dot, merge.merged_at_ms
            );
            for input in &merge.inputs {
                println!("    {}", sibling_line(input).trim_start());
            }
        }
    }
    match &reply.answer {
        None => println!("no answer: {}", reply.unanswered),
        Some(answer) => {
            let how = resolved_line(answer.resolved.as_ref());
            println!("answer: {}", how.as_deref().unwrap_or("what is stored"));
            for value in &answer.values {
                println!("  {}", super::output::readable(&value.value));
            }
        }
    }
}

fn state(replica: &proto::ReplicaView) -> String {
    match (replica.unreached.as_str(), replica.siblings.is_empty()) {
        ("", true) => "has nothing".to_owned(),
        ("", false) => {
            let actor = match replica.actor.as_str() {
                "" => "a new actor".to_owned(),
                actor => actor.to_owned(),
            };
            format!(
                "object {:016x}  {} actors  writes as {actor}",
                replica.object_hash, replica.actors
            )
        }
        (why, _) => format!("NOT REACHED: {why}"),
    }
}
