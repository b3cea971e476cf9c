//! A shard whose node has little room on its disk, and what it knows of others that have little (Dynamo 4.6).
//!
//! A client's value is left to nodes that have room: to another primary to coordinate, to a stand-in to keep. Deletes and
//! repairs are taken for as long as the engine can do without the last of the disk; then nothing is written at all.
//!
//! Does not measure the disk, and asks nobody: a node learns of another's disk from a refusal, and forgets it soon.
//!
//! Invariant: what is left to others for want of room is stored nowhere here, so that it makes one dot however often it is
//! passed on.

use super::super::coordinator::forward::{Forward, Resort};
use super::super::coordinator::put::Origin;
use super::super::coordinator::quorum::Needed;
use super::super::coordinator::request::{PutError, PutRequest};
use super::super::names::{ClientId, Millis, NodeId};
use super::super::replica::room::Room;
use super::super::replica::storage::Storage;
use super::super::ring::placement::Seats;
use super::effect::Effect;
use super::puts::Admitted;
use super::router::Machine;

impl<S: Storage> Machine<S> {
    /// The disk has so much room from now on.
    pub(super) fn on_room(&mut self, room: Room, effects: &mut Vec<Effect>) {
        self.copies.set_room(room);
        self.background_turn(effects);
    }

    /// Nothing is done that would write unasked.
    pub(super) fn is_at_rest(&self) -> bool {
        self.copies.room() == Room::Spent
    }

    pub(super) fn has_room_for(&self, request: &PutRequest) -> bool {
        self.copies.room().takes(request.version.is_tombstone())
    }

    /// Whether somebody else has to keep what was sent.
    pub(super) fn lacks_room(&self, is_new: bool) -> bool {
        !self.copies.room().takes(!is_new)
    }

    /// What a node says that has no room for a put.
    pub(super) fn no_room(&self) -> String {
        format!("the disk of {} is full", self.me)
    }

    /// Leaves a client's put to others: to the primaries, and after them to those who stand in.
    pub(super) fn leave_for_want_of_room(
        &mut self,
        client: ClientId,
        request: PutRequest,
        Admitted { properties, seats }: Admitted,
        deadline: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let w = request.w.unwrap_or(properties.w);
        let primaries = self.in_order(&request, seats.primaries);
        let resort = Resort::Others(self.in_order(&request, seats.others));
        let forward = Forward::start(client, request, primaries, resort, w, deadline);
        let failure = self.no_room();
        self.pass_on(forward.for_want_of_room(), failure, effects);
    }

    /// Whether a node is asked only when there is nobody else.
    pub(super) fn is_unlikely(&self, node: &NodeId, request: &PutRequest) -> bool {
        let is_value = !request.version.is_tombstone();
        self.detector.is_down(node) || (is_value && self.is_full(node))
    }

    fn is_full(&self, node: &NodeId) -> bool {
        self.pressure.is_full(node, self.desk.now.monotonic)
    }

    /// Why a put cannot get to enough disks, if so many are known to be full: better said before anything is stored.
    pub(super) fn too_few_disks(
        &self,
        origin: &Origin,
        request: &PutRequest,
        seats: &Seats,
        needed: Needed,
    ) -> Option<PutError> {
        let all = || seats.primaries.iter().chain(&seats.others);
        if request.version.is_tombstone() || !all().any(|node| self.is_full(node)) {
            return None;
        }
        let has_room = |node: &&NodeId| **node == self.me || !self.is_unlikely(node, request);
        let primaries = seats.primaries.iter().filter(has_room).count();
        if all().filter(has_room).count() >= usize::from(needed.answers)
            && primaries >= usize::from(needed.primaries)
        {
            return None;
        }
        let Needed {
            answers: w,
            primaries: pw,
        } = needed;
        let why =
            format!("the disks of too many of the key's nodes are full, w is {w}, pw is {pw}");
        Some(match origin {
            // Whom it comes from would take it for this node's own disk.
            Origin::Forwarded { .. } => PutError::NotStored(why),
            _ => PutError::DiskFull(why),
        })
    }
}
