//! Which plugins a bucket had before, which one is tried beside them, and how long what they merged is kept.
//!
//! Dynamo 4.4, 6. Part of a bucket's row, so it spreads and merges with it. Asks no plugin and stores nothing.
//!
//! Invariant: every change of what is bound has an epoch of its own and leaves behind what was bound before; the
//! past is bounded.

use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::Digest;
use super::binding::{Binding, Policy, decode_flag};
use super::guests::{Granted, GuestLimits};
use crate::limits::versions::{
    BINDINGS_REMEMBERED_BYTES_MAX, BINDINGS_REMEMBERED_MAX, RETAINED_AGE_MS_SET_MAX,
    RETAINED_BYTES_DEFAULT, RETAINED_BYTES_SET_MAX, RETAINED_MERGES_SET_MAX,
};
use crate::limits::{FUEL_MAX, RETAINED_AGE_MS_MAX, RETAINED_MERGES_MAX};
use std::collections::BTreeSet;

/// What a reader of a bucket is told whose resolver is paused.
pub const PAUSED: &str = "paused by operator; go on with `rejoin plugin resume`";

/// The plugins of a bucket over time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activation {
    /// Counts the changes of what is bound.
    pub epoch: u64,
    /// The resolver is not asked; siblings are answered and kept.
    pub is_paused: bool,
    /// A resolver that is asked beside the bound one, and never believed.
    pub shadow: Option<Shadow>,
    /// What was bound before, the latest first.
    pub past: Vec<Past>,
}

/// What was bound in an epoch that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    pub epoch: u64,
    pub policy: Policy,
    pub merge_on_put: bool,
    pub validator: Option<Binding>,
}

/// A resolver that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    pub binding: Binding,
    /// Of a hundred questions, how many it is asked.
    pub percent: u8,
}

/// How much of what merges on put replaced is kept, for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub merges: usize,
    pub age_ms: u64,
    /// The last merge is kept whatever it weighs.
    pub bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            merges: RETAINED_MERGES_MAX,
            age_ms: RETAINED_AGE_MS_MAX,
            bytes: RETAINED_BYTES_DEFAULT,
        }
    }
}

/// Which merges were bad: those of these resolvers, in these epochs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blame {
    pub digests: BTreeSet<Digest>,
    /// None: in all.
    pub epochs: BTreeSet<u64>,
}

impl Blame {
    /// Whether a version was merged so; the epoch is unknown where the merge is not retained.
    pub fn covers(&self, merged_by: Option<Digest>, epoch: Option<u64>) -> bool {
        let is_named = merged_by.is_some_and(|digest| self.digests.contains(&digest));
        let within = |epoch| self.epochs.is_empty() || self.epochs.contains(&epoch);
        is_named && epoch.is_none_or(within)
    }
}

/// Why so much cannot be kept, or so little.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} merges, {} ms and {} bytes are to be kept of a key; give 1 to {RETAINED_MERGES_SET_MAX} merges, up to {RETAINED_AGE_MS_SET_MAX} ms and {RETAINED_BYTES_SET_MAX} bytes",
    .0.merges, .0.age_ms, .0.bytes
)]
pub struct RetentionError(pub Retention);

impl Past {
    /// Bytes of the params.
    fn params_bytes(&self) -> usize {
        let bound = self.policy.resolver().into_iter().chain(&self.validator);
        bound.map(|binding| binding.params.len()).sum()
    }

    fn encode(&self, writer: &mut Writer) {
        writer.number(self.epoch);
        self.policy.encode(writer);
        writer.byte(u8::from(self.merge_on_put));
        Binding::encode_optional(self.validator.as_ref(), writer);
        Granted::to(self.policy.resolver(), self.validator.as_ref()).encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut past = Self {
            epoch: reader.number()?,
            policy: Policy::decode(reader)?,
            merge_on_put: decode_flag(reader)?,
            validator: Binding::decode_optional(reader)?,
        };
        Granted::decode(reader)?.give(&mut past.policy, &mut past.validator);
        let mut bound = past.policy.resolver().into_iter().chain(&past.validator);
        bound.try_for_each(check_fuel)?;
        Ok(past)
    }
}

fn check_fuel(binding: &Binding) -> Result<(), DecodeError> {
    match binding.fuel {
        1..=FUEL_MAX => Ok(()),
        _ => Err(DecodeError::Malformed("the fuel of a past plugin")),
    }
}

impl Activation {
    /// What was bound until now belongs to the past, of which the oldest goes beyond the bounds.
    pub(super) fn leave(&mut self, past: Past) {
        self.past.insert(0, past);
        self.past.truncate(BINDINGS_REMEMBERED_MAX);
        let mut left = BINDINGS_REMEMBERED_BYTES_MAX;
        let fits = |past: &&Past| {
            let bytes = past.params_bytes();
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        };
        let kept = self.past.iter().take_while(fits).count();
        self.past.truncate(kept.max(1)); // The way back stays.
        self.epoch = self.epoch.saturating_add(1);
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.number(self.epoch);
        writer.byte(u8::from(self.is_paused));
        writer.byte(u8::from(self.shadow.is_some()));
        if let Some(shadow) = &self.shadow {
            shadow.binding.encode(writer);
            shadow.binding.limits.encode(writer);
            writer.byte(shadow.percent);
        }
        writer.number(self.past.len() as u64);
        for past in &self.past {
            past.encode(writer);
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let epoch = reader.number()?;
        let is_paused = decode_flag(reader)?;
        let shadow = match decode_flag(reader)? {
            true => Some(Shadow::decode(reader)?),
            false => None,
        };
        let mut past = Vec::new();
        for _ in 0..reader.number_max("past bindings", BINDINGS_REMEMBERED_MAX)? {
            past.push(Past::decode(reader)?);
        }
        Ok(Self {
            epoch,
            is_paused,
            shadow,
            past,
        })
    }
}

impl Shadow {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut binding = Binding::decode(reader)?;
        binding.limits = GuestLimits::decode(reader)?;
        check_fuel(&binding)?;
        match reader.byte()? {
            percent @ 1..=100 => Ok(Self { binding, percent }),
            _ => Err(DecodeError::Malformed("a shadow's share")),
        }
    }
}

impl Retention {
    pub(super) fn check(self) -> Result<(), RetentionError> {
        let is_sane = (1..=RETAINED_MERGES_SET_MAX).contains(&self.merges)
            && self.age_ms <= RETAINED_AGE_MS_SET_MAX
            && self.bytes <= RETAINED_BYTES_SET_MAX;
        match is_sane {
            true => Ok(()),
            false => Err(RetentionError(self)),
        }
    }

    pub(super) fn encode(self, writer: &mut Writer) {
        writer.number(self.merges as u64);
        writer.number(self.age_ms);
        writer.number(self.bytes as u64);
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            merges: reader.number_max("kept merges", RETAINED_MERGES_SET_MAX)?,
            age_ms: reader.number()?,
            bytes: reader.number_max("bytes of kept merges", RETAINED_BYTES_SET_MAX)?,
        })
    }
}
