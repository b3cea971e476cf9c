//! Keeps answers that nobody reads from filling the node.
//!
//! `counting` stands around all services of a listener: it turns a request away whose connection leaves too much unread,
//! and charges what it answers with. `pieces` is the answer on its way out, `patience` closes a connection that takes
//! nothing, `metrics` tells how it stands. What is too much is for `node::unread` to say.
//!
//! Invariant: every byte of an answer is charged from the moment it is made until HTTP/2 has let go of it.

pub mod counting;
pub mod metrics;
pub mod patience;
mod pieces;
