//! What every node knows of the whole cluster: its buckets, plugins, nodes, and the change of members that is
//! under way (Dynamo 4.8.1).
//!
//! Held by every node, merged with whatever a peer holds, with nobody in charge. Does not talk to anyone.
//!
//! Invariant: merging is commutative, associative and idempotent, so all nodes end with the same rows.

pub mod catalog;
pub mod facts;
pub mod grade;
pub mod row;
pub mod versions;

#[cfg(test)]
mod later_releases;
