//! Batches: many requests over one stream, answered as they are ready.
//!
//! Each request is answered as if it had come alone; nothing holds the requests of a batch together.
//!
//! Invariant: a request that fails ends neither its batch nor another request, and a batch ends: when all is
//! answered, at its own deadline, or when its client has nothing more to say.

use super::deadline::RETURN_MS;
use super::status;
use crate::limits::{BATCH_IDLE_MS, BATCH_ITEMS_MAX, DEADLINE_DEFAULT_MS};
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, FuturesUnordered, unfold};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
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

struct Batch<Q, P, A> {
    requests: Streaming<Q>,
    answer: A,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = P> + Send>>>,
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
    answer: impl Fn(Item<Q>) -> F + Send + 'static,
) -> Replies<P>
where
    Q: Send + 'static,
    P: Send + 'static,
    F: Future<Output = P> + Send + 'static,
{
    let batch = Batch {
        requests,
        answer,
        under_way: FuturesUnordered::new(),
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
    P: Send,
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
            let has_room = self.under_way.len() < BATCH_ITEMS_MAX;
            let waits_until = self.waits_until();
            tokio::select! {
                Some(reply) = self.under_way.next() => return Some(Ok(reply)),
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
        self.taken += 1;
        self.under_way.push(Box::pin((self.answer)(item)));
    }

    /// The requests under way end by themselves long before the idle time is over.
    fn waits_until(&self) -> Instant {
        let idle = Instant::now() + Duration::from_millis(BATCH_IDLE_MS);
        self.until.map_or(idle, |until| until.min(idle))
    }

    fn time_out(&mut self) -> Status {
        self.stage = Stage::Ended;
        let unanswered = self.under_way.len();
        self.under_way.clear();
        status::batch_timeout(unanswered)
    }

    fn end(&mut self) -> Option<Result<P, Status>> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Closing(Some(status)) => Some(Err(status)),
            Stage::Closing(None) | Stage::Open | Stage::Ended => None,
        }
    }
}
