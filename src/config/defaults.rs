//! What a field of the configuration is when nobody sets it.
//!
//! Invariant: every default is within the bounds that `check` demands.

use super::storage_engine::StorageEngine;
use crate::dynamo::metadata::facts::PROTOCOL_MAX;
use crate::limits::{
    ANTI_ENTROPY_INTERVAL_MS_DEFAULT, CONVERGE_QUIET_MS_DEFAULT, FOREGROUND_P99_MS_DEFAULT,
    HINT_BYTES_MAX, HINT_RETRY_MS, HINTS_MAX, PARTITIONS_DEFAULT, PLUGIN_BYTES_DEFAULT, PROBE_MS,
    REAP_INTERVAL_MS_DEFAULT, STAND_IN_AFTER_MS, SUSPECT_MS, TOMBSTONE_HORIZON_MS_DEFAULT,
};
use std::net::SocketAddr;

pub fn one() -> u16 {
    1
}

pub fn protocol() -> u32 {
    PROTOCOL_MAX
}

pub fn yes() -> bool {
    true
}

pub fn cluster() -> String {
    "rejoin".to_owned()
}

pub fn storage() -> StorageEngine {
    StorageEngine::Sled
}

pub fn client() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7001))
}

pub fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7101))
}

pub fn partitions() -> u16 {
    PARTITIONS_DEFAULT
}

pub fn plugin_bytes() -> usize {
    PLUGIN_BYTES_DEFAULT
}

pub fn anti_entropy_interval() -> u64 {
    ANTI_ENTROPY_INTERVAL_MS_DEFAULT
}

pub fn foreground_p99() -> u64 {
    FOREGROUND_P99_MS_DEFAULT
}

pub fn cache_bytes() -> u64 {
    32 * 1024 * 1024
}

pub fn suspect() -> u64 {
    SUSPECT_MS
}

pub fn probe() -> u64 {
    PROBE_MS
}

pub fn stand_in_after() -> u64 {
    STAND_IN_AFTER_MS
}

pub fn hint_retry() -> u64 {
    HINT_RETRY_MS
}

pub fn hints_max() -> usize {
    HINTS_MAX
}

pub fn hint_bytes_max() -> usize {
    HINT_BYTES_MAX
}

pub fn reap_interval() -> u64 {
    REAP_INTERVAL_MS_DEFAULT
}

pub fn tombstone_horizon() -> u64 {
    TOMBSTONE_HORIZON_MS_DEFAULT
}

pub fn converge_quiet() -> u64 {
    CONVERGE_QUIET_MS_DEFAULT
}
