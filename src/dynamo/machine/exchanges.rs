//! A shard that compares its copies with those of others: carries out the steps of `repair` (Dynamo 4.7, 4.9).
//!
//! Invariant: whatever comes in is merged with `sync`, whatever goes out is acknowledged from the disk (laws 5, 8).

use super::super::causality::object::Object;
use super::super::names::{Key, NodeId, Ticket};
use super::super::repair::difference::Need;
use super::super::repair::exchange::{Failure, Job, Step};
use super::super::repair::inquiry::{Answer, Ask, Refusal};
use super::super::replica::merges::as_much_as_fits;
use super::super::replica::record::Replaced;
use super::super::replica::storage::{Storage, StorageError};
use super::super::ring::partition::PartitionId;
use super::background::{Errand, Purpose};
use super::effect::Effect;
use super::message::Message;
use super::router::Machine;

impl<S: Storage> Machine<S> {
    /// Goes on with one exchange as far as it goes without an answer.
    pub(super) fn drive(&mut self, id: u64, effects: &mut Vec<Effect>) {
        let now = self.desk.now.monotonic;
        loop {
            self.note_changes();
            let background = &mut self.background;
            let Some(running) = background.work.running.get_mut(&id) else {
                return;
            };
            running.is_held = false;
            let job = running.exchange.job.clone();
            let tree = background.forest.tree(job.partition, job.n);
            match running.exchange.turn(now, tree) {
                Step::Wait => return,
                Step::Grow => return background.forest.want(job.partition, now),
                Step::Ask(ask) => self.inquire(id, Errand::Stage, &job, ask, effects),
                Step::SyncSelf => {
                    let ticket = self.errand(id, Errand::Sync);
                    let answer = Box::new(Answer::Done { is_changed: false });
                    let message = Message::Repaired { ticket, answer };
                    let to = self.me.clone();
                    effects.push(Effect::SendOnceSynced { to, message });
                }
                Step::List(after) => {
                    if !background.admission.permit(now) {
                        running.is_held = true;
                        return running.exchange.on_held(now);
                    }
                    self.list(id, &job, after);
                }
                Step::Move(key, need) => {
                    if !background.admission.permit(now) {
                        running.is_held = true;
                        return running.exchange.put_back(now, key, need);
                    }
                    self.begin_move(id, &job, key, need, effects);
                }
                Step::End(outcome) => return self.end_exchange(id, outcome),
            }
        }
    }

    fn errand(&mut self, id: u64, errand: Errand) -> Ticket {
        let ticket = self.desk.ticket();
        self.background.work.errands.insert(ticket, (id, errand));
        ticket
    }

    fn inquire(&mut self, id: u64, errand: Errand, job: &Job, ask: Ask, effects: &mut Vec<Effect>) {
        let message = Message::Repair {
            ticket: self.errand(id, errand),
            partition: job.partition,
            n: job.n,
            ask: Box::new(ask),
        };
        let to = job.peer.clone();
        effects.push(Effect::Send { to, message });
    }

    fn list(&mut self, id: u64, job: &Job, after: Option<Key>) {
        let now = self.desk.now.monotonic;
        let slice = self.copies.slice(job.partition, after.as_ref(), None);
        let Some(running) = self.background.work.running.get_mut(&id) else {
            return;
        };
        match slice {
            Ok(slice) => {
                let keys = slice.items.iter();
                let keys = keys.filter(|(key, _)| self.view.copies_of(key) == Some(job.n));
                let mine = keys.cloned().collect();
                running.exchange.on_slice(now, after, slice, mine);
            }
            Err(error) => running.exchange.on_storage_failure(error.to_string()),
        }
    }

    fn begin_move(&mut self, id: u64, job: &Job, key: Key, need: Need, effects: &mut Vec<Effect>) {
        if self.view.placement.partition_of(&key) != job.partition {
            return; // The peer has no business with it.
        }
        match need {
            Need::Give => self.give(id, job, key, false, effects),
            Need::Take | Need::Both => {
                self.with_exchange(id, |exchange, now| exchange.on_begun(now, 0));
                let ask = Ask::Copy { key: key.clone() };
                self.inquire(id, Errand::Fetch(key, need), job, ask, effects);
            }
        }
    }

    /// Sends the own copy, with what merges on put replaced in it.
    fn give(&mut self, id: u64, job: &Job, key: Key, is_changed: bool, effects: &mut Vec<Effect>) {
        match self.whole_copy(job.partition, &key) {
            Ok((object, _)) if object.is_empty() => {} // It is gone; the trees will say so.
            Ok((object, replaced)) => {
                let ask = Ask::Give {
                    key,
                    object,
                    replaced,
                };
                let bytes = ask.size_bytes();
                self.with_exchange(id, |exchange, now| exchange.on_begun(now, bytes));
                let errand = Errand::Give { bytes, is_changed };
                self.inquire(id, errand, job, ask, effects);
            }
            Err(error) => self.with_exchange(id, |exchange, _| {
                exchange.on_storage_failure(error.to_string());
            }),
        }
    }

    fn with_exchange(
        &mut self,
        id: u64,
        turn: impl FnOnce(&mut super::super::repair::exchange::Exchange, super::super::names::Millis),
    ) {
        let now = self.desk.now.monotonic;
        if let Some(running) = self.background.work.running.get_mut(&id) {
            turn(&mut running.exchange, now);
        }
    }

    /// An answer to one of this shard's own questions.
    pub(super) fn on_repaired(
        &mut self,
        from: &NodeId,
        ticket: Ticket,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        if self.background.reaper.has_asked(ticket) {
            return self.on_granted(from, ticket, &answer, effects);
        }
        let Some((id, errand)) = self.background.work.errands.remove(&ticket) else {
            return; // A late answer to an exchange that has ended.
        };
        self.note_changes();
        let now = self.desk.now.monotonic;
        let background = &mut self.background;
        let Some(running) = background.work.running.get_mut(&id) else {
            return;
        };
        let job = running.exchange.job.clone();
        match (errand, answer) {
            (Errand::Sync, _) if *from == self.me => running.exchange.on_synced(),
            (Errand::Stage, answer) => {
                let tree = background.forest.tree(job.partition, job.n);
                running.exchange.on_answer(now, answer, tree);
            }
            (Errand::Fetch(key, need), Answer::Copy { object, replaced }) => {
                self.on_fetched(id, &job, key, need, (object, replaced), effects);
            }
            (Errand::Give { bytes, is_changed }, Answer::Done { is_changed: theirs }) => {
                running.exchange.on_moved(now, bytes, is_changed || theirs);
            }
            (Errand::Give { bytes, .. }, answer) => {
                running.exchange.on_not_moved(bytes, refusal(answer));
            }
            (Errand::Fetch(..) | Errand::Sync, answer) => {
                running.exchange.on_not_moved(0, refusal(answer));
            }
        }
        self.background_turn(effects);
    }

    /// Merges a peer's copy, and sends back what that lacks if it is to have it.
    fn on_fetched(
        &mut self,
        id: u64,
        job: &Job,
        key: Key,
        need: Need,
        (object, replaced): (Object, Vec<Replaced>),
        effects: &mut Vec<Effect>,
    ) {
        let merged = self.merge_copy(job.partition, &key, object.clone(), &replaced);
        let is_changed = match merged {
            Ok(is_changed) => is_changed,
            Err(refusal) => {
                return self.with_exchange(id, |exchange, _| exchange.on_not_moved(0, refusal));
            }
        };
        let own = self.copies.record(job.partition, &key);
        let lacks = own.is_ok_and(|own| !object.descends(&own.object));
        let goes_back = need == Need::Both && lacks;
        self.with_exchange(id, |exchange, now| {
            exchange.on_moved(now, 0, is_changed && !goes_back);
        });
        if goes_back {
            self.give(id, job, key, is_changed, effects);
        }
    }

    fn end_exchange(&mut self, id: u64, outcome: Result<(), Failure>) {
        let now = self.desk.now.monotonic;
        let background = &mut self.background;
        let Some(running) = background.work.remove(id) else {
            return;
        };
        let (job, repaired) = (running.exchange.job.clone(), running.exchange.repaired());
        match running.purpose {
            Purpose::Round => {
                background.rounds.on_repaired(repaired);
                background.rounds.on_end(outcome.is_ok());
                if let Err(Failure::Unreachable | Failure::Stalled) = outcome {
                    background.rounds.skip(job.peer);
                }
            }
            Purpose::Transfer => {
                background.transfers.on_moved(job.partition, repaired);
                let outcome = match outcome {
                    Ok(()) if background.forest.has_strangers(job.partition) => {
                        Err("records of an unknown bucket would stay behind".to_owned())
                    }
                    outcome => outcome.map_err(|failure| failure.to_string()),
                };
                background.transfers.on_end(job, now, outcome);
            }
            Purpose::Stray => background.strays.on_end(now, outcome.is_ok()),
        }
    }

    /// This node's copy, with as much of what merges replaced as a message takes, the latest first.
    pub(super) fn whole_copy(
        &mut self,
        partition: PartitionId,
        key: &Key,
    ) -> Result<(Object, Vec<Replaced>), StorageError> {
        let object = self.copies.record(partition, key)?.object;
        let replaced = self.copies.retained(partition, key)?;
        Ok((object, as_much_as_fits(replaced)))
    }
}

/// Why an answer is not the one that was asked for.
fn refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        _ => Refusal::Storage("its answer does not fit the question".to_owned()),
    }
}
