//! Why a node must not go on, and whether waiting helps.
//!
//! Ends nothing: who runs the node does.
//!
//! Invariant: a disk that is full is never told in place of one that has failed.

use crate::dynamo::replica::storage::StorageError;
use tokio::sync::watch;

/// What ended the work of a node's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There was no room for a write. The node reads on, and can start over once there is some.
    Full(String),
    /// Anything else; nothing is tried again.
    Disk(String),
}

impl Failure {
    /// What the node's own engine said.
    pub fn of(error: StorageError) -> Self {
        match error {
            // An engine is read-only for one reason: it had no room before.
            StorageError::Full(why) | StorageError::ReadOnly(why) => Self::Full(why),
            error => Self::Disk(error.to_string()),
        }
    }

    /// Makes it known. What waiting does not help against stays.
    pub fn tell(self, failing: &watch::Sender<Option<Self>>) {
        failing.send_if_modified(|told| match (&told, &self) {
            (Some(Self::Disk(_)), _) | (Some(Self::Full(_)), Self::Full(_)) => false,
            _ => {
                *told = Some(self);
                true
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_disk_is_told_over_a_full_one_and_not_the_other_way_round() {
        let full = || Failure::of(StorageError::Full("no space".to_owned()));
        let failed = || Failure::of(StorageError::Failed("broken".to_owned()));
        let (failing, told) = watch::channel(None);
        full().tell(&failing);
        assert!(matches!(*told.borrow(), Some(Failure::Full(_))));
        failed().tell(&failing);
        full().tell(&failing);
        assert!(matches!(*told.borrow(), Some(Failure::Disk(_))));
    }
}
