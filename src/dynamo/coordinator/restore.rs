//! Brings one record of a backup back to everybody who keeps its key.
//!
//! Not in the paper. A replica write of the whole object to all N primaries (4.5), which merge it like any other (law 5),
//! and to those who will keep the key once the members have changed. Nobody stands in: a record that is said to be
//! restored is on the disks of its owners.
//!
//! Invariant: it is answered only when everybody who was asked has it, and no dot is made.

use super::super::names::{BucketName, ClientId, Key, NodeId};
use super::super::ring::placement::Seats;
use crate::limits::CONVERSATIONS_MAX;
use std::collections::BTreeSet;

/// Why a record was not restored. Some of its owners may have it; restoring it again is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("there is no bucket {0}; create it, or restore the backup that has it")]
    NoSuchBucket(BucketName),
    #[error(
        "the node coordinates {CONVERSATIONS_MAX} requests already; retry after a pause, or at another node"
    )]
    Overloaded,
    #[error(
        "{key} was not taken by {node}: {why}; restore again once all owners of the key can be reached"
    )]
    Refused { key: Key, node: NodeId, why: String },
    #[error(
        "{key} is not confirmed by {missing:?} in time; restore again once all owners of the key can be reached"
    )]
    Silent { key: Key, missing: Vec<NodeId> },
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait,
    Answer,
    Fail(RestoreError),
}

/// One record on its way.
#[derive(Debug)]
pub struct Restore {
    pub client: ClientId,
    key: Key,
    missing: BTreeSet<NodeId>,
}

impl Restore {
    /// The conversation, and whom to send the record.
    pub fn start(client: ClientId, key: Key, seats: Seats) -> (Self, Vec<NodeId>) {
        let owners = seats.primaries.into_iter().chain(seats.pending);
        let missing: BTreeSet<NodeId> = owners.collect();
        let asked = missing.iter().cloned().collect();
        let restore = Self {
            client,
            key,
            missing,
        };
        (restore, asked)
    }

    pub fn on_ack(&mut self, from: &NodeId) -> Step {
        self.missing.remove(from);
        match self.missing.is_empty() {
            true => Step::Answer,
            false => Step::Wait,
        }
    }

    pub fn on_failure(&self, from: &NodeId, why: String) -> Step {
        if !self.missing.contains(from) {
            return Step::Wait; // It has confirmed already, or was not asked.
        }
        Step::Fail(RestoreError::Refused {
            key: self.key.clone(),
            node: from.clone(),
            why,
        })
    }

    pub fn on_deadline(&self) -> Step {
        Step::Fail(RestoreError::Silent {
            key: self.key.clone(),
            missing: self.missing.iter().cloned().collect(),
        })
    }

    /// Whom it waits for.
    pub fn missing(&self) -> impl Iterator<Item = &NodeId> {
        self.missing.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn restore() -> (Restore, Vec<NodeId>) {
        let bucket = BucketName::new("carts").expect("a good name");
        let key = Key::new(bucket, Bytes::from_static(b"k")).expect("a good key");
        let seats = Seats {
            primaries: vec![node("b"), node("a")],
            pending: vec![node("c")],
            others: vec![node("d")],
        };
        Restore::start(ClientId(1), key, seats)
    }

    #[test]
    fn a_record_is_restored_once_every_owner_present_and_coming_has_confirmed() {
        let (mut restore, asked) = restore();
        assert_eq!(asked, [node("a"), node("b"), node("c")]);
        assert_eq!(restore.on_ack(&node("a")), Step::Wait);
        assert_eq!(restore.on_ack(&node("a")), Step::Wait);
        assert_eq!(restore.on_ack(&node("d")), Step::Wait, "it was not asked");
        assert_eq!(restore.on_ack(&node("c")), Step::Wait);
        assert_eq!(restore.on_ack(&node("b")), Step::Answer);
    }

    #[test]
    fn one_owner_that_does_not_take_it_fails_the_record_by_name() {
        let (restore, _) = restore();
        let failed = restore.on_failure(&node("b"), "its disk is full".to_owned());
        let Step::Fail(error) = failed else {
            panic!("{failed:?}");
        };
        assert!(error.to_string().contains("was not taken by b"), "{error}");
        let Step::Fail(RestoreError::Silent { missing, .. }) = restore.on_deadline() else {
            panic!("a deadline fails it");
        };
        assert_eq!(missing, [node("a"), node("b"), node("c")]);
    }
}
