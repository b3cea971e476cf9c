//! `rejoin plugin`: what authors do on their own machine, and what they ask of a cluster.
//!
//! Here are uploads and listings; each of the rest has a file.
//!
//! Invariant: `new` and `build` need no server.

mod build;
mod manifest;
mod new;
mod recipe;
mod template;
mod tool;

use super::arguments::{Plugin, Server};
use super::connection::Connection;
use super::output::{print_json, short};
use crate::wasm::library::digest_of;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use bytes::Bytes;
use proto::push_request::Part;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Bytes of a plugin in one message.
const CHUNK_BYTES: usize = 512 * 1024;
/// Nodes compile before they answer; Python takes each of them some 15 s.
const PUSH_TIMEOUT: Duration = Duration::from_secs(180);

pub async fn run(command: Plugin, server: &Server) -> anyhow::Result<()> {
    match command {
        Plugin::New(new) => new::run(&new, server.json),
        Plugin::Build(build) => build::run(&build, server.json).await,
        Plugin::Push { file } => {
            let connection = Connection::open(server).await?;
            let reply = push(read(&file)?, &connection).await?;
            print_pushed(&reply, server.json);
            Ok(())
        }
        Plugin::List => list(&Connection::open(server).await?, server.json).await,
    }
}

fn read(file: &Path) -> anyhow::Result<Bytes> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(bytes.into())
}

/// Uploads a plugin in chunks.
pub async fn push(bytes: Bytes, connection: &Connection) -> anyhow::Result<proto::PushResponse> {
    let start = Part::Start(proto::PushStart {
        size_bytes: bytes.len() as u64,
        sha256: digest_of(&bytes).to_string(),
    });
    let chunks = (0..bytes.len()).step_by(CHUNK_BYTES).map(move |start| {
        let end = bytes.len().min(start + CHUNK_BYTES);
        Part::Chunk(bytes.slice(start..end))
    });
    let parts: Vec<_> = std::iter::once(start)
        .chain(chunks)
        .map(|part| proto::PushRequest { part: Some(part) })
        .collect();
    let mut asked = tonic::Request::new(tokio_stream::iter(parts));
    asked.set_timeout(PUSH_TIMEOUT);
    Ok(connection.plugins().push(asked).await?.into_inner())
}

fn print_pushed(reply: &proto::PushResponse, json: bool) {
    let plugin = reply.plugin.clone().unwrap_or_default();
    if json {
        let mut object = as_json(&plugin);
        object["nodes_ready"] = json!(reply.nodes_ready);
        object["nodes_total"] = json!(reply.nodes_total);
        return print_json(&object);
    }
    println!("{}", as_line(&plugin));
    println!(
        "ready on {} of {} nodes",
        reply.nodes_ready, reply.nodes_total
    );
    let role = if plugin.is_resolver {
        "resolver"
    } else {
        "validator"
    };
    eprintln!("next: rejoin bucket create NAME --{role} {}", plugin.name);
}

async fn list(connection: &Connection, json: bool) -> anyhow::Result<()> {
    let asked = connection.request(proto::ListPluginsRequest {});
    let reply = connection.plugins().list(asked).await?.into_inner();
    for status in &reply.plugins {
        let plugin = status.plugin.clone().unwrap_or_default();
        if json {
            let mut object = as_json(&plugin);
            object["is_ready"] = json!(status.is_ready);
            object["buckets"] = json!(status.buckets);
            print_json(&object);
        } else {
            let ready = if status.is_ready {
                "ready"
            } else {
                "not ready here"
            };
            println!(
                "{}  {ready}  buckets: {}",
                as_line(&plugin),
                status.buckets.join(", ")
            );
        }
    }
    if reply.plugins.is_empty() && !json {
        println!("no plugins; upload one with `rejoin plugin push FILE`");
    }
    Ok(())
}

/// The digest of the one plugin of this name, or whose digest starts so.
pub async fn find(wanted: &str, connection: &Connection) -> anyhow::Result<String> {
    let asked = connection.request(proto::ListPluginsRequest {});
    let plugins = connection.plugins().list(asked).await?.into_inner().plugins;
    let plugins = plugins.into_iter().filter_map(|status| status.plugin);
    let fits = |plugin: &proto::Plugin| {
        plugin.name == wanted || (wanted.len() >= 6 && plugin.digest.starts_with(wanted))
    };
    let found: Vec<proto::Plugin> = plugins.filter(fits).collect();
    match found.as_slice() {
        [plugin] => Ok(plugin.digest.clone()),
        [] => anyhow::bail!(
            "there is no plugin {wanted:?}; see `rejoin plugin list`, or upload it with `rejoin plugin push FILE`"
        ),
        several => {
            let digests: Vec<&str> = several.iter().map(|p| short(&p.digest)).collect();
            anyhow::bail!(
                "{wanted:?} fits several plugins; name one by its digest: {}",
                digests.join(", ")
            )
        }
    }
}

fn roles(plugin: &proto::Plugin) -> Vec<&'static str> {
    let roles = [
        (plugin.is_resolver, "resolver"),
        (plugin.is_validator, "validator"),
    ];
    roles
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, name)| name)
        .collect()
}

fn as_json(plugin: &proto::Plugin) -> Value {
    json!({
        "digest": plugin.digest,
        "name": plugin.name,
        "version": plugin.version,
        "size_bytes": plugin.size_bytes,
        "roles": roles(plugin),
        "laws_claimed": plugin.laws,
    })
}

fn as_line(plugin: &proto::Plugin) -> String {
    format!(
        "{}  {} {}  {}  {} bytes",
        short(&plugin.digest),
        plugin.name,
        plugin.version,
        roles(plugin).join("+"),
        plugin.size_bytes
    )
}
