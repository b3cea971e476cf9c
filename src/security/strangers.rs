//! Who came to a listener and was turned away before his first request: told in the log and the audit log, and counted.
//!
//! A scanner comes as often as he likes, so lines are limited and the count is not.
//!
//! Invariant: all are counted, whether they have a line or not.

use super::audit::{Audit, Event, Line};
use super::pace::Pace;
use crate::limits::access::STRANGERS_PER_SECOND_MAX;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who was turned away at the listeners of one node.
#[derive(Debug)]
pub struct Strangers {
    pace: Pace,
    clients: AtomicU64,
    peers: AtomicU64,
    without_line: AtomicU64,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            pace: Pace::of(STRANGERS_PER_SECOND_MAX),
            clients: AtomicU64::new(0),
            peers: AtomicU64::new(0),
            without_line: AtomicU64::new(0),
        }
    }
}

impl Strangers {
    /// Somebody came to the listener of clients.
    pub(super) fn client(&self, remote: Option<SocketAddr>, why: &str, audit: Option<&Audit>) {
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.tell(("client-refused", Event::ClientRefused), remote, why, audit);
    }

    /// Somebody who is no node of this cluster came to the listener of the nodes.
    pub(super) fn peer(&self, remote: Option<SocketAddr>, why: &str, audit: Option<&Audit>) {
        self.peers.fetch_add(1, Ordering::Relaxed);
        self.tell(("peer-refused", Event::PeerRefused), remote, why, audit);
    }

    fn tell(
        &self,
        (event, audited): (&str, Event),
        remote: Option<SocketAddr>,
        why: &str,
        audit: Option<&Audit>,
    ) {
        if let Some(unlisted) = self.paced() {
            tracing::warn!(event, ?remote, why, unlisted);
        }
        if let Some(audit) = audit {
            audit.refused(Line::turned_away(audited, remote, why));
        }
    }

    fn paced(&self) -> Option<u64> {
        let paced = self.pace.take();
        if paced.is_none() {
            self.without_line.fetch_add(1, Ordering::Relaxed);
        }
        paced
    }

    /// How many were turned away, by listener.
    pub fn counts(&self) -> [(&'static str, u64); 2] {
        [("clients", &self.clients), ("nodes", &self.peers)]
            .map(|(listener, count)| (listener, count.load(Ordering::Relaxed)))
    }

    /// How many of them have no line in the log.
    pub fn without_line(&self) -> u64 {
        self.without_line.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_is_counted_to_the_last_and_fills_neither_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let audit = Audit::start(path.clone(), "n1").expect("a thread");
        let strangers = Strangers::default();
        let came = u64::from(STRANGERS_PER_SECOND_MAX) * 50;
        for _ in 0..came {
            strangers.client(None, "it speaks plain text", Some(&audit));
            strangers.peer(None, "it speaks plain text", Some(&audit));
        }
        assert_eq!(strangers.counts(), [("clients", came), ("nodes", came)]);
        audit
            .record_blocking(&Line::of(Event::Started))
            .expect("recorded");
        let text = std::fs::read_to_string(path).expect("a log");
        let listed =
            text.matches("\"client-refused\"").count() + text.matches("\"peer-refused\"").count();
        let unlisted = audit.counts.unlisted.load(Ordering::Relaxed);
        assert_eq!(listed as u64 + unlisted, 2 * came);
        // All of it took some seconds at most, however slow this machine is.
        assert!(
            unlisted > came && strangers.without_line() > came,
            "{unlisted}"
        );
    }
}
