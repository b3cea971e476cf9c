//! Protobuf to domain and back, nothing else.
//!
//! Sends nothing and decides nothing. What comes in is bounded and checked here, before anything else sees
//! it (law 11).
//!
//! Invariant: what was sent by this release decodes to what was meant; anything else decodes to an error.

pub mod activation;
pub mod bucket;
pub mod fingerprints;
mod guests;
pub mod inspection;
pub mod key_value;
pub mod keys;
pub mod peer;
pub mod proto;
pub mod put_error;
pub mod repair;
pub mod resolved;
pub mod unmerging;
mod vouching;
pub mod warning;
pub mod watch;
