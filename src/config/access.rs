//! The `[access]` table: who may do what, and where it is written down.
//!
//! Names files; `security` reads and writes them.
//!
//! Invariant: a node that asks nobody who he is listens to its own machine only.

use super::error::ConfigError;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Which files say who may do what, and what was done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessConfig {
    /// Callers, the hashes of their tokens, and their roles. Without it everybody may do everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The audit log; with an access file it lies in the data folder, unless it is said to lie elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_file: Option<PathBuf>,
}

/// Variables, and the fields that they set.
pub const FROM_ENVIRONMENT: [(&str, &str); 2] = [
    ("REJOIN_ACCESS_FILE", "access.file"),
    ("REJOIN_AUDIT_FILE", "access.audit_file"),
];

impl AccessConfig {
    /// The audit log of a node with this data folder, if it has one.
    pub fn audit_file_in(&self, data: &Path) -> Option<PathBuf> {
        let said = self.audit_file.clone();
        said.or_else(|| self.file.as_ref().map(|_| data.join("audit.log")))
    }

    /// Beyond this machine everybody has to say who he is.
    pub(super) fn check(&self, client: SocketAddr) -> Result<(), ConfigError> {
        match self.file {
            None if !client.ip().is_loopback() => Err(ConfigError::OpenToAll { found: client }),
            _ => Ok(()),
        }
    }
}
