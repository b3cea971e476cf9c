//! redb's errors, sorted by what helps.
//!
//! Invariant: an error that contradicts what redb itself wrote is `Broken`, never `System`.

use crate::storage::fault::Fault;

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        let text = format!("redb: {error}");
        match error {
            redb::Error::Io(error) => Self::of_system(&error, text),
            redb::Error::PreviousIo
            | redb::Error::DatabaseAlreadyOpen
            | redb::Error::DatabaseClosed => Self::System(text),
            redb::Error::UpgradeRequired(_) | redb::Error::ValueTooLarge(_) => {
                Self::Unsupported(text)
            }
            _ => Self::Broken(text),
        }
    }
}
