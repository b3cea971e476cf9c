//! What reads bytes from outside, one function each: any bytes must be an answer and never a panic, within bounds.
//!
//! `fuzz/run` lets libFuzzer look for bytes that are not, `tests/fuzz_corpus.rs` tries those that were found, and
//! mutations of them. A panic is a finding; so is a property that does not hold.

mod backup;
mod bytes_of;
mod catalog;
mod context;
mod evidence;
mod gossip;
mod machine;
mod peer;
mod questions;
mod requests;
mod stored;
mod upload;

/// One way for bytes to come in.
pub struct Target {
    pub name: &'static str,
    /// Panics if something does not hold for these bytes.
    pub run: fn(&[u8]),
    /// What this release's encoders make: where a search begins.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        &[$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds }),*]
    };
}

pub const TARGETS: &[Target] = targets![
    backup, catalog, context, evidence, gossip, machine, peer, questions, requests, stored, upload,
];
