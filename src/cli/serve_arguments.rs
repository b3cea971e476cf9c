//! What `rejoin serve` takes.
//!
//! Invariant: what is given here goes before the file, and what is not is left to it.

use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Serve {
    /// TOML file; see docs/configuration.md.
    #[arg(long, env = "REJOIN_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// This node's name, in place of the file's.
    #[arg(long, env = "REJOIN_NODE", value_name = "NAME")]
    pub node: Option<String>,
    /// Data folder, in place of the file's.
    #[arg(long, env = "REJOIN_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Where to listen for clients, in place of the file's.
    #[arg(
        long,
        alias = "bind-client",
        env = "REJOIN_CLIENT",
        value_name = "ADDRESS"
    )]
    pub client: Option<SocketAddr>,
    /// Where to listen for other nodes, in place of the file's.
    #[arg(long, alias = "bind-peer", env = "REJOIN_PEER", value_name = "ADDRESS")]
    pub peer: Option<SocketAddr>,
    /// Where to listen for `GET /metrics` and `GET /healthz`.
    #[arg(long, env = "REJOIN_METRICS", value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Where clients find this node, if that is not where it listens.
    #[arg(long, env = "REJOIN_ADVERTISE_CLIENT", value_name = "HOST:PORT")]
    pub advertise_client: Option<String>,
    /// Where other nodes find this node, if that is not where it listens.
    #[arg(long, env = "REJOIN_ADVERTISE_PEER", value_name = "HOST:PORT")]
    pub advertise_peer: Option<String>,
    /// Peer address of a member, for a node that joins; may be given several times.
    #[arg(long = "seed", value_name = "HOST:PORT")]
    pub seeds: Vec<String>,
    /// File with the secret that admits nodes to the cluster.
    #[arg(long, env = "REJOIN_JOIN_TOKEN_FILE", value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
    /// Go without certificates: plain text, on loopback only.
    #[arg(long)]
    pub insecure: bool,
    /// End when the process that started this one ends.
    #[arg(long, hide = true)]
    pub with_parent: bool,
}
