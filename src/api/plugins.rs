//! `rejoin.v1.Plugins`.

use super::{activation, shadow, status, unmerge};
use crate::dynamo::metadata::row::PluginFacts;
use crate::dynamo::names::Digest;
use crate::node::server::Node;
use crate::wasm::library::digest_of;
use crate::wasm::upload_error::UploadError;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::plugins_server::Plugins;
use crate::wire::proto::v1::push_request::Part;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming};

/// How long a client may take between two chunks.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes plugins in and lists them.
pub struct PluginsService {
    pub node: Arc<Node>,
}

#[tonic::async_trait]
impl Plugins for PluginsService {
    async fn push(
        &self,
        request: Request<Streaming<proto::PushRequest>>,
    ) -> Result<Response<proto::PushResponse>, Status> {
        status::check_editable(&self.node)?;
        let bytes = self.receive(request.into_inner()).await?;
        let pushed = self.node.plugins.push(bytes).await;
        let pushed = pushed.map_err(status::of_push)?;
        let evidence = pushed.evidence.iter().map(|evidence| proto::Evidence {
            file_name: evidence.file_name(),
            json: evidence.to_json(),
        });
        Ok(Response::new(proto::PushResponse {
            plugin: Some(encode(pushed.digest, &pushed.facts)),
            nodes_ready: pushed.nodes_ready as u32,
            nodes_total: self.node.nodes_total() as u32,
            evidence: evidence.collect(),
        }))
    }

    async fn list(
        &self,
        _: Request<proto::ListPluginsRequest>,
    ) -> Result<Response<proto::ListPluginsResponse>, Status> {
        let catalog = self.node.registry.catalog();
        let plugins = catalog.plugins().map(|(digest, facts)| {
            let bound = catalog
                .buckets()
                .filter(|(_, p)| p.plugins().any(|d| d == digest));
            proto::PluginStatus {
                plugin: Some(encode(digest, facts)),
                is_ready: self.node.plugins.library().admitted(digest).is_ok(),
                buckets: bound.map(|(name, _)| name.as_str().to_owned()).collect(),
            }
        });
        Ok(Response::new(proto::ListPluginsResponse {
            plugins: plugins.collect(),
        }))
    }

    async fn stats(
        &self,
        request: Request<proto::PluginStatsRequest>,
    ) -> Result<Response<proto::PluginStatsResponse>, Status> {
        let stats = super::guests::stats(&self.node, request.into_inner())?;
        Ok(Response::new(stats))
    }

    async fn logs(
        &self,
        request: Request<proto::PluginLogsRequest>,
    ) -> Result<Response<proto::PluginLogsResponse>, Status> {
        let logs = super::guests::logs(&self.node, request.into_inner())?;
        Ok(Response::new(logs))
    }

    async fn activate(
        &self,
        request: Request<proto::ActivateRequest>,
    ) -> Result<Response<proto::ActivateResponse>, Status> {
        let activated = activation::activate(&self.node, request.into_inner()).await;
        activated.map(Response::new)
    }

    async fn rollback(
        &self,
        request: Request<proto::RollbackRequest>,
    ) -> Result<Response<proto::RollbackResponse>, Status> {
        let rolled_back = activation::rollback(&self.node, request.into_inner()).await;
        rolled_back.map(Response::new)
    }

    async fn pause(
        &self,
        request: Request<proto::PauseRequest>,
    ) -> Result<Response<proto::PauseResponse>, Status> {
        let paused = activation::pause(&self.node, request.into_inner()).await;
        paused.map(Response::new)
    }

    type UnmergeStream = unmerge::Steps;

    async fn unmerge(
        &self,
        request: Request<proto::UnmergeRequest>,
    ) -> Result<Response<Self::UnmergeStream>, Status> {
        unmerge::unmerge(&self.node, request.into_inner()).map(Response::new)
    }

    async fn shadow(
        &self,
        request: Request<proto::ShadowRequest>,
    ) -> Result<Response<proto::ShadowResponse>, Status> {
        let tried = shadow::shadow(&self.node, request.into_inner()).await;
        tried.map(Response::new)
    }

    async fn shadow_report(
        &self,
        request: Request<proto::ShadowReportRequest>,
    ) -> Result<Response<proto::ShadowReportResponse>, Status> {
        let report = shadow::report(&self.node, request.into_inner()).await;
        report.map(Response::new)
    }
}

impl PluginsService {
    /// The whole plugin, or an error that leaves nothing behind.
    async fn receive(&self, mut parts: Streaming<proto::PushRequest>) -> Result<Bytes, Status> {
        let Some(Part::Start(start)) = next(&mut parts).await? else {
            let error = "the first message has to be `start`, with the size of what follows";
            return Err(status::invalid("NO_START", error));
        };
        let limit = self.node.config.plugin_bytes_max;
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

fn encode(digest: Digest, facts: &PluginFacts) -> proto::Plugin {
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
