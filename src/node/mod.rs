//! The asynchronous shell of one node: shards, disk, peers, plugins, and nothing of the protocol.
//!
//! Carries events to the pure core and effects away from it. Holds the few locks that there are.
//!
//! Invariant: a shard never waits for the disk, a peer or a guest; whatever it waits for comes as an event.

mod access;
mod asking;
pub mod backups;
mod binding;
pub mod certificates;
pub mod clock;
pub mod commit;
mod conflicts;
pub mod dialing;
mod disk;
pub mod explaining;
pub mod failure;
pub mod feed;
mod foundation;
pub mod gate;
pub mod guests;
pub mod hello;
pub mod inbox;
pub mod inspecting;
pub mod keys;
pub mod listening;
pub mod meeting;
pub mod metrics;
pub mod office;
pub mod peers;
pub mod plugins;
pub mod readiness;
pub mod registry;
pub mod repairs;
pub mod replaying;
pub mod scrubbing;
pub mod server;
pub mod shadows;
mod shard;
pub mod staging;
pub mod store;
mod suspects;
pub mod switchboard;
pub mod traces;
pub mod unmerging;
pub mod unread;
pub mod uploads;
