//! Where a node may listen: anywhere with certificates, on loopback without.
//!
//! Binds nothing.
//!
//! Invariant: a node without certificates says that it is insecure, and listens on loopback only.

use super::Config;
use super::error::ConfigError;
use crate::security::transport::TransportFiles;
use std::net::SocketAddr;

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
