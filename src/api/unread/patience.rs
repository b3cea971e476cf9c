//! How long a connection may take nothing of what it was sent.
//!
//! Looks now and then, as long as something is unread. Any piece that was taken since the last look is a sign of life,
//! however slow; answers to pings are none.
//!
//! Invariant: looks are counted, not time, so that a node that was stopped itself closes nothing for it.

use crate::limits::transport::UNREAD_LOOK_MS;
use crate::node::unread::Account;
use std::future::Future as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

const LOOK: Duration = Duration::from_millis(UNREAD_LOOK_MS);

/// With one connection.
pub struct Patience {
    account: Arc<Account>,
    remote: Option<SocketAddr>,
    /// None: nothing was ever unread.
    next_look: Option<Pin<Box<Sleep>>>,
    looks: Looks,
}

impl Patience {
    pub fn with(account: Arc<Account>, remote: Option<SocketAddr>) -> Self {
        Self {
            account,
            remote,
            next_look: None,
            looks: Looks::default(),
        }
    }

    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Whether it has come to an end. Asked whenever the connection is polled, which it is when it is sent something.
    pub fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.account.bytes() == 0 {
            return false;
        }
        let next = self.next_look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
        while let Poll::Ready(()) = next.as_mut().poll(cx) {
            next.as_mut().reset(Instant::now() + LOOK);
            let (unread, moves) = (self.account.bytes(), self.account.moves());
            let in_vain = self.looks.look(unread, moves);
            if in_vain >= self.account.looks_max() {
                self.tell(unread);
                return true;
            }
        }
        false
    }

    fn tell(&self, unread: usize) {
        let ledger = self.account.ledger();
        if let Some(closed) = ledger.count_closed() {
            let remote = self.remote.map(|remote| remote.to_string());
            tracing::warn!(
                event = "unread-answers",
                listener = ledger.name,
                remote = remote.unwrap_or_default(),
                unread,
                closed,
                "closed: it took nothing of its answers; `closed` counts those since the last such line"
            );
        }
    }
}

/// What was seen so far.
#[derive(Default)]
struct Looks {
    moves: u64,
    in_vain: u32,
}

impl Looks {
    /// How often in a row nothing has moved.
    fn look(&mut self, unread: usize, moves: u64) -> u32 {
        let is_alive = unread == 0 || moves != self.moves;
        self.moves = moves;
        self.in_vain = match is_alive {
            true => 0,
            false => self.in_vain + 1,
        };
        self.in_vain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_between_two_looks_is_patience_for_all_of_them_again() {
        let mut looks = Looks::default();
        assert_eq!([1, 2, 3].map(|_| looks.look(9, 0)), [1, 2, 3]);
        assert_eq!(looks.look(9, 1), 0);
        assert_eq!([1, 2].map(|_| looks.look(9, 1)), [1, 2]);
        assert_eq!(looks.look(0, 1), 0, "nothing is left to be taken");
    }
}
