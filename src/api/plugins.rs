//! `rejoin.v1.Plugins`.

use super::uploads::{self, encode};
use super::{activation, shadow, status, unmerge};
use crate::node::server::Node;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::plugins_server::Plugins;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

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
        let bytes = uploads::receive(&self.node, request.into_inner()).await?;
        uploads::push(&self.node, bytes).await.map(Response::new)
    }

    type UploadStream = uploads::Told;

    async fn upload(
        &self,
        request: Request<Streaming<proto::PushRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        status::check_editable(&self.node)?;
        let bytes = uploads::receive(&self.node, request.into_inner()).await?;
        uploads::upload(&self.node, bytes).map(Response::new)
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
