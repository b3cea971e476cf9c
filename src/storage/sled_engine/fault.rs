//! sled's errors, sorted by what helps.
//!
//! Invariant: an error that contradicts what sled itself wrote is `Broken`, never `System`.

use crate::storage::fault::Fault;

impl From<sled::Error> for Fault {
    fn from(error: sled::Error) -> Self {
        let text = format!("sled: {error}");
        match error {
            sled::Error::Io(error) => Self::of_system(&error, text),
            sled::Error::Unsupported(_) => Self::Unsupported(text),
            sled::Error::CollectionNotFound(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. } => Self::Broken(text),
        }
    }
}
