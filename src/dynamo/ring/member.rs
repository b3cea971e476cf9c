//! A member: a node as the cluster knows it, with its capacity and where it stands (Dynamo 4.2, 4.6).
//!
//! Does not say whether the node can be reached; that is every node's own opinion (4.8.3).

use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::NodeId;
use crate::limits::{MEMBERS_MAX, WEIGHT_MAX, ZONE_BYTES_MAX};
use std::collections::BTreeSet;

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: NodeId,
    /// Capacity relative to the other members: a weight of 2 takes twice the partitions of 1 (2.3).
    pub weight: u16,
    /// Where it may fail together with others; copies are spread over zones. Empty: nowhere special.
    pub zone: String,
}

/// Why a list of members makes no cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    #[error("there are {found} members; a ring takes 1 to {MEMBERS_MAX}")]
    Count { found: usize },
    #[error("the member {0} is listed twice")]
    Twice(NodeId),
    #[error("the member {id} has the weight {found}; give 1 to {WEIGHT_MAX}")]
    Weight { id: NodeId, found: u16 },
    #[error("the member {id} has a zone of {found} bytes; give at most {ZONE_BYTES_MAX}")]
    Zone { id: NodeId, found: usize },
}

impl Member {
    /// A member of average capacity in no particular zone.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            weight: 1,
            zone: String::new(),
        }
    }

    pub fn encode(&self, writer: &mut Writer) {
        writer.node(&self.id);
        writer.number(u64::from(self.weight));
        writer.bytes(self.zone.as_bytes());
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            id: reader.node()?,
            weight: reader.number_max("a weight", usize::from(WEIGHT_MAX))? as u16,
            zone: reader.text("a zone", ZONE_BYTES_MAX)?,
        })
    }
}

/// Checks a list of members before a ring is made of it.
pub fn check_members(members: &[Member]) -> Result<(), MembersError> {
    if members.is_empty() || members.len() > MEMBERS_MAX {
        let found = members.len();
        return Err(MembersError::Count { found });
    }
    let mut seen = BTreeSet::new();
    for member in members {
        if !seen.insert(&member.id) {
            return Err(MembersError::Twice(member.id.clone()));
        }
        if member.weight == 0 || member.weight > WEIGHT_MAX {
            let (id, found) = (member.id.clone(), member.weight);
            return Err(MembersError::Weight { id, found });
        }
        if member.zone.len() > ZONE_BYTES_MAX {
            let (id, found) = (member.id.clone(), member.zone.len());
            return Err(MembersError::Zone { id, found });
        }
    }
    Ok(())
}
