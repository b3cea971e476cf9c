//! Somebody who watches one bucket: where he is in each tail, and what he is told next.
//!
//! Not in the paper. Reads at the pace of its client.
//!
//! Invariant: every change of its bucket that follows its position is told, or `Resync` in place of it.

use super::tail::{Tail, Tide};
use crate::dynamo::names::BucketName;
use crate::dynamo::replica::change::Change;
use crate::wire::watch::{Position, Told};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Changes of other buckets after which a watcher is told how far it is.
pub const PASSED_MAX: usize = 1024;

/// Somebody who watches one bucket.
pub struct Watcher {
    bucket: BucketName,
    cursors: Vec<Cursor>,
    /// The cursor that is looked at next.
    turn: usize,
    tide: watch::Receiver<Tide>,
    /// The watcher has not been told yet where it stands.
    is_new: bool,
    must_resync: bool,
    /// Changes of other buckets since it was last told anything.
    passed: usize,
    _place: OwnedSemaphorePermit,
}

struct Cursor {
    tail: Arc<Tail>,
    /// Changes of the tail that lie behind.
    count: u64,
    taken: VecDeque<Arc<Change>>,
}

impl Cursor {
    /// False: what follows is no longer held, and the cursor stands at the end now.
    fn fill(&mut self) -> bool {
        match self.tail.after(self.count) {
            Ok(changes) => self.taken = changes,
            Err(count) => {
                self.count = count;
                return false;
            }
        }
        true
    }
}

impl Watcher {
    /// Who goes on from `position` in these tails, or from now.
    pub fn new(
        bucket: BucketName,
        position: Option<&Position>,
        tails: &[Arc<Tail>],
        tide: watch::Receiver<Tide>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let mut must_resync = false;
        let mut cursors = Vec::new();
        for tail in tails {
            let known = position.and_then(|position| count_of(position, tail.life));
            let count = known.filter(|count| *count <= tail.count());
            must_resync |= position.is_some() && count.is_none();
            cursors.push(Cursor {
                count: count.unwrap_or_else(|| tail.count()),
                tail: Arc::clone(tail),
                taken: VecDeque::new(),
            });
        }
        Self {
            bucket,
            cursors,
            turn: 0,
            tide,
            is_new: true,
            must_resync,
            passed: 0,
            _place: place,
        }
    }

    /// The next thing to tell, and where the watcher stands once it knows. None: the node is going down.
    pub async fn next(&mut self) -> Option<(Told, Position)> {
        loop {
            if self.tide.borrow_and_update().is_closed {
                return None;
            }
            if let Some(told) = self.look() {
                self.passed = 0;
                return Some((told, self.position()));
            }
            self.tide.changed().await.ok()?;
        }
    }

    pub(super) fn position(&self) -> Position {
        let counts = self.cursors.iter();
        Position(
            counts
                .map(|cursor| (cursor.tail.life, cursor.count))
                .collect(),
        )
    }

    /// What can be told at once.
    pub(super) fn look(&mut self) -> Option<Told> {
        if std::mem::take(&mut self.must_resync) {
            self.is_new = false;
            return Some(Told::Resync);
        }
        if std::mem::take(&mut self.is_new) {
            return Some(Told::Reached);
        }
        for _ in 0..self.cursors.len() {
            let told = self.look_at_shard();
            if told.is_some() {
                return told;
            }
            self.next_shard();
        }
        None
    }

    /// A busy shard must not keep a quiet one waiting until its changes are gone.
    fn next_shard(&mut self) {
        self.turn = (self.turn + 1) % self.cursors.len();
    }

    fn look_at_shard(&mut self) -> Option<Told> {
        let cursor = &mut self.cursors[self.turn];
        loop {
            if cursor.taken.is_empty() && !cursor.fill() {
                return Some(Told::Resync);
            }
            // None: it has caught up with this shard.
            let change = cursor.taken.pop_front()?;
            cursor.count += 1;
            if change.key.bucket().plain() == self.bucket.plain() {
                if cursor.taken.is_empty() {
                    self.next_shard();
                }
                return Some(Told::Changed(Change::clone(&change)));
            }
            self.passed += 1;
            if self.passed >= PASSED_MAX {
                self.next_shard();
                return Some(Told::Reached);
            }
        }
    }
}

fn count_of(position: &Position, life: u64) -> Option<u64> {
    let mut counts = position.0.iter().filter(|(named, _)| *named == life);
    counts.next().map(|(_, count)| *count)
}
