//! A put that undoes bad merges: what went into them, through what the bucket does with siblings now (Dynamo 4.4).
//!
//! Begins with a merge that `unmerge` has planned; from the answer on it is a put like any other.
//!
//! Invariant: without one version to put in the place of all that the merge covers, nothing is stored.

use super::super::super::bucket::Policy;
use super::super::merge::Merge;
use super::super::quorum::Verdict;
use super::super::request::PutError;
use super::{Phase, Put, Step};

impl Put {
    /// The first step.
    pub fn begin_unmerge(&mut self, merge: Merge) -> Step {
        if self.panel.verdict() == Verdict::Impossible {
            return self.fail(PutError::NotStored(self.shortage()));
        }
        let merge = merge.at(&self.me, self.properties.activation.epoch);
        if let Some(store) = merge.alone() {
            return self.check_merged(store, 0);
        }
        if let Some(reason) = self.properties.paused() {
            return self.fail(PutError::NotStored(reason));
        }
        match &self.properties.policy {
            Policy::Siblings => self.fail(PutError::NotStored(
                "the bucket has no resolver to put the inputs through; activate one first"
                    .to_owned(),
            )),
            Policy::LastWriteWins => {
                match merge.by_write_time(self.request.version.written_at_ms) {
                    Some(store) => self.check_merged(store, 0),
                    None => self.fail(PutError::NotStored("nothing of it is live".to_owned())),
                }
            }
            Policy::Resolver(binding) => {
                let question = merge.question(self.request.key.clone(), binding.clone());
                self.phase = Phase::Merging(merge);
                Step::Ask(Box::new(question))
            }
        }
    }
}
