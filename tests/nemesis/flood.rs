//! Clients that ask one node as fast as it answers, and do not care what it says.
//!
//! They write to a bucket of their own, which nobody judges: what counts is what becomes of the others meanwhile.
//!
//! Invariant: no more requests are under way than connections times requests on each, and none when `end` returns.

use super::checker::FLOOD;
use super::doors::REQUEST_TIMEOUT;
use super::stage::{Node, getting, putting};
use rejoin::cli::connection::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::{Code, Status};

const CONNECTIONS: u64 = 16;
/// On one connection; a node serves 64 of one at a time.
const REQUESTS: u64 = 32;
const KEYS: u64 = 500;
const VALUE_BYTES: usize = 1_024;
/// Before a connection that could not be made is tried again.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    turned_away: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn count<T>(&self, answer: Result<T, Status>) {
        let counter = match answer {
            Ok(_) => &self.answered,
            Err(status) if status.code() == Code::ResourceExhausted => &self.turned_away,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A flood that goes on until it is ended, or dropped.
pub struct Flood {
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

impl Flood {
    /// Over the node at `url`.
    pub fn over(url: &str) -> Self {
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        for number in 0..CONNECTIONS {
            tasks.spawn(connection(url.to_owned(), number, Arc::clone(&counts)));
        }
        Self { tasks, counts }
    }

    /// Ends it, and says what came of it.
    pub async fn end(mut self) -> String {
        self.tasks.shutdown().await;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "a flood: {} answered, {} turned away, {} failed",
            read(&self.counts.answered),
            read(&self.counts.turned_away),
            read(&self.counts.failed)
        )
    }
}

async fn connection(url: String, number: u64, counts: Arc<Counts>) {
    let connection = loop {
        match Connection::to(&url, REQUEST_TIMEOUT).await {
            Ok(connection) => break connection,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    let node = Node { connection };
    let requests = (0..REQUESTS).map(|request| ask(&node, number * REQUESTS + request, &counts));
    futures_util::future::join_all(requests).await;
}

async fn ask(node: &Node, first: u64, counts: &Counts) {
    let value = "x".repeat(VALUE_BYTES);
    for turn in 0.. {
        let key = format!("{}", (first * 7 + turn) % KEYS);
        match turn % 2 {
            0 => counts.count(node.try_put(putting(FLOOD, &key, &value)).await),
            _ => counts.count(node.try_get(getting(FLOOD, &key)).await),
        }
    }
}
