//! The `[tls]` table: where a node's certificates are.
//!
//! Reads no certificate.
//!
//! Invariant: half a table is refused; clients and nodes are both secured or neither is.

use super::error::ConfigError;
use crate::security::tls::Pair;
use crate::security::transport::TransportFiles;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Files in PEM form. All of them belong together; only `client_ca` may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// What this node shows to clients, with its chain.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Who signs certificates of clients; without it a client shows none.
    pub client_ca: Option<PathBuf>,
    /// What this node shows to other nodes; it names this node.
    pub peer_certificate: Option<PathBuf>,
    pub peer_key: Option<PathBuf>,
    /// Who signs certificates of nodes.
    pub peer_ca: Option<PathBuf>,
}

impl TlsConfig {
    /// All of them, or which one is missing.
    pub fn files(&self) -> Result<TransportFiles, ConfigError> {
        let given = |field: &'static str, file: &Option<PathBuf>| {
            file.clone().ok_or(ConfigError::HalfTls { field })
        };
        Ok(TransportFiles {
            client: Pair {
                certificate: given("certificate", &self.certificate)?,
                key: given("key", &self.key)?,
            },
            client_authorities: self.client_ca.clone(),
            peer: Pair {
                certificate: given("peer_certificate", &self.peer_certificate)?,
                key: given("peer_key", &self.peer_key)?,
            },
            peer_authorities: given("peer_ca", &self.peer_ca)?,
        })
    }
}
