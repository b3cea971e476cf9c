//! Batches: many requests over one stream, answered as they are ready.
//!
//! Each request is answered as if it had come alone; nothing holds the requests of a batch together. Replies that wait for
//! their client are charged to its connection, so each request is a task that goes on when nobody reads.
//!
//! Invariant: a request that fails ends neither its batch nor another request, and a batch ends: when all is
//! answered, at its own deadline, or when its client has nothing more to say.

use super::deadline::RETURN_MS;
use super::status;
use crate::limits::transport::{BATCH_ITEMS_FIRST, BATCH_WINDOW_BYTES};
use crate::limits::{BATCH_IDLE_MS, BATCH_ITEMS_MAX, DEADLINE_DEFAULT_MS};
use crate::node::unread::{Account, Charge};
use crate::wire::proto::v1::ItemError;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use prost::Message;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tonic::{Status, Streaming};

/// What a batch's client is sent.
pub type Replies<P> = BoxStream<'static, Result<P, Status>>;

/// One request as it is taken up.
pub struct Item<Q> {
    /// Its place in the stream, from 0.
    pub index: u64,
    pub request: Q,
    pub timeout_ms: u64,
}

/// Where replies are charged.
pub struct Scale<P> {
    pub account: Arc<Account>,
    /// What is said in place of a reply, by its place in the stream, where nothing is lost by that.
    pub turned_away: Option<fn(u64, ItemError) -> P>,
}

/// A reply that waits to be sent.
struct Made<P> {
    reply: P,
    charge: Charge,
}

impl<P: Message> Scale<P> {
    fn weigh(&self, index: u64, reply: P) -> Made<P> {
        let bytes = reply.encoded_len();
        let Some(turned_away) = self.turned_away else {
            let charge = self.account.charge(bytes);
            return Made { reply, charge };
        };
        match self.account.try_charge(bytes) {
            Ok(charge) => Made { reply, charge },
            Err(why) => {
                let reply = turned_away(index, status::of_item(&status::of_unread(why)));
                let charge = self.account.charge(reply.encoded_len());
                Made { reply, charge }
            }
        }
    }
}

struct Batch<Q, P, A> {
    requests: Streaming<Q>,
    answer: A,
    scale: Arc<Scale<P>>,
    under_way: JoinSet<Made<P>>,
    /// Bytes of its largest reply; none as long as there was no reply.
    largest: Option<usize>,
    taken: u64,
    /// The deadline of the whole call, if its client has set one.
    until: Option<Instant>,
    stage: Stage,
    _place: OwnedSemaphorePermit,
}

/// What is still to come.
enum Stage {
    /// More requests.
    Open,
    /// The replies to those that were taken, and then perhaps why there were no more.
    Closing(Option<Status>),
    Ended,
}

/// Answers the requests of a batch that holds one of the node's places.
pub fn answer_all<Q, P, F>(
    requests: Streaming<Q>,
    place: OwnedSemaphorePermit,
    call_ms: Option<u64>,
    scale: Scale<P>,
    answer: impl Fn(Item<Q>) -> F + Send + 'static,
) -> Replies<P>
where
    Q: Send + 'static,
    P: Message + 'static,
    F: Future<Output = P> + Send + 'static,
{
    let batch = Batch {
        requests,
        answer,
        scale: Arc::new(scale),
        under_way: JoinSet::new(),
        largest: None,
        taken: 0,
        until: call_ms.map(|ms| Instant::now() + Duration::from_millis(ms)),
        stage: Stage::Open,
        _place: place,
    };
    unfold(batch, |mut batch| async move {
        let next = batch.next().await?;
        Some((next, batch))
    })
    .boxed()
}

impl<Q, P, A, F> Batch<Q, P, A>
where
    P: Message + 'static,
    A: Fn(Item<Q>) -> F,
    F: Future<Output = P> + Send + 'static,
{
    /// The next reply; an error is the last one.
    async fn next(&mut self) -> Option<Result<P, Status>> {
        loop {
            let is_open = matches!(self.stage, Stage::Open);
            if !is_open && self.under_way.is_empty() {
                return self.end();
            }
            let has_room = self.under_way.len() < self.window();
            let waits_until = self.waits_until();
            tokio::select! {
                Some(made) = self.under_way.join_next() => return Some(self.give(made)),
                request = self.requests.message(), if is_open && has_room => match request {
                    Ok(Some(request)) => self.take(request),
                    Ok(None) => self.stage = Stage::Closing(None),
                    Err(status) => self.stage = Stage::Closing(Some(status)),
                },
                () = tokio::time::sleep_until(waits_until) => return Some(Err(self.time_out())),
            }
        }
    }

    fn take(&mut self, request: Q) {
        let left = self.until.map_or(u64::MAX, |until| {
            let left = until.saturating_duration_since(Instant::now());
            (left.as_millis() as u64).saturating_sub(RETURN_MS)
        });
        let item = Item {
            index: self.taken,
            request,
            timeout_ms: left.clamp(1, DEADLINE_DEFAULT_MS),
        };
        let (index, scale) = (self.taken, Arc::clone(&self.scale));
        self.taken += 1;
        let answering = (self.answer)(item);
        self.under_way
            .spawn(async move { scale.weigh(index, answering.await) });
    }

    /// How many requests may be under way: fewer if replies are large, and before their size is known.
    fn window(&self) -> usize {
        let fitting = self.largest.map(|bytes| BATCH_WINDOW_BYTES / bytes.max(1));
        let fitting = fitting.unwrap_or(BATCH_ITEMS_FIRST);
        fitting.clamp(1, BATCH_ITEMS_MAX)
    }

    fn give(&mut self, made: Result<Made<P>, JoinError>) -> Result<P, Status> {
        let Ok(Made { reply, charge }) = made else {
            self.stage = Stage::Ended;
            self.under_way = JoinSet::new();
            let error = "a request of this batch came to no end; look at the node's log";
            return Err(status::internal(error.to_owned()));
        };
        self.largest = self.largest.max(Some(charge.bytes()));
        Ok(reply)
    }

    /// The requests under way end by themselves long before the idle time is over.
    fn waits_until(&self) -> Instant {
        let idle = Instant::now() + Duration::from_millis(BATCH_IDLE_MS);
        self.until.map_or(idle, |until| until.min(idle))
    }

    fn time_out(&mut self) -> Status {
        self.stage = Stage::Ended;
        let unanswered = self.under_way.len();
        self.under_way = JoinSet::new();
        status::batch_timeout(unanswered)
    }

    fn end(&mut self) -> Option<Result<P, Status>> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Closing(Some(status)) => Some(Err(status)),
            Stage::Closing(None) | Stage::Open | Stage::Ended => None,
        }
    }
}
