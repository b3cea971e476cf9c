//! What `rejoin backup` takes.
//!
//! Invariant: what could make a backup incomplete has to be asked for by name.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Write everything that the cluster stores into a file, while it runs.
    Create(Create),
    /// Check a file from its first byte to its last, without a cluster.
    Verify { file: PathBuf },
    /// Merge a backup into a running cluster of any size. Safe to repeat.
    Restore { file: PathBuf },
}

#[derive(Debug, Args)]
pub struct Create {
    /// The file to write, or a folder to write one into. What an interrupted run has left is taken up.
    #[arg(long, value_name = "FILE|FOLDER")]
    pub out: PathBuf,
    /// Only this bucket; may be given several times.
    #[arg(long = "bucket", value_name = "BUCKET")]
    pub buckets: Vec<String>,
    /// Do without this node, which cannot be reached; may be given several times. What only it has is not in the backup.
    #[arg(long = "without", value_name = "NODE")]
    pub without: Vec<String>,
    /// Go on although partitions move. What moves at the wrong moment may be missing.
    #[arg(long)]
    pub while_members_change: bool,
}
