//! Why a copy does not take a write.
//!
//! Invariant: every refusal but `MaybeStored` means that the copy is what it was.

use super::storage::StorageError;
use crate::limits::{ACTORS_MAX, OBJECT_BYTES_MAX, SIBLINGS_MAX};

/// Why an object that arrived was not merged. The copy is what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What no decoder would read again must not be stored.
    #[error(
        "the object would have {actors} actors and {siblings} siblings, the limits are {ACTORS_MAX} and {SIBLINGS_MAX}; get the key and put with its context"
    )]
    Unreadable { actors: usize, siblings: usize },
}

/// Why a coordinated write was not made. Nothing was stored, but for `MaybeStored`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoordinateError {
    /// Another replica may do better.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The engine failed while it wrote: the write may be there, now or after a restart.
    #[error("the storage failed while it wrote: {0}")]
    MaybeStored(String),
    #[error(
        "the object would have {found} actors, the limit is {ACTORS_MAX}; write to another key"
    )]
    TooManyActors { found: usize },
    #[error(
        "the object would have {found} bytes in {siblings} siblings, the limit is {OBJECT_BYTES_MAX}; get the key and put with its context"
    )]
    ObjectTooLarge { found: usize, siblings: usize },
}
