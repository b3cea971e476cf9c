//! Puts that wait for each other's merges, so that a storm on one key does not leave a sibling for each of its writers.
//!
//! Not in the paper. Two puts that merge with the same siblings at once would each cover them, and be siblings themselves.
//! Here the second reads what the first has made. Across coordinators nobody waits: the siblings of a key are bounded by them.
//!
//! Invariant: whoever waits for too long stores its value as it is (law 2); whoever is done lets the next one go.

use super::super::names::{Key, Ticket};
use super::super::replica::storage::Storage;
use super::effect::Effect;
use super::router::Machine;
use std::collections::{BTreeMap, VecDeque};

/// Who merges under which key, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    merging: BTreeMap<Key, (Ticket, VecDeque<Ticket>)>,
    keys: BTreeMap<Ticket, Key>,
    /// Those that may be done, while somebody looks after them already.
    done: Vec<Ticket>,
    is_looked_after: bool,
}

impl Lines {
    /// Whether this one may merge now; else it waits.
    fn enter(&mut self, key: &Key, ticket: Ticket) -> bool {
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
    fn leave(&mut self, ticket: Ticket) -> Option<Ticket> {
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

    fn merges(&self, ticket: Ticket) -> bool {
        self.keys.contains_key(&ticket)
    }
}

impl<S: Storage> Machine<S> {
    /// Whether a put may read and merge now. Else it is called when its turn comes, or goes on without a merge.
    pub(super) fn has_turn(&mut self, ticket: Ticket) -> bool {
        let now = self.desk.now.monotonic;
        let Some(put) = self.desk.put(ticket) else {
            return false;
        };
        if !put.may_merge() || self.lines.enter(&put.request.key, ticket) {
            return true;
        }
        put.on_line(now);
        false
    }

    /// Lets the next put go once this one does not merge any more.
    pub(super) fn look_after_line(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        if self.lines.merges(ticket) {
            self.lines.done.push(ticket);
        }
        if self.lines.is_looked_after {
            return; // By a call further out, however long the line is.
        }
        self.lines.is_looked_after = true;
        while let Some(done) = self.lines.done.pop() {
            if self.desk.put(done).is_some_and(|put| put.is_merging()) {
                continue;
            }
            let Some(next) = self.lines.leave(done) else {
                continue;
            };
            // One that has waited for too long has stored its value already.
            if self.desk.put(next).is_some_and(|put| put.is_in_line()) {
                self.read_local(next, effects);
            }
            self.lines.done.push(next);
        }
        self.lines.is_looked_after = false;
    }
}
