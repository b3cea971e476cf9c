//! All that another node has of one key, asked over the peer listener.
//!
//! Changes nothing there.
//!
//! Invariant: what another node says is decoded within the bounds of any object before it is shown.

use super::dialing::client;
use super::inspecting::{Inspected, Inspector};
use super::server::Node;
use crate::dynamo::names::{Key, NodeId};
use crate::wire::inspection::{decode, encode_request};
use std::sync::Arc;
use std::time::Duration;

/// How long another node may take to answer.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(2);

impl Node {
    pub fn inspector(&self) -> Inspector {
        Inspector {
            switchboard: self.switchboard().clone(),
            store: self.store.clone(),
            registry: Arc::clone(&self.registry),
        }
    }

    /// What another node has of a key, or why that is not known.
    pub async fn inspect_at(&self, node: &NodeId, key: &Key) -> Result<Inspected, String> {
        let link = self.peers.link(node);
        let Some(channel) = link.and_then(|link| link.channel()) else {
            return Err("not connected".to_owned());
        };
        let mut client = client(channel);
        let asked = client.inspect(encode_request(key));
        let reply = match tokio::time::timeout(INSPECT_TIMEOUT, asked).await {
            Ok(Ok(reply)) => reply.into_inner(),
            Ok(Err(status)) => return Err(status.message().to_owned()),
            Err(_) => return Err(format!("no answer within {INSPECT_TIMEOUT:?}")),
        };
        let decoded = decode(reply).map_err(|error| error.to_string())?;
        let (object, replaced, actor, hints) = decoded;
        Ok(Inspected {
            object,
            actor,
            replaced,
            hints,
        })
    }
}
