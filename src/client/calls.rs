//! Gets and puts on their way: which node is asked, and which one next (Dynamo 5, 6.4).
//!
//! What a failure means is for `retry` to say, who can be asked for `placement`.
//!
//! Invariant: a call ends by its deadline, and a put is under way at one node at a time.

use super::error::Error;
use super::membership::{Membership, within};
use super::nodes::Line;
use super::placement::Target;
use super::retry::{Judged, backoff, judge_get, judge_put};
use super::value::{Read, Written};
use crate::dynamo::causality::context;
use crate::dynamo::names::{Key, NodeId};
use crate::limits::CLIENT_ATTEMPTS_MAX;
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Status};

/// A put or a delete.
#[derive(Debug, Clone)]
pub enum Write {
    Put(proto::PutRequest),
    Delete(proto::DeleteRequest),
}

/// One request and its attempts.
struct Call<'a> {
    membership: &'a Membership,
    key: &'a Key,
    /// Of the key's bucket: how many of the owners keep the key.
    n: u8,
    fastest: Option<NodeId>,
    deadline: Instant,
    attempts: u32,
}

/// Leave to send one request to one node.
struct Turn {
    line: Arc<Line>,
    /// How long the answer may take.
    left: Duration,
    _place: OwnedSemaphorePermit,
}

/// Why a node is not asked.
enum NoTurn {
    /// It has too many requests of this client under way, or no address.
    Skip,
    /// Attempts or time are used up.
    Over,
}

/// A get from any node that keeps the key, whose answer `fits`; others are asked again, elsewhere.
pub async fn get(
    membership: &Membership,
    key: &Key,
    asked: proto::GetRequest,
    deadline: Instant,
    fits: impl Fn(&Read) -> bool,
) -> Result<Read, Error> {
    let mut call = Call::of(membership, key, None, deadline).await?;
    let mut last = Error::Unanswered {
        message: "the time was up before a node was asked".to_owned(),
    };
    while call.may_try() {
        for target in call.candidates() {
            let turn = match call.turn(&target).await {
                Ok(turn) => turn,
                Err(NoTurn::Skip) => continue,
                Err(NoTurn::Over) => return Err(last),
            };
            // Half of the time, so that a node that hangs leaves some for the next.
            match send_get(&turn.line, &asked, &target, turn.left / 2).await {
                Ok((read, ring_hash)) => {
                    turn.line.on_answer();
                    membership.on_ring_hash(ring_hash);
                    if fits(&read) {
                        return Ok(read);
                    }
                    last = Error::Behind;
                }
                Err(status) => last = call.judge(&turn.line, judge_get(&status))?,
            }
            drop(turn);
            call.pause().await;
        }
    }
    Err(last)
}

/// A put at a node that keeps the key, at first the one that its context names as the fastest.
pub async fn put(
    membership: &Membership,
    key: &Key,
    write: &Write,
    deadline: Instant,
) -> Result<Written, Error> {
    let fastest = fastest(key, write.context());
    let mut call = Call::of(membership, key, fastest, deadline).await?;
    let mut last = Error::NotStored {
        reason: "DEADLINE".to_owned(),
        message: "the time was up before a node was asked".to_owned(),
    };
    while call.may_try() {
        for target in call.candidates() {
            let turn = match call.turn(&target).await {
                Ok(turn) => turn,
                Err(NoTurn::Skip) => continue,
                Err(NoTurn::Over) => return Err(last),
            };
            match send_put(&turn.line, write, &target, turn.left).await {
                Ok((written, ring_hash)) => {
                    turn.line.on_answer();
                    membership.on_ring_hash(ring_hash);
                    if target
                        .node
                        .is_some_and(|node| node.as_str() != written.coordinator)
                    {
                        membership.suspect(); // It had to be passed on.
                    }
                    return Ok(written);
                }
                Err(status) => last = call.judge(&turn.line, judge_put(&target.url, &status))?,
            }
            drop(turn);
            call.pause().await;
        }
    }
    Err(last)
}

impl<'a> Call<'a> {
    async fn of(
        membership: &'a Membership,
        key: &'a Key,
        fastest: Option<NodeId>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        Ok(Self {
            n: membership.replicas(key, deadline).await?,
            membership,
            key,
            fastest,
            deadline,
            attempts: 0,
        })
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn may_try(&self) -> bool {
        self.attempts < CLIENT_ATTEMPTS_MAX && !self.left().is_zero()
    }

    fn candidates(&self) -> Vec<Target> {
        let nodes = &self.membership.nodes;
        let turn = rand::random::<u32>() as usize;
        let fastest = self.fastest.as_ref();
        let placement = self.membership.placement();
        placement.candidates(self.key, self.n, fastest, turn, |url| nodes.is_avoided(url))
    }

    /// Waits for a place at a node, half of the time that is left at most.
    async fn turn(&mut self, target: &Target) -> Result<Turn, NoTurn> {
        if !self.may_try() {
            return Err(NoTurn::Over);
        }
        self.attempts += 1;
        let line = self.membership.nodes.line(&target.url);
        let line = line.map_err(|_| NoTurn::Skip)?;
        let place = Arc::clone(&line.places).acquire_owned();
        match tokio::time::timeout(self.left() / 2, place).await {
            Ok(Ok(place)) => Ok(Turn {
                line,
                left: self.left(),
                _place: place,
            }),
            Ok(Err(_)) | Err(_) => Err(NoTurn::Skip),
        }
    }

    /// What the user is told if nothing better comes, or at once if nothing may follow.
    fn judge(&self, line: &Line, judged: Judged) -> Result<Error, Error> {
        match judged.is_node_unwell {
            true => {
                line.on_failure(rand::random());
                self.membership.suspect();
            }
            false => line.on_answer(),
        }
        match judged.may_go_on {
            true => Ok(judged.error),
            false => Err(judged.error),
        }
    }

    async fn pause(&self) {
        let pause = backoff(self.attempts, rand::random());
        tokio::time::sleep(pause.min(self.left())).await;
    }
}

impl Write {
    fn context(&self) -> &Bytes {
        match self {
            Self::Put(put) => &put.context,
            Self::Delete(delete) => &delete.context,
        }
    }
}

/// Who answered the get before this put fastest (5). What is no context is for a node to refuse.
fn fastest(key: &Key, bytes: &Bytes) -> Option<NodeId> {
    let context = context::Context::decode(bytes.clone(), key);
    context.ok().and_then(|context| context.fastest)
}

async fn send_get(
    line: &Line,
    asked: &proto::GetRequest,
    target: &Target,
    timeout: Duration,
) -> Result<(Read, u64), Status> {
    let reply = within(timeout, line.kv().get(timed(asked.clone(), timeout))).await?;
    let ring_hash = reply.ring_hash;
    Ok((Read::of(reply, &target.url), ring_hash))
}

async fn send_put(
    line: &Line,
    write: &Write,
    target: &Target,
    timeout: Duration,
) -> Result<(Written, u64), Status> {
    match write {
        Write::Put(put) => {
            let reply = within(timeout, line.kv().put(timed(put.clone(), timeout))).await?;
            let ring_hash = reply.ring_hash;
            Ok((Written::of_put(reply, &target.url), ring_hash))
        }
        Write::Delete(delete) => {
            let asked = timed(delete.clone(), timeout);
            let reply = within(timeout, line.kv().delete(asked)).await?;
            let ring_hash = reply.ring_hash;
            Ok((Written::of_delete(reply, &target.url), ring_hash))
        }
    }
}

fn timed<T>(asked: T, timeout: Duration) -> Request<T> {
    let mut asked = Request::new(asked);
    asked.set_timeout(timeout);
    asked
}
