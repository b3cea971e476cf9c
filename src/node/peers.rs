//! The other nodes as this one reaches them: who is connected, and what waits to be sent.
//!
//! Nodes come with the membership and stay for the life of the process: a late answer may still be on its way.
//!
//! A request goes out on the stream that this node dialled, a reply on the stream on which its request
//! came. Connects nothing itself: `dialing` and `listening` do.
//!
//! Invariant: a request that is refused here certainly never left the node; one that was taken is answered,
//! or failed when its stream breaks.

use super::switchboard::Switchboard;
use crate::dynamo::coordinator::request::PutError;
use crate::dynamo::machine::message::{Message, ReplicaFailure};
use crate::dynamo::membership::gossip::Gossip;
use crate::dynamo::names::{NodeId, Ticket};
use crate::dynamo::repair::inquiry::{Answer, Refusal};
use crate::limits::{NODES_KNOWN_MAX, PEER_QUEUE_MAX};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::mpsc;
use tonic::transport::Channel;

/// Streams of one peer that are held at a time; more is a peer that dials without hanging up.
const STREAMS_MAX: usize = 8;

/// All other nodes.
pub struct Peers {
    me: NodeId,
    /// Held to look a link up or to add one; never over an await.
    links: RwLock<BTreeMap<NodeId, Arc<Link>>>,
}

/// What goes to one other node over its stream.
#[derive(Debug)]
pub enum Letter {
    /// From shard to shard.
    Message(Message),
    /// From steward to steward.
    Gossip(Gossip),
}

/// One other node.
#[derive(Default)]
pub struct Link {
    /// Guards the streams' queues and what was asked; never held over an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the stream that this node dialled; none while it is not connected.
    requests: Option<mpsc::Sender<Letter>>,
    /// For other calls over the same connection.
    channel: Option<Channel>,
    /// Of the streams that the peer dialled, latest last. There are several for a moment when it dials again.
    replies: Vec<mpsc::Sender<Letter>>,
    /// Requests that were sent and not answered. Bounded by the conversations of the shards.
    asked: HashMap<Ticket, Asked>,
}

#[derive(Clone, Copy)]
enum Asked {
    Read,
    Write,
    Forward,
    List,
    Repair,
}

impl Peers {
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            links: RwLock::default(),
        }
    }

    pub fn me(&self) -> &NodeId {
        &self.me
    }

    pub fn all(&self) -> Vec<(NodeId, Arc<Link>)> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let pair = |(id, link): (&NodeId, &Arc<Link>)| (id.clone(), Arc::clone(link));
        links.iter().map(pair).collect()
    }

    pub fn link(&self, node: &NodeId) -> Option<Arc<Link>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(node).cloned()
    }

    /// The link to a node, new or not; none if there are too many.
    pub fn meet(&self, node: &NodeId) -> Option<Arc<Link>> {
        if let Some(link) = self.link(node) {
            return Some(link);
        }
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= 2 * NODES_KNOWN_MAX {
            return None;
        }
        Some(Arc::clone(links.entry(node.clone()).or_default()))
    }

    /// Queues a message. The error is what the sender is to be told: the request certainly did not leave.
    pub fn send(&self, to: &NodeId, message: Message) -> Result<(), Option<Box<Message>>> {
        let Some(link) = self.link(to) else {
            return Err(message.undelivered().map(Box::new));
        };
        match asked(&message) {
            Some(kind) => link.send_request(kind, message),
            None if matches!(message, Message::Ping { .. }) => link.send_probe(message),
            None => link.send_reply(message),
        }
    }

    /// Queues gossip, on whichever stream there is. What finds none is lost; the next round brings it.
    pub fn send_gossip(&self, to: &NodeId, gossip: Gossip) {
        if let Some(link) = self.link(to) {
            link.send_gossip(gossip);
        }
    }

    /// The peers that this node is connected to, with a channel to each.
    pub fn connected(&self) -> Vec<(NodeId, Channel)> {
        let channel = |(id, link): (NodeId, Arc<Link>)| Some((id, link.channel()?));
        self.all().into_iter().filter_map(channel).collect()
    }
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_request(&self, kind: Asked, message: Message) -> Result<(), Option<Box<Message>>> {
        let mut state = self.lock();
        let ticket = message.ticket();
        let Some(requests) = &state.requests else {
            return Err(message.undelivered().map(Box::new));
        };
        match requests.try_send(Letter::Message(message)) {
            Ok(()) => {
                state.asked.insert(ticket, kind);
                Ok(())
            }
            Err(error) => match error.into_inner() {
                Letter::Message(message) => Err(message.undelivered().map(Box::new)),
                Letter::Gossip(_) => Err(None),
            },
        }
    }

    /// Not remembered: nobody is told of a probe that got nowhere.
    fn send_probe(&self, message: Message) -> Result<(), Option<Box<Message>>> {
        match &self.lock().requests {
            Some(requests) => requests
                .try_send(Letter::Message(message))
                .map_err(|_| None),
            None => Err(None),
        }
    }

    fn send_reply(&self, message: Message) -> Result<(), Option<Box<Message>>> {
        match self.lock().replies.last() {
            Some(replies) => replies.try_send(Letter::Message(message)).map_err(|_| None),
            None => Err(None),
        }
    }

    fn send_gossip(&self, gossip: Gossip) {
        let state = self.lock();
        let stream = state.requests.as_ref().or(state.replies.last());
        if stream.is_none_or(|stream| stream.try_send(Letter::Gossip(gossip)).is_err()) {
            tracing::trace!("gossip had nowhere to go");
        }
    }

    pub fn is_connected(&self) -> bool {
        self.lock().requests.is_some()
    }

    pub fn channel(&self) -> Option<Channel> {
        self.lock().channel.clone()
    }

    /// The stream that this node dialled is up. Returns what is to be sent on it; none if there is one already.
    pub fn connect(&self, channel: Channel) -> Option<mpsc::Receiver<Letter>> {
        let (requests, queue) = mpsc::channel(PEER_QUEUE_MAX);
        let mut state = self.lock();
        if state.requests.is_some() {
            return None;
        }
        state.requests = Some(requests);
        state.channel = Some(channel);
        Some(queue)
    }

    pub fn on_answer(&self, message: &Message) {
        self.lock().asked.remove(&message.ticket());
    }

    /// The stream that this node dialled is gone: whatever was asked on it is answered with a failure.
    pub async fn disconnect(&self, peer: &NodeId, switchboard: &Switchboard) {
        let asked = {
            let mut state = self.lock();
            state.requests = None;
            state.channel = None;
            std::mem::take(&mut state.asked)
        };
        switchboard.tell_of(peer, false).await;
        for (ticket, kind) in asked {
            switchboard.deliver(peer, broken(ticket, kind)).await;
        }
    }

    /// The peer dialled a stream. Returns what is to be sent back on it.
    pub fn accept(&self) -> (mpsc::Sender<Letter>, mpsc::Receiver<Letter>) {
        let (replies, queue) = mpsc::channel(PEER_QUEUE_MAX);
        let mut state = self.lock();
        if state.replies.len() >= STREAMS_MAX {
            state.replies.remove(0);
        }
        state.replies.push(replies.clone());
        (replies, queue)
    }

    /// A stream that the peer dialled is gone; the others stay.
    pub fn abandon(&self, replies: &mpsc::Sender<Letter>) {
        let mut state = self.lock();
        state.replies.retain(|other| !other.same_channel(replies));
    }
}

fn asked(message: &Message) -> Option<Asked> {
    match message {
        Message::Read { .. } => Some(Asked::Read),
        Message::Write { .. } => Some(Asked::Write),
        Message::Forward { .. } => Some(Asked::Forward),
        Message::List { .. } => Some(Asked::List),
        Message::Repair { .. } => Some(Asked::Repair),
        Message::Repaired { .. } => None,
        Message::ReadReply { .. } | Message::WriteReply { .. } | Message::ForwardReply { .. } => {
            None
        }
        Message::ListReply { .. } => None,
        Message::Ping { .. } | Message::Pong { .. } => None,
    }
}

/// A request whose stream broke may or may not have been served.
fn broken(ticket: Ticket, kind: Asked) -> Message {
    let unreachable = ReplicaFailure::Unreachable;
    match kind {
        Asked::Read => Message::ReadReply {
            ticket,
            outcome: Err(unreachable),
        },
        Asked::Write => Message::WriteReply {
            ticket,
            outcome: Err(unreachable),
        },
        Asked::List => Message::ListReply {
            ticket,
            outcome: Err(unreachable),
        },
        Asked::Repair => Message::Repaired {
            ticket,
            answer: Box::new(Answer::Refused(Refusal::Unreachable)),
        },
        Asked::Forward => Message::ForwardReply {
            ticket,
            outcome: Err(PutError::Unknown {
                acknowledged: 0,
                needed: 1,
                reason: "the connection to the coordinator broke".to_owned(),
            }),
        },
    }
}
