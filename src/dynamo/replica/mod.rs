//! What one copy of a key does with a request, and what it asks of the disk (Dynamo 4.5, 4.9).
//!
//! The local copy and a remote one are asked alike. Knows nothing of quorums.
//!
//! Invariant: every change of a stored object is `local := sync(local, incoming)` (law 5).

pub mod change;
pub mod clearing;
mod closing;
pub mod conflicts;
pub mod copy;
pub mod counters;
pub mod fingerprint;
pub mod hinted;
pub mod layout;
pub mod ledger;
pub mod listing;
pub mod merges;
pub mod record;
mod refusal;
pub mod removal;
pub mod room;
pub mod saved;
pub mod storage;
pub mod stretch;
pub mod vouches;
