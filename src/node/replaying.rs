//! Recorded conflicts, replayed: the siblings that stand in a bucket and what merges on put replaced, through the bound
//! resolver and through the one that is tried.
//!
//! Reads the storage directly, beside the shards, and asks both away from the guest threads and their breakers. Each key
//! is replayed by the first of its primaries, so that it counts once.
//!
//! Invariant: it stores nothing and changes no other report; a node makes one replay at a time, of bounded length.

use super::registry::Registry;
use super::shadows::Report;
use super::store::Store;
use crate::dynamo::bucket::{Binding, Properties};
use crate::dynamo::causality::version::Version;
use crate::dynamo::membership::snapshot::Snapshot;
use crate::dynamo::names::{BucketName, Key, NodeId};
use crate::dynamo::reconcile::question::{Ask, Question, canonical};
use crate::dynamo::replica::layout::{Place, keys_range};
use crate::dynamo::replica::merges::retained_in;
use crate::dynamo::replica::record::{Record, Replaced};
use crate::dynamo::replica::storage::{Storage as _, StorageError};
use crate::dynamo::ring::partition::PartitionId;
use crate::limits::SLICE_ITEMS_MAX;
use crate::limits::versions::{REPLAY_MS_MAX, REPLAY_SETS_MAX};
use crate::wasm::library::Library;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What one node has replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    pub report: Report,
    /// It ended at its bound, and more sets are recorded.
    pub is_cut: bool,
}

/// Why nothing was replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("nothing is tried in {0}; name a resolver with `rejoin plugin shadow` first")]
    NothingTried(BucketName),
    #[error("this node makes a replay already; retry when it is done")]
    Busy,
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the replay ended early: {0}")]
    Lost(String),
}

/// What is needed to replay.
#[derive(Clone)]
pub struct Replayer {
    pub(super) me: NodeId,
    pub(super) store: Store,
    pub(super) library: Arc<Library>,
    pub(super) registry: Arc<Registry>,
    /// Held over the replay.
    pub(super) turn: Arc<Mutex<()>>,
}

impl Replayer {
    /// Replays what this node's own copies have recorded of a bucket.
    pub async fn replay(&self, bucket: BucketName, wall_ms: u64) -> Result<Replayed, ReplayError> {
        let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() else {
            return Err(ReplayError::Busy);
        };
        let snapshot = self.registry.snapshot();
        let nothing = || ReplayError::NothingTried(bucket.clone());
        let properties = snapshot.catalog.bucket(&bucket).cloned();
        let properties = properties.ok_or_else(nothing)?;
        let active = properties.policy.resolver().cloned();
        let tried = properties.activation.shadow.clone();
        let (Some(active), Some(tried)) = (active, tried) else {
            return Err(nothing());
        };
        let replay = Replay {
            by: self.clone(),
            snapshot,
            bucket,
            properties,
            active,
            wall_ms,
            until: Instant::now() + Duration::from_millis(REPLAY_MS_MAX),
            sets: 0,
            report: Report::new(tried.binding),
        };
        let replayed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            replay.run()
        });
        match replayed.await {
            Ok(replayed) => Ok(replayed?),
            Err(error) => Err(ReplayError::Lost(error.to_string())),
        }
    }
}

/// One walk through a bucket.
struct Replay {
    by: Replayer,
    snapshot: Arc<Snapshot>,
    bucket: BucketName,
    properties: Properties,
    active: Binding,
    wall_ms: u64,
    until: Instant,
    sets: usize,
    report: Report,
}

impl Replay {
    fn run(mut self) -> Result<Replayed, StorageError> {
        let placement = &self.snapshot.placement;
        let mine = placement.partitions().all().filter(|partition| {
            let primaries = placement.primaries(*partition, self.properties.n);
            primaries.first() == Some(&self.by.me)
        });
        let mine: Vec<PartitionId> = mine.collect();
        for partition in mine {
            if !self.partition(partition)? {
                let report = self.report;
                return Ok(Replayed {
                    report,
                    is_cut: true,
                });
            }
        }
        let report = self.report;
        Ok(Replayed {
            report,
            is_cut: false,
        })
    }

    /// False: the bound was reached.
    fn partition(&mut self, partition: PartitionId) -> Result<bool, StorageError> {
        let head = Place::Home.head(partition, &self.bucket);
        let mut after = Bytes::new();
        loop {
            let range = keys_range(&head, &[], &after);
            let records = self.by.store.scan(range, SLICE_ITEMS_MAX)?;
            let is_last = records.len() < SLICE_ITEMS_MAX;
            for (place, record) in records {
                after = place.slice(head.len()..);
                let key = Key::new(self.bucket.clone(), after.clone());
                let (Ok(key), Ok(record)) = (key, Record::decode(record)) else {
                    continue; // The other replicas have it.
                };
                let replaced = retained_in(&self.by.store, partition, &key)?;
                let live: Vec<_> = record.object.live(self.wall_ms).cloned().collect();
                let recorded = replaced.into_iter().map(shown);
                for set in recorded.chain([canonical(live)]) {
                    if set.len() < 2 {
                        continue;
                    }
                    if self.sets >= REPLAY_SETS_MAX || Instant::now() >= self.until {
                        return Ok(false);
                    }
                    self.ask(&key, set);
                }
            }
            if is_last {
                return Ok(true);
            }
        }
    }

    fn ask(&mut self, key: &Key, set: Vec<Version>) {
        self.sets += 1;
        let question = |binding: &Binding| Question {
            key: key.clone(),
            binding: binding.clone(),
            ask: Ask::Resolve(set.clone()),
        };
        let active = question(&self.active);
        let said = self.by.library.answer(&active).answer;
        let tried = self.by.library.answer(&question(&self.report.binding));
        let bytes_max = self.properties.value_bytes_max;
        self.report.compare(&active, said, tried.answer, bytes_max);
    }
}

/// What the resolver saw of what a merge replaced; an older release kept no number, and tombstones come last.
fn shown(replaced: Replaced) -> Vec<Version> {
    let count = replaced.provenance.map_or(usize::MAX, |made| made.shown);
    let inputs = replaced.inputs.into_iter().take(count);
    inputs.filter(|input| !input.is_tombstone()).collect()
}
