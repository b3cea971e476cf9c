//! What an operator chooses for one node: flags before environment before file.
//!
//! Everything else is a constant in `limits`. Starts nothing.
//!
//! Invariant: a `Config` that exists has been checked as a whole; an error names the field and the fix.

use crate::dynamo::machine::background::RepairSettings;
use crate::dynamo::names::{NameError, NodeId};
use crate::dynamo::ring::member::check_members;
use crate::dynamo::ring::member::{Member, MembersError};
use crate::dynamo::ring::partition::{Partitions, PartitionsError};
use crate::limits::{
    ANTI_ENTROPY_INTERVAL_MS_MAX, DEADLINE_MAX_MS, PLUGIN_BYTES_MAX, REAP_INTERVAL_MS_MAX,
    TOKEN_BYTES_MAX, TOMBSTONE_HORIZON_MS_MAX, TOMBSTONE_HORIZON_MS_MIN, WEIGHT_MAX,
};
use bytes::Bytes;
use defaults::{
    default_anti_entropy_interval, default_cache_bytes, default_client, default_cluster,
    default_foreground_p99, default_partitions, default_peer, default_plugin_bytes,
    default_reap_interval, default_storage, default_tombstone_horizon, one, yes,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

mod defaults;

/// Where a node keeps its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum StorageEngine {
    /// Embedded sled database in the data folder.
    Sled,
    /// Nothing survives the process; refuses durable buckets.
    Memory,
}

impl TryFrom<String> for StorageEngine {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "sled" => Ok(Self::Sled),
            "memory" => Ok(Self::Memory),
            _ => Err(format!(
                "`storage` is {name:?}; give \"sled\" or \"memory\""
            )),
        }
    }
}

/// One founding member of a cluster, as the configuration file lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// Its name.
    pub node: String,
    /// Where this node dials it: `host:port` of its peer listener.
    pub peer: String,
    #[serde(default = "one")]
    pub weight: u16,
    #[serde(default)]
    pub zone: String,
}

/// The configuration of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Nodes of different clusters refuse each other.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// This node's name; no other node of the cluster has it.
    pub node: String,
    /// The folder of everything that this node keeps.
    pub data: PathBuf,
    #[serde(default = "default_storage")]
    pub storage: StorageEngine,
    /// Listens for clients here.
    #[serde(default = "default_client")]
    pub client: SocketAddr,
    /// Listens for other nodes here.
    #[serde(default = "default_peer")]
    pub peer: SocketAddr,
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
    /// Capacity relative to other nodes, when this node joins.
    #[serde(default = "one")]
    pub weight: u16,
    /// Where this node may fail together with others, when it joins.
    #[serde(default)]
    pub zone: String,
    /// By name, nodes that this one dials elsewhere than they advertise.
    #[serde(default)]
    pub routes: BTreeMap<String, String>,
    /// Equal partitions of the ring; the same on every node, for ever.
    #[serde(default = "default_partitions")]
    pub partitions: u16,
    /// Shards of this node; 0: one per core.
    #[serde(default)]
    pub shards: u16,
    /// Threads on which plugins run; 0: one per core.
    #[serde(default)]
    pub guest_threads: u16,
    /// Bytes of an uploaded plugin. More than 1 MiB also raises the budget of its compilation.
    #[serde(default = "default_plugin_bytes")]
    pub plugin_bytes_max: usize,
    /// Bytes of database pages kept in memory.
    #[serde(default = "default_cache_bytes")]
    pub cache_bytes: u64,
    /// Go on with an empty database, and the old one set aside, when it cannot be opened.
    #[serde(default = "yes")]
    pub quarantine: bool,
    /// Milliseconds between two comparisons of all copies with other nodes; 0: only on command.
    #[serde(default = "default_anti_entropy_interval")]
    pub anti_entropy_interval_ms: u64,
    /// Background work backs off when one in a hundred requests takes longer.
    #[serde(default = "default_foreground_p99")]
    pub foreground_p99_ms: u64,
    /// Milliseconds between two walks in search of tombstones that can go; 0: only on command.
    #[serde(default = "default_reap_interval")]
    pub reap_interval_ms: u64,
    /// Milliseconds for which every node has to know of nothing but the tombstone before it goes.
    #[serde(default = "default_tombstone_horizon")]
    pub tombstone_horizon_ms: u64,
}

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
    #[error("`foreground_p99_ms` is {found}; give 1 to {DEADLINE_MAX_MS}")]
    ForegroundLatency { found: u64 },
    #[error("`reap_interval_ms` is {found}; give 1000 to {REAP_INTERVAL_MS_MAX}, or 0 for never")]
    ReapInterval { found: u64 },
    #[error(
        "`tombstone_horizon_ms` is {found}; give {TOMBSTONE_HORIZON_MS_MIN} to {TOMBSTONE_HORIZON_MS_MAX}: it has to be longer than anything can be on its way"
    )]
    TombstoneHorizon { found: u64 },
    #[error(
        "`{field}` is {found}, which is not a loopback address; this release has no authentication, so it listens on 127.0.0.0/8 or [::1] only"
    )]
    NotLoopback {
        field: &'static str,
        found: SocketAddr,
    },
}

/// The fields that `REJOIN_...` variables may set: all but the list of members.
const FROM_ENVIRONMENT: [&str; 21] = [
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
    "reap_interval_ms",
    "tombstone_horizon_ms",
];

impl Config {
    /// Reads a file, then the environment (`REJOIN_NODE`, `REJOIN_DATA`, ...), then the given overrides.
    ///
    /// Of the environment only the names of fields are looked at: `REJOIN_CONFIG` and `REJOIN_SERVER` are
    /// not about the node, and an unknown field would be refused.
    pub fn load(file: &Path, overrides: &[(&str, String)]) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder()
            .add_source(config::File::from(file).format(config::FileFormat::Toml));
        for name in FROM_ENVIRONMENT {
            let variable = format!("REJOIN_{}", name.to_uppercase());
            builder = builder.set_override_option(name, std::env::var(variable).ok())?;
        }
        for (name, value) in overrides {
            builder = builder.set_override(*name, value.clone())?;
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
        let found = self.foreground_p99_ms;
        if !(1..=DEADLINE_MAX_MS).contains(&found) {
            return Err(ConfigError::ForegroundLatency { found });
        }
        let found = self.reap_interval_ms;
        if found != 0 && !(1_000..=REAP_INTERVAL_MS_MAX).contains(&found) {
            return Err(ConfigError::ReapInterval { found });
        }
        let found = self.tombstone_horizon_ms;
        if !(TOMBSTONE_HORIZON_MS_MIN..=TOMBSTONE_HORIZON_MS_MAX).contains(&found) {
            return Err(ConfigError::TombstoneHorizon { found });
        }
        for (field, found) in [("client", self.client), ("peer", self.peer)] {
            if !found.ip().is_loopback() {
                return Err(ConfigError::NotLoopback { field, found });
            }
        }
        Ok(())
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
    pub fn join_token(&self) -> Result<Option<Bytes>, ConfigError> {
        let Some(file) = &self.join_token_file else {
            return Ok(None);
        };
        let refused = |why: String| ConfigError::Token {
            file: file.clone(),
            why,
        };
        let facts = std::fs::metadata(file).map_err(|error| refused(error.to_string()))?;
        if facts.permissions().mode() & 0o077 != 0 {
            let why = "others than its owner may read it; use `chmod 600`";
            return Err(refused(why.to_owned()));
        }
        let token = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
        let token = token.trim_ascii();
        if token.len() < 16 || token.len() > TOKEN_BYTES_MAX {
            let found = token.len();
            let why = format!("the token has {found} bytes; give 16 to {TOKEN_BYTES_MAX}");
            return Err(refused(why));
        }
        Ok(Some(Bytes::copy_from_slice(token)))
    }

    /// One per core unless told otherwise; a core's worth of guests must leave room for requests.
    pub fn shards(&self) -> usize {
        or_cores(self.shards).min(64)
    }

    /// How this node's shards repair their copies.
    pub fn repair(&self) -> RepairSettings {
        RepairSettings {
            anti_entropy_interval_ms: self.anti_entropy_interval_ms,
            foreground_p99_ms: self.foreground_p99_ms,
            reap_interval_ms: self.reap_interval_ms,
            tombstone_horizon_ms: self.tombstone_horizon_ms,
        }
    }

    pub fn guest_threads(&self) -> usize {
        or_cores(self.guest_threads).min(64)
    }
}

impl MemberConfig {
    fn member(&self) -> Result<Member, ConfigError> {
        Ok(Member {
            id: NodeId::new(&self.node).map_err(ConfigError::Member)?,
            weight: self.weight,
            zone: self.zone.clone(),
        })
    }
}

fn or_cores(asked: u16) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => usize::from(asked),
    }
}
