//! What rows say of nodes: where they are found, and by which policy the members change.
//!
//! Invariant: facts that were decoded are within their bounds.

use super::super::codec::{DecodeError, Reader, Writer};
use crate::limits::{ADDRESS_BYTES_MAX, REPLACE_AFTER_MS_MIN, WEIGHT_MAX, ZONE_BYTES_MAX};
use bytes::Bytes;

/// The versions of the protocol between nodes that a node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaks {
    pub min: u32,
    pub max: u32,
}

/// The first version whose catalogs say how long each of their rows is.
pub const PROTOCOL_MIN: u32 = 3;
/// The version of this release: nodes ask each other for single records, to explain a key.
pub const PROTOCOL_MAX: u32 = 4;

/// From this version on nodes answer what they have of a key.
pub const INSPECT_SINCE: u32 = 4;

impl Default for Speaks {
    /// Of a node that does not say.
    fn default() -> Self {
        Self {
            min: PROTOCOL_MIN,
            max: PROTOCOL_MIN,
        }
    }
}

impl Speaks {
    /// All that this release speaks, up to a version.
    pub fn upto(max: u32) -> Self {
        let min = PROTOCOL_MIN;
        let max = max.clamp(min, PROTOCOL_MAX);
        Self { min, max }
    }

    /// The highest version that both speak.
    pub fn common(self, other: Self) -> Option<u32> {
        let version = self.max.min(other.max);
        (version >= self.min && version >= other.min).then_some(version)
    }
}

/// A node that the cluster has heard of: a member, one that wants to be, or one that was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// Where other nodes find it: `host:port`.
    pub peer_address: String,
    /// Where clients find it: `host:port`; empty if it does not say.
    pub client_address: String,
    /// What it brings when it joins.
    pub weight: u16,
    pub zone: String,
    /// It has shown the token and waits to become a member.
    pub wants_to_join: bool,
    pub speaks: Speaks,
}

/// How the members change by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipPolicy {
    /// Nodes that have shown the token become members without a command.
    pub auto_join: bool,
    /// A member that several others have not reached for so long is replaced; none: never.
    pub replace_after_ms: Option<u64>,
    /// The stop button: nothing happens by itself, and nothing is moved.
    pub paused: bool,
}

impl Default for MembershipPolicy {
    /// Whoever was given the token may join; nobody is replaced without a command (4.8.1: outages are transient).
    fn default() -> Self {
        Self {
            auto_join: true,
            replace_after_ms: None,
            paused: false,
        }
    }
}

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error(
        "replace_after is {found} ms; give at least {REPLACE_AFTER_MS_MIN} ms, or none: a restart must not cost a node its place"
    )]
    ReplaceAfter { found: u64 },
}

impl MembershipPolicy {
    /// Checks what an operator asks for.
    pub fn check(&self) -> Result<(), PolicyError> {
        match self.replace_after_ms {
            Some(found) if found < REPLACE_AFTER_MS_MIN => Err(PolicyError::ReplaceAfter { found }),
            _ => Ok(()),
        }
    }

    pub fn encode(&self, writer: &mut Writer) {
        writer.byte(u8::from(self.auto_join) | u8::from(self.paused) << 1);
        writer.number(self.replace_after_ms.unwrap_or(0));
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let flags = reader.byte()?;
        if flags > 3 {
            return Err(DecodeError::Malformed("a policy"));
        }
        let replace_after_ms = match reader.number()? {
            0 => None,
            ms => Some(ms),
        };
        Ok(Self {
            auto_join: flags & 1 != 0,
            replace_after_ms,
            paused: flags & 2 != 0,
        })
    }
}

impl NodeFacts {
    /// As they are told outside a row: what a later release says behind them is passed over.
    pub fn decode_whole(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut facts = Self::decode(&mut reader)?;
        facts.complete(&mut reader)?;
        Ok(facts)
    }

    pub fn to_bytes(&self) -> Bytes {
        let mut writer = Writer::default();
        self.encode(&mut writer);
        writer.finish()
    }

    pub fn encode(&self, writer: &mut Writer) {
        writer.bytes(self.peer_address.as_bytes());
        writer.bytes(self.client_address.as_bytes());
        writer.number(u64::from(self.weight));
        writer.bytes(self.zone.as_bytes());
        writer.byte(u8::from(self.wants_to_join));
        writer.number(u64::from(self.speaks.min));
        writer.number(u64::from(self.speaks.max));
    }

    /// What was not said yet when rows had no lengths.
    pub fn complete(&mut self, reader: &mut Reader) -> Result<(), DecodeError> {
        let mut version = || reader.number_max("a version of the protocol", u32::MAX as usize);
        let (min, max) = (version()? as u32, version()? as u32);
        if min > max {
            return Err(DecodeError::Malformed("the versions of the protocol"));
        }
        self.speaks = Speaks { min, max };
        Ok(())
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            peer_address: reader.text("an address", ADDRESS_BYTES_MAX)?,
            client_address: reader.text("an address", ADDRESS_BYTES_MAX)?,
            weight: reader.number_max("a weight", usize::from(WEIGHT_MAX))? as u16,
            zone: reader.text("a zone", ZONE_BYTES_MAX)?,
            wants_to_join: match reader.byte()? {
                0 => false,
                1 => true,
                _ => return Err(DecodeError::Malformed("a flag")),
            },
            speaks: Speaks::default(),
        })
    }
}
