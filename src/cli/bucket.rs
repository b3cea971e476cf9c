//! `rejoin bucket`.

use super::arguments::{Bucket, CreateBucket, Server};
use super::connection::Connection;
use super::key_value::ack_choice;
use super::output::{print_json, short};
use super::plugin::find;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;

pub async fn run(command: Bucket, server: &Server) -> anyhow::Result<()> {
    let connection = Connection::open(server).await?;
    match command {
        Bucket::Create(create) => self::create(*create, &connection, server.json).await,
        Bucket::Describe { bucket } => {
            let asked = connection.request(proto::DescribeBucketRequest { bucket });
            let reply = connection.buckets().describe(asked).await?.into_inner();
            print(reply.bucket.as_slice(), server.json);
            Ok(())
        }
        Bucket::List => {
            let asked = connection.request(proto::ListBucketsRequest {});
            let reply = connection.buckets().list(asked).await?.into_inner();
            print(&reply.buckets, server.json);
            Ok(())
        }
        Bucket::Remove { bucket, force } => remove(bucket, force, &connection, server.json).await,
    }
}

async fn create(create: CreateBucket, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let (bucket, replace) = (create.bucket.clone(), create.replace);
    let properties = Some(properties(create, connection).await?);
    let asked = connection.request(proto::CreateBucketRequest {
        bucket,
        properties,
        replace,
    });
    let reply = connection.buckets().create(asked).await?.into_inner();
    print(reply.bucket.as_slice(), json);
    tell_reached(reply.nodes_reached, reply.nodes_total);
    Ok(())
}

async fn remove(
    bucket: String,
    force: bool,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let asked = proto::RemoveBucketRequest {
        bucket: bucket.clone(),
        force,
    };
    let asked = connection.request(asked);
    let reply = connection.buckets().remove(asked).await?.into_inner();
    let (reached, total) = (reply.nodes_reached, reply.nodes_total);
    match json {
        true => print_json(&json!({
            "bucket": bucket, "removed": true, "nodes_reached": reached, "nodes_total": total,
        })),
        false => println!("removed {bucket}; what it held goes from the disks in the background"),
    }
    tell_reached(reached, total);
    Ok(())
}

fn tell_reached(reached: u32, total: u32) {
    if reached < total {
        eprintln!(
            "{reached} of {total} nodes know it; the others learn it when they can be reached"
        );
    }
}

async fn properties(
    create: CreateBucket,
    connection: &Connection,
) -> anyhow::Result<proto::Properties> {
    let resolver = binding(
        create.resolver.as_deref(),
        create.resolver_params.as_deref(),
        create.resolver_fuel,
        connection,
    );
    let resolver = resolver.await?;
    let validator = binding(
        create.validator.as_deref(),
        create.validator_params.as_deref(),
        create.validator_fuel,
        connection,
    );
    let policy = match create.last_write_wins {
        true => proto::Policy::LastWriteWins,
        false => proto::Policy::Unspecified,
    };
    Ok(proto::Properties {
        n: create.n,
        r: create.r,
        w: create.w,
        pr: create.pr,
        pw: create.pw,
        dw: create.dw,
        ack: ack_choice(create.ack).into(),
        policy: policy.into(),
        resolver,
        validator: validator.await?,
        merge_on_put: create.merge_on_put,
        value_bytes_max: create.value_bytes_max,
        value_bytes_warn: create.value_bytes_warn,
        ttl_ms: create.ttl_ms,
    })
}

async fn binding(
    plugin: Option<&str>,
    params: Option<&Path>,
    fuel: Option<u64>,
    connection: &Connection,
) -> anyhow::Result<Option<proto::Binding>> {
    let Some(plugin) = plugin else {
        return Ok(None);
    };
    let params = match params {
        Some(file) => std::fs::read(file).with_context(|| format!("reading {}", file.display()))?,
        None => Vec::new(),
    };
    Ok(Some(proto::Binding {
        plugin: find(plugin, connection).await?,
        params: params.into(),
        fuel: fuel.unwrap_or(0),
    }))
}

fn print(buckets: &[proto::Bucket], json: bool) {
    for bucket in buckets {
        let properties = bucket.properties.clone().unwrap_or_default();
        match json {
            true => print_json(&as_json(&bucket.bucket, &properties)),
            false => println!("{}", as_line(&bucket.bucket, &properties)),
        }
    }
    if buckets.is_empty() && !json {
        println!("no buckets; create one with `rejoin bucket create NAME`");
    }
}

fn policy_name(properties: &proto::Properties) -> &'static str {
    match properties.policy() {
        proto::Policy::LastWriteWins => "last-write-wins",
        proto::Policy::Resolver => "resolver",
        proto::Policy::Siblings | proto::Policy::Unspecified => "siblings",
    }
}

fn ack_name(properties: &proto::Properties) -> &'static str {
    match properties.ack() {
        proto::Ack::Buffered => "buffered",
        proto::Ack::Durable | proto::Ack::Unspecified => "durable",
    }
}

fn as_json(name: &str, properties: &proto::Properties) -> Value {
    let binding = |binding: &Option<proto::Binding>| {
        binding.as_ref().map(|binding| {
            json!({
                "plugin": binding.plugin,
                "params_hex": hex::encode(&binding.params),
                "fuel": binding.fuel,
            })
        })
    };
    json!({
        "bucket": name,
        "n": properties.n(),
        "r": properties.r(),
        "w": properties.w(),
        "pr": properties.pr(),
        "pw": properties.pw(),
        "ack": ack_name(properties),
        "dw": properties.dw,
        "policy": policy_name(properties),
        "resolver": binding(&properties.resolver),
        "validator": binding(&properties.validator),
        "merge_on_put": properties.merge_on_put(),
        "value_bytes_max": properties.value_bytes_max(),
        "value_bytes_warn": properties.value_bytes_warn(),
        "ttl_ms": properties.ttl_ms(),
    })
}

fn as_line(name: &str, properties: &proto::Properties) -> String {
    let mut line = format!(
        "{name}: n={} r={} w={} {} {}",
        properties.n(),
        properties.r(),
        properties.w(),
        ack_name(properties),
        policy_name(properties),
    );
    if let Some(resolver) = &properties.resolver {
        line += &format!("={}", short(&resolver.plugin));
    }
    if let Some(validator) = &properties.validator {
        line += &format!(" validator={}", short(&validator.plugin));
    }
    for (name, primaries) in [("pr", properties.pr()), ("pw", properties.pw())] {
        if primaries > 0 {
            line += &format!(" {name}={primaries}");
        }
    }
    if let Some(dw) = properties.dw {
        line += &format!(" dw={dw}");
    }
    if properties.merge_on_put() {
        line += " merge-on-put";
    }
    if properties.ttl_ms() > 0 {
        line += &format!(" ttl={}ms", properties.ttl_ms());
    }
    line
}
