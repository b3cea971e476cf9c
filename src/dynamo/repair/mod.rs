//! How replicas that differ become equal without being read: hash trees, exchanges, transfers to new owners.
//!
//! Dynamo 4.7, 4.9, 6.5. Plans and compares; the machine sends, reads and writes.
//!
//! Invariant: comparing equal replicas moves no record and writes nothing (law 6).

pub mod admission;
pub mod difference;
pub mod exchange;
pub mod forest;
pub mod hash_tree;
pub mod inquiry;
pub mod schedule;
pub mod strays;
pub mod transfer;
