//! `rejoin plugin push`: sends a plugin in chunks, and says how far the nodes are with it if that takes long.
//!
//! Nodes of an earlier release do not tell; with them it waits for the end.
//!
//! Invariant: it ends when the node has been silent for `SILENCE`, however long the work may take.

use super::super::connection::Connection;
use crate::wasm::library::digest_of;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use bytes::Bytes;
use proto::push_request::Part;
use std::time::{Duration, Instant};
use tonic::{Code, Request};

/// Bytes of a plugin in one message.
const CHUNK_BYTES: usize = 512 * 1024;
/// Until the node has all bytes; one of an earlier release has compiled them by then.
const SEND_TIMEOUT: Duration = Duration::from_secs(180);
/// A node at work says so every second.
const SILENCE: Duration = Duration::from_secs(30);
/// What is over sooner needs no words meanwhile.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// Uploads a plugin.
pub async fn push(bytes: Bytes, connection: &Connection) -> anyhow::Result<proto::PushResponse> {
    upload(bytes, connection, |_| {}).await
}

/// Uploads a plugin, and says on standard error how far it is.
pub async fn push_and_tell(
    bytes: Bytes,
    connection: &Connection,
) -> anyhow::Result<proto::PushResponse> {
    let begun = Instant::now();
    let mut said = String::new();
    let tell = |progress: &proto::UploadProgress| {
        let line = line(progress);
        if begun.elapsed() > TOLD_AFTER && line != said {
            eprintln!("after {} s: {line}", begun.elapsed().as_secs());
            said = line;
        }
    };
    upload(bytes, connection, tell).await
}

async fn upload(
    bytes: Bytes,
    connection: &Connection,
    mut tell: impl FnMut(&proto::UploadProgress),
) -> anyhow::Result<proto::PushResponse> {
    let begun = connection.plugins().upload(parts(&bytes)).await;
    let mut told = match begun {
        Ok(told) => told.into_inner(),
        Err(status) if status.code() == Code::Unimplemented => {
            let pushed = connection.plugins().push(parts(&bytes)).await;
            return Ok(pushed?.into_inner());
        }
        Err(status) => return Err(status.into()),
    };
    loop {
        let waited = tokio::time::timeout(SILENCE, told.message()).await;
        let message =
            waited.context("the node says nothing any more; push again to join its work")?;
        let progress =
            message?.context("the node ended the upload without a result; push again")?;
        tell(&progress);
        if let Some(pushed) = progress.pushed {
            return Ok(pushed);
        }
    }
}

fn parts(bytes: &Bytes) -> Request<impl tokio_stream::Stream<Item = proto::PushRequest> + use<>> {
    let start = Part::Start(proto::PushStart {
        size_bytes: bytes.len() as u64,
        sha256: digest_of(bytes).to_string(),
    });
    let chunks = (0..bytes.len()).step_by(CHUNK_BYTES).map(|start| {
        let end = bytes.len().min(start + CHUNK_BYTES);
        Part::Chunk(bytes.slice(start..end))
    });
    let parts = std::iter::once(start).chain(chunks);
    let parts: Vec<_> = parts
        .map(|part| proto::PushRequest { part: Some(part) })
        .collect();
    let mut asked = Request::new(tokio_stream::iter(parts));
    asked.set_timeout(SEND_TIMEOUT);
    asked
}

fn line(progress: &proto::UploadProgress) -> String {
    use proto::UploadStage as Stage;
    let mut line = match progress.stage() {
        Stage::Unspecified | Stage::Compiling => "the node compiles it".to_owned(),
        Stage::Checking => "the node tries its laws".to_owned(),
        Stage::Staging | Stage::Done => format!(
            "ready on {} of {} nodes",
            progress.nodes_ready, progress.nodes_total
        ),
    };
    for refusal in &progress.refusals {
        line += &format!("; not on {}: {}", refusal.node, refusal.message);
    }
    line
}
