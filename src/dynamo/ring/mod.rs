//! Where keys live: equal partitions of the hash space and the nodes that hold them (Dynamo 4.2, 4.3, 6.2).
//!
//! Knows nothing of which nodes can be reached.
//!
//! Invariant: nodes that know the same members compute the same ring, with nobody in charge.

pub mod assignment;
pub mod change;
pub mod member;
pub mod partition;
pub mod partition_set;
pub mod placement;
pub mod preference;
