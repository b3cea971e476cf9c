//! What a bucket grants the guests that it is bound to, and what a refusal of its validator means.
//!
//! Not in the paper. Fuel stands in `Binding`; what is here came later and is stored behind everything older.
//!
//! Invariant: limits that were checked lie within the bounds of `limits`.

use super::super::codec::{DecodeError, Reader, Writer};
use crate::limits::{
    GUEST_FUEL_PER_SECOND_DEFAULT, GUEST_FUEL_PER_SECOND_MAX, GUEST_LOG_LINES_MAX,
    GUEST_LOG_LINES_SET_MAX, GUEST_MEMORY_BYTES_MAX, GUEST_MEMORY_BYTES_MIN,
    GUEST_OUTPUT_BYTES_MIN, GUEST_WALL_MS, GUEST_WALL_MS_MAX, GUEST_WALL_MS_MIN, VALUE_BYTES_MAX,
};

/// Bounds of one call, and of all calls of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestLimits {
    /// Linear memory.
    pub memory_bytes: usize,
    /// A backstop on this node's clock; it yields an error, never a result.
    pub wall_ms: u64,
    /// Bytes of an answer.
    pub output_bytes: usize,
    /// Lines that are kept of what it logs.
    pub log_lines: usize,
    /// Fuel of all calls of a second on one node; beyond it a resolver is not asked.
    pub fuel_per_second: u64,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory_bytes: GUEST_MEMORY_BYTES_MAX,
            wall_ms: GUEST_WALL_MS,
            output_bytes: VALUE_BYTES_MAX,
            log_lines: GUEST_LOG_LINES_MAX,
            fuel_per_second: GUEST_FUEL_PER_SECOND_DEFAULT,
        }
    }
}

/// A bound that no bucket may grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {role} is granted {name} = {found}; give {min} to {max}")]
pub struct GuestLimitError {
    pub role: &'static str,
    pub name: &'static str,
    pub found: u64,
    pub min: u64,
    pub max: u64,
}

/// What becomes of a value that the validator refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValidatorMode {
    /// It is stored nowhere.
    #[default]
    Enforce,
    /// It is stored, and its writer is warned.
    Warn,
}

impl GuestLimits {
    /// Checks what an operator asks for.
    pub fn check(&self, role: &'static str) -> Result<(), GuestLimitError> {
        let within = |name, found: u64, min: u64, max: u64| match (min..=max).contains(&found) {
            true => Ok(()),
            false => Err(GuestLimitError {
                role,
                name,
                found,
                min,
                max,
            }),
        };
        let (min, max) = (GUEST_MEMORY_BYTES_MIN as u64, GUEST_MEMORY_BYTES_MAX as u64);
        within("memory_bytes", self.memory_bytes as u64, min, max)?;
        within(
            "wall_ms",
            self.wall_ms,
            GUEST_WALL_MS_MIN,
            GUEST_WALL_MS_MAX,
        )?;
        let (min, max) = (GUEST_OUTPUT_BYTES_MIN as u64, VALUE_BYTES_MAX as u64);
        within("output_bytes", self.output_bytes as u64, min, max)?;
        let max = GUEST_LOG_LINES_SET_MAX as u64;
        within("log_lines", self.log_lines as u64, 0, max)?;
        let max = GUEST_FUEL_PER_SECOND_MAX;
        within("fuel_per_second", self.fuel_per_second, 1, max)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.number(self.memory_bytes as u64);
        writer.number(self.wall_ms);
        writer.number(self.output_bytes as u64);
        writer.number(self.log_lines as u64);
        writer.number(self.fuel_per_second);
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            memory_bytes: reader.number_max("a guest's memory", GUEST_MEMORY_BYTES_MAX)?,
            wall_ms: reader.number()?,
            output_bytes: reader.number_max("a guest's output", VALUE_BYTES_MAX)?,
            log_lines: reader.number_max("a guest's log", GUEST_LOG_LINES_SET_MAX)?,
            fuel_per_second: reader.number()?,
        })
    }
}

const RESOLVER: u8 = 1;
const VALIDATOR: u8 = 2;
const WARNS: u8 = 4;

/// What of a bucket's properties is stored here; only what is not the default takes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Granted {
    pub(super) resolver: GuestLimits,
    pub(super) validator: GuestLimits,
    pub(super) mode: ValidatorMode,
}

impl Granted {
    pub(super) fn encode(&self, writer: &mut Writer) {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let plain = GuestLimits::default();
        writer.byte(
            bit(self.resolver != plain, RESOLVER)
                | bit(self.validator != plain, VALIDATOR)
                | bit(self.mode == ValidatorMode::Warn, WARNS),
        );
        for limits in [&self.resolver, &self.validator] {
            if *limits != plain {
                limits.encode(writer);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let tag = reader.byte()?;
        if tag & !(RESOLVER | VALIDATOR | WARNS) != 0 {
            return Err(DecodeError::Malformed("what a bucket grants its guests"));
        }
        let limits = |reader: &mut Reader, bit: u8| match tag & bit {
            0 => Ok(GuestLimits::default()),
            _ => GuestLimits::decode(reader),
        };
        Ok(Self {
            resolver: limits(reader, RESOLVER)?,
            validator: limits(reader, VALIDATOR)?,
            mode: match tag & WARNS {
                0 => ValidatorMode::Enforce,
                _ => ValidatorMode::Warn,
            },
        })
    }
}
