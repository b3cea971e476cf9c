//! The part of `rejoin.v1.Plugins` that undoes the merges of a bad resolver, partition by partition.
//!
//! Asks the primaries of each partition for their keys, and one of them for each key. What is on its way when the
//! client goes is finished, nothing more is begun; what is done is found done by whoever begins again.
//!
//! Invariant: two primaries are asked to put a key back only one after the other, and the second only if the first
//! has left it as it was.

use super::activation::{bucket, find};
use super::status;
use crate::dynamo::bucket::Policy;
use crate::dynamo::bucket::activation::Blame;
use crate::dynamo::coordinator::unmerge::Effort;
use crate::dynamo::names::{BucketName, NodeId};
use crate::dynamo::ring::partition::PartitionId;
use crate::limits::KEY_BYTES_MAX;
use crate::limits::versions::{UNMERGE_KEYS_MAX, UNMERGE_REASONS_MAX};
use crate::node::server::Node;
use crate::node::unmerging::stretch;
use crate::wire::proto::v1 as proto;
use crate::wire::unmerging::Outcome;
use bytes::{BufMut as _, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::Status;

/// What an operator hears.
pub type Steps = Pin<Box<dyn Stream<Item = Result<proto::UnmergeProgress, Status>> + Send>>;

/// A walk through the partitions of a bucket.
struct Walk {
    node: Arc<Node>,
    bucket: BucketName,
    blame: Blame,
    is_dry_run: bool,
    partition: u16,
    /// The last key that is done with.
    after: Bytes,
}

/// Opens the walk, at its start or where a token left it.
#[allow(clippy::result_large_err)] // Its caller returns it as it is.
pub fn unmerge(node: &Arc<Node>, request: proto::UnmergeRequest) -> Result<Steps, Status> {
    let (name, properties) = bucket(node, &request.bucket)?;
    let by = match request.plugin.as_str() {
        "" => None,
        wanted => Some(find(node, wanted)?),
    };
    if by.is_some() && by == properties.policy.resolver().map(|bound| bound.digest) {
        let error = "this plugin is bound now; go back with `rejoin plugin rollback` before its merges are undone";
        return Err(status::not_now("STILL_BOUND", error));
    }
    if properties.policy == Policy::Siblings && !request.dry_run {
        let error = format!(
            "{name} has no resolver that the inputs could be put through; activate a good one first"
        );
        return Err(status::not_now("NO_RESOLVER", error));
    }
    let blame = properties.blame(request.from_epoch, by);
    if blame.digests.is_empty() {
        let error = format!(
            "nothing that merged was bound to {name} before what is bound now; name the epoch or the plugin, see `rejoin plugin history {name}`"
        );
        return Err(status::not_now("NOBODY_TO_BLAME", error));
    }
    let (partition, after) = decode_token(request.token)?;
    let walk = Walk {
        node: Arc::clone(node),
        bucket: name,
        blame,
        is_dry_run: request.dry_run,
        partition,
        after,
    };
    let steps = futures_util::stream::unfold(walk, |mut walk| async move {
        let told = walk.step().await?;
        Some((told, walk))
    });
    Ok(Box::pin(steps))
}

impl Walk {
    /// The next keys of the partition; none after the last.
    async fn step(&mut self) -> Option<Result<proto::UnmergeProgress, Status>> {
        let partitions = self.node.snapshot().placement.partitions().count();
        if self.partition >= partitions {
            return None;
        }
        let stepped = self.try_step().await;
        Some(stepped.map(|told| proto::UnmergeProgress {
            token: encode_token(self.partition, &self.after),
            partitions_done: u32::from(self.partition),
            partitions_total: u32::from(partitions),
            ..told
        }))
    }

    async fn try_step(&mut self) -> Result<proto::UnmergeProgress, Status> {
        let primaries = self.primaries()?;
        let (keys, is_last) = self.keys(&primaries).await?;
        let mut told = proto::UnmergeProgress::default();
        for keys in keys.chunks(UNMERGE_KEYS_MAX) {
            let outcomes = self.put_back(&primaries, keys).await;
            for (key, outcome) in outcomes {
                count(&mut told, &key, outcome);
            }
        }
        match (is_last, keys.last()) {
            (false, Some(last)) => self.after = last.clone(),
            _ => (self.partition, self.after) = (self.partition + 1, Bytes::new()),
        }
        Ok(told)
    }

    /// Those of the partition that can be reached, in the order of the preference list.
    fn primaries(&self) -> Result<Vec<NodeId>, Status> {
        let snapshot = self.node.snapshot();
        let Some(properties) = snapshot.catalog.bucket(&self.bucket) else {
            let error = format!("the bucket {} is gone", self.bucket);
            return Err(status::missing("NO_SUCH_BUCKET", error));
        };
        let seats = snapshot
            .placement
            .seats(PartitionId(self.partition), properties.n);
        let connected: BTreeSet<NodeId> = self
            .node
            .peers
            .connected()
            .into_iter()
            .map(|(node, _)| node)
            .collect();
        let is_there = |node: &NodeId| node == self.node.id() || connected.contains(node);
        let primaries: Vec<NodeId> = seats.primaries.into_iter().filter(is_there).collect();
        match primaries.is_empty() {
            true => Err(status::not_now(
                "NO_PRIMARY",
                format!(
                    "no primary of partition {} can be reached; go on later from where this ended",
                    self.partition
                ),
            )),
            false => Ok(primaries),
        }
    }

    /// The next keys that any of them holds, and whether they are the last.
    async fn keys(&self, primaries: &[NodeId]) -> Result<(Vec<Bytes>, bool), Status> {
        let mut found = BTreeSet::new();
        // Behind the first end of a list that goes on, the others may name keys that it did not come to.
        let mut end: Option<Bytes> = None;
        for primary in primaries {
            let asked = stretch(
                self.bucket.clone(),
                PartitionId(self.partition),
                self.after.clone(),
            );
            let listed = self.node.list_own_at(primary, asked).await;
            let listed = listed
                .map_err(|error| status::not_now("NO_PRIMARY", format!("{primary}: {error}")))?;
            if let Some(last) = listed.keys.last().filter(|_| listed.more) {
                end = end.into_iter().chain([last.key.clone()]).min();
            }
            found.extend(listed.keys.into_iter().map(|listed| listed.key));
        }
        found.retain(|key| end.as_ref().is_none_or(|end| key <= end));
        Ok((found.into_iter().collect(), end.is_none()))
    }

    /// Asks one primary after the other: first for what is retained as a whole, then for what there is.
    async fn put_back(&self, primaries: &[NodeId], keys: &[Bytes]) -> BTreeMap<Bytes, Outcome> {
        let mut turns = Vec::new();
        for effort in match self.is_dry_run {
            true => &[Effort::Look][..],
            false => &[Effort::Whole, Effort::Best],
        } {
            turns.extend(primaries.iter().map(|primary| (*effort, primary.clone())));
        }
        let mut outcomes: BTreeMap<Bytes, Outcome> = BTreeMap::new();
        for (effort, primary) in turns {
            let mut left = keys.to_vec();
            left.retain(|key| outcomes.get(key).is_none_or(is_open));
            if left.is_empty() {
                break;
            }
            let asked = self
                .node
                .unmerge_at(&primary, &self.bucket, &left, &self.blame, effort);
            let found = asked.await.unwrap_or_else(|error| {
                let failed = Outcome::Failed(format!("{primary}: {error}"));
                vec![failed; left.len()]
            });
            for (key, outcome) in left.into_iter().zip(found) {
                let known = outcomes.remove(&key);
                outcomes.insert(key, better(known, outcome));
            }
        }
        outcomes
    }
}

/// Whether another primary may know more. Not after a failure: the write may be there.
fn is_open(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::NotRetained
            | Outcome::Absent
            | Outcome::Elsewhere
            | Outcome::Rewritten { is_whole: false }
    )
}

/// What is said of a key of which two primaries have said something.
fn better(known: Option<Outcome>, now: Outcome) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Elsewhere => 0,
        Outcome::Absent => 1,
        Outcome::Unchanged => 2,
        Outcome::NotRetained => 3,
        Outcome::Rewritten { is_whole: false } => 4,
        Outcome::Failed(_) => 5,
        Outcome::Rewritten { is_whole: true } => 6,
    };
    match known {
        Some(known) if rank(&known) > rank(&now) => known,
        _ => now,
    }
}

fn count(told: &mut proto::UnmergeProgress, key: &Bytes, outcome: Outcome) {
    match outcome {
        Outcome::Rewritten { is_whole } => {
            told.rewritten += 1;
            told.rewritten_in_part += u64::from(!is_whole);
        }
        Outcome::Unchanged | Outcome::Absent | Outcome::Elsewhere => told.unchanged += 1,
        Outcome::NotRetained => told.not_retained += 1,
        Outcome::Failed(reason) => {
            told.failed += 1;
            if told.reasons.len() < UNMERGE_REASONS_MAX {
                let reason = format!("{}: {reason}", key.escape_ascii());
                told.reasons.push(reason);
            }
        }
    }
}

fn encode_token(partition: u16, after: &Bytes) -> Bytes {
    let mut token = BytesMut::new();
    token.put_u16(partition);
    token.extend_from_slice(after);
    token.freeze()
}

#[allow(clippy::result_large_err)] // Its caller returns it as it is.
fn decode_token(token: Bytes) -> Result<(u16, Bytes), Status> {
    match token.as_ref() {
        [] => Ok((0, Bytes::new())),
        [high, low, rest @ ..] if rest.len() <= KEY_BYTES_MAX => {
            Ok((u16::from_be_bytes([*high, *low]), token.slice(2..)))
        }
        _ => Err(status::invalid(
            "BAD_TOKEN",
            "the token is none that was given out; begin again without one",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_on_where_its_token_says() {
        for after in [Bytes::new(), Bytes::from_static(b"key")] {
            let token = encode_token(517, &after);
            assert_eq!(decode_token(token).expect("its own"), (517, after));
        }
        assert_eq!(
            decode_token(Bytes::new()).expect("the start"),
            (0, Bytes::new())
        );
        assert!(decode_token(Bytes::from_static(b"x")).is_err());
        assert!(decode_token(vec![0; KEY_BYTES_MAX + 3].into()).is_err());
    }

    #[test]
    fn another_primary_is_asked_only_where_the_first_left_the_key_as_it_was() {
        assert!(is_open(&Outcome::NotRetained) && is_open(&Outcome::Absent));
        assert!(!is_open(&Outcome::Rewritten { is_whole: true }));
        assert!(!is_open(&Outcome::Failed("it may be stored".to_owned())));
    }
}
