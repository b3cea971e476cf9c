//! `rejoin.v1.Kv`.

use super::access::permission::{Permission, each, each_put};
use super::batch::{Item, Replies, Scale, answer_all};
use super::condition;
use super::deadline::{asked_ms, timeout_ms};
use super::keys;
use super::measuring::Begun;
use super::status;
use super::traced::traced;
use super::watch::{self, Events};
use crate::dynamo::bucket::Ack;
use crate::dynamo::coordinator::request::{GetError, PutError, PutReply, PutRequest};
use crate::limits::BATCHES_MAX;
use crate::node::metrics::Operation;
use crate::node::server::Node;
use crate::node::unread::Account;
use crate::wire::key_value as wire;
use crate::wire::keys::decode_page;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::kv_server::Kv;
use prost::Message;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

/// Gets, puts, deletes, listings and batches.
#[derive(Clone)]
pub struct KvService {
    node: Arc<Node>,
    /// Places for batches.
    batches: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Kv for KvService {
    type BatchGetStream = Replies<proto::BatchGetReply>;
    type BatchPutStream = Replies<proto::BatchPutReply>;

    async fn get(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::GetResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let (metadata, _, asked) = request.into_parts();
        traced("get", &metadata, self.get_one(asked, timeout_ms)).await
    }

    async fn put(
        &self,
        request: Request<proto::PutRequest>,
    ) -> Result<Response<proto::PutResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let (metadata, _, asked) = request.into_parts();
        traced("put", &metadata, self.put_one(asked, timeout_ms)).await
    }

    async fn delete(
        &self,
        request: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let (metadata, _, asked) = request.into_parts();
        traced("delete", &metadata, self.delete_one(asked, timeout_ms)).await
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

    async fn list_keys(
        &self,
        request: Request<proto::ListKeysRequest>,
    ) -> Result<Response<proto::ListKeysResponse>, Status> {
        let timeout_ms = timeout_ms(request.metadata())?;
        let partitions = self.node.snapshot().placement.partitions();
        let asked = decode_page(request.into_inner(), partitions).map_err(status::of_page)?;
        let page = keys::page(&self.node, &asked, timeout_ms).await?;
        Ok(Response::new(page))
    }

    async fn batch_get(
        &self,
        request: Request<Streaming<proto::GetRequest>>,
    ) -> Result<Response<Self::BatchGetStream>, Status> {
        use proto::batch_get_reply::Outcome;
        let (service, permission) = (self.clone(), Permission::of(&request)?);
        let turned_away = |index, error| proto::BatchGetReply {
            index,
            outcome: Some(Outcome::Error(error)),
        };
        self.batch(request, Some(turned_away), move |item| {
            let (service, index) = (service.clone(), item.index);
            let permission = permission.clone();
            async move {
                let serve = |asked| service.get_one(asked, item.timeout_ms);
                let outcome = match each(&permission, item.request, serve).await {
                    Ok(response) => Outcome::Response(response),
                    Err(status) => Outcome::Error(status::of_item(&status)),
                };
                proto::BatchGetReply {
                    index,
                    outcome: Some(outcome),
                }
            }
        })
    }

    async fn batch_put(
        &self,
        request: Request<Streaming<proto::PutRequest>>,
    ) -> Result<Response<Self::BatchPutStream>, Status> {
        use proto::batch_put_reply::Outcome;
        let (service, permission) = (self.clone(), Permission::of(&request)?);
        self.batch(request, None, move |item| {
            let (service, index) = (service.clone(), item.index);
            let permission = permission.clone();
            async move {
                let serve = |asked| service.put_one(asked, item.timeout_ms);
                let outcome = match each_put(&permission, item.request, serve).await {
                    Ok(response) => Outcome::Response(response),
                    Err(status) => Outcome::Error(status::of_item(&status)),
                };
                proto::BatchPutReply {
                    index,
                    outcome: Some(outcome),
                }
            }
        })
    }
}

impl KvService {
    pub fn new(node: Arc<Node>) -> Self {
        let batches = Arc::new(Semaphore::new(BATCHES_MAX));
        Self { node, batches }
    }

    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    fn batch<Q, P, F>(
        &self,
        request: Request<Streaming<Q>>,
        turned_away: Option<fn(u64, proto::ItemError) -> P>,
        answer: impl Fn(Item<Q>) -> F + Send + 'static,
    ) -> Result<Response<Replies<P>>, Status>
    where
        Q: Send + 'static,
        P: Message + 'static,
        F: Future<Output = P> + Send + 'static,
    {
        let Some(account) = Account::of(&request) else {
            let error = "nobody counts what this connection leaves unread";
            return Err(status::internal(error.to_owned()));
        };
        let scale = Scale {
            account,
            turned_away,
        };
        let call_ms = asked_ms(request.metadata())?;
        let place = Arc::clone(&self.batches).try_acquire_owned();
        let place = place.map_err(|_| status::too_many_batches())?;
        let replies = answer_all(request.into_inner(), place, call_ms, scale, answer);
        Ok(Response::new(replies))
    }

    async fn get_one(
        &self,
        request: proto::GetRequest,
        timeout_ms: u64,
    ) -> Result<proto::GetResponse, Status> {
        let begun = Begun::new(&request.bucket, Operation::Get);
        let outcome = self.try_get(request, timeout_ms).await;
        begun.end(&self.node, &outcome);
        outcome
    }

    async fn try_get(
        &self,
        request: proto::GetRequest,
        timeout_ms: u64,
    ) -> Result<proto::GetResponse, Status> {
        self.check_cluster()?;
        let with_siblings = request.with_siblings;
        let request = wire::decode_get(request).map_err(status::of_request)?;
        let key = request.key.clone();
        let reply = self.node.get(request, timeout_ms).await;
        if let Err(GetError::NoSuchBucket(bucket)) = &reply {
            status::check_heard(&self.node, bucket)?;
        }
        let reply = reply.map_err(status::of_get)?;
        Ok(proto::GetResponse {
            ring_hash: self.node.snapshot().placement.hash(),
            ..wire::encode_get(&key, *reply, with_siblings)
        })
    }

    async fn put_one(
        &self,
        request: proto::PutRequest,
        timeout_ms: u64,
    ) -> Result<proto::PutResponse, Status> {
        let begun = Begun::new(&request.bucket, Operation::Put);
        let outcome = self.try_put(request, timeout_ms).await;
        begun.end(&self.node, &outcome);
        outcome
    }

    async fn try_put(
        &self,
        request: proto::PutRequest,
        mut timeout_ms: u64,
    ) -> Result<proto::PutResponse, Status> {
        self.check_cluster()?;
        let condition = wire::decode_condition(request.condition).map_err(status::of_request)?;
        let mut request = wire::decode_put(request).map_err(status::of_request)?;
        if let Some(condition) = condition {
            let checked = condition::check(&self.node, &request, condition, timeout_ms);
            (request.context, timeout_ms) = checked.await?;
        }
        let key = request.key.clone();
        let reply = self.store(request, timeout_ms).await?;
        Ok(proto::PutResponse {
            ring_hash: self.node.snapshot().placement.hash(),
            ..wire::encode_put(&key, reply)
        })
    }

    async fn delete_one(
        &self,
        request: proto::DeleteRequest,
        timeout_ms: u64,
    ) -> Result<proto::DeleteResponse, Status> {
        let begun = Begun::new(&request.bucket, Operation::Delete);
        let outcome = self.try_delete(request, timeout_ms).await;
        begun.end(&self.node, &outcome);
        outcome
    }

    async fn try_delete(
        &self,
        request: proto::DeleteRequest,
        timeout_ms: u64,
    ) -> Result<proto::DeleteResponse, Status> {
        self.check_cluster()?;
        let request = wire::decode_delete(request).map_err(status::of_request)?;
        let key = request.key.clone();
        let reply = self.store(request, timeout_ms).await?;
        Ok(proto::DeleteResponse {
            ring_hash: self.node.snapshot().placement.hash(),
            ..wire::encode_delete(&key, reply)
        })
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
        let is_durable = request.ack == Some(Ack::Durable) || request.dw.is_some_and(|dw| dw > 0);
        if is_durable && !self.node.store.is_durable() {
            let error = "this node keeps its data in memory and cannot acknowledge durably; ask for `buffered`, and for no dw";
            return Err(status::invalid("NOT_DURABLE", error));
        }
        let reply = self.node.put(request, timeout_ms).await;
        if let Err(PutError::NoSuchBucket(bucket)) = &reply {
            status::check_heard(&self.node, bucket)?;
        }
        Ok(*reply.map_err(status::of_put)?)
    }
}
