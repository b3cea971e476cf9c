//! Answers that nobody has read yet: their bytes, per connection and for all connections of a listener.
//!
//! Counts and judges. Holds no answer and closes nothing: that is `api::unread`.
//!
//! Invariant: what was charged is given back once, when the last of its bytes is dropped, whoever holds it then.

mod bounds;
mod waiting;

pub use bounds::{Bounds, Unread};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Instant;
pub use waiting::Seat;
use waiting::Waiting;

/// What is unread at the listeners of a node.
#[derive(Debug)]
pub struct Listeners {
    pub clients: Arc<Ledger>,
    pub peers: Arc<Ledger>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            clients: Ledger::new("clients", Bounds::CLIENTS),
            peers: Ledger::new("peers", Bounds::PEERS),
        }
    }
}

/// What the connections of one listener have not read.
#[derive(Debug)]
pub struct Ledger {
    /// Whose connections: for log lines and labels.
    pub name: &'static str,
    bounds: Bounds,
    bytes: AtomicUsize,
    /// Connections with unread bytes.
    sharers: AtomicUsize,
    refused: AtomicU64,
    closed: AtomicU64,
    /// Closed connections that no log line has told yet.
    untold: AtomicU64,
    /// The second of the last such line, counted from 1.
    told_s: AtomicU64,
    started: Instant,
    waiting: Arc<Waiting>,
}

impl Ledger {
    pub fn new(name: &'static str, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            name,
            bounds,
            bytes: AtomicUsize::new(0),
            sharers: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            told_s: AtomicU64::new(0),
            started: Instant::now(),
            waiting: Arc::default(),
        })
    }

    /// The account of a connection that has just been opened.
    pub fn open(self: &Arc<Self>) -> Arc<Account> {
        Arc::new(Account {
            ledger: Arc::clone(self),
            bytes: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            moves: AtomicU64::new(0),
        })
    }

    /// Bytes that are unread now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(SeqCst)
    }

    /// Requests that were turned away so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(SeqCst)
    }

    /// Connections that were closed so far, because they took nothing.
    pub fn closed(&self) -> u64 {
        self.closed.load(SeqCst)
    }

    /// Counts a connection that is closed. Tells how many were since the last line of the log, once a second.
    pub fn count_closed(&self) -> Option<u64> {
        self.closed.fetch_add(1, SeqCst);
        self.untold.fetch_add(1, SeqCst);
        let second = self.started.elapsed().as_secs() + 1;
        let is_first = self.told_s.fetch_max(second, SeqCst) < second;
        is_first.then(|| self.untold.swap(0, SeqCst))
    }

    fn turn_away(&self, why: Unread) -> Unread {
        self.refused.fetch_add(1, SeqCst);
        why
    }

    fn crowded(&self) -> Unread {
        Unread::Everywhere {
            unread: self.bytes(),
            max: self.bounds.node,
        }
    }

    /// Whether a connection with so many bytes has more than is fair, now that there are too many. A share is of what is
    /// left, so that those who come one after the other leave something to whoever comes next.
    fn is_unfair(&self, here: usize) -> bool {
        let all = self.bytes();
        let left = self.bounds.node_max.saturating_sub(all);
        all > self.bounds.node && here > left / self.sharers.load(SeqCst).max(1)
    }
}

/// What one connection has not read.
#[derive(Debug)]
pub struct Account {
    ledger: Arc<Ledger>,
    bytes: AtomicUsize,
    under_way: AtomicUsize,
    /// Counts what shows that somebody reads.
    moves: AtomicU64,
}

impl Account {
    /// That of the connection of a request; every request that was counted has one.
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Arc<Self>> {
        request.extensions().get::<Arc<Self>>().cloned()
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Bytes that are unread now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(SeqCst)
    }

    /// Grows as long as the other end takes what it was sent.
    pub fn moves(&self) -> u64 {
        self.moves.load(SeqCst)
    }

    /// Looks in a row at a connection that takes nothing, before it is closed.
    pub fn looks_max(&self) -> u32 {
        self.ledger.bounds.looks
    }

    /// A piece of an answer has left.
    pub fn note_move(&self) {
        self.moves.fetch_add(1, SeqCst);
    }

    /// Lets a request in, before anything is done for it.
    pub fn begin(self: &Arc<Self>) -> Result<UnderWay, Unread> {
        let bounds = self.ledger.bounds;
        let before = self.under_way.fetch_add(1, SeqCst);
        let under_way = UnderWay(Arc::clone(self));
        let unread = self.bytes() + before * bounds.promised;
        if unread > bounds.connection {
            let max = bounds.connection;
            return Err(self.ledger.turn_away(Unread::Here { unread, max }));
        }
        if self.ledger.is_unfair(self.bytes()) {
            return Err(self.ledger.turn_away(self.ledger.crowded()));
        }
        Ok(under_way)
    }

    /// Charges an answer that has to be given.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        if bytes > 0 && self.bytes.fetch_add(bytes, SeqCst) == 0 {
            self.ledger.sharers.fetch_add(1, SeqCst);
            self.note_move(); // There was nothing that it could have taken.
        }
        self.ledger.bytes.fetch_add(bytes, SeqCst);
        let account = Arc::clone(self);
        Charge { account, bytes }
    }

    /// Charges an answer that may also not be given.
    pub fn try_charge(self: &Arc<Self>, bytes: usize) -> Result<Charge, Unread> {
        let (charge, bounds) = (self.charge(bytes), self.ledger.bounds);
        let unread = self.bytes();
        let why = if self.ledger.bytes() > bounds.node_max {
            self.ledger.crowded()
        } else if unread == bytes {
            return Ok(charge); // However large it is, or nobody could ever read it.
        } else if unread > bounds.connection_max {
            let max = bounds.connection_max;
            Unread::Here { unread, max }
        } else if self.ledger.is_unfair(unread) {
            self.ledger.crowded()
        } else {
            return Ok(charge);
        };
        Err(self.ledger.turn_away(why))
    }

    /// Ready when a stream of this connection may bring more.
    pub fn poll_room(&self, cx: &mut Context<'_>, seat: &mut Option<Seat>) -> Poll<()> {
        if !self.has_room() {
            let seat = seat.get_or_insert_with(|| Seat::of(&self.ledger.waiting));
            seat.wait(cx.waker());
            // Asked again: what was given back before the waker stood there woke nobody.
            if !self.has_room() {
                return Poll::Pending;
            }
        }
        *seat = None;
        Poll::Ready(())
    }

    fn has_room(&self) -> bool {
        let (bounds, here) = (self.ledger.bounds, self.bytes());
        here <= bounds.connection
            && self.ledger.bytes() <= bounds.node_max
            && !self.ledger.is_unfair(here)
    }
}

/// A request whose answer is not made yet.
#[derive(Debug)]
pub struct UnderWay(Arc<Account>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
    }
}

/// Bytes of an answer that are unread as long as this lives.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn account(&self) -> &Account {
        &self.account
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let (account, bytes) = (&self.account, self.bytes);
        if bytes > 0 && account.bytes.fetch_sub(bytes, SeqCst) == bytes {
            account.ledger.sharers.fetch_sub(1, SeqCst);
        }
        account.ledger.bytes.fetch_sub(bytes, SeqCst);
        account.ledger.waiting.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    const MIB: usize = 1024 * 1024;

    fn ledger() -> Arc<Ledger> {
        Ledger::new("clients", Bounds::CLIENTS)
    }

    #[test]
    fn a_connection_that_reads_nothing_is_turned_away_and_served_again_when_it_has_read() {
        let account = ledger().open();
        let full = account.try_charge(Bounds::CLIENTS.connection);
        let full = full.expect("a single answer is always given");
        assert!(account.begin().is_ok());
        let more = account.try_charge(1).expect("it was let in");
        assert!(matches!(account.begin(), Err(Unread::Here { .. })));
        drop((full, more));
        assert!(account.begin().is_ok());
        assert_eq!((account.bytes(), account.ledger().refused()), (0, 1));
    }

    #[test]
    fn requests_under_way_count_as_what_they_may_bring() {
        let account = ledger().open();
        let all: Vec<_> = (0..64).map_while(|_| account.begin().ok()).collect();
        assert_eq!(
            all.len(),
            64,
            "a full load on a connection that has read all"
        );
        drop(all);
        let half = account.charge(Bounds::CLIENTS.connection / 2);
        let fewer: Vec<_> = (0..64).map_while(|_| account.begin().ok()).collect();
        assert_eq!(fewer.len(), 33);
        drop((half, fewer));
        assert!(account.begin().is_ok());
    }

    #[test]
    fn when_all_leave_too_much_those_with_more_than_their_share_are_turned_away_and_nobody_else() {
        let ledger = ledger();
        let accounts: Vec<_> = (0..40).map(|_| ledger.open()).collect();
        let mut held = Vec::new();
        for account in &accounts {
            while account.begin().is_ok()
                && let Ok(charge) = account.try_charge(MIB)
            {
                held.push(charge);
            }
        }
        let Bounds { node, node_max, .. } = Bounds::CLIENTS;
        assert!((node..node_max - 64 * MIB).contains(&ledger.bytes()));
        let innocent = ledger.open();
        assert!(innocent.begin().is_ok());
        let answer = innocent.try_charge(2 * MIB);
        assert!(answer.is_ok(), "who reads is served");
        drop((answer, held));
        assert_eq!((ledger.bytes(), ledger.sharers.load(SeqCst)), (0, 0));
    }

    #[test]
    fn a_stream_waits_for_room_and_is_woken_by_it() {
        let account = ledger().open();
        let held = account.charge(Bounds::CLIENTS.connection + 1);
        let (woken, mut seat) = (Arc::new(Flag::default()), None);
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        assert!(account.poll_room(&mut cx, &mut seat).is_pending());
        assert_eq!(woken.0.load(SeqCst), 0);
        drop(held);
        assert_eq!(woken.0.load(SeqCst), 1);
        assert!(account.poll_room(&mut cx, &mut seat).is_ready() && seat.is_none());
    }

    #[derive(Default)]
    struct Flag(AtomicUsize);

    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
}
