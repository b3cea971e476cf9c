//! One small machine per client request: get, put, and a put that is passed on (Dynamo 4.5, 5).
//!
//! A machine is told of answers and of time; it says what to do next. The router in `machine` carries it
//! out. Knows nothing of storage, sockets or Wasm.
//!
//! Invariant: every conversation ends by its deadline (law 12), and one client put makes at most one dot.

pub mod durable;
pub mod forward;
pub mod get;
pub mod listing;
pub mod merge;
pub mod panel;
pub mod pressure;
pub mod put;
pub mod quorum;
pub mod request;
pub mod seat;
pub mod warning;
