//! The Dynamo paper, pure: no clock, no dice, no lock, no input or output, no Wasm.
//!
//! Time and randomness are arguments, timers and user code are values that go out and come back. So one
//! seed replays a whole cluster, and everything in here can be tested without a file or a socket.
//!
//! Invariant: the same inputs in the same order give the same effects in the same order.

pub mod bucket;
pub mod causality;
pub mod codec;
pub mod coordinator;
pub mod machine;
pub mod membership;
pub mod metadata;
pub mod names;
pub mod reconcile;
pub mod repair;
pub mod replica;
pub mod ring;
