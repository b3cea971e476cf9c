//! `rejoin.v1.Kv`.

use super::deadline::timeout_ms;
use super::measuring::Begun;
use super::status;
use super::watch::{self, Events};
use crate::dynamo::bucket::Ack;
use crate::dynamo::coordinator::request::{PutReply, PutRequest};
use crate::node::metrics::Operation;
use crate::node::server::Node;
use crate::wire::key_value as wire;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::kv_server::Kv;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Gets, puts and deletes.
pub struct KvService {
    pub node: Arc<Node>,
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn get(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::GetResponse>, Status> {
        let begun = Begun::new(&request.get_ref().bucket, Operation::Get);
        let outcome = self.try_get(request).await;
        begun.end(&self.node, &outcome);
        outcome
    }

    async fn put(
        &self,
        request: Request<proto::PutRequest>,
    ) -> Result<Response<proto::PutResponse>, Status> {
        let begun = Begun::new(&request.get_ref().bucket, Operation::Put);
        let outcome = self.try_put(request).await;
        begun.end(&self.node, &outcome);
        outcome
    }

    async fn delete(
        &self,
        request: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        let begun = Begun::new(&request.get_ref().bucket, Operation::Delete);
        let outcome = self.try_delete(request).await;
        begun.end(&self.node, &outcome);
        outcome
    }

    type WatchStream = Events;

    async fn watch(
        &self,
        request: Request<proto::WatchRequest>,
    ) -> Result<Response<Events>, Status> {
        Ok(Response::new(watch::watch(
            &self.node,
            request.into_inner(),
        )?))
    }
}

impl KvService {
    async fn try_get(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::GetResponse>, Status> {
        self.check_cluster()?;
        let timeout_ms = timeout_ms(request.metadata())?;
        let request = request.into_inner();
        let with_siblings = request.with_siblings;
        let request = wire::decode_get(request).map_err(status::of_request)?;
        let key = request.key.clone();
        let reply = self
            .node
            .get(request, timeout_ms)
            .await
            .map_err(status::of_get)?;
        Ok(Response::new(proto::GetResponse {
            ring_hash: self.node.snapshot().placement.hash(),
            ..wire::encode_get(&key, *reply, with_siblings)
        }))
    }

    async fn try_put(
        &self,
        request: Request<proto::PutRequest>,
    ) -> Result<Response<proto::PutResponse>, Status> {
        self.check_cluster()?;
        let timeout_ms = timeout_ms(request.metadata())?;
        let request = wire::decode_put(request.into_inner()).map_err(status::of_request)?;
        if self.node.is_disk_full() {
            return Err(status::disk_full());
        }
        let key = request.key.clone();
        let reply = self.store(request, timeout_ms).await?;
        Ok(Response::new(proto::PutResponse {
            ring_hash: self.node.snapshot().placement.hash(),
            ..wire::encode_put(&key, reply)
        }))
    }

    async fn try_delete(
        &self,
        request: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        self.check_cluster()?;
        let timeout_ms = timeout_ms(request.metadata())?;
        let request = wire::decode_delete(request.into_inner()).map_err(status::of_request)?;
        let key = request.key.clone();
        let reply = self.store(request, timeout_ms).await?;
        Ok(Response::new(proto::DeleteResponse {
            ring_hash: self.node.snapshot().placement.hash(),
            ..wire::encode_delete(&key, reply)
        }))
    }

    /// A node outside of a cluster knows no buckets, and must not say that there are none.
    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    fn check_cluster(&self) -> Result<(), Status> {
        match self.node.has_cluster() {
            true => Ok(()),
            false => Err(status::no_cluster()),
        }
    }

    async fn store(&self, request: PutRequest, timeout_ms: u64) -> Result<PutReply, Status> {
        if request.ack == Some(Ack::Durable) && !self.node.store.is_durable() {
            let error = "this node keeps its data in memory and cannot acknowledge durably; ask for `buffered`";
            return Err(status::invalid("NOT_DURABLE", error));
        }
        let reply = self.node.put(request, timeout_ms).await;
        Ok(*reply.map_err(status::of_put)?)
    }
}
