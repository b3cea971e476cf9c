//! `rejoin get`, `put` and `delete`.

use super::arguments::{AckChoice, Delete, Get, Put, Server, Write};
use super::connection::Connection;
use super::output::{print_json, readable, resolved, resolved_line, sibling, sibling_line, value};
use crate::limits::VALUE_BYTES_MAX;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use bytes::Bytes;
use serde_json::json;
use std::io::Read as _;

pub async fn get(get: Get, server: &Server) -> anyhow::Result<()> {
    let connection = Connection::open(server).await?;
    let asked = proto::GetRequest {
        bucket: get.bucket.clone(),
        key: get.key.clone().into(),
        r: get.r,
        pr: get.pr,
        with_siblings: get.siblings,
    };
    let reply = connection
        .kv()
        .get(connection.request(asked))
        .await?
        .into_inner();
    if server.json {
        print_json(&json!({
            "found": !reply.values.is_empty(),
            "values": reply.values.iter().map(value).collect::<Vec<_>>(),
            "context": hex::encode(&reply.context),
            "resolved": resolved(reply.resolved.as_ref()),
            "siblings": reply.siblings.iter().map(sibling).collect::<Vec<_>>(),
            "replicas_answered": reply.replicas_answered,
            "primaries_answered": reply.primaries_answered,
        }));
    } else {
        print_get(&reply);
    }
    anyhow::ensure!(
        !reply.values.is_empty(),
        "{}/{} is not found",
        get.bucket,
        get.key
    );
    Ok(())
}

/// The value goes to standard output, what is said of it to standard error.
fn print_get(reply: &proto::GetResponse) {
    for value in &reply.values {
        println!("{}", readable(&value.value));
    }
    if let Some(line) = resolved_line(reply.resolved.as_ref()) {
        eprintln!("{line}");
    }
    for sibling in &reply.siblings {
        eprintln!("stored: {}", sibling_line(sibling));
    }
    if !reply.context.is_empty() {
        eprintln!("context: {}", hex::encode(&reply.context));
    }
}

pub async fn put(put: Put, server: &Server) -> anyhow::Result<()> {
    let value = read_value(&put.value)?;
    let connection = Connection::open(server).await?;
    let context = match (&put.context, put.replace) {
        (Some(context), _) => decode_context(context)?,
        (None, true) => seen(&connection, &put.bucket, &put.key).await?,
        (None, false) => Bytes::new(),
    };
    let condition = match (put.if_absent, put.if_context) {
        (true, _) => proto::Condition::IfAbsent,
        (false, true) => proto::Condition::IfContext,
        (false, false) => proto::Condition::Unspecified,
    };
    let asked = proto::PutRequest {
        bucket: put.bucket,
        key: put.key.into(),
        value,
        context,
        content_type: put.content_type,
        metadata: put.metadata.into_iter().collect(),
        w: put.write.w,
        pw: put.write.pw,
        dw: put.write.dw,
        ack: ack(&put.write).into(),
        ttl_ms: put.ttl_ms,
        condition: condition.into(),
    };
    let reply = connection
        .kv()
        .put(connection.request(asked))
        .await?
        .into_inner();
    if server.json {
        print_json(&json!({
            "context": hex::encode(&reply.context),
            "siblings": reply.siblings,
            "resolved": resolved(reply.resolved.as_ref()),
            "merged": reply.merged.as_ref().map(super::output::value),
            "replicas_answered": reply.replicas_answered,
            "primaries_answered": reply.primaries_answered,
            "durable_answered": reply.durable_answered,
            "coordinator": reply.coordinator,
            "dot": reply.dot,
            "warnings": reply.warnings,
        }));
        return Ok(());
    }
    println!(
        "stored on {} replicas by {}",
        reply.replicas_answered, reply.coordinator
    );
    if let Some(line) = resolved_line(reply.resolved.as_ref()) {
        eprintln!("{line}");
    }
    if let Some(merged) = &reply.merged {
        eprintln!("stored: {}", readable(&merged.value));
    }
    for warning in &reply.warnings {
        eprintln!("warning: {warning}");
    }
    print_standing(&reply.context, reply.siblings);
    Ok(())
}

pub async fn delete(delete: Delete, server: &Server) -> anyhow::Result<()> {
    let connection = Connection::open(server).await?;
    let context = match &delete.context {
        Some(context) => decode_context(context)?,
        None => seen(&connection, &delete.bucket, &delete.key).await?,
    };
    let asked = proto::DeleteRequest {
        bucket: delete.bucket,
        key: delete.key.into(),
        context,
        w: delete.write.w,
        pw: delete.write.pw,
        dw: delete.write.dw,
        ack: ack(&delete.write).into(),
    };
    let reply = connection
        .kv()
        .delete(connection.request(asked))
        .await?
        .into_inner();
    if server.json {
        print_json(&json!({
            "context": hex::encode(&reply.context),
            "siblings": reply.siblings,
            "replicas_answered": reply.replicas_answered,
            "primaries_answered": reply.primaries_answered,
            "durable_answered": reply.durable_answered,
            "coordinator": reply.coordinator,
            "dot": reply.dot,
        }));
        return Ok(());
    }
    println!(
        "deleted on {} replicas by {}",
        reply.replicas_answered, reply.coordinator
    );
    match reply.siblings {
        0 => {}
        remaining => eprintln!(
            "{remaining} values remain: they were written concurrently; get the key to see them"
        ),
    }
    Ok(())
}

fn print_standing(context: &[u8], siblings: u32) {
    if siblings > 1 {
        eprintln!(
            "it stands beside others ({siblings} values in all); get the key, or use --replace"
        );
    }
    if !context.is_empty() {
        eprintln!("context: {}", hex::encode(context));
    }
}

/// The context of what is there now.
async fn seen(connection: &Connection, bucket: &str, key: &str) -> anyhow::Result<Bytes> {
    let asked = proto::GetRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned().into(),
        ..proto::GetRequest::default()
    };
    Ok(connection
        .kv()
        .get(connection.request(asked))
        .await?
        .into_inner()
        .context)
}

fn decode_context(text: &str) -> anyhow::Result<Bytes> {
    let bytes =
        hex::decode(text.trim()).context("the context is not hexadecimal; pass it as printed")?;
    Ok(bytes.into())
}

fn read_value(text: &str) -> anyhow::Result<Bytes> {
    if text != "-" {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let mut value = Vec::new();
    let mut input = std::io::stdin().take(VALUE_BYTES_MAX as u64 + 1);
    input
        .read_to_end(&mut value)
        .context("reading the value from standard input")?;
    anyhow::ensure!(
        value.len() <= VALUE_BYTES_MAX,
        "standard input has more than {VALUE_BYTES_MAX} bytes, the limit of a value"
    );
    Ok(value.into())
}

fn ack(write: &Write) -> proto::Ack {
    ack_choice(write.ack)
}

/// The wire's word for a choice; nothing chosen is the bucket's.
pub fn ack_choice(choice: Option<AckChoice>) -> proto::Ack {
    match choice {
        None => proto::Ack::Unspecified,
        Some(AckChoice::Buffered) => proto::Ack::Buffered,
        Some(AckChoice::Durable) => proto::Ack::Durable,
    }
}
