//! What every node knows of the whole cluster besides its members: buckets and plugins (Dynamo 4.8.1).
//!
//! Held by every node, merged with whatever a peer holds, with nobody in charge. Does not talk to anyone.
//!
//! Invariant: merging is commutative, associative and idempotent, so all nodes end with the same rows.

pub mod catalog;
pub mod row;
