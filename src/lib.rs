//! Rejoin: an always-writeable, leaderless key-value store after Amazon's Dynamo, whose conflict
//! resolution is WebAssembly that its users upload.
//!
//! The map of the house is `docs/architecture.md`. Imports run one way: `limits` and `dynamo` know
//! nothing of the rest; `storage`, `wasm`, `wire` and `security` know only them; `config`, `node`, `api` and `cli`
//! follow, each above the ones before.

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod dynamo;
pub mod limits;
pub mod node;
pub mod security;
pub mod storage;
pub mod wasm;
pub mod wire;
