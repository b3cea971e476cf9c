//! A shard whose puts merge under one key one after the other: carries out `lines`.
//!
//! Invariant: whoever waits for too long stores its value as it is (law 2); whoever is done lets the next one go.

use super::super::names::Ticket;
use super::super::replica::storage::Storage;
use super::effect::Effect;
use super::router::Machine;

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
