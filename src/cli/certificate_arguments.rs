//! What `rejoin cert` takes, and how a client secures its connection.
//!
//! Invariant: no secret stands on a command line, only the names of files.

use crate::limits::transport::{
    AUTHORITY_DAYS_DEFAULT, CERTIFICATE_DAYS_DEFAULT, CERTIFICATE_DAYS_MAX,
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Whom a client believes, and what it shows.
#[derive(Debug, Default, Args)]
pub struct Trust {
    /// The authorities that sign the servers' certificates, for https addresses; PEM.
    #[arg(long = "ca", global = true, env = "REJOIN_CA", value_name = "FILE")]
    pub trusted_ca: Option<PathBuf>,
    /// The certificate that this client shows; PEM.
    #[arg(long = "cert", global = true, env = "REJOIN_CERT", value_name = "FILE")]
    pub shown_certificate: Option<PathBuf>,
    /// Its private key; PEM, readable by its owner alone.
    #[arg(long = "key", global = true, env = "REJOIN_KEY", value_name = "FILE")]
    pub shown_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Certificate {
    /// Make two authorities: one for clients and what nodes show them, one for nodes among themselves.
    Authority {
        /// Folder of the four files; its keys belong on no node.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// How long they are valid.
        #[arg(long, value_name = "DAYS", default_value_t = AUTHORITY_DAYS_DEFAULT, value_parser = days())]
        days: u32,
    },
    /// Make the two certificates of a node.
    Node {
        /// Its name, as in its configuration.
        name: String,
        /// A host name or address by which clients dial it; may be given several times.
        #[arg(long = "host", value_name = "HOST", required = true)]
        hosts: Vec<String>,
        #[command(flatten)]
        issue: Issue,
    },
    /// Make the certificate of a client.
    Client {
        /// Its name, as in tokens and roles.
        name: String,
        #[command(flatten)]
        issue: Issue,
    },
    /// Take certificates back: nodes that are given the list refuse them.
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Folder that `rejoin cert authority` made; the lists are in it.
        #[arg(long, value_name = "FOLDER")]
        authority: PathBuf,
    },
}

/// Which certificates are taken back.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// All certificates of this client.
    #[arg(long, value_name = "NAME")]
    pub client: Option<String>,
    /// All certificates of this node, for clients and for nodes.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// The one in this file; PEM.
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// The one with this serial number, in hexadecimal digits.
    #[arg(long, value_name = "DIGITS")]
    pub serial: Option<String>,
}

/// Who signs, where to, and for how long.
#[derive(Debug, Args)]
pub struct Issue {
    /// Folder that `rejoin cert authority` made.
    #[arg(long, value_name = "FOLDER")]
    pub authority: PathBuf,
    /// Folder of the new files; nothing in it is replaced.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// How long they are valid.
    #[arg(long, value_name = "DAYS", default_value_t = CERTIFICATE_DAYS_DEFAULT, value_parser = days())]
    pub days: u32,
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(CERTIFICATE_DAYS_MAX))
}
