//! What `rejoin bucket conflicts` and `rejoin bucket validate` take.
//!
//! Invariant: neither takes anything that would change a bucket.

use crate::limits::{DRY_RUN_KEYS_DEFAULT, DRY_RUN_KEYS_MAX};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Conflicts {
    pub bucket: String,
    /// The most keys to print [default: all].
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Validate {
    pub bucket: String,
    /// The validator: its name, or the first digits of its digest. It need not be bound.
    #[arg(long)]
    pub plugin: String,
    /// File that is handed to it with every call.
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// Fuel of one call [default: 50 million].
    #[arg(long, value_name = "UNITS")]
    pub fuel: Option<u64>,
    /// Keys to judge; they come in the order of their hashes.
    #[arg(long, value_name = "COUNT", default_value_t = DRY_RUN_KEYS_DEFAULT as u64, value_parser = clap::value_parser!(u64).range(1..=DRY_RUN_KEYS_MAX as u64))]
    pub sample: u64,
}
