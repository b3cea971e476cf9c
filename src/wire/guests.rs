//! What a bucket grants its guests, in protobuf.
//!
//! Invariant: what is left out takes its default, here and nowhere else.

use super::proto::v1 as proto;
use crate::dynamo::bucket::{GuestLimits, Policy, Properties, ValidatorMode};

/// Adds what an operator grants to properties that have their guests already. None: a mode that this release does not know.
pub fn decode_onto(decoded: &mut Properties, asked: &proto::Properties) -> Option<()> {
    if let (Policy::Resolver(binding), Some(limits)) = (&mut decoded.policy, &asked.resolver_limits)
    {
        binding.limits = decode_limits(limits);
    }
    if let (Some(binding), Some(limits)) = (&mut decoded.validator, &asked.validator_limits) {
        binding.limits = decode_limits(limits);
    }
    decoded.validator_mode = match proto::ValidatorMode::try_from(asked.validator_mode) {
        Ok(proto::ValidatorMode::Unspecified | proto::ValidatorMode::Enforce) => {
            ValidatorMode::Enforce
        }
        Ok(proto::ValidatorMode::Warn) => ValidatorMode::Warn,
        Err(_) => return None,
    };
    Some(())
}

/// Every field set.
pub fn encode_onto(encoded: &mut proto::Properties, properties: &Properties) {
    encoded.resolver_limits = properties.resolver().map(|b| encode_limits(&b.limits));
    let validator = properties.validator.as_ref();
    encoded.validator_limits = validator.map(|b| encode_limits(&b.limits));
    let mode = match properties.validator_mode {
        ValidatorMode::Enforce => proto::ValidatorMode::Enforce,
        ValidatorMode::Warn => proto::ValidatorMode::Warn,
    };
    encoded.validator_mode = mode.into();
}

fn decode_limits(asked: &proto::GuestLimits) -> GuestLimits {
    let plain = GuestLimits::default();
    let size = |asked: Option<u64>, plain: usize| {
        asked.map_or(plain, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    };
    GuestLimits {
        memory_bytes: size(asked.memory_bytes, plain.memory_bytes),
        wall_ms: asked.wall_ms.unwrap_or(plain.wall_ms),
        output_bytes: size(asked.output_bytes, plain.output_bytes),
        log_lines: size(asked.log_lines, plain.log_lines),
        fuel_per_second: asked.fuel_per_second.unwrap_or(plain.fuel_per_second),
    }
}

fn encode_limits(limits: &GuestLimits) -> proto::GuestLimits {
    proto::GuestLimits {
        memory_bytes: Some(limits.memory_bytes as u64),
        wall_ms: Some(limits.wall_ms),
        output_bytes: Some(limits.output_bytes as u64),
        log_lines: Some(limits.log_lines as u64),
        fuel_per_second: Some(limits.fuel_per_second),
    }
}
