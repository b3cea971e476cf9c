//! A put that nobody asked for: one owner makes one of the siblings that stand under a cold key (Dynamo 4.4, 6.5).
//!
//! Who may do so, and when, is decided elsewhere.
//!
//! Invariant: it stores a merge of what this node holds, or nothing; it never stores what nobody has merged.

use super::super::super::bucket::Policy;
use super::super::super::causality::context::Context;
use super::super::super::causality::object::Object;
use super::super::super::causality::version::Version;
use super::super::super::names::Key;
use super::super::merge::Merge;
use super::super::request::{PutError, PutRequest, Ttl};
use super::{Origin, Phase, Put, Step};

impl PutRequest {
    /// What stands for a client's request when nobody has asked. The version is never stored.
    pub fn background(key: Key, wall_ms: u64) -> Self {
        Self {
            key,
            context: Context::default(),
            version: Version::tombstone(wall_ms),
            w: None,
            pw: None,
            dw: None,
            ack: None,
            ttl: Ttl::Bucket,
        }
    }
}

impl Put {
    /// Whether nobody waits for it.
    pub fn is_background(&self) -> bool {
        matches!(self.origin, Origin::Background(_))
    }

    pub(super) fn converge(&mut self, local: &Object) -> Step {
        let wall_ms = self.request.version.written_at_ms;
        let policy = &self.properties.policy;
        let epoch = self.properties.activation.epoch;
        let merge = Merge::within(local, policy, wall_ms);
        let merge = merge.map(|merge| merge.at(&self.me, epoch));
        match (policy, merge) {
            (Policy::LastWriteWins, Some(merge)) => match merge.by_write_time(wall_ms) {
                Some(store) => self.store_merged(store, 0),
                None => self.keep_siblings("nothing won".to_owned()),
            },
            (Policy::Resolver(binding), Some(merge)) => {
                let question = merge.question(self.request.key.clone(), binding.clone());
                self.phase = Phase::Merging(merge);
                Step::Ask(Box::new(question))
            }
            _ => self.fail(PutError::NotStored("there is nothing to merge".to_owned())),
        }
    }
}
