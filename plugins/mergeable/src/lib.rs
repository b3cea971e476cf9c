//! Types whose values merge lawfully, as the plugins of this workspace are made of them.
//!
//! The Dynamo paper, section 4.4, leaves the merging of siblings to the application; these are the merges
//! that many applications need. Knows nothing of plugins: each plugin is a thin crate that answers the
//! contract with one of these. Asks for no clock, no random number and no float.
//!
//! Invariant: `join` of every type is commutative, associative and idempotent, and equal values are
//! written as equal bytes.

pub mod dots;
pub mod grow_only_set;
pub mod json;
pub mod observed_remove_set;
pub mod pn_counter;
pub mod siblings;
