//! Keeps one stream to every other node, for as long as this node runs.
//!
//! Long-lived and batched: many messages travel in one frame when many wait. Knows nothing of what they say.
//!
//! Invariant: a peer counts as connected only after both sides have said who they are (`hello`).

use super::certificates::{connect, peer_url};
use super::hello::{Identity, check_named};
use super::peers::{Letter, Link, Peers};
use super::registry::Registry;
use super::switchboard::Switchboard;
use crate::dynamo::membership::gossip::Gossip;
use crate::dynamo::names::NodeId;
use crate::limits::PEER_MESSAGE_BYTES_MAX;
use crate::security::tethers::Tether;
use crate::security::transport::Transport;
use crate::wire::peer::{decode, encode};
use crate::wire::proto::peer::Frame;
use crate::wire::proto::peer::peer_client::PeerClient;
use anyhow::Context as _;
use futures_util::{FutureExt as _, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

/// Messages of one frame.
const BATCH_MAX: usize = 256;
/// From here on a frame is full.
const BATCH_BYTES: usize = 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// A peer that is silent for longer is gone, or so busy that others should be asked.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first packet to the peer's hello.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// How soon a peer that another task has dialled already is looked at again.
const AGAIN_INTERVAL: Duration = Duration::from_secs(1);
/// How soon a peer is dialled again whose certificate was refused, or that refused ours: somebody has to act first, and
/// each attempt is a line in its log.
const REFUSED_INTERVAL: Duration = Duration::from_secs(5);
/// How soon a seed is looked at again that need not be dialled.
const SEED_INTERVAL: Duration = Duration::from_secs(10);
/// Flow control of one stream: enough for the values of a busy moment.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Whom to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A node that is known by name.
    Node(NodeId),
    /// Whoever is there: it says its name (4.8.2).
    Seed,
}

/// What a dialled connection serves.
#[derive(Clone)]
pub struct Exchange {
    pub identity: Identity,
    pub peers: Arc<Peers>,
    pub switchboard: Switchboard,
    pub registry: Arc<Registry>,
    pub transport: Arc<Transport>,
}

/// Dials one address again and again until `stopping` says so.
pub async fn keep_connected(
    target: Target,
    address: String,
    exchange: Exchange,
    mut stopping: watch::Receiver<bool>,
) {
    let mut backoff = BACKOFF_MIN;
    let mut complaint = Complaint::default();
    let mut seen = match &target {
        Target::Node(peer) => Some(peer.clone()),
        Target::Seed => None,
    };
    loop {
        let mut met = None;
        let dialled = tokio::select! {
            dialled = exchange.dial(&address, &mut seen, &mut met) => Some(dialled),
            _ = stopping.wait_for(|stop| *stop) => None,
        };
        let Some(dialled) = dialled else {
            return exchange.part(met).await;
        };
        let pause = match dialled {
            Ok(Dialled::Served) => {
                backoff = BACKOFF_MIN;
                backoff
            }
            Ok(Dialled::NotNeeded) => match &target {
                Target::Node(_) => AGAIN_INTERVAL,
                Target::Seed => SEED_INTERVAL,
            },
            Err(error) => {
                let is_refused = complaint.about(&target, &address, format!("{error:#}"));
                if target == Target::Seed {
                    seen = None; // Somebody else may be there now.
                }
                if is_refused {
                    REFUSED_INTERVAL
                } else {
                    backoff
                }
            }
        };
        exchange.part(met).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.wait_for(|stop| *stop) => break,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Says once why a peer that is there cannot be talked to: an operator has to do something about it. That a peer is not
/// there is no news.
#[derive(Default)]
struct Complaint {
    last: String,
}

impl Complaint {
    /// Whether it is of that kind.
    fn about(&mut self, target: &Target, address: &str, error: String) -> bool {
        let is_refusal = ["certificate", "alert", "corrupt message"]
            .iter()
            .any(|word| error.contains(word));
        match is_refusal && error != self.last {
            true => tracing::warn!(?target, address, error, "not connected"),
            false => tracing::debug!(?target, address, error, "not connected"),
        }
        if is_refusal {
            self.last = error;
        }
        is_refusal
    }
}

enum Dialled {
    /// It was up for a while.
    Served,
    /// Somebody that this node is connected to already, or is itself.
    NotNeeded,
}

impl Exchange {
    /// Connects, and serves the stream until it breaks. `seen` is who has to be there, or was; `met` is who has to be
    /// told when it ends.
    async fn dial(
        &self,
        address: &str,
        seen: &mut Option<NodeId>,
        met: &mut Option<(NodeId, Arc<Link>)>,
    ) -> anyhow::Result<Dialled> {
        let known = seen.as_ref().and_then(|peer| self.peers.link(peer));
        let is_me = seen.as_ref() == Some(self.peers.me());
        if is_me || known.is_some_and(|link| link.is_connected()) {
            return Ok(Dialled::NotNeeded);
        }
        // A connection that is closed while it is being set up has been seen to leave the call without an answer.
        let opening = tokio::time::timeout(OPEN_TIMEOUT, self.open(address, seen.as_ref()));
        let mut opened = opening
            .await
            .context("opening the stream took too long")??;
        let peer = opened.peer.clone();
        let is_seed = seen.is_none();
        if let Some(expected) = seen {
            anyhow::ensure!(peer == *expected, "{address} is {peer}, not {expected}");
        }
        let link = self.peers.meet(&peer).context("too many nodes are known")?;
        *seen = Some(peer.clone());
        if peer == *self.peers.me() {
            return Ok(Dialled::NotNeeded);
        }
        let Some(queue) = link.connect(opened.channel) else {
            self.registry.seed(peer);
            return Ok(Dialled::NotNeeded);
        };
        *met = Some((peer.clone(), Arc::clone(&link)));
        anyhow::ensure!(
            opened.first.send(queue).await.is_ok(),
            "the stream broke at once"
        );
        tracing::info!(%peer, address, "connected");
        self.switchboard.tell_of(&peer, true).await;
        if is_seed {
            self.registry.seed(peer.clone());
        }
        let reason = tokio::select! {
            reason = self.serve(&peer, &link, &mut opened.incoming) => reason,
            () = is_cut(&mut opened.tether) => "the certificate of the peer is revoked".to_owned(),
        };
        tracing::info!(%peer, reason, "disconnected");
        Ok(Dialled::Served)
    }

    async fn open(&self, address: &str, expected: Option<&NodeId>) -> anyhow::Result<Opened> {
        let endpoint = endpoint(peer_url(&self.transport, address))?;
        let connected = connect(&self.transport, endpoint, expected).await?;
        let (first, rest) = mpsc::channel(1);
        let outgoing = outgoing(self.identity.hello(), rest);
        let mut client = client(connected.channel.clone());
        let mut incoming = client.link(Request::new(outgoing)).await?.into_inner();
        let hello = incoming.message().await?;
        let peer = self.identity.check(hello.unwrap_or_default())?;
        if let Some(named) = &connected.certificate {
            check_named(&peer, named.as_str())?;
        }
        Ok(Opened {
            peer,
            channel: connected.channel,
            first,
            incoming,
            tether: connected.tether,
        })
    }

    /// The stream is gone: whatever was asked on it is answered with a failure.
    async fn part(&self, met: Option<(NodeId, Arc<Link>)>) {
        if let Some((peer, link)) = met {
            link.disconnect(&peer, &self.switchboard).await;
        }
    }

    /// Hands answers to their shards until the stream ends; says why it did.
    async fn serve(&self, peer: &NodeId, link: &Link, incoming: &mut Streaming<Frame>) -> String {
        loop {
            match incoming.message().await {
                Ok(Some(frame)) => {
                    for letter in letters(peer, frame) {
                        match letter {
                            Letter::Message(message) => {
                                link.on_answer(&message);
                                self.switchboard.deliver(peer, message).await;
                            }
                            Letter::Gossip(gossip) => self.registry.hear(peer.clone(), gossip),
                        }
                    }
                }
                Ok(None) => return "the peer closed the stream".to_owned(),
                Err(status) => return status.message().to_owned(),
            }
        }
    }
}

/// A stream to a peer that has said who it is.
struct Opened {
    peer: NodeId,
    channel: Channel,
    /// Takes the queue of what is to be sent.
    first: mpsc::Sender<mpsc::Receiver<Letter>>,
    incoming: Streaming<Frame>,
    tether: Option<Tether>,
}

/// Never, on a connection without certificates.
async fn is_cut(tether: &mut Option<Tether>) {
    match tether {
        Some(tether) => tether.is_cut().await,
        None => std::future::pending().await,
    }
}

fn endpoint(url: String) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::from_shared(url)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES))
}

/// The hello, and once the peer has answered it, whatever is queued.
fn outgoing(
    hello: Frame,
    mut queue: mpsc::Receiver<mpsc::Receiver<Letter>>,
) -> impl Stream<Item = Frame> + Send + 'static {
    let frames = async move {
        match queue.recv().await {
            Some(queue) => frames(queue).left_stream(),
            None => futures_util::stream::empty().right_stream(),
        }
    };
    tokio_stream::once(hello).chain(frames.flatten_stream())
}

/// Queued letters, as many in one frame as wait.
pub fn frames(queue: mpsc::Receiver<Letter>) -> impl Stream<Item = Frame> + Send + 'static {
    futures_util::stream::unfold(queue, async |mut queue| {
        let mut frame = Frame::default();
        let mut bytes = enclose(&mut frame, queue.recv().await?);
        let mut letters = 1;
        while letters < BATCH_MAX && bytes < BATCH_BYTES {
            let Ok(letter) = queue.try_recv() else { break };
            bytes += enclose(&mut frame, letter);
            letters += 1;
        }
        Some((frame, queue))
    })
}

/// Puts a letter into a frame; says what it weighs.
fn enclose(frame: &mut Frame, letter: Letter) -> usize {
    match letter {
        Letter::Message(message) => {
            frame.envelopes.push(encode(&message));
            message.size_bytes()
        }
        Letter::Gossip(gossip) => {
            let gossip = gossip.encode();
            let bytes = gossip.len();
            frame.gossip.push(gossip);
            bytes
        }
    }
}

/// What a frame holds, without what cannot be believed.
pub fn letters(peer: &NodeId, frame: Frame) -> impl Iterator<Item = Letter> {
    let believed = move |letter: Result<Letter, String>| match letter {
        Ok(letter) => Some(letter),
        Err(error) => {
            tracing::warn!(%peer, error, "a message was dropped");
            None
        }
    };
    let message = |envelope| match decode(envelope) {
        Ok(message) => Ok(Letter::Message(message)),
        Err(error) => Err(error.to_string()),
    };
    let gossip = |bytes| match Gossip::decode(bytes) {
        Ok(gossip) => Ok(Letter::Gossip(gossip)),
        Err(error) => Err(format!("gossip {error}")),
    };
    let messages = frame.envelopes.into_iter().map(message);
    let gossip = frame.gossip.into_iter().map(gossip);
    messages.chain(gossip).filter_map(believed)
}

/// A client for the calls beside the stream.
pub fn client(channel: Channel) -> PeerClient<Channel> {
    PeerClient::new(channel)
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
}
