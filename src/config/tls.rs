//! The `[tls]` table: where a node's certificates are, or that it is to go without.
//!
//! Reads no certificate.
//!
//! Invariant: a node without certificates says that it is insecure, and listens on loopback only.

use super::{Config, ConfigError};
use crate::security::tls::Pair;
use crate::security::transport::TransportFiles;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
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
    fn files(&self) -> Result<TransportFiles, ConfigError> {
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

impl Config {
    /// Where the certificates are; none on a node that goes without.
    pub fn transport_files(&self) -> Result<Option<TransportFiles>, ConfigError> {
        match (&self.tls, self.insecure) {
            (Some(_), true) => Err(ConfigError::TlsAndInsecure),
            (None, false) => Err(ConfigError::NeitherTlsNorInsecure),
            (Some(tls), false) => Ok(Some(tls.files()?)),
            (None, true) => Ok(None),
        }
    }

    pub(super) fn check_listeners(&self) -> Result<(), ConfigError> {
        let is_secured = self.transport_files()?.is_some();
        let bound = [
            ("client", self.client, &self.advertise_client),
            ("peer", self.peer, &self.advertise_peer),
        ];
        for (field, found, advertised) in bound {
            if !is_secured && !found.ip().is_loopback() {
                return Err(ConfigError::NotLoopback { field, found });
            }
            if found.ip().is_unspecified() && advertised.is_none() {
                return Err(ConfigError::Nameless { field, found });
            }
        }
        // These pages are plain text and ask nobody who he is.
        let is_near = |found: &SocketAddr| found.ip().is_loopback();
        match self.metrics.filter(|found| !is_near(found)) {
            Some(found) => Err(ConfigError::MetricsNotLoopback { found }),
            None => Ok(()),
        }
    }
}
