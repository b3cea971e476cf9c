//! Puts that wait for each other's merges, so that a storm on one key does not leave a sibling for each of its writers.
//!
//! Not in the paper. Two puts that merge with the same siblings at once would each cover them, and be siblings themselves.
//! Here the second reads what the first has made. Across coordinators nobody waits: the siblings of a key are bounded by them.
//!
//! Invariant: one put at a time merges under a key, and whoever is done names the next.

use super::super::names::{Key, Ticket};
use std::collections::{BTreeMap, VecDeque};

/// Who merges under which key, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    merging: BTreeMap<Key, (Ticket, VecDeque<Ticket>)>,
    keys: BTreeMap<Ticket, Key>,
    /// Those that may be done, while somebody looks after them already.
    pub(super) done: Vec<Ticket>,
    pub(super) is_looked_after: bool,
}

impl Lines {
    /// Whether this one may merge now; else it waits.
    pub(super) fn enter(&mut self, key: &Key, ticket: Ticket) -> bool {
        match self.merging.get_mut(key) {
            Some((merging, _)) if *merging == ticket => true,
            Some((_, waiting)) => {
                waiting.push_back(ticket);
                false
            }
            None => {
                self.merging.insert(key.clone(), (ticket, VecDeque::new()));
                self.keys.insert(ticket, key.clone());
                true
            }
        }
    }

    /// The one that merges is done; who may now.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Ticket> {
        let key = self.keys.remove(&ticket)?;
        let (merging, waiting) = self.merging.get_mut(&key)?;
        match waiting.pop_front() {
            Some(next) => {
                *merging = next;
                self.keys.insert(next, key);
                Some(next)
            }
            None => {
                self.merging.remove(&key);
                None
            }
        }
    }

    pub(super) fn merges(&self, ticket: Ticket) -> bool {
        self.keys.contains_key(&ticket)
    }
}
