//! Which version follows which: dotted version vector sets with server-side actors (Dynamo 4.4).
//!
//! Knows nothing of time, nodes or storage. See `docs/decisions/0001-causality.md` for why actors are
//! not nodes.
//!
//! Invariant: a dot names one value for the whole life of the cluster (law 4).

pub mod context;
pub mod dot;
pub mod object;
pub mod version;
