//! `rejoin.v1.Buckets`.

use super::deadline::timeout_ms;
use super::{keys, status};
use crate::dynamo::bucket::{Ack, Binding, Policy, Properties};
use crate::dynamo::metadata::grade::Action;
use crate::dynamo::metadata::row::{Fact, Subject};
use crate::dynamo::names::BucketName;
use crate::limits::versions::STAGE_TIMEOUT_MS;
use crate::node::registry::RegistryError;
use crate::node::server::Node;
use crate::wasm::upload_error::UploadError;
use crate::wire::activation::encode_bucket;
use crate::wire::bucket as wire;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::buckets_server::Buckets;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Creates, describes and removes buckets.
pub struct BucketsService {
    pub node: Arc<Node>,
}

#[tonic::async_trait]
impl Buckets for BucketsService {
    async fn create(
        &self,
        request: Request<proto::CreateBucketRequest>,
    ) -> Result<Response<proto::CreateBucketResponse>, Status> {
        status::check_editable(&self.node)?;
        let request = request.into_inner();
        let name = bucket_name(&request.bucket)?;
        let asked = request.properties.unwrap_or_default();
        let merge_on_put = asked.merge_on_put;
        let mut properties = wire::decode(asked).map_err(status::of_properties)?;
        self.check(&properties).await?;
        self.check_laws(&name, merge_on_put, &mut properties)
            .await?;
        let properties = match self.node.registry.catalog().bucket(&name) {
            Some(before) => properties.after(before),
            None => properties,
        };
        let fact = Fact::Bucket(properties.clone());
        let edited = self
            .node
            .registry
            .edit(Subject::Bucket(name.clone()), fact, request.replace);
        let nodes_reached = edited.await.map_err(status::of_registry)? as u32;
        Ok(Response::new(proto::CreateBucketResponse {
            bucket: Some(encode_bucket(&name, &properties)),
            nodes_reached,
            nodes_total: self.node.nodes_total() as u32,
        }))
    }

    async fn describe(
        &self,
        request: Request<proto::DescribeBucketRequest>,
    ) -> Result<Response<proto::DescribeBucketResponse>, Status> {
        let name = bucket_name(&request.into_inner().bucket)?;
        let catalog = self.node.registry.catalog();
        let Some(properties) = catalog.bucket(&name) else {
            status::check_heard(&self.node, &name)?;
            return Err(status::of_registry(RegistryError::NoSuchBucket(name)));
        };
        Ok(Response::new(proto::DescribeBucketResponse {
            bucket: Some(encode_bucket(&name, properties)),
        }))
    }

    async fn list(
        &self,
        _: Request<proto::ListBucketsRequest>,
    ) -> Result<Response<proto::ListBucketsResponse>, Status> {
        let catalog = self.node.registry.catalog();
        let buckets = catalog
            .buckets()
            .map(|(name, properties)| encode_bucket(name, properties));
        Ok(Response::new(proto::ListBucketsResponse {
            buckets: buckets.collect(),
        }))
    }

    async fn remove(
        &self,
        request: Request<proto::RemoveBucketRequest>,
    ) -> Result<Response<proto::RemoveBucketResponse>, Status> {
        status::check_editable(&self.node)?;
        let timeout_ms = timeout_ms(request.metadata())?;
        let proto::RemoveBucketRequest { bucket, force } = request.into_inner();
        let name = bucket_name(&bucket)?;
        if !force && self.node.registry.catalog().bucket(&name).is_some() {
            let first = keys::first(&self.node, &name, timeout_ms).await?;
            if let Some(key) = first {
                return Err(status::not_empty(&name, &key));
            }
        }
        let removed = self.node.registry.remove(name).await;
        Ok(Response::new(proto::RemoveBucketResponse {
            nodes_reached: removed.map_err(status::of_registry)? as u32,
            nodes_total: self.node.nodes_total() as u32,
        }))
    }

    async fn list_conflicts(
        &self,
        request: Request<proto::ListConflictsRequest>,
    ) -> Result<Response<proto::ListConflictsResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let page = super::conflicts::page(&self.node, request.into_inner(), timeout_ms);
        Ok(Response::new(page.await?))
    }

    async fn dry_run(
        &self,
        request: Request<proto::DryRunRequest>,
    ) -> Result<Response<proto::DryRunResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let page = super::dry_run::page(&self.node, request.into_inner(), timeout_ms);
        Ok(Response::new(page.await?))
    }
}

impl BucketsService {
    /// Checks properties against this cluster: its size, its disks, its plugins.
    pub(super) async fn check(&self, properties: &Properties) -> Result<(), Status> {
        let nodes = self.node.nodes_total();
        if usize::from(properties.n) > nodes {
            let error = format!(
                "n is {}, but the cluster has {nodes} nodes; give 1 to {nodes}",
                properties.n
            );
            return Err(status::invalid("BAD_PROPERTIES", error));
        }
        let is_durable = match properties.dw {
            Some(dw) => dw > 0,
            None => properties.ack == Ack::Durable,
        };
        if is_durable && !self.node.store.is_durable() {
            let error = "this node keeps its data in memory; create the bucket with `ack` buffered, and without dw";
            return Err(status::invalid("NOT_DURABLE", error));
        }
        if let Policy::Resolver(binding) = &properties.policy {
            self.check_binding("resolver", binding).await?;
        }
        match &properties.validator {
            Some(binding) => self.check_binding("validator", binding).await,
            None => Ok(()),
        }
    }

    /// Lets a lawful resolver merge on put unless the operator says no, and no other.
    pub(super) async fn check_laws(
        &self,
        bucket: &BucketName,
        merge_on_put: Option<bool>,
        properties: &mut Properties,
    ) -> Result<(), Status> {
        if merge_on_put == Some(false) {
            return Ok(()); // What is only shown needs no laws.
        }
        let report = match self.node.check_resolver(bucket, properties).await {
            Ok(Some(report)) => report,
            Ok(None) => return Ok(()),
            // Fuel beyond what the clock allows leaves the laws open: such a resolver is only shown.
            Err(UploadError::LawsUnchecked { .. }) if merge_on_put.is_none() => {
                properties.merge_on_put = false;
                return Ok(());
            }
            Err(error) => return Err(status::of_upload(error)),
        };
        let is_lawful = report
            .grade()
            .is_some_and(|grade| grade.allows(Action::MergeOnPut));
        if merge_on_put == Some(true) && !is_lawful {
            return Err(status::unlawful(&report.finding().unwrap_or_default()));
        }
        properties.merge_on_put = is_lawful;
        Ok(())
    }

    async fn check_binding(&self, role: &str, binding: &Binding) -> Result<(), Status> {
        let digest = binding.digest;
        let catalog = self.node.registry.catalog();
        let Some(facts) = catalog.plugin(digest) else {
            let error = format!("there is no plugin {digest}; upload it with `rejoin plugin push`");
            return Err(status::missing("NO_SUCH_PLUGIN", error));
        };
        let fits = if role == "resolver" {
            facts.is_resolver
        } else {
            facts.is_validator
        };
        if !fits {
            let error = format!(
                "the plugin {} exports no {role}; the operator has to bind one that does",
                facts.name
            );
            return Err(status::invalid("WRONG_ROLE", error));
        }
        let limit = Duration::from_millis(STAGE_TIMEOUT_MS);
        let stage = tokio::time::timeout(limit, self.node.plugins.stage(digest)).await;
        let Ok(stage) = stage else {
            let error = "this node is still compiling the plugin, which goes on; try again";
            return Err(status::not_now("STAGING", error));
        };
        stage.map_err(|error| status::internal(format!("{error:#}")))?;
        self.check_params(role, binding.clone()).await
    }

    /// Asks the plugin itself, away from the asynchronous threads.
    async fn check_params(&self, role: &str, binding: Binding) -> Result<(), Status> {
        let library = Arc::clone(self.node.plugins.library());
        let asked = tokio::task::spawn_blocking(move || {
            library.check_params(binding.digest, &binding.params)
        });
        match asked.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let error = format!("the params of the {role} were not accepted: {error}");
                Err(status::invalid("BAD_PARAMS", error))
            }
            Err(error) => Err(status::internal(error.to_string())),
        }
    }
}

#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub(super) fn bucket_name(name: &str) -> Result<BucketName, Status> {
    BucketName::new(name).map_err(|error| status::invalid("BAD_NAME", error))
}
