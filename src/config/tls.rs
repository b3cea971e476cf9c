//! The `[tls]` table: where a node's certificates are.
//!
//! Reads no certificate.
//!
//! Invariant: half a table is refused; clients and nodes are both secured or neither is.

use super::error::ConfigError;
use crate::security::tls::Pair;
use crate::security::transport::TransportFiles;
use crate::security::trust::TrustFiles;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Files in PEM form. All of them belong together; only `client_ca` and the lists may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// What this node shows to clients, with its chain.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Who signs certificates of clients; without it a client shows none.
    pub client_ca: Option<PathBuf>,
    /// Which of these certificates are revoked.
    pub client_crl: Option<PathBuf>,
    /// What this node shows to other nodes; it names this node.
    pub peer_certificate: Option<PathBuf>,
    pub peer_key: Option<PathBuf>,
    /// Who signs certificates of nodes.
    pub peer_ca: Option<PathBuf>,
    /// Which of these certificates are revoked.
    pub peer_crl: Option<PathBuf>,
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
            client_trust: self.client_trust()?,
            peer: Pair {
                certificate: given("peer_certificate", &self.peer_certificate)?,
                key: given("peer_key", &self.peer_key)?,
            },
            peer_trust: TrustFiles {
                authorities: given("peer_ca", &self.peer_ca)?,
                revoked: self.peer_crl.clone(),
            },
        })
    }

    fn client_trust(&self) -> Result<Option<TrustFiles>, ConfigError> {
        match (&self.client_ca, &self.client_crl) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(ConfigError::ListWithoutAuthority),
            (Some(authorities), revoked) => Ok(Some(TrustFiles {
                authorities: authorities.clone(),
                revoked: revoked.clone(),
            })),
        }
    }
}
