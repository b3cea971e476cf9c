//! The law check: whether a resolver keeps what merging in any order, in groups and again takes for granted.
//!
//! Dynamo leaves merging to its clients (4.4, 6); here the code comes from them and runs on the nodes, so it is tried
//! before it is believed. Made cases (`samples`, `mutation`, `generic`) are put to the guest (`examiner`) under each
//! `law`, what breaks is made small (`shrinking`) and kept as a file that anybody can replay (`evidence`). `gate` is
//! what an upload and the command line both call. Knows no buckets, no network and no storage.
//!
//! Invariant: the verdict depends on the plugin's bytes, its params, its fuel and the given cases only, so every node
//! and every laptop comes to the same one; what depends on this machine is an error, never a verdict (law 7).

pub mod base64;
pub mod bounds;
pub mod case;
mod check;
mod convergence;
mod dice;
pub mod evidence;
pub mod examiner;
pub mod gate;
mod generic;
pub mod law;
mod mutation;
pub mod outcome;
pub mod report;
mod shrinking;
mod trial;
pub mod written;
