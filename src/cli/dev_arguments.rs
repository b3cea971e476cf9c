//! What `rejoin dev` takes.
//!
//! Invariant: without arguments it starts what the README shows.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Dev {
    /// Play the shopping-cart story: a real conflict, merged by an uploaded plugin. Then exit.
    #[arg(long)]
    pub demo: bool,
    /// Folder of the nodes' data; made if it is missing, taken up if it is there.
    /// [default: ./rejoin-dev, or with --demo a temporary one]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Client port of the first node; the others follow, their peer ports are 100 higher. 0: any free ones.
    #[arg(long, default_value_t = 7001, value_name = "PORT")]
    pub port: u16,
    /// Number of nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9), value_name = "COUNT")]
    pub nodes: u16,
}
