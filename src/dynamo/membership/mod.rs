//! Who is in the cluster, and how that changes (Dynamo 4.8, 4.9): one machine per node, beside its shards.
//!
//! Reconciles the catalogs of the nodes by gossip, plans and commits changes of the members, and follows the
//! policies. Like the shards it is told of time and messages and says what is to be done.
//!
//! Invariant: whatever a node does about the members follows from its catalog; nobody is in charge.

pub mod gossip;
pub mod opinions;
pub mod plan;
pub mod policy;
mod rounds;
pub mod snapshot;
pub mod steward;
