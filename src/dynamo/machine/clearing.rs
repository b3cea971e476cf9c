//! A shard that lets go of removed buckets: nothing of them is taken or shown any more, and what is stored goes by slices.
//!
//! Not in the paper. Begins anew with each start of the process and each removal, so it needs no memory of how far it was.
//!
//! Invariant: nothing of a bucket is taken once its removal is known, so one way over the disk finds all of it.

use super::super::bucket::removed::RemovedBuckets;
use super::super::names::{BucketName, Key};
use super::super::repair::hints::Arming;
use super::super::replica::storage::Storage;
use super::background::Swept;
use super::effect::Effect;
use super::router::Machine;
use bytes::Bytes;
use std::sync::Arc;

impl<S: Storage> Machine<S> {
    pub(super) fn on_removed(&mut self, removed: Arc<RemovedBuckets>, effects: &mut Vec<Effect>) {
        if *removed == *self.copies.removed() {
            return;
        }
        self.note_changes();
        self.copies.set_removed(Arc::clone(&removed));
        let background = &mut self.background;
        background.forest.on_removed(removed);
        background.clearing = Some(Bytes::new());
        self.background_turn(effects);
    }

    pub(super) fn is_removed(&self, bucket: &BucketName) -> bool {
        self.copies.removed().contains(bucket)
    }

    /// The key as it is stored now: clients do not know of which generation a bucket is.
    pub(super) fn living(&self, key: Key) -> Key {
        match self.view.living(key.bucket()) {
            Some(bucket) => key.within(bucket),
            None => key,
        }
    }

    /// A bounded piece of what is to be taken away.
    pub(super) fn clear(&mut self) -> Swept {
        let background = &mut self.background;
        let Some(from) = &background.clearing else {
            return Swept::Nothing;
        };
        // Hints that are not counted yet cannot be taken from the count.
        if !matches!(self.arming, Arming::Done)
            || !background.admission.permit(self.desk.now.monotonic)
        {
            return Swept::Held;
        }
        let share = background.share();
        match self
            .copies
            .clear_some(from, |partition| share.holds(partition))
        {
            Ok(next) => background.clearing = next,
            Err(_) => return Swept::Held, // A disk that cannot take a delete is asked again.
        }
        Swept::Some
    }
}
