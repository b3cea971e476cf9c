//! Pages of keys: walks the partitions of the ring in order until a page is full.
//!
//! Some partitions ahead are asked at the same time; what of them does not fit is asked for again with the
//! next page. The walk writes nothing, and keeps nothing between two pages.
//!
//! Invariant: a page's token names the first place that the page did not show, so pages neither overlap nor
//! leave anything out.

use super::status;
use crate::dynamo::coordinator::listing::Keys;
use crate::dynamo::coordinator::request::GetError;
use crate::dynamo::names::BucketName;
use crate::dynamo::replica::stretch::{Stretch, Wanted};
use crate::dynamo::ring::partition::PartitionId;
use crate::limits::{LIST_ITEMS_MAX, LIST_PARTITIONS_MAX};
use crate::node::inbox::ListOutcome;
use crate::node::server::Node;
use crate::wire::keys::{Cursor, PageRequest};
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::time::{Duration, Instant};
use tonic::Status;

/// The least that a replica is asked to look at: keys that are deleted count as well.
const ITEMS_MIN: usize = 16;

/// One page on its way.
struct Walk<'a> {
    node: &'a Node,
    asked: &'a PageRequest,
    keys: Vec<Bytes>,
    /// The first place that was not looked at.
    reached: Cursor,
    /// When the last question has to be answered.
    until: Instant,
}

/// What a walk does next.
enum Turn {
    GoOn,
    End,
}

/// The page that a client asks for. It ends early when half of the time is over, or the rest cannot be reached.
pub async fn page(
    node: &Node,
    asked: &PageRequest,
    timeout_ms: u64,
) -> Result<proto::ListKeysResponse, Status> {
    let begun = Instant::now();
    let mut walk = Walk {
        node,
        asked,
        keys: Vec::new(),
        reached: asked.from.clone(),
        until: begun + Duration::from_millis(timeout_ms),
    };
    let half_time = begun + Duration::from_millis(timeout_ms / 2);
    let walked = walk.run(half_time).await;
    if let Err(GetError::NoSuchBucket(bucket)) = &walked {
        status::check_heard(node, bucket)?;
    }
    match walked {
        Err(error) if walk.reached == asked.from => Err(status::of_get(error)),
        // What was found is a page; the next one meets the same trouble, if it is still there.
        Err(_) | Ok(()) => Ok(walk.into_response()),
    }
}

/// Some key of a bucket, if it has any. Without an answer from every partition nobody knows that it has none.
pub async fn first(
    node: &Node,
    bucket: &BucketName,
    timeout_ms: u64,
) -> Result<Option<Bytes>, Status> {
    let until = Instant::now() + Duration::from_millis(timeout_ms);
    let from = Cursor {
        partition: PartitionId(0),
        after: Bytes::new(),
    };
    let asked = PageRequest {
        bucket: bucket.clone(),
        prefix: Bytes::new(),
        keys_max: 1,
        wanted: Wanted::Live,
        from: from.clone(),
    };
    let mut walk = Walk {
        node,
        asked: &asked,
        keys: Vec::new(),
        reached: from,
        until,
    };
    let outcome = walk.run(until).await;
    let is_over = walk.reached.partition.0 >= node.snapshot().placement.partitions().count();
    match (walk.keys.pop(), outcome) {
        (Some(key), _) => Ok(Some(key)),
        (None, Err(error)) => Err(status::of_get(error)),
        (None, Ok(())) if is_over => Ok(None),
        (None, Ok(())) => Err(status::of_get(GetError::Deadline {
            answered: 0,
            needed: 1,
        })),
    }
}

impl Walk<'_> {
    async fn run(&mut self, half_time: Instant) -> Result<(), GetError> {
        let first = self.asked.from.clone();
        let partitions = self.node.snapshot().placement.partitions().count();
        let (node, asked, until) = (self.node, self.asked, self.until);
        let questions = (first.partition.0..partitions).map(|partition| {
            let partition = PartitionId(partition);
            let after = match partition == first.partition {
                true => first.after.clone(),
                false => Bytes::new(),
            };
            ask(node, asked, Cursor { partition, after }, until)
        });
        let mut answers =
            std::pin::pin!(futures_util::stream::iter(questions).buffered(LIST_PARTITIONS_MAX));
        while let Some(answer) = answers.next().await {
            if let Turn::End = self.partition(*answer?, half_time).await? {
                break;
            }
        }
        Ok(())
    }

    /// Takes a partition to its end, step by step, from the first answer on.
    async fn partition(&mut self, first: Keys, half_time: Instant) -> Result<Turn, GetError> {
        let mut step = first;
        loop {
            if let Turn::End = self.take(step) {
                return Ok(Turn::End);
            }
            if Instant::now() >= half_time {
                return Ok(Turn::End);
            }
            if self.reached.after.is_empty() {
                return Ok(Turn::GoOn);
            }
            let reached = self.reached.clone();
            step = *ask(self.node, self.asked, reached, self.until).await?;
        }
    }

    /// Adds what still fits; what does not is where the next page begins.
    fn take(&mut self, step: Keys) -> Turn {
        let room = self.asked.keys_max - self.keys.len();
        if step.live.len() > room {
            self.keys.extend(step.live.into_iter().take(room));
            if let Some(last) = self.keys.last() {
                self.reached.after = last.clone();
            }
            return Turn::End;
        }
        self.keys.extend(step.live);
        match step.next {
            Some(after) => self.reached.after = after,
            None => {
                self.reached.partition.0 += 1;
                self.reached.after = Bytes::new();
            }
        }
        match self.keys.len() == self.asked.keys_max {
            true => Turn::End,
            false => Turn::GoOn,
        }
    }

    fn into_response(self) -> proto::ListKeysResponse {
        let is_over =
            self.reached.partition.0 >= self.node.snapshot().placement.partitions().count();
        let PageRequest { bucket, prefix, .. } = self.asked;
        proto::ListKeysResponse {
            keys: self.keys,
            next_page_token: match is_over {
                true => Bytes::new(),
                false => self.reached.encode(bucket, prefix),
            },
        }
    }
}

async fn ask(node: &Node, asked: &PageRequest, from: Cursor, until: Instant) -> ListOutcome {
    let left = until.saturating_duration_since(Instant::now());
    let stretch = Stretch {
        bucket: asked.bucket.clone(),
        partition: from.partition,
        prefix: asked.prefix.clone(),
        after: from.after,
        items_max: asked.keys_max.clamp(ITEMS_MIN, LIST_ITEMS_MAX),
        wanted: asked.wanted,
    };
    node.list(stretch, left.as_millis().max(1) as u64).await
}
