//! Keeps one stream to every other node, for as long as this node runs.
//!
//! Long-lived and batched: many messages travel in one frame when many wait. Knows nothing of what they say.
//!
//! Invariant: a peer counts as connected only after both sides have named the same cluster and ring.

use super::peers::{Link, Peers};
use super::switchboard::Switchboard;
use crate::dynamo::machine::message::Message;
use crate::dynamo::names::NodeId;
use crate::limits::PEER_MESSAGE_BYTES_MAX;
use crate::wire::peer::{decode, encode};
use crate::wire::proto::peer::peer_client::PeerClient;
use crate::wire::proto::peer::{Frame, Hello};
use anyhow::Context as _;
use futures_util::{FutureExt as _, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// Of the protocol between nodes.
pub const PROTOCOL: u32 = 1;
/// Messages of one frame.
const BATCH_MAX: usize = 256;
/// From here on a frame is full.
const BATCH_BYTES: usize = 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// From the first packet to the peer's hello.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// Flow control of one stream: enough for the values of a busy moment.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Who this node is towards its peers.
#[derive(Debug, Clone)]
pub struct Identity {
    pub cluster: String,
    pub node: NodeId,
    pub ring_hash: u64,
}

impl Identity {
    pub fn hello(&self) -> Frame {
        Frame {
            hello: Some(Hello {
                cluster: self.cluster.clone(),
                node: self.node.as_str().to_owned(),
                version: PROTOCOL,
                ring_hash: self.ring_hash,
            }),
            envelopes: Vec::new(),
        }
    }

    /// The name of the peer behind a first frame, if it belongs to this cluster.
    pub fn check(&self, frame: Frame) -> Result<NodeId, Status> {
        let hello = frame
            .hello
            .ok_or_else(|| Status::invalid_argument("the first frame has no hello"))?;
        if hello.cluster != self.cluster {
            return Err(Status::failed_precondition(format!(
                "this is the cluster {:?}, not {:?}; check `cluster` in the configuration",
                self.cluster, hello.cluster
            )));
        }
        if hello.version != PROTOCOL {
            return Err(Status::failed_precondition(format!(
                "this node speaks version {PROTOCOL} of the peer protocol, not {}",
                hello.version
            )));
        }
        if hello.ring_hash != self.ring_hash {
            return Err(Status::failed_precondition(
                "the members or partitions differ; `members` and `partitions` must be the same on every node",
            ));
        }
        NodeId::new(&hello.node).map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

/// Dials one peer again and again until `stopping` says so.
pub async fn keep_connected(
    peer: NodeId,
    identity: Identity,
    peers: Arc<Peers>,
    switchboard: Switchboard,
    mut stopping: watch::Receiver<bool>,
) {
    let Some(link) = peers.link(&peer) else {
        return;
    };
    let mut backoff = BACKOFF_MIN;
    loop {
        let dialled = tokio::select! {
            dialled = dial(&peer, &identity, link, &switchboard) => dialled,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match dialled {
            Ok(()) => backoff = BACKOFF_MIN,
            Err(error) => tracing::debug!(%peer, %error, "not connected"),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            _ = stopping.wait_for(|stop| *stop) => break,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
    link.disconnect(&peer, &switchboard).await;
}

/// Connects, and serves the stream until it breaks. Ok: it was up for a while.
async fn dial(
    peer: &NodeId,
    identity: &Identity,
    link: &Link,
    switchboard: &Switchboard,
) -> anyhow::Result<()> {
    // A connection that is closed while it is being set up has been seen to leave the call without an answer.
    let opening = tokio::time::timeout(OPEN_TIMEOUT, open(peer, identity, link));
    let mut opened = opening
        .await
        .context("opening the stream took too long")??;
    let queue = link.connect(opened.channel);
    if opened.first.send(queue).await.is_err() {
        link.disconnect(peer, switchboard).await;
        anyhow::bail!("the stream broke at once");
    }
    tracing::info!(%peer, address = %link.address, "connected");
    switchboard.tell_of(peer, true).await;
    let ended = serve(peer, link, switchboard, &mut opened.incoming).await;
    link.disconnect(peer, switchboard).await;
    tracing::info!(%peer, reason = %ended, "disconnected");
    Ok(())
}

/// A stream to a peer that has said who it is.
struct Opened {
    channel: Channel,
    /// Takes the queue of what is to be sent.
    first: mpsc::Sender<mpsc::Receiver<Message>>,
    incoming: Streaming<Frame>,
}

async fn open(peer: &NodeId, identity: &Identity, link: &Link) -> anyhow::Result<Opened> {
    let channel = endpoint(&link.address)?.connect().await?;
    let (first, rest) = mpsc::channel(1);
    let mut client = PeerClient::new(channel.clone())
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
    let outgoing = outgoing(identity.hello(), rest);
    let mut incoming = client.link(Request::new(outgoing)).await?.into_inner();
    let hello = incoming.message().await?;
    let named = identity.check(hello.unwrap_or_default())?;
    anyhow::ensure!(named == *peer, "{} is {named}, not {peer}", link.address);
    Ok(Opened {
        channel,
        first,
        incoming,
    })
}

fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES))
}

/// The hello, and once the peer has answered it, whatever is queued.
fn outgoing(
    hello: Frame,
    mut queue: mpsc::Receiver<mpsc::Receiver<Message>>,
) -> impl Stream<Item = Frame> + Send + 'static {
    let frames = async move {
        match queue.recv().await {
            Some(queue) => frames(queue).left_stream(),
            None => futures_util::stream::empty().right_stream(),
        }
    };
    tokio_stream::once(hello).chain(frames.flatten_stream())
}

/// Queued messages, as many in one frame as wait.
pub fn frames(queue: mpsc::Receiver<Message>) -> impl Stream<Item = Frame> + Send + 'static {
    futures_util::stream::unfold(queue, async |mut queue| {
        let first = queue.recv().await?;
        let mut bytes = first.size_bytes();
        let mut envelopes = vec![encode(&first)];
        while envelopes.len() < BATCH_MAX && bytes < BATCH_BYTES {
            let Ok(message) = queue.try_recv() else { break };
            bytes += message.size_bytes();
            envelopes.push(encode(&message));
        }
        let frame = Frame {
            hello: None,
            envelopes,
        };
        Some((frame, queue))
    })
}

/// Hands answers to their shards until the stream ends; says why it did.
async fn serve(
    peer: &NodeId,
    link: &Link,
    switchboard: &Switchboard,
    incoming: &mut Streaming<Frame>,
) -> String {
    loop {
        match incoming.message().await {
            Ok(Some(frame)) => {
                for message in messages(peer, frame) {
                    link.on_answer(&message);
                    switchboard.deliver(peer, message).await;
                }
            }
            Ok(None) => return "the peer closed the stream".to_owned(),
            Err(status) => return status.message().to_owned(),
        }
    }
}

/// What a frame holds, without what cannot be believed.
pub fn messages(peer: &NodeId, frame: Frame) -> impl Iterator<Item = Message> {
    frame
        .envelopes
        .into_iter()
        .filter_map(move |envelope| match decode(envelope) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::warn!(%peer, %error, "a message was dropped");
                None
            }
        })
}

/// A client for the calls beside the stream.
pub fn client(channel: Channel) -> PeerClient<Channel> {
    PeerClient::new(channel)
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
}
