//! What a bucket grants, put together from its bindings and taken apart into them.
//!
//! Invariant: limits of a guest that is not bound are nobody's, and are not stored.

use super::guests::{Granted, ValidatorMode};
use super::{Binding, Policy, Properties};

impl Granted {
    /// The limits of two bindings; one that is missing grants nothing special.
    pub(super) fn to(resolver: Option<&Binding>, validator: Option<&Binding>) -> Self {
        let limits = |binding: Option<&Binding>| binding.map(|binding| binding.limits);
        Self {
            resolver: limits(resolver).unwrap_or_default(),
            validator: limits(validator).unwrap_or_default(),
            mode: ValidatorMode::default(),
        }
    }

    pub(super) fn give(&self, policy: &mut Policy, validator: &mut Option<Binding>) {
        if let Policy::Resolver(binding) = policy {
            binding.limits = self.resolver;
        }
        if let Some(binding) = validator {
            binding.limits = self.validator;
        }
    }
}

impl Properties {
    pub(super) fn granted(&self) -> Granted {
        Granted {
            mode: self.validator_mode,
            ..Granted::to(self.policy.resolver(), self.validator.as_ref())
        }
    }

    pub(super) fn grant(&mut self, granted: Granted) {
        granted.give(&mut self.policy, &mut self.validator);
        self.validator_mode = granted.mode;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::{Reader, Writer};
    use super::super::super::names::Digest;
    use super::super::guests::{GuestLimits, ValidatorMode};
    use super::*;

    #[test]
    fn what_a_bucket_grants_its_guests_survives_the_trip() {
        let limits = GuestLimits {
            memory_bytes: 2 << 20,
            wall_ms: 500,
            ..GuestLimits::default()
        };
        let binding = |limits| Binding {
            limits,
            ..Binding::new(Digest([7; 32]))
        };
        let properties = Properties {
            policy: Policy::Resolver(binding(limits)),
            validator: Some(binding(GuestLimits::default())),
            validator_mode: ValidatorMode::Warn,
            ..Properties::default()
        };
        let mut writer = Writer::default();
        properties.encode(&mut writer);
        let mut reader = Reader::new(writer.finish());
        assert_eq!(Properties::decode(&mut reader), Ok(properties.clone()));
        assert_eq!(reader.finish(), Ok(()));
        let beyond = GuestLimits {
            wall_ms: 60_000,
            ..limits
        };
        let beyond = Properties {
            policy: Policy::Resolver(binding(beyond)),
            ..properties
        };
        let refused = beyond.check().map_err(|error| error.to_string());
        let said = "the resolver is granted wall_ms = 60000; give 20 to 2000";
        assert_eq!(refused, Err(said.to_owned()));
    }
}
