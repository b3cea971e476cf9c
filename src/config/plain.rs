//! The configuration of a node about which nothing else is said.
//!
//! Invariant: it differs from an empty file only in being insecure.

use super::{AccessConfig, Config, defaults};
use std::collections::BTreeMap;
use std::path::PathBuf;

impl Config {
    /// Of an insecure node about which nothing else is chosen. It names no other node yet: `check` refuses it.
    pub fn plain(node: String, data: PathBuf) -> Self {
        Self {
            cluster: defaults::cluster(),
            node,
            data,
            storage: defaults::storage(),
            client: defaults::client(),
            peer: defaults::peer(),
            metrics: None,
            advertise_client: None,
            advertise_peer: None,
            members: Vec::new(),
            seeds: Vec::new(),
            join_token_file: None,
            weight: defaults::one(),
            zone: String::new(),
            routes: BTreeMap::new(),
            partitions: defaults::partitions(),
            shards: 0,
            guest_threads: 0,
            plugin_bytes_max: defaults::plugin_bytes(),
            cache_bytes: defaults::cache_bytes(),
            quarantine: defaults::yes(),
            anti_entropy_interval_ms: defaults::anti_entropy_interval(),
            foreground_p99_ms: defaults::foreground_p99(),
            suspect_ms: defaults::suspect(),
            probe_ms: defaults::probe(),
            stand_in_after_ms: defaults::stand_in_after(),
            hint_retry_ms: defaults::hint_retry(),
            hints_max: defaults::hints_max(),
            hint_bytes_max: defaults::hint_bytes_max(),
            clock_offset_ms: 0,
            protocol_max: defaults::protocol(),
            reap_interval_ms: defaults::reap_interval(),
            tombstone_horizon_ms: defaults::tombstone_horizon(),
            converge_quiet_ms: defaults::converge_quiet(),
            insecure: true,
            tls: None,
            access: AccessConfig::default(),
        }
    }
}
