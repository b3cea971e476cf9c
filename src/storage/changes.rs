//! What a batch leaves under each key, which is all that an engine needs to know of it.
//!
//! Knows nothing of how values are stored.
//!
//! Invariant: no key is longer than `KEY_BYTES_MAX`; who sends a longer one has a bug.

use crate::dynamo::replica::storage::{Batch, Change};
use crate::limits;
use bytes::Bytes;
use std::collections::BTreeMap;

/// The longest key: a client's key, and room for what the layers above put around it.
pub const KEY_BYTES_MAX: usize = limits::KEY_BYTES_MAX + 512;

/// The last change of each key; `None` deletes.
pub type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// What the batch leaves under each key.
pub fn last_changes(batch: Batch) -> Changes {
    let changes = batch.changes.into_iter().map(|change| match change {
        Change::Put { key, value } => (key, Some(value)),
        Change::Delete { key } => (key, None),
    });
    let changes: Changes = changes.collect();
    let longest = changes.keys().map(Bytes::len).max().unwrap_or_default();
    assert!(
        longest <= KEY_BYTES_MAX,
        "a storage key has {longest} bytes, at most {KEY_BYTES_MAX}"
    );
    changes
}
