//! Streams that wait until less is unread.
//!
//! Knows nothing of bytes.
//!
//! Invariant: who takes a seat before asking once more whether there is room is woken by the next room.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// All that wait at one listener.
#[derive(Debug, Default)]
pub struct Waiting {
    next: AtomicU64,
    count: AtomicUsize,
    /// Guards the wakers by seat, at most one for each open stream; they are taken out before they are woken.
    wakers: Mutex<BTreeMap<u64, Waker>>,
}

impl Waiting {
    /// There may be room.
    pub fn wake_all(&self) {
        if self.count.load(SeqCst) == 0 {
            return;
        }
        let mut wakers = self.lock();
        let woken = std::mem::take(&mut *wakers);
        self.count.store(0, SeqCst);
        drop(wakers);
        woken.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one stream.
#[derive(Debug)]
pub struct Seat {
    waiting: Arc<Waiting>,
    number: u64,
}

impl Seat {
    pub fn of(waiting: &Arc<Waiting>) -> Self {
        Self {
            waiting: Arc::clone(waiting),
            number: waiting.next.fetch_add(1, SeqCst),
        }
    }

    pub fn wait(&self, waker: &Waker) {
        let mut wakers = self.waiting.lock();
        wakers.insert(self.number, waker.clone());
        self.waiting.count.store(wakers.len(), SeqCst);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut wakers = self.waiting.lock();
        wakers.remove(&self.number);
        self.waiting.count.store(wakers.len(), SeqCst);
    }
}
