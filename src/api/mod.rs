//! The gRPC services for clients and operators: translate, call the node, translate back.
//!
//! Decides nothing about keys. Errors become status codes in `status`, and nowhere else.
//!
//! Invariant: a request that is refused here has changed nothing.

mod accepted;
pub mod access;
mod activation;
pub mod backups;
pub mod batch;
pub mod buckets;
pub mod cluster;
pub mod condition;
mod conflicts;
pub mod deadline;
mod dry_run;
mod explain;
mod few;
mod guests;
mod inspection;
pub mod key_value;
pub mod keys;
pub mod listen;
mod measuring;
mod membership;
pub mod metrics;
mod opening;
pub mod plugins;
mod shadow;
pub mod status;
mod traced;
mod unmerge;
mod unread;
mod uploads;
pub mod watch;
