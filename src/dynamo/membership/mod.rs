//! Who is in the cluster (Dynamo 4.8).
//!
//! Knows nothing of the ring that is made of the members.

pub mod member;
