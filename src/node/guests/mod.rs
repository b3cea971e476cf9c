//! The guests of this node at work: asked, measured, and quoted.
//!
//! The workers run them and keep them apart; here is what people are told of it.
//!
//! Invariant: whatever came of a question is counted once, under its bucket and its plugin.

pub mod journal;
pub mod meter;

use super::clock::Clock;
use super::metrics::{Metrics, role};
use crate::dynamo::reconcile::answer::Answer;
use crate::dynamo::reconcile::question::Question;
use crate::wasm::guest::{Report, Source};
use crate::wasm::workers::{Lane, Workers, WorkersStatus};
use journal::Journal;
use meter::{LaneMeter, Meter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The guests of one node.
pub struct Guests {
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// Held to add one report or to read all; nothing is awaited meanwhile.
    meter: Mutex<Meter>,
    /// Likewise.
    journal: Mutex<Journal>,
    /// Whoever holds it makes the one dry run of this node.
    pub dry_run: tokio::sync::Mutex<()>,
    /// Whoever holds it makes the one replay.
    pub replay: Arc<tokio::sync::Mutex<()>>,
}

impl Guests {
    pub fn new(workers: Arc<Workers>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self {
            workers,
            metrics,
            clock,
            meter: Mutex::default(),
            journal: Mutex::default(),
            dry_run: tokio::sync::Mutex::default(),
            replay: Arc::default(),
        }
    }

    /// Asks a guest, for this long at most.
    pub async fn ask(&self, question: Question, timeout_ms: u64) -> Answer {
        let deadline = Instant::now() + Duration::from_millis(timeout_ms);
        let (lane, role) = (Lane::of(&question), role(&question));
        let key = question.key.clone();
        let report = self.workers.ask(question, Some(deadline)).await;
        if report.source == Source::Call {
            self.metrics.on_guest(lane.digest, role, &report);
        }
        lock(&self.meter).on_report(&lane, role, &report);
        self.note(&lane, &report);
        if let Answer::Failed(failure) = &report.answer {
            tracing::debug!(%key, %failure, "a plugin gave no answer");
        }
        report.answer
    }

    /// For whoever tries one that is not bound; nothing of it is counted.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    fn note(&self, lane: &Lane, report: &Report) {
        let now_ms = self.clock.now().wall_ms;
        lock(&self.journal).on_report(now_ms, lane, report);
    }

    /// What was measured, lane by lane.
    pub fn measured(&self) -> Vec<(Lane, &'static str, LaneMeter)> {
        lock(&self.meter).all()
    }

    pub fn status(&self) -> WorkersStatus {
        self.workers.status()
    }

    /// What a plugin has logged here, the latest last.
    pub fn log(
        &self,
        plugin: crate::dynamo::names::Digest,
        lines_max: usize,
    ) -> Vec<journal::Line> {
        lock(&self.journal).of(plugin, lines_max)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
