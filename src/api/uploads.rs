//! The part of `rejoin.v1.Plugins` that takes plugins in: `Upload`, which tells how far it is, and `Push`, which does not.
//!
//! Receives the bytes; the work is `node::uploads`, and goes on when the client leaves.
//!
//! Invariant: an upload that is not whole leaves nothing behind.

use super::status;
use crate::dynamo::metadata::row::PluginFacts;
use crate::dynamo::names::Digest;
use crate::node::plugins::PushError;
use crate::node::server::Node;
use crate::node::uploads::{Phase, Progress, Upload};
use crate::wasm::library::digest_of;
use crate::wasm::upload_error::UploadError;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::push_request::Part;
use bytes::{Bytes, BytesMut};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinError;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

/// How long a client may take between two chunks.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long `Push` waits; the listener ends every request after 60 s, and then nothing could be said.
const PUSH_PATIENCE: Duration = Duration::from_secs(50);
/// How often `Upload` says that it is still at it.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What a client of `Upload` hears.
pub type Told = Pin<Box<dyn Stream<Item = Result<proto::UploadProgress, Status>> + Send>>;

/// Takes a plugin in and tells meanwhile how far it is.
#[allow(clippy::result_large_err)] // Its caller returns it as it is.
pub fn upload(node: &Arc<Node>, bytes: Bytes) -> Result<Told, Status> {
    check_room(node)?;
    let upload = node.plugins.upload(bytes).map_err(status::of_push)?;
    let told = (Arc::clone(node), upload);
    let told = futures_util::stream::unfold(Some(told), |told| async move {
        let (node, mut upload) = told?;
        let next = tokio::select! {
            biased;
            ended = &mut upload.end => {
                let last = finished(ended).map(|()| last(&node, &upload.progress.borrow()));
                return Some((last, None));
            }
            Ok(()) = upload.progress.changed() => told_of(&node, &upload.progress.borrow_and_update()),
            () = tokio::time::sleep(PROGRESS_INTERVAL) => told_of(&node, &upload.progress.borrow()),
        };
        Some((Ok(next), Some((node, upload))))
    });
    Ok(Box::pin(told))
}

/// Takes a plugin in, for clients that hear of it only at the end.
pub async fn push(node: &Arc<Node>, bytes: Bytes) -> Result<proto::PushResponse, Status> {
    check_room(node)?;
    let Upload { progress, end } = node.plugins.upload(bytes).map_err(status::of_push)?;
    if let Ok(ended) = tokio::time::timeout(PUSH_PATIENCE, end).await {
        finished(ended)?;
    }
    match pushed(node, &progress.borrow()) {
        Some(pushed) => Ok(pushed),
        None => Err(Status::deadline_exceeded(
            "the plugin is still being compiled or checked, which goes on; push it again to wait for it, or use `Upload`",
        )),
    }
}

#[allow(clippy::result_large_err)] // Its callers return it as it is.
fn check_room(node: &Node) -> Result<(), Status> {
    let error = "the disk of this node is nearly full; free some space, or upload at another node";
    match node.is_disk_full() {
        true => Err(status::too_many("DISK_FULL", error)),
        false => Ok(()),
    }
}

#[allow(clippy::result_large_err)] // Its callers return it as it is.
fn finished(ended: Result<Result<(), PushError>, JoinError>) -> Result<(), Status> {
    match ended {
        Ok(ended) => ended.map_err(status::of_push),
        Err(error) => Err(status::internal(format!("the upload ended early: {error}"))),
    }
}

fn pushed(node: &Node, progress: &Progress) -> Option<proto::PushResponse> {
    let accepted = progress.accepted.as_ref()?;
    let evidence = accepted.evidence.iter().map(|evidence| proto::Evidence {
        file_name: evidence.file_name(),
        json: evidence.to_json(),
    });
    Some(proto::PushResponse {
        plugin: Some(encode(accepted.digest, &accepted.facts)),
        nodes_ready: progress.nodes_ready as u32,
        nodes_total: node.nodes_total() as u32,
        evidence: evidence.collect(),
    })
}

fn told_of(node: &Node, progress: &Progress) -> proto::UploadProgress {
    let stage = match progress.phase {
        Phase::Compiling => proto::UploadStage::Compiling,
        Phase::Checking => proto::UploadStage::Checking,
        Phase::Staging => proto::UploadStage::Staging,
    };
    let refusals = progress.refusals.iter();
    proto::UploadProgress {
        stage: stage.into(),
        nodes_ready: progress.nodes_ready as u32,
        nodes_total: node.nodes_total() as u32,
        refusals: refusals
            .map(|(peer, why)| proto::UploadRefusal {
                node: peer.to_string(),
                message: why.clone(),
            })
            .collect(),
        pushed: None,
    }
}

fn last(node: &Node, progress: &Progress) -> proto::UploadProgress {
    proto::UploadProgress {
        stage: proto::UploadStage::Done.into(),
        pushed: pushed(node, progress),
        ..told_of(node, progress)
    }
}

/// The whole plugin, or an error that leaves nothing behind.
pub async fn receive(
    node: &Node,
    mut parts: Streaming<proto::PushRequest>,
) -> Result<Bytes, Status> {
    let Some(Part::Start(start)) = next(&mut parts).await? else {
        let error = "the first message has to be `start`, with the size of what follows";
        return Err(status::invalid("NO_START", error));
    };
    let limit = node.config.plugin_bytes_max;
    if start.size_bytes > limit as u64 {
        let found = usize::try_from(start.size_bytes).unwrap_or(usize::MAX);
        return Err(status::of_upload(UploadError::TooLarge { found, limit }));
    }
    let mut bytes = BytesMut::new();
    while let Some(part) = next(&mut parts).await? {
        let Part::Chunk(chunk) = part else {
            return Err(status::invalid(
                "TWO_STARTS",
                "`start` came twice; send it once",
            ));
        };
        if (bytes.len() + chunk.len()) as u64 > start.size_bytes {
            let error = format!("more than the announced {} bytes came", start.size_bytes);
            return Err(status::invalid("TOO_MANY_BYTES", error));
        }
        bytes.extend_from_slice(&chunk);
    }
    check_complete(&start, bytes.freeze())
}

async fn next(parts: &mut Streaming<proto::PushRequest>) -> Result<Option<Part>, Status> {
    let waited = tokio::time::timeout(CHUNK_TIMEOUT, parts.message()).await;
    let Ok(message) = waited else {
        return Err(Status::deadline_exceeded(
            "no part of the upload came for 10 s; nothing was stored, push again",
        ));
    };
    match message? {
        None => Ok(None),
        Some(proto::PushRequest { part: Some(part) }) => Ok(Some(part)),
        Some(_) => Err(status::invalid(
            "EMPTY_PART",
            "a message has neither `start` nor `chunk`",
        )),
    }
}

#[allow(clippy::result_large_err)] // Its callers return it as it is.
fn check_complete(start: &proto::PushStart, bytes: Bytes) -> Result<Bytes, Status> {
    let (found, announced) = (bytes.len() as u64, start.size_bytes);
    if found < announced {
        let error = format!("the upload ended after {found} of {announced} bytes; push it again");
        return Err(status::invalid("TRUNCATED", error));
    }
    if start.sha256.is_empty() {
        return Ok(bytes);
    }
    let found = digest_of(&bytes);
    match Digest::parse(&start.sha256) {
        Some(announced) if announced == found => Ok(bytes),
        _ => {
            let error =
                format!("the bytes that came have the SHA-256 {found}, not the announced one");
            Err(status::invalid("WRONG_DIGEST", error))
        }
    }
}

/// A plugin as the catalog knows it.
pub(super) fn encode(digest: Digest, facts: &PluginFacts) -> proto::Plugin {
    proto::Plugin {
        digest: digest.to_string(),
        name: facts.name.clone(),
        version: facts.version.clone(),
        size_bytes: facts.size_bytes as u64,
        is_resolver: facts.is_resolver,
        is_validator: facts.is_validator,
        laws: facts.laws.clone(),
        law_check: facts.graded.as_ref().map(|graded| proto::LawCheck {
            grade: u32::from(graded.grade.number()),
            cases: graded.cases,
            fuel_median: graded.fuel_median,
            fuel_most: graded.fuel_most,
            finding: graded.finding.clone(),
        }),
    }
}
