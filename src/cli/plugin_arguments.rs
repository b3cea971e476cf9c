//! What can be typed behind `rejoin plugin` about versions: activation, the way back, and what is tried.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Versions {
    /// Bind a plugin to a bucket, once every member has it and finds the same on its samples.
    Activate(Box<Activate>),
    /// Bind again what was bound before. What was merged meanwhile is undone by `unmerge`.
    Rollback {
        bucket: String,
        /// Epoch to go back to, as `history` shows it [default: the one before].
        #[arg(long, value_name = "EPOCH")]
        to: Option<u64>,
    },
    /// Show what is bound to a bucket, and what was.
    History { bucket: String },
    /// Stop asking the resolver of a bucket: siblings are answered and kept.
    Pause { bucket: String },
    /// Ask the resolver of a bucket again.
    Resume { bucket: String },
    /// Undo what a resolver merged that is no longer bound: put its inputs back through the resolver of now.
    Unmerge(Unmerge),
    /// Ask a resolver beside the bound one, and only compare.
    Shadow(Box<Shadow>),
    /// Show how the resolver that is tried compares.
    ShadowReport {
        bucket: String,
        /// Not what was compared so far: replay the siblings that stand in the bucket, and the inputs of merges that are kept.
        #[arg(long)]
        replay: bool,
    },
}

#[derive(Debug, Args)]
pub struct Activate {
    pub bucket: String,
    /// `name@version`, the name if it has one version, or the first digits of the digest.
    pub plugin: String,
    /// As what it is bound [default: what it exports; a resolver if it is both].
    #[arg(long)]
    pub role: Option<RoleChoice>,
    /// File that is handed to the plugin with every call [default: as it is].
    #[arg(long, value_name = "FILE")]
    pub params_file: Option<PathBuf>,
    /// Fuel of one call [default: as it is, or 50 million].
    #[arg(long, value_name = "UNITS")]
    pub fuel: Option<u64>,
    /// Whether a put stores what the resolver makes of its value and the siblings that it did not see.
    #[arg(long, value_name = "BOOL")]
    pub merge_on_put: Option<bool>,
    /// A member that need not have it now; it answers siblings until it has. May be given several times.
    #[arg(long, value_name = "NODE")]
    pub without: Vec<String>,
    /// Only look whether all members are ready and agree.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleChoice {
    Resolver,
    Validator,
    Both,
}

#[derive(Debug, Args)]
pub struct Unmerge {
    pub bucket: String,
    /// Epoch since which merges are undone, or the plugin whose [default: what was bound last].
    #[arg(long, value_name = "EPOCH|PLUGIN")]
    pub from: Option<String>,
    /// Only count what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Go on from here, as an unmerge that broke off has printed it.
    #[arg(long, value_name = "HEX")]
    pub token: Option<String>,
}

#[derive(Debug, Args)]
pub struct Shadow {
    pub bucket: String,
    /// As with `activate`.
    #[arg(required_unless_present = "off")]
    pub plugin: Option<String>,
    /// File that is handed to it with every call [default: the resolver's params].
    #[arg(long, value_name = "FILE")]
    pub params_file: Option<PathBuf>,
    /// Fuel of one call [default: the resolver's].
    #[arg(long, value_name = "UNITS")]
    pub fuel: Option<u64>,
    /// Of a hundred questions, how many it is asked.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "COUNT")]
    pub percent: u8,
    /// No longer ask one.
    #[arg(long, conflicts_with = "plugin")]
    pub off: bool,
}
