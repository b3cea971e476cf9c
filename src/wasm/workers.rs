//! The threads on which guests run, so that no guest ever holds up the asynchronous workers.
//!
//! A bounded, fair queue in front of a fixed number of threads; before it the memory of earlier merges, breakers and
//! budgets. Knows nothing of what an answer is for.
//!
//! Invariant: every question gets exactly one report, also when the queue is full, a worker panics, or
//! the pool is shut down.

mod breaker;
mod budget;
mod lanes;
mod memo;
mod queue;

pub use breaker::Breaker;
pub use lanes::Lane;

use super::guest::Report;
use super::library::Library;
use crate::dynamo::names::Digest;
use crate::dynamo::reconcile::answer::GuestFailure;
use crate::dynamo::reconcile::question::Question;
use lanes::Lanes;
use memo::{Memo, Name};
use queue::{FairQueue, Pushed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::oneshot;

/// Ample for the host's side of a call; the guest's stack is bounded within it.
const STACK_BYTES: usize = 4 * 1024 * 1024;

/// A pool of guest threads; dropping it finishes what runs and refuses what waits.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    library: Arc<Library>,
    started: Instant,
    /// No guest runs while it is held, and no other lock is taken.
    state: Mutex<State>,
    changed: Condvar,
    /// Held to ask or tell it one thing; no guest runs and nothing is awaited meanwhile.
    lanes: Mutex<Lanes>,
    /// Likewise.
    memo: Mutex<Memo>,
}

struct State {
    queue: FairQueue<Job>,
    open: bool,
}

struct Job {
    question: Question,
    /// Under which its answer is remembered.
    name: Option<Name>,
    deadline: Option<Instant>,
    reply: oneshot::Sender<Report>,
}

/// How much is asked and remembered right now.
#[derive(Debug, Clone, Default)]
pub struct WorkersStatus {
    /// Questions that wait for a thread.
    pub waiting: usize,
    /// Merges that are remembered, and the bytes of their results.
    pub remembered: (usize, usize),
    pub breakers: Vec<(Lane, Breaker)>,
}

impl Workers {
    /// Starts the threads; at most `waiting_max` questions wait for them.
    ///
    /// One plugin of one bucket runs on all threads but one, so that the others find one that is free soon.
    pub fn start(
        library: Arc<Library>,
        threads: usize,
        waiting_max: usize,
    ) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            library,
            started: Instant::now(),
            state: Mutex::new(State {
                queue: FairQueue::new(waiting_max, threads - 1),
                open: true,
            }),
            changed: Condvar::new(),
            lanes: Mutex::default(),
            memo: Mutex::default(),
        });
        let mut workers = Self {
            shared,
            threads: Vec::new(),
        };
        for number in 0..threads {
            let shared = Arc::clone(&workers.shared);
            let thread = std::thread::Builder::new()
                .name(format!("guest-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || shared.work())?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Asks a plugin. Busy at once if too many wait, and busy later if the deadline passes in the queue.
    pub async fn ask(&self, question: Question, deadline: Option<Instant>) -> Report {
        let (digest, shared) = (question.binding.digest, &self.shared);
        let name = Name::of(&question);
        let remembered = name.and_then(|name| lock(&shared.memo).get(&name));
        if let Some(answer) = remembered {
            return Report::remembered(answer);
        }
        let admitted = lock(&shared.lanes).admit(shared.now_ms(), &question);
        if let Err(failure) = admitted {
            return Report::failed(failure);
        }
        let (reply, answered) = oneshot::channel();
        shared.push(Job {
            question,
            name,
            deadline,
            reply,
        });
        let report = answered.await;
        report.unwrap_or_else(|_| Report::failed(lost(digest)))
    }

    pub fn status(&self) -> WorkersStatus {
        let breakers = lock(&self.shared.lanes);
        let breakers = breakers.breakers().map(|(lane, b)| (lane.clone(), b));
        WorkersStatus {
            breakers: breakers.collect(),
            waiting: lock(&self.shared.state).queue.waiting(),
            remembered: lock(&self.shared.memo).size(),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for job in self.shared.close() {
            // Whoever asked may be gone too.
            let _ = job.reply.send(Report::failed(GuestFailure::Busy));
        }
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs; there is nothing left to do about one that did not.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn push(&self, job: Job) {
        let lane = Lane::of(&job.question);
        let mut state = lock(&self.state);
        let pushed = match state.open {
            true => state.queue.push(&lane, job),
            false => Pushed::Full(job),
        };
        drop(state);
        match pushed {
            Pushed::In => self.changed.notify_one(),
            Pushed::Instead(job) | Pushed::Full(job) => {
                self.finish(job, Report::failed(GuestFailure::Busy));
            }
        }
    }

    /// The next job, or none once the queue is closed.
    fn pop(&self) -> Option<(Lane, Job)> {
        let idle = |state: &mut State| state.open && !state.queue.is_ready();
        let state = self.changed.wait_while(lock(&self.state), idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.queue.pop().filter(|_| state.open)
    }

    fn close(&self) -> Vec<Job> {
        let mut state = lock(&self.state);
        state.open = false;
        self.changed.notify_all();
        state.queue.drain()
    }

    fn work(&self) {
        while let Some((lane, job)) = self.pop() {
            let report = self.run(&job);
            self.finish(job, report);
            lock(&self.state).queue.on_done(&lane);
            // Another thread may have left this lane alone because of it.
            self.changed.notify_one();
        }
    }

    fn run(&self, job: &Job) -> Report {
        let is_late = job
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        match is_late || job.reply.is_closed() {
            true => Report::failed(GuestFailure::Busy),
            false => answer(&self.library, &job.question, job.deadline),
        }
    }

    fn finish(&self, job: Job, report: Report) {
        let (lane, binding) = (Lane::of(&job.question), &job.question.binding);
        lock(&self.lanes).on_report(self.now_ms(), &lane, binding, &report);
        if let Some(name) = job.name {
            lock(&self.memo).put(name, &report.answer);
        }
        // Whoever asked may be gone.
        let _ = job.reply.send(report);
    }
}

/// A panic here is our bug; it costs this question its answer and nothing else.
fn answer(library: &Library, question: &Question, deadline: Option<Instant>) -> Report {
    let answered = catch_unwind(AssertUnwindSafe(|| library.answer_by(question, deadline)));
    answered.unwrap_or_else(|_| Report::failed(lost(question.binding.digest)))
}

fn lost(digest: Digest) -> GuestFailure {
    GuestFailure::Host {
        digest,
        message: "its worker panicked, which is a bug of Rejoin".to_owned(),
    }
}
