//! The gRPC services for clients and operators: translate, call the node, translate back.
//!
//! Decides nothing about keys. Errors become status codes in `status`, and nowhere else.
//!
//! Invariant: a request that is refused here has changed nothing.

pub mod backups;
pub mod batch;
pub mod buckets;
pub mod cluster;
pub mod condition;
pub mod deadline;
mod explain;
mod few;
mod inspection;
pub mod key_value;
pub mod keys;
pub mod listen;
mod measuring;
mod membership;
pub mod metrics;
pub mod plugins;
pub mod status;
mod traced;
pub mod watch;
