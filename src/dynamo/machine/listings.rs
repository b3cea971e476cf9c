//! A shard as the coordinator of a step of a listing, and as a replica that is asked for one.
//!
//! Invariant: a step ends in one reply, and changes nothing anywhere.

use super::super::bucket::Properties;
use super::super::coordinator::listing::{Listing, Step};
use super::super::coordinator::request::GetError;
use super::super::names::{ClientId, NodeId, Ticket};
use super::super::replica::storage::Storage;
use super::super::replica::stretch::{Stretch, list};
use super::desk::Conversation;
use super::effect::Effect;
use super::message::{Message, ReplicaFailure};
use super::router::Machine;
use crate::limits::CONVERSATIONS_MAX;

impl<S: Storage> Machine<S> {
    pub(super) fn on_list(
        &mut self,
        client: ClientId,
        stretch: Stretch,
        timeout_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        self.activity.lists += 1;
        let properties = match self.admit_list(&stretch) {
            Ok(properties) => properties,
            Err(error) => {
                let outcome = Err(error);
                effects.push(Effect::ReplyList { client, outcome });
                return;
            }
        };
        let replicas = self.view.replicas(stretch.partition, properties.n);
        let listing = Listing::start(client, stretch.clone(), properties.r, replicas.len());
        let deadline = self.desk.deadline(timeout_ms);
        let ticket = self
            .desk
            .open(deadline, Conversation::List(Box::new(listing)));
        for to in replicas {
            let stretch = stretch.clone();
            self.send(to, Message::List { ticket, stretch }, effects);
        }
        self.with_listing(ticket, effects, |listing| listing.check());
    }

    fn admit_list(&self, stretch: &Stretch) -> Result<Properties, GetError> {
        if self.desk.is_full() {
            let limit = CONVERSATIONS_MAX;
            return Err(GetError::Overloaded { limit });
        }
        let properties = self.view.buckets.get(&stretch.bucket);
        properties
            .cloned()
            .ok_or_else(|| GetError::NoSuchBucket(stretch.bucket.clone()))
    }

    pub(super) fn with_listing(
        &mut self,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
        turn: impl FnOnce(&mut Listing) -> Step,
    ) {
        let Some(listing) = self.desk.listing(ticket) else {
            return; // A late reply to a step that has ended.
        };
        let outcome = match turn(listing) {
            Step::Wait => return,
            Step::Answer(keys) => Ok(keys),
            Step::Fail(error) => Err(error),
        };
        let client = listing.client;
        self.desk.close(ticket);
        effects.push(Effect::ReplyList { client, outcome });
    }

    pub(super) fn serve_list(
        &mut self,
        from: NodeId,
        ticket: Ticket,
        stretch: &Stretch,
        effects: &mut Vec<Effect>,
    ) {
        let listed = list(self.copies.storage(), stretch, self.desk.now.wall_ms);
        let outcome = listed.map_err(|error| ReplicaFailure::Storage(error.to_string()));
        self.send(from, Message::ListReply { ticket, outcome }, effects);
    }
}
