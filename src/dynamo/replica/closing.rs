//! Of what a node takes no writes: partitions that it has given away, buckets that are no more, a disk without room.
//!
//! Decides none of it: it is told.
//!
//! Invariant: what is refused here is written nowhere.

use super::super::names::Key;
use super::super::ring::partition::PartitionId;
use super::copy::Copies;
use super::layout::Place;
use super::room::Room;
use super::storage::{Storage, StorageError};

impl<S: Storage> Copies<S> {
    /// From now on the disk has so much room.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    pub fn room(&self) -> Room {
        self.room
    }

    /// Whoever writes asks first: a batch that is refused here is nowhere.
    pub(super) fn check_room(&self) -> Result<(), StorageError> {
        match self.room {
            Room::Spent => Err(StorageError::ReadOnly(
                "the disk of this node is full; free some space".to_owned(),
            )),
            Room::Ample | Room::Scarce => Ok(()),
        }
    }

    pub(super) fn check_open(
        &self,
        place: &Place,
        partition: PartitionId,
        key: &Key,
    ) -> Result<(), StorageError> {
        self.check_room()?;
        if self.removed.contains(key.bucket()) {
            let reason = format!("the bucket {} was removed", key.bucket());
            return Err(StorageError::ReadOnly(reason));
        }
        match self.frozen.get(&partition) {
            Some(buckets) if *place == Place::Home && buckets.contains(key.bucket()) => Err(
                StorageError::ReadOnly("this node has handed the partition over".to_owned()),
            ),
            _ => Ok(()),
        }
    }
}
