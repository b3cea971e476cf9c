//! The members that found a cluster, as the configuration file lists them.
//!
//! Looked at once; later changes are gossiped.
//!
//! Invariant: what becomes a `Member` has a name that is one.

use super::defaults;
use super::error::ConfigError;
use crate::dynamo::names::NodeId;
use crate::dynamo::ring::member::Member;
use serde::{Deserialize, Serialize};

/// One founding member of a cluster, as the configuration file lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// Its name.
    pub node: String,
    /// Where this node dials it: `host:port` of its peer listener.
    pub peer: String,
    #[serde(default = "defaults::one")]
    pub weight: u16,
    #[serde(default)]
    pub zone: String,
}

impl MemberConfig {
    pub(super) fn member(&self) -> Result<Member, ConfigError> {
        Ok(Member {
            id: NodeId::new(&self.node).map_err(ConfigError::Member)?,
            weight: self.weight,
            zone: self.zone.clone(),
        })
    }
}
