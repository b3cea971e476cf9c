//! Why a configuration was refused.
//!
//! Invariant: each message names the field, what was found, and the fix.

use crate::dynamo::names::{NameError, NodeId};
use crate::dynamo::ring::member::MembersError;
use crate::dynamo::ring::partition::PartitionsError;
use crate::limits::{
    ANTI_ENTROPY_INTERVAL_MS_MAX, CLOCK_OFFSET_MS_MAX, PLUGIN_BYTES_MAX, REAP_INTERVAL_MS_MAX,
    TOMBSTONE_HORIZON_MS_MAX, TOMBSTONE_HORIZON_MS_MIN, WEIGHT_MAX,
};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration: {0}")]
    Read(#[from] config::ConfigError),
    #[error("`node`: {0}")]
    Node(#[source] NameError),
    #[error("`members`: {0}")]
    Member(#[source] NameError),
    #[error("`members`: {0}")]
    Members(#[from] MembersError),
    #[error(
        "`members` does not list this node, {0}; founding members list all of them, themselves included, and a node that joins lists none"
    )]
    NotAMember(NodeId),
    #[error(
        "neither `members` nor `seeds` is given; list the founding members of a new cluster, or addresses of nodes of the one to join"
    )]
    Nowhere,
    #[error("`weight` is {found}; give 1 to {WEIGHT_MAX}")]
    Weight { found: u16 },
    #[error("`join_token_file` {file}: {why}")]
    Token { file: PathBuf, why: String },
    #[error("`partitions`: {0}")]
    Partitions(#[from] PartitionsError),
    #[error("`plugin_bytes_max` is {found}; give 1 to {PLUGIN_BYTES_MAX}")]
    PluginBytes { found: usize },
    #[error(
        "`anti_entropy_interval_ms` is {found}; give 1000 to {ANTI_ENTROPY_INTERVAL_MS_MAX}, or 0 to compare only on command"
    )]
    AntiEntropyInterval { found: u64 },
    #[error("`{field}` is {found}; give {min} to {max}")]
    OutOfRange {
        field: &'static str,
        found: u64,
        min: u64,
        max: u64,
    },
    #[error(
        "`clock_offset_ms` is {found}; it is for tests only: leave it out, or give -{CLOCK_OFFSET_MS_MAX} to {CLOCK_OFFSET_MS_MAX}"
    )]
    ClockOffset { found: i64 },
    #[error(
        "`reap_interval_ms` is {found}; give 1000 to {REAP_INTERVAL_MS_MAX}, or 0 to remove tombstones only on command"
    )]
    ReapInterval { found: u64 },
    #[error(
        "`tombstone_horizon_ms` is {found}; give {TOMBSTONE_HORIZON_MS_MIN} to {TOMBSTONE_HORIZON_MS_MAX}: it has to be longer than anything can be on its way"
    )]
    TombstoneHorizon { found: u64 },
    #[error(
        "`client` is {found}, which is not a loopback address, and without `file` in `[access]` everybody who reaches it may do everything; make an access file (docs/security.md), or listen on 127.0.0.0/8 or [::1]"
    )]
    OpenToAll { found: SocketAddr },
    #[error(
        "`{field}` is {found}, which is not a loopback address; without `[tls]` a node listens on 127.0.0.0/8 or [::1] only"
    )]
    NotLoopback {
        field: &'static str,
        found: SocketAddr,
    },
    #[error(
        "`metrics` is {found}, which is not a loopback address; these pages are plain text, so they are on 127.0.0.0/8 or [::1] only"
    )]
    MetricsNotLoopback { found: SocketAddr },
    #[error(
        "`{field}` is {found}, an address that nobody can dial; say in `advertise_{field}` where this node is found"
    )]
    Nameless {
        field: &'static str,
        found: SocketAddr,
    },
    #[error(
        "`tls.{field}` is missing; clients and nodes are both secured or neither is: give certificate, key, peer_certificate, peer_key and peer_ca (`rejoin cert node` makes them)"
    )]
    HalfTls { field: &'static str },
    #[error(
        "`tls.client_crl` is given without `tls.client_ca`; say whose certificates are revoked, or leave it out"
    )]
    ListWithoutAuthority,
    #[error("both `[tls]` and `insecure = true` are given; remove one of them")]
    TlsAndInsecure,
    #[error(
        "there is no `[tls]`, so whoever reaches this node could read and write everything; give it certificates (`rejoin cert`), or say `insecure = true` or `serve --insecure` to listen in plain text on loopback"
    )]
    NeitherTlsNorInsecure,
}
