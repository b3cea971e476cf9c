//! What an operator chooses for one node: flags before environment before file.
//!
//! Everything else is a constant in `limits`. Starts nothing.
//!
//! Invariant: a `Config` that exists has been checked as a whole; an error names the field and the fix.

mod access;
mod defaults;
mod error;
mod join_token;
mod listeners;
mod members;
mod plain;
mod storage_engine;
mod tls;

pub use access::AccessConfig;
pub use error::ConfigError;
pub use members::MemberConfig;
pub use storage_engine::StorageEngine;
pub use tls::TlsConfig;

use crate::dynamo::metadata::facts::{PROTOCOL_MAX, PROTOCOL_MIN};
use crate::dynamo::names::{JoinToken, NodeId};
use crate::dynamo::repair::schedule::Share;
use crate::dynamo::repair::settings::Settings;
use crate::dynamo::ring::member::{Member, check_members};
use crate::dynamo::ring::partition::Partitions;
use crate::limits::{
    ANTI_ENTROPY_INTERVAL_MS_MAX, CLOCK_OFFSET_MS_MAX, CONVERGE_QUIET_MS_MAX, DEADLINE_MAX_MS,
    HINT_BYTES_SET_MAX, HINT_RETRY_MS_MAX, HINT_RETRY_MS_MIN, HINTS_SET_MAX, PLUGIN_BYTES_MAX,
    PROBE_MS_MIN, REAP_INTERVAL_MS_MAX, STAND_IN_AFTER_MS_MIN, SUSPECT_MS_MAX, SUSPECT_MS_MIN,
    TOMBSTONE_HORIZON_MS_MAX, TOMBSTONE_HORIZON_MS_MIN, WEIGHT_MAX,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The configuration of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Nodes of different clusters refuse each other.
    #[serde(default = "defaults::cluster")]
    pub cluster: String,
    /// This node's name; no other node of the cluster has it.
    pub node: String,
    /// The folder of everything that this node keeps.
    pub data: PathBuf,
    #[serde(default = "defaults::storage")]
    pub storage: StorageEngine,
    /// Listens for clients here.
    #[serde(default = "defaults::client")]
    pub client: SocketAddr,
    /// Listens for other nodes here.
    #[serde(default = "defaults::peer")]
    pub peer: SocketAddr,
    /// Listens for `GET /metrics` and `GET /healthz` here; nowhere if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// Where clients find this node; where it listens, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise_client: Option<String>,
    /// Where other nodes find this node; where it listens, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise_peer: Option<String>,
    /// The members that found a new cluster, this node included, the same list on each of them. It is looked at
    /// once; later changes are gossiped. Empty on a node that joins.
    #[serde(default)]
    pub members: Vec<MemberConfig>,
    /// Peer addresses of members, for a node that joins or has missed much: `host:port` (4.8.2).
    #[serde(default)]
    pub seeds: Vec<String>,
    /// File with the secret that admits nodes to the cluster; readable by its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_token_file: Option<PathBuf>,
    /// Who may do what, and where it is written down.
    #[serde(default)]
    pub access: AccessConfig,
    /// Capacity relative to other nodes, when this node joins.
    #[serde(default = "defaults::one")]
    pub weight: u16,
    /// Where this node may fail together with others, when it joins.
    #[serde(default)]
    pub zone: String,
    /// By name, nodes that this one dials elsewhere than they advertise.
    #[serde(default)]
    pub routes: BTreeMap<String, String>,
    /// Equal partitions of the ring; the same on every node, for ever.
    #[serde(default = "defaults::partitions")]
    pub partitions: u16,
    /// Shards of this node; 0: one per core.
    #[serde(default)]
    pub shards: u16,
    /// Threads on which plugins run; 0: one per core.
    #[serde(default)]
    pub guest_threads: u16,
    /// Bytes of an uploaded plugin. More than 1 MiB also raises the budget of its compilation.
    #[serde(default = "defaults::plugin_bytes")]
    pub plugin_bytes_max: usize,
    /// Bytes of database pages kept in memory.
    #[serde(default = "defaults::cache_bytes")]
    pub cache_bytes: u64,
    /// Go on with an empty database, and the old one set aside, when it cannot be opened.
    #[serde(default = "defaults::yes")]
    pub quarantine: bool,
    /// Milliseconds between two comparisons of all copies with other nodes; 0: only on command.
    #[serde(default = "defaults::anti_entropy_interval")]
    pub anti_entropy_interval_ms: u64,
    /// Background work backs off when one in a hundred requests takes longer.
    #[serde(default = "defaults::foreground_p99")]
    pub foreground_p99_ms: u64,
    /// How long a suspected peer has to answer before it counts as down.
    #[serde(default = "defaults::suspect")]
    pub suspect_ms: u64,
    /// Milliseconds between two probes of a peer that is down.
    #[serde(default = "defaults::probe")]
    pub probe_ms: u64,
    /// How long a replica may be silent before another node stands in for it.
    #[serde(default = "defaults::stand_in_after")]
    pub stand_in_after_ms: u64,
    /// Milliseconds before a hint that was not taken is offered again; doubled with each failure.
    #[serde(default = "defaults::hint_retry")]
    pub hint_retry_ms: u64,
    /// Hints that one shard keeps for others; 0: none.
    #[serde(default = "defaults::hints_max")]
    pub hints_max: usize,
    /// Bytes of all hints of one shard.
    #[serde(default = "defaults::hint_bytes_max")]
    pub hint_bytes_max: usize,
    /// For tests: the wall clock of this node is wrong by so many milliseconds.
    #[serde(default)]
    pub clock_offset_ms: i64,
    /// For tests: speak no later version of the protocol between nodes, as a node of an earlier release.
    #[serde(default = "defaults::protocol")]
    pub protocol_max: u32,
    /// Milliseconds between two walks in search of tombstones that can go; 0: only on command.
    #[serde(default = "defaults::reap_interval")]
    pub reap_interval_ms: u64,
    /// Milliseconds for which every node has to know of nothing but the tombstone before it goes.
    #[serde(default = "defaults::tombstone_horizon")]
    pub tombstone_horizon_ms: u64,
    /// Milliseconds for which a key in conflict has to be left alone before it is merged in the background; 0: never.
    #[serde(default = "defaults::converge_quiet")]
    pub converge_quiet_ms: u64,
    /// Go without certificates: plain text, on loopback only.
    #[serde(default)]
    pub insecure: bool,
    /// Certificates, for clients and between nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// The fields that `REJOIN_...` variables may set: all but lists, and seeds apart.
const FROM_ENVIRONMENT: &[&str] = &[
    "cluster",
    "node",
    "data",
    "storage",
    "client",
    "peer",
    "advertise_client",
    "advertise_peer",
    "join_token_file",
    "weight",
    "zone",
    "partitions",
    "shards",
    "guest_threads",
    "plugin_bytes_max",
    "cache_bytes",
    "quarantine",
    "anti_entropy_interval_ms",
    "foreground_p99_ms",
    "suspect_ms",
    "probe_ms",
    "stand_in_after_ms",
    "hint_retry_ms",
    "hints_max",
    "hint_bytes_max",
    "clock_offset_ms",
    "protocol_max",
    "reap_interval_ms",
    "tombstone_horizon_ms",
    "converge_quiet_ms",
    "metrics",
    "insecure",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
    "tls.client_crl",
    "tls.peer_certificate",
    "tls.peer_key",
    "tls.peer_ca",
    "tls.peer_crl",
];

impl Config {
    /// Reads a file, then the environment (`REJOIN_NODE`, `REJOIN_DATA`, ...), then the given overrides.
    ///
    /// Of the environment only the names of fields are looked at: `REJOIN_CONFIG` and `REJOIN_SERVER` are
    /// not about the node, and an unknown field would be refused.
    pub fn load(file: &Path, overrides: Vec<(&str, config::Value)>) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder()
            .add_source(config::File::from(file).format(config::FileFormat::Toml));
        for name in FROM_ENVIRONMENT {
            let variable = format!("REJOIN_{}", name.to_uppercase().replace('.', "_"));
            builder = builder.set_override_option(*name, std::env::var(variable).ok())?;
        }
        for (variable, name) in access::FROM_ENVIRONMENT {
            builder = builder.set_override_option(name, std::env::var(variable).ok())?;
        }
        if let Ok(seeds) = std::env::var("REJOIN_SEEDS") {
            let seeds: Vec<&str> = seeds.split(',').map(str::trim).collect();
            builder = builder.set_override("seeds", seeds)?;
        }
        for (name, value) in overrides {
            builder = builder.set_override(name, value)?;
        }
        let config: Self = builder.build()?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    /// Checks the fields against each other.
    pub fn check(&self) -> Result<(), ConfigError> {
        let me = self.node_id()?;
        Partitions::new(self.partitions)?;
        match self.founders()? {
            Some(founders) if !founders.iter().any(|member| member.id == me) => {
                return Err(ConfigError::NotAMember(me));
            }
            None if self.seeds.is_empty() => return Err(ConfigError::Nowhere),
            _ => {}
        }
        if self.weight == 0 || self.weight > WEIGHT_MAX {
            let found = self.weight;
            return Err(ConfigError::Weight { found });
        }
        if self.plugin_bytes_max == 0 || self.plugin_bytes_max > PLUGIN_BYTES_MAX {
            let found = self.plugin_bytes_max;
            return Err(ConfigError::PluginBytes { found });
        }
        let found = self.anti_entropy_interval_ms;
        if found != 0 && !(1_000..=ANTI_ENTROPY_INTERVAL_MS_MAX).contains(&found) {
            return Err(ConfigError::AntiEntropyInterval { found });
        }
        for (field, found, min, max) in self.ranges() {
            if !(min..=max).contains(&found) {
                return Err(ConfigError::OutOfRange {
                    field,
                    found,
                    min,
                    max,
                });
            }
        }
        let found = self.clock_offset_ms;
        if found.unsigned_abs() > CLOCK_OFFSET_MS_MAX {
            return Err(ConfigError::ClockOffset { found });
        }
        let found = self.reap_interval_ms;
        if found != 0 && !(1_000..=REAP_INTERVAL_MS_MAX).contains(&found) {
            return Err(ConfigError::ReapInterval { found });
        }
        let found = self.tombstone_horizon_ms;
        if !(TOMBSTONE_HORIZON_MS_MIN..=TOMBSTONE_HORIZON_MS_MAX).contains(&found) {
            return Err(ConfigError::TombstoneHorizon { found });
        }
        self.check_listeners()?;
        self.access.check(self.client)
    }

    /// Fields that are numbers within bounds: name, value, least, most.
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 9] {
        let (hints, hint_bytes) = (self.hints_max as u64, self.hint_bytes_max as u64);
        [
            (
                "foreground_p99_ms",
                self.foreground_p99_ms,
                1,
                DEADLINE_MAX_MS,
            ),
            (
                "suspect_ms",
                self.suspect_ms,
                SUSPECT_MS_MIN,
                SUSPECT_MS_MAX,
            ),
            ("probe_ms", self.probe_ms, PROBE_MS_MIN, SUSPECT_MS_MAX),
            (
                "converge_quiet_ms",
                self.converge_quiet_ms,
                0,
                CONVERGE_QUIET_MS_MAX,
            ),
            (
                "stand_in_after_ms",
                self.stand_in_after_ms,
                STAND_IN_AFTER_MS_MIN,
                DEADLINE_MAX_MS,
            ),
            (
                "hint_retry_ms",
                self.hint_retry_ms,
                HINT_RETRY_MS_MIN,
                HINT_RETRY_MS_MAX,
            ),
            (
                "protocol_max",
                u64::from(self.protocol_max),
                u64::from(PROTOCOL_MIN),
                u64::from(PROTOCOL_MAX),
            ),
            ("hints_max", hints, 0, HINTS_SET_MAX),
            ("hint_bytes_max", hint_bytes, 0, HINT_BYTES_SET_MAX),
        ]
    }

    pub fn node_id(&self) -> Result<NodeId, ConfigError> {
        NodeId::new(&self.node).map_err(ConfigError::Node)
    }

    /// The listed members, in the order of their names; none on a node that joins.
    pub fn founders(&self) -> Result<Option<Vec<Member>>, ConfigError> {
        if self.members.is_empty() {
            return Ok(None);
        }
        let members: Result<Vec<Member>, ConfigError> =
            self.members.iter().map(MemberConfig::member).collect();
        let mut members = members?;
        check_members(&members)?;
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Some(members))
    }

    /// The secret that admits nodes, from its file.
    pub fn join_token(&self) -> Result<Option<JoinToken>, ConfigError> {
        let Some(file) = &self.join_token_file else {
            return Ok(None);
        };
        let token = join_token::read(file).map_err(|why| ConfigError::Token {
            file: file.clone(),
            why,
        })?;
        Ok(Some(token))
    }

    /// One per core unless told otherwise; a core's worth of guests must leave room for requests.
    pub fn shards(&self) -> usize {
        or_cores(self.shards).min(64)
    }

    /// What a shard with this share is told.
    pub fn settings(&self, share: Share) -> Settings {
        Settings {
            share,
            suspect_ms: self.suspect_ms,
            probe_ms: self.probe_ms,
            stand_in_after_ms: self.stand_in_after_ms,
            hints_max: self.hints_max,
            hint_bytes_max: self.hint_bytes_max,
            hint_retry_ms: self.hint_retry_ms,
            anti_entropy_interval_ms: self.anti_entropy_interval_ms,
            foreground_p99_ms: self.foreground_p99_ms,
            reap_interval_ms: self.reap_interval_ms,
            tombstone_horizon_ms: self.tombstone_horizon_ms,
            converge_quiet_ms: self.converge_quiet_ms,
            ..Settings::default()
        }
    }

    pub fn guest_threads(&self) -> usize {
        or_cores(self.guest_threads).min(64)
    }
}

fn or_cores(asked: u16) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => usize::from(asked),
    }
}
