//! The part of `rejoin.v1.Buckets` that lists the keys in conflict.
//!
//! A listing like that of all keys, of which replicas name only those under which several values stand. Where each
//! replica holds one of two values, none has a conflict to show yet; repair brings them together.
//!
//! Invariant: it resolves nothing and writes nothing.

use super::{keys, status};
use crate::dynamo::replica::stretch::Wanted;
use crate::node::server::Node;
use crate::wire::keys::decode_page;
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use tonic::Status;

/// One page of the keys in conflict.
pub async fn page(
    node: &Node,
    asked: proto::ListConflictsRequest,
    timeout_ms: u64,
) -> Result<proto::ListConflictsResponse, Status> {
    let partitions = node.snapshot().placement.partitions();
    let asked = proto::ListKeysRequest {
        bucket: asked.bucket,
        prefix: Bytes::new(),
        page_size: asked.page_size,
        page_token: asked.page_token,
    };
    let mut asked = decode_page(asked, partitions).map_err(status::of_page)?;
    asked.wanted = Wanted::InConflict;
    let page = keys::page(node, &asked, timeout_ms).await?;
    Ok(proto::ListConflictsResponse {
        keys: page.keys,
        next_page_token: page.next_page_token,
    })
}
