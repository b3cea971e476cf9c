//! Which engine keeps a node's records.
//!
//! Knows none of them.
//!
//! Invariant: a name that is not one of them is refused with the list.

use serde::{Deserialize, Serialize};

/// Where a node keeps its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum StorageEngine {
    /// Embedded sled database in the data folder.
    Sled,
    /// Embedded redb database in the data folder.
    Redb,
    /// Nothing survives the process; refuses durable buckets.
    Memory,
}

impl TryFrom<String> for StorageEngine {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "sled" => Ok(Self::Sled),
            "redb" => Ok(Self::Redb),
            "memory" => Ok(Self::Memory),
            _ => Err(format!(
                "`storage` is {name:?}; give \"sled\", \"redb\" or \"memory\""
            )),
        }
    }
}
