//! A plugin as one bucket uses it, and what a bucket can do with siblings.
//!
//! Dynamo 4.4. Data only; `reconcile` says what is believed of a plugin.
//!
//! Invariant: a binding that was decoded has params within their bound.

use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::Digest;
use super::guests::GuestLimits;
use crate::limits::{FUEL_DEFAULT, PARAMS_BYTES_MAX};
use bytes::Bytes;

/// A plugin as one bucket uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub digest: Digest,
    /// Handed to every call, unread by us.
    pub params: Bytes,
    /// Units of Wasm fuel per call; the same on every node, since it decides the outcome (law 7).
    pub fuel: u64,
    /// Everything else that bounds a call.
    pub limits: GuestLimits,
}

impl Binding {
    /// A plugin without params and with the default fuel.
    pub fn new(digest: Digest) -> Self {
        Self {
            digest,
            params: Bytes::new(),
            fuel: FUEL_DEFAULT,
            limits: GuestLimits::default(),
        }
    }
}

/// What becomes of siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// The client sees them all.
    Siblings,
    /// The version with the latest write time wins, the rest is dropped. Must be asked for (law 3).
    LastWriteWins,
    /// The uploaded resolver decides.
    Resolver(Binding),
}

impl Binding {
    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.raw(&self.digest.0);
        writer.bytes(&self.params);
        writer.number(self.fuel);
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            digest: reader.digest()?,
            params: reader.bytes("params", PARAMS_BYTES_MAX)?,
            fuel: reader.number()?,
            limits: GuestLimits::default(),
        })
    }

    /// One that may be missing, behind a flag.
    pub(super) fn encode_optional(binding: Option<&Self>, writer: &mut Writer) {
        writer.byte(u8::from(binding.is_some()));
        if let Some(binding) = binding {
            binding.encode(writer);
        }
    }

    pub(super) fn decode_optional(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        match decode_flag(reader)? {
            true => Ok(Some(Self::decode(reader)?)),
            false => Ok(None),
        }
    }
}

impl Policy {
    pub(super) fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Siblings => writer.byte(0),
            Self::LastWriteWins => writer.byte(1),
            Self::Resolver(binding) => {
                writer.byte(2);
                binding.encode(writer);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Siblings),
            1 => Ok(Self::LastWriteWins),
            2 => Ok(Self::Resolver(Binding::decode(reader)?)),
            _ => Err(DecodeError::Malformed("a bucket's policy")),
        }
    }

    /// The plugin that is asked, if one is.
    pub fn resolver(&self) -> Option<&Binding> {
        match self {
            Self::Resolver(binding) => Some(binding),
            Self::Siblings | Self::LastWriteWins => None,
        }
    }
}

pub(super) fn decode_flag(reader: &mut Reader) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Malformed("a flag")),
    }
}
