//! Rejoin: an always-writeable, leaderless key-value store after Amazon's Dynamo, whose conflict
//! resolution is WebAssembly that its users upload.
//!
//! The map of the house is `docs/architecture.md`. Imports run one way, from the top of this list to
//! its foot.

pub mod dynamo;
pub mod limits;
pub mod wasm;
