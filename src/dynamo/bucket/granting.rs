//! What a bucket grants, put together from its bindings and taken apart into them.
//!
//! Invariant: limits of a guest that is not bound are nobody's, and are not stored.

use super::guests::Granted;
use super::{Binding, Policy, Properties};

impl Properties {
    /// The bucket's resolver, if it has one.
    pub fn resolver(&self) -> Option<&Binding> {
        match &self.policy {
            Policy::Resolver(binding) => Some(binding),
            Policy::Siblings | Policy::LastWriteWins => None,
        }
    }

    pub(super) fn granted(&self) -> Granted {
        let limits = |binding: Option<&Binding>| binding.map(|binding| binding.limits);
        Granted {
            resolver: limits(self.resolver()).unwrap_or_default(),
            validator: limits(self.validator.as_ref()).unwrap_or_default(),
            mode: self.validator_mode,
        }
    }

    pub(super) fn grant(&mut self, granted: Granted) {
        if let Policy::Resolver(binding) = &mut self.policy {
            binding.limits = granted.resolver;
        }
        if let Some(binding) = &mut self.validator {
            binding.limits = granted.validator;
        }
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
