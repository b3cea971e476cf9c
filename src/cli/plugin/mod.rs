//! `rejoin plugin`.

mod fixtures;
mod inspect;
pub mod listing;
mod offline;
mod replay;
mod test;

use super::arguments::{Plugin, Server};
use super::connection::Connection;
use super::output::print_json;
use crate::wasm::library::digest_of;
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use listing::{as_json, as_line};
use proto::push_request::Part;
use serde_json::json;
use std::time::Duration;

/// Bytes of a plugin in one message.
const CHUNK_BYTES: usize = 512 * 1024;
/// Nodes compile before they answer.
const PUSH_TIMEOUT: Duration = Duration::from_secs(60);

pub async fn run(command: Plugin, server: &Server) -> anyhow::Result<()> {
    match command {
        Plugin::Push { file } => {
            let connection = Connection::open(server).await?;
            let reply = push(offline::read(&file)?, &connection).await?;
            print_pushed(&reply, server.json);
            Ok(())
        }
        Plugin::List => listing::list(&Connection::open(server).await?, server.json).await,
        Plugin::Test(test) => test::run(*test, server.json).await,
        Plugin::Replay {
            evidence,
            plugin,
            validator,
        } => replay::run(&evidence, plugin, validator, server.json).await,
        Plugin::Inspect { plugin } => inspect::run(&plugin, server).await,
    }
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
        let evidence = reply.evidence.iter();
        object["evidence"] = evidence.map(|file| json!(file.json)).collect();
        return print_json(&object);
    }
    println!("{}", as_line(&plugin));
    println!(
        "ready on {} of {} nodes",
        reply.nodes_ready, reply.nodes_total
    );
    if let Some(check) = &plugin.law_check
        && !check.finding.is_empty()
    {
        println!("law check: {}", check.finding);
    }
    let role = if plugin.is_resolver {
        "resolver"
    } else {
        "validator"
    };
    eprintln!("next: rejoin bucket create NAME --{role} {}", plugin.name);
}
