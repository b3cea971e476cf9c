//! The other nodes as this one reaches them: who is connected, and what waits to be sent.
//!
//! A request goes out on the stream that this node dialled, a reply on the stream on which its request
//! came. Connects nothing itself: `dialing` and `listening` do.
//!
//! Invariant: a request that is refused here certainly never left the node; one that was taken is answered,
//! or failed when its stream breaks.

use super::switchboard::Switchboard;
use crate::dynamo::coordinator::request::PutError;
use crate::dynamo::machine::message::{Message, ReplicaFailure};
use crate::dynamo::names::{NodeId, Ticket};
use crate::limits::PEER_QUEUE_MAX;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tonic::transport::Channel;

/// All other nodes.
pub struct Peers {
    me: NodeId,
    links: BTreeMap<NodeId, Link>,
}

/// One other node.
pub struct Link {
    pub address: String,
    /// Guards the streams' queues and what was asked; never held over an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the stream that this node dialled; none while it is not connected.
    requests: Option<mpsc::Sender<Message>>,
    /// For other calls over the same connection.
    channel: Option<Channel>,
    /// Of the stream that the peer dialled.
    replies: Option<mpsc::Sender<Message>>,
    /// Requests that were sent and not answered. Bounded by the conversations of the shards.
    asked: HashMap<Ticket, Asked>,
}

#[derive(Clone, Copy)]
enum Asked {
    Read,
    Write,
    Forward,
    List,
}

impl Peers {
    pub fn new(me: NodeId, addresses: impl IntoIterator<Item = (NodeId, String)>) -> Self {
        let link = |address| Link {
            address,
            state: Mutex::default(),
        };
        Self {
            me,
            links: addresses
                .into_iter()
                .map(|(id, address)| (id, link(address)))
                .collect(),
        }
    }

    pub fn me(&self) -> &NodeId {
        &self.me
    }

    pub fn all(&self) -> impl Iterator<Item = (&NodeId, &Link)> {
        self.links.iter()
    }

    pub fn link(&self, node: &NodeId) -> Option<&Link> {
        self.links.get(node)
    }

    /// Queues a message. The error is what the sender is to be told: the request certainly did not leave.
    pub fn send(&self, to: &NodeId, message: Message) -> Result<(), Option<Message>> {
        let Some(link) = self.links.get(to) else {
            return Err(message.undelivered());
        };
        match asked(&message) {
            Some(kind) => link.send_request(kind, message),
            None => link.send_reply(message),
        }
    }

    /// The peers that this node is connected to, with a channel to each.
    pub fn connected(&self) -> Vec<(NodeId, Channel)> {
        let channel = |(id, link): (&NodeId, &Link)| Some((id.clone(), link.channel()?));
        self.links.iter().filter_map(channel).collect()
    }
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_request(&self, kind: Asked, message: Message) -> Result<(), Option<Message>> {
        let mut state = self.lock();
        let ticket = message.ticket();
        let Some(requests) = &state.requests else {
            return Err(message.undelivered());
        };
        match requests.try_send(message) {
            Ok(()) => {
                state.asked.insert(ticket, kind);
                Ok(())
            }
            Err(error) => Err(error.into_inner().undelivered()),
        }
    }

    fn send_reply(&self, message: Message) -> Result<(), Option<Message>> {
        match &self.lock().replies {
            Some(replies) => replies.try_send(message).map_err(|_| None),
            None => Err(None),
        }
    }

    pub fn is_connected(&self) -> bool {
        self.lock().requests.is_some()
    }

    pub fn channel(&self) -> Option<Channel> {
        self.lock().channel.clone()
    }

    /// The stream that this node dialled is up. Returns what is to be sent on it.
    pub fn connect(&self, channel: Channel) -> mpsc::Receiver<Message> {
        let (requests, queue) = mpsc::channel(PEER_QUEUE_MAX);
        let mut state = self.lock();
        state.requests = Some(requests);
        state.channel = Some(channel);
        queue
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
        for (ticket, kind) in asked {
            switchboard.deliver(peer, broken(ticket, kind)).await;
        }
    }

    /// The peer dialled a stream. Returns what is to be sent back on it.
    pub fn accept(&self) -> (mpsc::Sender<Message>, mpsc::Receiver<Message>) {
        let (replies, queue) = mpsc::channel(PEER_QUEUE_MAX);
        self.lock().replies = Some(replies.clone());
        (replies, queue)
    }

    /// A stream that the peer dialled is gone; a later one stays.
    pub fn abandon(&self, replies: &mpsc::Sender<Message>) {
        let mut state = self.lock();
        if state
            .replies
            .as_ref()
            .is_some_and(|current| current.same_channel(replies))
        {
            state.replies = None;
        }
    }
}

fn asked(message: &Message) -> Option<Asked> {
    match message {
        Message::Read { .. } => Some(Asked::Read),
        Message::Write { .. } => Some(Asked::Write),
        Message::Forward { .. } => Some(Asked::Forward),
        Message::List { .. } => Some(Asked::List),
        Message::ReadReply { .. } | Message::WriteReply { .. } | Message::ForwardReply { .. } => {
            None
        }
        Message::ListReply { .. } => None,
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
