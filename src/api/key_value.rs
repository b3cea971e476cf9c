//! `rejoin.v1.Kv`.

use super::condition;
use super::deadline::timeout_ms;
use super::keys;
use super::status;
use crate::dynamo::bucket::Ack;
use crate::dynamo::coordinator::request::{PutReply, PutRequest};
use crate::node::server::Node;
use crate::wire::key_value as wire;
use crate::wire::keys::decode_page;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::kv_server::Kv;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Gets, puts, deletes and listings.
pub struct KvService {
    pub node: Arc<Node>,
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn get(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::GetResponse>, Status> {
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
        Ok(Response::new(wire::encode_get(&key, *reply, with_siblings)))
    }

    async fn put(
        &self,
        request: Request<proto::PutRequest>,
    ) -> Result<Response<proto::PutResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        self.put_one(request.into_inner(), timeout_ms)
            .await
            .map(Response::new)
    }

    async fn delete(
        &self,
        request: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let request = wire::decode_delete(request.into_inner()).map_err(status::of_request)?;
        let key = request.key.clone();
        let reply = self.store(request, timeout_ms).await?;
        Ok(Response::new(wire::encode_delete(&key, reply)))
    }

    async fn list_keys(
        &self,
        request: Request<proto::ListKeysRequest>,
    ) -> Result<Response<proto::ListKeysResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let partitions = self.node.ring().partitions();
        let asked = decode_page(request.into_inner(), partitions).map_err(status::of_page)?;
        let page = keys::page(&self.node, &asked, timeout_ms).await?;
        Ok(Response::new(page))
    }
}

impl KvService {
    async fn put_one(
        &self,
        request: proto::PutRequest,
        mut timeout_ms: u64,
    ) -> Result<proto::PutResponse, Status> {
        let condition = wire::decode_condition(request.condition).map_err(status::of_request)?;
        let mut request = wire::decode_put(request).map_err(status::of_request)?;
        if self.node.is_disk_full() {
            return Err(status::disk_full());
        }
        if let Some(condition) = condition {
            let checked = condition::check(&self.node, &request, condition, timeout_ms);
            (request.context, timeout_ms) = checked.await?;
        }
        let key = request.key.clone();
        let reply = self.store(request, timeout_ms).await?;
        Ok(wire::encode_put(&key, reply))
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
