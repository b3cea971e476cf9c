//! What a field of the configuration is when nobody says.
//!
//! Invariant: a default is within the bounds that `Config::check` holds it to.

use super::StorageEngine;
use crate::limits::{
    ANTI_ENTROPY_INTERVAL_MS_DEFAULT, FOREGROUND_P99_MS_DEFAULT, PARTITIONS_DEFAULT,
    PLUGIN_BYTES_DEFAULT, REAP_INTERVAL_MS_DEFAULT, TOMBSTONE_HORIZON_MS_DEFAULT,
};
use std::net::SocketAddr;

pub(super) fn one() -> u16 {
    1
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn default_cluster() -> String {
    "rejoin".to_owned()
}

pub(super) fn default_storage() -> StorageEngine {
    StorageEngine::Sled
}

pub(super) fn default_client() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7001))
}

pub(super) fn default_peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7101))
}

pub(super) fn default_partitions() -> u16 {
    PARTITIONS_DEFAULT
}

pub(super) fn default_plugin_bytes() -> usize {
    PLUGIN_BYTES_DEFAULT
}

pub(super) fn default_anti_entropy_interval() -> u64 {
    ANTI_ENTROPY_INTERVAL_MS_DEFAULT
}

pub(super) fn default_foreground_p99() -> u64 {
    FOREGROUND_P99_MS_DEFAULT
}

pub(super) fn default_cache_bytes() -> u64 {
    32 * 1024 * 1024
}

pub(super) fn default_reap_interval() -> u64 {
    REAP_INTERVAL_MS_DEFAULT
}

pub(super) fn default_tombstone_horizon() -> u64 {
    TOMBSTONE_HORIZON_MS_DEFAULT
}
