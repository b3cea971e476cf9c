//! Where a node keeps its bytes: the `Storage` trait on sled, on redb and in memory.
//!
//! The one room that knows the format on disk: the envelope around every item, the data folder with
//! its lock and marker, and what it takes for `durable` to mean what it says (law 8). Dynamo 4.9 calls
//! it the local persistence engine. Knows nothing of objects, buckets or the network.
//!
//! Invariant: what comes back from a disk is believed only after its checksum.

pub mod changes;
mod custody;
pub mod durability;
pub mod envelope;
mod fault;
pub mod folder;
pub mod health;
pub mod marker;
pub mod memory;
pub mod opening;
pub mod redb_engine;
pub mod scrub;
pub mod sled_engine;
pub mod space;
