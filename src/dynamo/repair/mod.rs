//! What a node does beside its clients' requests so that copies become and stay equal (Dynamo 4.6 to 4.9, 6.5).
//!
//! Who can be reached; what is kept for others, and handed over; hash trees and exchanges between owners; transfers
//! to new ones. Plans and compares; the machine sends, reads and writes. Knows nothing of single requests.
//!
//! Invariant: comparing equal replicas moves no record and writes nothing (law 6).

pub mod admission;
pub mod convergence;
pub mod detector;
pub mod difference;
pub mod exchange;
pub mod forest;
pub mod hash_tree;
pub mod hints;
pub mod inquiry;
pub mod reaping;
pub mod schedule;
pub mod settings;
pub mod strays;
pub mod transfer;
