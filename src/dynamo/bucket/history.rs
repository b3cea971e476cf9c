//! How a bucket goes from one binding to the next, and back.
//!
//! Dynamo 4.4. Changes a copy of the properties; whoever asked stores them.
//!
//! Invariant: every change of what is bound leaves behind what was bound before, under its own epoch.

use super::super::names::Digest;
use super::activation::{Blame, PAUSED, Past};
use super::{Binding, Properties};

/// Why there is no going back. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    #[error("nothing was bound before; there is nothing to go back to")]
    NoPast,
    #[error("epoch {wanted} is not remembered; give one of {known}")]
    Unknown { wanted: u64, known: String },
}

impl Properties {
    /// These properties in the place of `before`: what was bound is remembered if it is another now.
    pub fn after(mut self, before: &Properties) -> Self {
        self.activation = before.activation.clone();
        let same = |a: &Properties, b: &Properties| {
            (&a.policy, a.merge_on_put, &a.validator) == (&b.policy, b.merge_on_put, &b.validator)
        };
        if same(&self, before) {
            return self;
        }
        let activation = &mut self.activation;
        activation.leave(before.as_past());
        activation.is_paused = false;
        let bound = self.policy.resolver();
        // What is bound now is no longer tried, and beside nothing nothing is tried.
        let is_of_use = |tried: &Binding| bound.is_some_and(|bound| bound != tried);
        let shadow = activation.shadow.take();
        activation.shadow = shadow.filter(|shadow| is_of_use(&shadow.binding));
        self
    }

    fn as_past(&self) -> Past {
        Past {
            epoch: self.activation.epoch,
            policy: self.policy.clone(),
            merge_on_put: self.merge_on_put,
            validator: self.validator.clone(),
        }
    }

    /// What was bound in an earlier epoch, bound again in a new one; without an epoch, what was bound last.
    pub fn rolled_back(&self, to: Option<u64>) -> Result<Properties, RollbackError> {
        let past = &self.activation.past;
        let wanted = match to {
            None => past.first().ok_or(RollbackError::NoPast)?,
            Some(wanted) => {
                let found = past.iter().find(|past| past.epoch == wanted);
                found.ok_or_else(|| {
                    let known: Vec<String> = past.iter().map(|p| p.epoch.to_string()).collect();
                    let known = known.join(", ");
                    RollbackError::Unknown { wanted, known }
                })?
            }
        };
        let back = Properties {
            policy: wanted.policy.clone(),
            merge_on_put: wanted.merge_on_put,
            validator: wanted.validator.clone(),
            ..self.clone()
        };
        Ok(back.after(self))
    }

    /// The merges of what was bound since an epoch, or by one digest, and is not bound now; without either, of what was
    /// bound last.
    pub fn blame(&self, since: Option<u64>, by: Option<Digest>) -> Blame {
        let mut past: Vec<&Past> = self.activation.past.iter().collect();
        match (since, by) {
            (Some(since), _) => past.retain(|past| past.epoch >= since),
            (None, Some(_)) => {}
            (None, None) => past.truncate(1),
        }
        let mut blame = Blame::default();
        for past in past.into_iter().filter(|past| past.policy != self.policy) {
            if let Some(binding) = past.policy.resolver()
                && by.is_none_or(|digest| digest == binding.digest)
            {
                blame.digests.insert(binding.digest);
                blame.epochs.insert(past.epoch);
            }
        }
        // Bound longer ago than is remembered: all that it merged.
        blame.digests.extend(by);
        blame
    }

    /// Why the resolver is not asked, if it is not.
    pub fn paused(&self) -> Option<String> {
        let is_paused = self.activation.is_paused && self.policy.resolver().is_some();
        is_paused.then(|| PAUSED.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::{Reader, Writer};
    use super::super::Policy;
    use super::super::activation::Shadow;
    use super::*;
    use crate::limits::versions::BINDINGS_REMEMBERED_MAX;
    use bytes::Bytes;

    fn bound(name: u8) -> Properties {
        Properties {
            policy: Policy::Resolver(Binding::new(Digest([name; 32]))),
            ..Properties::default()
        }
    }

    fn encoded(properties: &Properties) -> Bytes {
        let mut writer = Writer::default();
        properties.encode(&mut writer);
        writer.finish()
    }

    #[test]
    fn a_change_of_what_is_bound_counts_an_epoch_and_any_other_does_not() {
        let first = bound(1).after(&Properties::default());
        assert_eq!(first.activation.epoch, 1);
        let other = Properties { r: 1, ..bound(1) }.after(&first);
        assert_eq!(other.activation, first.activation);
        let second = bound(2).after(&other);
        assert_eq!(second.activation.epoch, 2);
        assert_eq!(second.activation.past[0].policy, other.policy);
    }

    #[test]
    fn a_rollback_binds_what_was_bound_and_can_itself_be_undone() {
        let first = bound(1).after(&Properties::default());
        let second = bound(2).after(&first);
        let back = second.rolled_back(None).expect("there is a past");
        assert_eq!((&back.policy, back.activation.epoch), (&first.policy, 3));
        let again = back.rolled_back(None).expect("there is a past");
        assert_eq!((&again.policy, again.activation.epoch), (&second.policy, 4));
        let far = again.rolled_back(Some(0)).expect("it is remembered");
        assert_eq!(far.policy, Policy::Siblings);
        let unknown = far.rolled_back(Some(77));
        assert!(matches!(
            unknown,
            Err(RollbackError::Unknown { wanted: 77, .. })
        ));
        let nothing = Properties::default().rolled_back(None);
        assert_eq!(nothing, Err(RollbackError::NoPast));
    }

    #[test]
    fn the_past_is_bounded_and_survives_the_trip_with_pause_shadow_and_retention() {
        let mut properties = bound(0);
        for name in 1..=20 {
            properties = bound(name).after(&properties);
        }
        assert_eq!(properties.activation.past.len(), BINDINGS_REMEMBERED_MAX);
        properties.activation.is_paused = true;
        properties.activation.shadow = Some(Shadow {
            binding: Binding::new(Digest([99; 32])),
            percent: 50,
        });
        properties.retention.merges = 9;
        let mut reader = Reader::new(encoded(&properties));
        assert_eq!(Properties::decode(&mut reader), Ok(properties));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn large_params_cut_the_past_short_but_the_latest_stays() {
        let large = |name: u8| Properties {
            policy: Policy::Resolver(Binding {
                params: vec![name; 60_000].into(),
                ..Binding::new(Digest([name; 32]))
            }),
            ..Properties::default()
        };
        let mut properties = large(0);
        for name in 1..=5 {
            properties = large(name).after(&properties);
        }
        assert_eq!(properties.activation.past.len(), 2);
    }

    #[test]
    fn blame_falls_on_what_was_bound_and_not_on_what_is_bound_again() {
        let first = bound(1).after(&Properties::default());
        let back = bound(2).after(&first).rolled_back(None).expect("a past");
        let blame = back.blame(None, None);
        assert!(blame.covers(Some(Digest([2; 32])), Some(2)));
        assert!(!blame.covers(Some(Digest([1; 32])), Some(1)));
        assert!(!blame.covers(None, Some(2)), "a client wrote it");
        assert_eq!(back.blame(Some(0), None), blame);
        let long_ago = back.blame(None, Some(Digest([7; 32])));
        assert!(long_ago.covers(Some(Digest([7; 32])), Some(55)));
    }
}
