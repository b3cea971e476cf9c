//! A shard that is asked by others in which records it differs from them, and that takes what they give.
//!
//! Dynamo 4.7, 4.9. Remembers nothing between two questions.
//!
//! Invariant: what is given is taken only by a node that keeps the partition, and acknowledged from the disk.

use super::super::causality::object::Object;
use super::super::names::{Key, NodeId, Ticket};
use super::super::repair::inquiry::{Answer, Ask, Refusal};
use super::super::replica::layout::Place;
use super::super::replica::record::Replaced;
use super::super::replica::storage::Storage;
use super::super::ring::partition::PartitionId;
use super::effect::Effect;
use super::message::Message;
use super::router::Machine;
use crate::limits::N_MAX;

impl<S: Storage> Machine<S> {
    /// Answers a peer's question about one partition and one number of copies.
    pub(super) fn on_repair(
        &mut self,
        to: NodeId,
        ticket: Ticket,
        (partition, n): (PartitionId, u8),
        ask: Ask,
        effects: &mut Vec<Effect>,
    ) {
        self.note_changes();
        // What a vouch rests on must outlive a crash, or a lost tail of the disk could bring an older copy back.
        let waits = match ask {
            Ask::Give { .. } | Ask::Sync => true,
            Ask::Vouch { standing_ms, .. } => standing_ms > 0,
            _ => false,
        };
        let is_known = partition.0 < self.view.placement.partitions().count();
        let answer = match is_known && (1..=N_MAX).contains(&n) {
            true => self.answer(partition, n, ask),
            false => Answer::Refused(Refusal::NotKept),
        };
        let waits = waits && !matches!(answer, Answer::Refused(_));
        let answer = Box::new(answer);
        let message = Message::Repaired { ticket, answer };
        match waits {
            true => effects.push(Effect::SendOnceSynced { to, message }),
            false => self.send(to, message, effects),
        }
        self.background_turn(effects); // A tree may be wanted now.
    }

    fn answer(&mut self, partition: PartitionId, n: u8, ask: Ask) -> Answer {
        let now = self.desk.now.monotonic;
        match ask {
            Ask::Root | Ask::Leaves => {
                let forest = &mut self.background.forest;
                forest.want(partition, now);
                match (forest.tree(partition, n), ask) {
                    (None, _) => Answer::Building {
                        records: forest.records(partition),
                    },
                    (Some(tree), Ask::Root) => Answer::Root(tree.root()),
                    (Some(tree), _) => Answer::Leaves(Box::new(*tree.leaves())),
                }
            }
            Ask::Keys {
                leaves,
                after,
                upto,
            } => {
                let slice = self.copies.slice(partition, after.as_ref(), upto.as_ref());
                let slice = match slice {
                    Ok(slice) => slice,
                    Err(error) => return storage_failed(&error),
                };
                let last = slice.items.last().map(|(key, _)| key.clone());
                let covered = if slice.is_last { None } else { last };
                let keys = slice
                    .items
                    .into_iter()
                    .filter(|(key, _)| leaves.holds(key) && self.view.copies_of(key) == Some(n));
                Answer::Keys {
                    keys: keys.collect(),
                    covered,
                }
            }
            Ask::Copy { key } if self.belongs(&key, partition) => {
                match self.whole_copy(partition, &key) {
                    Ok((object, replaced)) => Answer::Copy { object, replaced },
                    Err(error) => storage_failed(&error),
                }
            }
            Ask::Give {
                key,
                object,
                replaced,
            } if self.belongs(&key, partition) => {
                self.accept(partition, n, &key, object, &replaced)
            }
            Ask::Copy { .. } | Ask::Give { .. } => Answer::Refused(Refusal::NotKept),
            Ask::Sync => Answer::Done { is_changed: false },
            Ask::Vouch {
                placement_version,
                standing_ms,
                keys,
            } => self.vouch(partition, placement_version, standing_ms, &keys),
            Ask::Reap { keys } => self.let_go(partition, &keys),
            Ask::Doubt => {
                self.background.forest.doubt(partition, now);
                Answer::Done { is_changed: false }
            }
        }
    }

    fn belongs(&self, key: &Key, partition: PartitionId) -> bool {
        self.view.placement.partition_of(key) == partition
    }

    fn accept(
        &mut self,
        partition: PartitionId,
        n: u8,
        key: &Key,
        object: Object,
        replaced: &[Replaced],
    ) -> Answer {
        let copies = self.view.copies_of(key).unwrap_or(n);
        if !self.view.placement.keeps(partition, copies, &self.me) {
            return Answer::Refused(Refusal::NotKept);
        }
        match self.merge_copy(partition, key, object, replaced) {
            Ok(is_changed) => Answer::Done { is_changed },
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    /// Merges a copy with all that came with it. Says whether the object changed.
    pub(super) fn merge_copy(
        &mut self,
        partition: PartitionId,
        key: &Key,
        object: Object,
        replaced: &[Replaced],
    ) -> Result<bool, Refusal> {
        let written = self
            .copies
            .write(&Place::Home, partition, key, object, replaced);
        written.map_err(|error| Refusal::Storage(error.to_string()))
    }
}

fn storage_failed(error: &dyn std::fmt::Display) -> Answer {
    Answer::Refused(Refusal::Storage(error.to_string()))
}
