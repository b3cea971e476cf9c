//! One conversation with one peer about one partition: from the roots down to the records that differ (Dynamo 4.7).
//!
//! Knows what to ask next and what an answer means. Sends, reads and writes nothing. Only keys that differ move,
//! so an exchange that was broken off is gone on with by starting it again.
//!
//! Invariant: it ends: every answer brings it on, and without one for `EXCHANGE_STALL_MS` it has failed (law 12).

use super::super::names::{Key, Millis, NodeId};
use super::super::replica::listing::Slice;
use super::super::ring::partition::PartitionId;
use super::difference::{Mode, Need, differences, up_to};
use super::hash_tree::{LeafSet, Tree};
use super::inquiry::{Answer, Ask, Refusal};
use crate::limits::{EXCHANGE_STALL_MS, EXCHANGE_WINDOW, EXCHANGE_WINDOW_BYTES, TREE_WAIT_MS};
use std::collections::VecDeque;

/// Whom to compare with, about what, and which way records move.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub partition: PartitionId,
    pub n: u8,
    pub peer: NodeId,
    pub mode: Mode,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// For an answer, or until `wakes_at`.
    Wait,
    /// This node's own tree has to be built first.
    Grow,
    /// Put this question to the peer; the answer goes to `on_answer`.
    Ask(Ask),
    /// List the own keys behind this one; they go to `on_slice`.
    List(Option<Key>),
    /// Move this key, if background work may; then `on_begun`, or `put_back`.
    Move(Key, Need),
    /// Tell `on_synced` when all that this node holds is on its disk.
    SyncSelf,
    End(Result<(), Failure>),
}

/// Why an exchange ended before it was through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the peer cannot be reached")]
    Unreachable,
    #[error("the peer refused: {0}")]
    Refused(Refusal),
    #[error("no progress for {EXCHANGE_STALL_MS} ms")]
    Stalled,
    #[error("this node's storage failed: {0}")]
    Storage(String),
    #[error("{failed} keys could not be moved, the last because {reason}")]
    Keys { failed: u64, reason: String },
}

#[derive(Debug)]
enum Stage {
    Root,
    Leaves,
    /// Lists the own keys behind this one.
    List(Option<Key>),
    /// Compares them with the peer's; behind `after`, up to `upto`, where nothing is the end of the partition.
    Keys {
        mine: Vec<(Key, u128)>,
        after: Option<Key>,
        upto: Option<Key>,
    },
    /// Moves what differs, then lists on from the key inside, or goes to the end.
    Move(Option<Key>),
    Doubt,
    Settle,
    Ended(Result<(), Failure>),
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    pub job: Job,
    stage: Stage,
    /// A question of the stage is on its way.
    is_waiting: bool,
    not_before: Millis,
    deadline: Millis,
    /// As far as the peer has built its tree.
    peer_records: u64,
    leaves: LeafSet,
    todo: VecDeque<(Key, Need)>,
    in_flight: usize,
    bytes_in_flight: usize,
    found: u64,
    repaired: u64,
    failed: u64,
    reason: String,
}

impl Exchange {
    pub fn start(job: Job, now: Millis) -> Self {
        Self {
            job,
            stage: Stage::Root,
            is_waiting: false,
            not_before: now,
            deadline: now.after(EXCHANGE_STALL_MS),
            peer_records: 0,
            leaves: LeafSet::default(),
            todo: VecDeque::new(),
            in_flight: 0,
            bytes_in_flight: 0,
            found: 0,
            repaired: 0,
            failed: 0,
            reason: String::new(),
        }
    }

    /// Keys in which something changed on either side.
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    /// When it has to be looked at again if nothing comes.
    pub fn wakes_at(&self, now: Millis) -> Millis {
        match self.not_before > now {
            true => self.not_before.min(self.deadline),
            false => self.deadline,
        }
    }

    /// What to do now. `tree` is this node's own, if it is there.
    pub fn turn(&mut self, now: Millis, tree: Option<&Tree>) -> Step {
        if now >= self.deadline {
            self.end(Err(Failure::Stalled));
        }
        if let Stage::Ended(outcome) = &self.stage {
            return Step::End(outcome.clone());
        }
        if self.is_waiting || now < self.not_before {
            return Step::Wait;
        }
        match &self.stage {
            Stage::Root | Stage::Leaves if tree.is_none() => {
                self.on_progress(now); // The own tree grows, or fails loudly.
                self.stage = Stage::Root;
                Step::Grow
            }
            Stage::Root => self.ask(Ask::Root),
            Stage::Leaves => self.ask(Ask::Leaves),
            Stage::List(after) => Step::List(after.clone()),
            Stage::Keys { after, upto, .. } => {
                let (leaves, after, upto) = (self.leaves, after.clone(), upto.clone());
                self.ask(Ask::Keys {
                    leaves,
                    after,
                    upto,
                })
            }
            Stage::Move(_) => self.move_next(now),
            Stage::Doubt => self.ask(Ask::Doubt),
            Stage::Settle if self.job.mode == Mode::Take => {
                self.is_waiting = true;
                Step::SyncSelf
            }
            Stage::Settle => self.ask(Ask::Sync),
            Stage::Ended(outcome) => Step::End(outcome.clone()),
        }
    }

    fn ask(&mut self, ask: Ask) -> Step {
        self.is_waiting = true;
        Step::Ask(ask)
    }

    fn move_next(&mut self, now: Millis) -> Step {
        let is_full =
            self.in_flight >= EXCHANGE_WINDOW || self.bytes_in_flight >= EXCHANGE_WINDOW_BYTES;
        if self.todo.is_empty() && self.in_flight == 0 {
            return self.leave_move(now);
        }
        if is_full {
            return Step::Wait;
        }
        match self.todo.pop_front() {
            Some((key, need)) => Step::Move(key, need),
            None => Step::Wait,
        }
    }

    fn leave_move(&mut self, now: Millis) -> Step {
        let Stage::Move(next) = &self.stage else {
            return Step::Wait;
        };
        let next = next.clone();
        self.on_progress(now);
        match next {
            Some(after) => {
                self.stage = Stage::List(Some(after.clone()));
                Step::List(Some(after))
            }
            None if self.found == 0 && self.job.mode == Mode::Both => {
                self.stage = Stage::Doubt;
                self.ask(Ask::Doubt)
            }
            None => {
                self.finish();
                self.turn(now, None)
            }
        }
    }

    /// All keys are through; a new owner's disk has the last word.
    fn finish(&mut self) {
        if self.failed > 0 {
            let (failed, reason) = (self.failed, self.reason.clone());
            return self.end(Err(Failure::Keys { failed, reason }));
        }
        match self.job.mode {
            Mode::Both => self.end(Ok(())),
            Mode::Give | Mode::Take => self.stage = Stage::Settle,
        }
    }

    fn end(&mut self, outcome: Result<(), Failure>) {
        if !matches!(self.stage, Stage::Ended(_)) {
            self.stage = Stage::Ended(outcome);
        }
    }

    fn on_progress(&mut self, now: Millis) {
        self.deadline = now.after(EXCHANGE_STALL_MS);
    }

    /// The answer to the question of a stage.
    pub fn on_answer(&mut self, now: Millis, answer: Answer, tree: Option<&Tree>) {
        if !self.is_waiting {
            return;
        }
        self.is_waiting = false;
        if let Answer::Refused(refusal) = answer {
            return self.end(Err(refused(refusal)));
        }
        match &answer {
            // A peer that does not get on with its tree is one that does not answer.
            Answer::Building { records } if *records <= self.peer_records => {}
            _ => self.on_progress(now),
        }
        match (&mut self.stage, answer) {
            (Stage::Root | Stage::Leaves, Answer::Building { records }) => {
                self.peer_records = records;
                self.stage = Stage::Root;
                self.not_before = now.after(TREE_WAIT_MS);
            }
            (Stage::Root, Answer::Root(theirs)) => match tree.map(Tree::root) {
                Some(mine) if mine == theirs => self.finish(),
                Some(_) => self.stage = Stage::Leaves,
                None => {} // It was lost meanwhile: build it, and ask again.
            },
            (Stage::Leaves, Answer::Leaves(theirs)) => match tree {
                Some(tree) => {
                    self.leaves = tree.differing(&theirs);
                    match self.leaves.is_empty() {
                        true => self.finish(),
                        false => self.stage = Stage::List(None),
                    }
                }
                None => self.stage = Stage::Root,
            },
            (Stage::Keys { mine, upto, .. }, Answer::Keys { keys, covered }) => {
                let mine = up_to(std::mem::take(mine), covered.as_ref());
                let theirs = up_to(keys, covered.as_ref().or(upto.as_ref()));
                let next = covered.or(upto.take());
                let differing = differences(&mine, &theirs, self.job.mode);
                self.found += differing.len() as u64;
                self.todo = differing.into();
                self.stage = Stage::Move(next);
            }
            (Stage::Doubt | Stage::Settle, Answer::Done { .. }) => self.end(Ok(())),
            _ => self.end(Err(Failure::Refused(Refusal::Storage(
                "its answer does not fit the question".to_owned(),
            )))),
        }
    }

    /// The own keys behind `after`; only those of the job's number of copies.
    pub fn on_slice(
        &mut self,
        now: Millis,
        after: Option<Key>,
        slice: Slice,
        mine: Vec<(Key, u128)>,
    ) {
        self.on_progress(now);
        let last = slice.items.last().map(|(key, _)| key.clone());
        let upto = if slice.is_last { None } else { last };
        let mine = mine.into_iter().filter(|(key, _)| self.leaves.holds(key));
        self.stage = Stage::Keys {
            mine: mine.collect(),
            after,
            upto,
        };
    }

    pub fn on_storage_failure(&mut self, reason: String) {
        self.end(Err(Failure::Storage(reason)));
    }

    /// A key is on its way, with so many bytes.
    pub fn on_begun(&mut self, now: Millis, bytes: usize) {
        self.on_progress(now);
        self.in_flight += 1;
        self.bytes_in_flight += bytes;
    }

    /// It is this node that holds back; the peer is not to blame, unless it has something to answer.
    pub fn on_held(&mut self, now: Millis) {
        if self.in_flight == 0 {
            self.on_progress(now);
        }
    }

    /// The key could not be begun yet.
    pub fn put_back(&mut self, now: Millis, key: Key, need: Need) {
        self.on_held(now);
        self.todo.push_front((key, need));
    }

    /// A key that was on its way is through.
    pub fn on_moved(&mut self, now: Millis, bytes: usize, is_changed: bool) {
        self.on_progress(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
        self.repaired += u64::from(is_changed);
    }

    /// A key that was on its way could not be moved.
    pub fn on_not_moved(&mut self, bytes: usize, refusal: Refusal) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
        self.failed += 1;
        self.reason = refusal.to_string();
        if refusal == Refusal::Unreachable {
            self.end(Err(Failure::Unreachable));
        }
    }

    /// All that this node held when it was asked is on its disk.
    pub fn on_synced(&mut self) {
        self.is_waiting = false;
        if matches!(self.stage, Stage::Settle) {
            self.end(Ok(()));
        }
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Unreachable => Failure::Unreachable,
        other => Failure::Refused(other),
    }
}
