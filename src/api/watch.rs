//! `Kv.Watch`: the changes of this node's copies as a stream.
//!
//! Holds nothing back and nothing ready: a client that does not read is not read for.
//!
//! Invariant: a stream ends with the node, so that stopping does not wait for watchers.

use super::status;
use crate::dynamo::names::BucketName;
use crate::limits::WATCHERS_MAX;
use crate::node::server::Node;
use crate::wire::proto::v1 as proto;
use crate::wire::watch::{Position, encode};
use std::pin::Pin;
use tokio_stream::Stream;
use tonic::Status;

/// What a watcher is sent.
pub type Events = Pin<Box<dyn Stream<Item = Result<proto::WatchResponse, Status>> + Send>>;

/// Opens a stream of changes.
#[allow(clippy::result_large_err)] // Its caller returns it as it is.
pub fn watch(node: &Node, asked: proto::WatchRequest) -> Result<Events, Status> {
    let bucket = BucketName::new(&asked.bucket).map_err(|e| status::invalid("BAD_NAME", e))?;
    let position = Position::decode(asked.position);
    let position = position.map_err(|error| status::invalid("BAD_POSITION", error))?;
    if node.registry.catalog().bucket(&bucket).is_none() {
        let error =
            format!("there is no bucket {bucket}; create it with `rejoin bucket create {bucket}`");
        return Err(status::missing("NO_SUCH_BUCKET", error));
    }
    let Some(watcher) = node.feed.watch(bucket, position.as_ref()) else {
        let error = format!("{WATCHERS_MAX} watch this node already; end some of them");
        return Err(status::too_many("TOO_MANY_WATCHERS", error));
    };
    let clock = node.clock;
    let events = futures_util::stream::unfold(watcher, move |mut watcher| async move {
        let (told, position) = watcher.next().await?;
        let wall_ms = clock.now().wall_ms;
        Some((Ok(encode(told, &position, wall_ms)), watcher))
    });
    Ok(Box::pin(events))
}
