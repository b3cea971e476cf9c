//! The threads on which guests run, so that no guest ever holds up the asynchronous workers.
//!
//! A bounded queue in front of a fixed number of threads. Knows nothing of what is asked.
//!
//! Invariant: every question gets exactly one report, also when the queue is full, a worker panics, or
//! the pool is shut down.

use super::guest::Report;
use super::library::Library;
use crate::dynamo::names::Digest;
use crate::dynamo::reconcile::answer::GuestFailure;
use crate::dynamo::reconcile::question::Question;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::oneshot;

/// Ample for the host's side of a call; the guest's stack is bounded within it.
const STACK_BYTES: usize = 4 * 1024 * 1024;

/// A pool of guest threads; dropping it finishes what runs and refuses what waits.
pub struct Workers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue {
    /// No guest runs while it is held.
    state: Mutex<State>,
    changed: Condvar,
    waiting_max: usize,
}

struct State {
    waiting: VecDeque<Job>,
    open: bool,
}

struct Job {
    question: Question,
    deadline: Option<Instant>,
    reply: oneshot::Sender<Report>,
}

impl Workers {
    /// Starts the threads; at most `waiting_max` questions wait for them.
    pub fn start(
        library: Arc<Library>,
        threads: usize,
        waiting_max: usize,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                open: true,
            }),
            changed: Condvar::new(),
            waiting_max,
        });
        let mut workers = Self {
            queue,
            threads: Vec::new(),
        };
        for number in 0..threads.max(1) {
            let (library, queue) = (Arc::clone(&library), Arc::clone(&workers.queue));
            let thread = std::thread::Builder::new()
                .name(format!("guest-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&library, &queue))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Asks a plugin. Busy at once if too many wait, and busy later if the deadline passes in the queue.
    pub async fn ask(&self, question: Question, deadline: Option<Instant>) -> Report {
        let digest = question.binding.digest;
        let (reply, answered) = oneshot::channel();
        let job = Job {
            question,
            deadline,
            reply,
        };
        if !self.queue.push(job) {
            return Report::failed(GuestFailure::Busy);
        }
        let report = answered.await;
        report.unwrap_or_else(|_| Report::failed(lost(digest)))
    }

    /// Questions that wait for a thread, for metrics.
    pub fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for job in self.queue.close() {
            // Whoever asked may be gone too.
            let _ = job.reply.send(Report::failed(GuestFailure::Busy));
        }
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs; there is nothing left to do about one that did not.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> bool {
        let mut state = self.lock();
        if !state.open || state.waiting.len() >= self.waiting_max {
            return false;
        }
        state.waiting.push_back(job);
        self.changed.notify_one();
        true
    }

    /// The next job, or none once the queue is closed.
    fn pop(&self) -> Option<Job> {
        let idle = |state: &mut State| state.open && state.waiting.is_empty();
        let state = self.changed.wait_while(self.lock(), idle);
        state
            .unwrap_or_else(PoisonError::into_inner)
            .waiting
            .pop_front()
    }

    fn close(&self) -> VecDeque<Job> {
        let mut state = self.lock();
        state.open = false;
        self.changed.notify_all();
        std::mem::take(&mut state.waiting)
    }
}

fn work(library: &Library, queue: &Queue) {
    while let Some(job) = queue.pop() {
        if job.reply.is_closed() {
            continue; // Nobody waits for it any more.
        }
        let late = job
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        let report = match late {
            true => Report::failed(GuestFailure::Busy),
            false => answer(library, &job.question),
        };
        let _ = job.reply.send(report);
    }
}

/// A panic here is our bug; it costs this question its answer and nothing else.
fn answer(library: &Library, question: &Question) -> Report {
    let answered = catch_unwind(AssertUnwindSafe(|| library.answer(question)));
    answered.unwrap_or_else(|_| Report::failed(lost(question.binding.digest)))
}

fn lost(digest: Digest) -> GuestFailure {
    GuestFailure::Host {
        digest,
        message: "its worker panicked, which is a bug of Rejoin".to_owned(),
    }
}
