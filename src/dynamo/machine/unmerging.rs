//! A shard that undoes bad merges of its keys, one key at a time: carries out what `coordinator::unmerge` plans.
//!
//! Dynamo 4.4, 6.5: it is background work, and waits where clients do.
//!
//! Invariant: a key that this node does not keep, or of which nothing bad stands here, is left alone.

use super::super::causality::context::Context;
use super::super::causality::version::Version;
use super::super::coordinator::put::Origin;
use super::super::coordinator::request::{PutError, PutRequest, Ttl};
use super::super::coordinator::unmerge::{Effort, Plan, UnmergeError, UnmergeRequest, Unmerged};
use super::super::names::ClientId;
use super::super::replica::layout::Place;
use super::super::replica::storage::{Storage, StorageError};
use super::super::replica::stretch::{Listed, Stretch};
use super::effect::Effect;
use super::router::Machine;
use crate::limits::CONVERSATIONS_MAX;
use bytes::Bytes;

impl<S: Storage> Machine<S> {
    /// The keys of a stretch as this node's own copy has them, deleted ones included.
    pub fn list_own(&self, stretch: &Stretch) -> Result<Listed, StorageError> {
        self.copies.list(stretch, self.desk.now.wall_ms)
    }

    pub(super) fn on_unmerge(
        &mut self,
        client: ClientId,
        request: UnmergeRequest,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = match self.plan_unmerge(&request) {
            Ok(Plan::Unchanged) => Ok(Unmerged::Unchanged),
            Ok(Plan::Absent) => Ok(Unmerged::Absent),
            Ok(Plan::NotRetained) => Ok(Unmerged::NotRetained),
            Ok(Plan::Rewrite { merge, is_whole }) => match request.effort {
                Effort::Look => Ok(Unmerged::WouldRewrite { is_whole }),
                Effort::Whole if !is_whole => Ok(Unmerged::NotRetained),
                Effort::Whole | Effort::Best => {
                    let put = PutRequest {
                        key: request.key,
                        context: Context::default(),
                        version: Version::value(Bytes::new(), 0), // In the place of what it merges to.
                        w: None,
                        pw: None,
                        dw: None,
                        ack: None,
                        ttl: Ttl::Never,
                    };
                    let origin = Origin::Unmerge { client, is_whole };
                    match self.admit(&put) {
                        Err(error) => Err(error),
                        Ok(admitted) => {
                            let deadline = self.desk.deadline(timeout_ms);
                            let place = Place::Home;
                            let ticket = self.open_put(origin, put, admitted, place, deadline);
                            return self.with_put(ticket, effects, |put| put.begin_unmerge(*merge));
                        }
                    }
                }
            },
            Err(outcome) => outcome,
        };
        effects.push(Effect::ReplyUnmerge { client, outcome });
    }

    /// What is to be done; or the outcome, where that is certain before anything is looked at.
    fn plan_unmerge(
        &mut self,
        request: &UnmergeRequest,
    ) -> Result<Plan, Result<Unmerged, UnmergeError>> {
        let key = &request.key;
        let now = self.desk.now;
        let Some(n) = self.view.copies_of(key) else {
            return Err(Err(PutError::NoSuchBucket(key.bucket().clone())));
        };
        if !self.view.seats(key, n).primaries.contains(&self.me) {
            return Err(Ok(Unmerged::Elsewhere));
        }
        if self.desk.is_full() {
            let limit = CONVERSATIONS_MAX;
            return Err(Err(PutError::Overloaded { limit }));
        }
        if !self.background.admission.permit(now.monotonic) {
            let at = self.background.admission.next_permit_at(now.monotonic);
            let ms = at.since(now.monotonic).max(1);
            return Err(Ok(Unmerged::Later { ms }));
        }
        let partition = self.view.placement.partition_of(key);
        let stored = self.copies.record(partition, key);
        let stored = stored.and_then(|record| {
            let retained = self.copies.retained(partition, key)?;
            Ok((record.object, retained))
        });
        match stored {
            Ok((object, retained)) => Ok(Plan::of(&object, &retained, &request.blame, now.wall_ms)),
            Err(error) => Err(Err(PutError::NotStored(error.to_string()))),
        }
    }
}
