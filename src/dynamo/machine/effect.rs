//! What a shard wants done.

use super::super::coordinator::listing::Keys;
use super::super::coordinator::request::{GetError, GetReply, PutError, PutReply};
use super::super::coordinator::restore::RestoreError;
use super::super::names::{ClientId, NodeId, Ticket};
use super::super::reconcile::question::Question;
use super::super::repair::transfer::Stage;
use super::super::replica::change::Change;
use super::super::ring::change::ChangeId;
use super::super::ring::partition::PartitionId;
use super::message::Message;

/// One thing that the shell does for a shard, in the order in which it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send it. If it certainly cannot leave, hand `Message::undelivered` back as an event.
    Send { to: NodeId, message: Message },
    /// Send it after everything applied so far is synced. May be addressed to this very node.
    SendOnceSynced { to: NodeId, message: Message },
    /// Ask a guest, for this long at most; hand the answer back as `Event::Answered`.
    Ask {
        ticket: Ticket,
        question: Question,
        timeout_ms: u64,
    },
    ReplyGet {
        client: ClientId,
        outcome: Result<Box<GetReply>, GetError>,
    },
    ReplyPut {
        client: ClientId,
        outcome: Result<Box<PutReply>, PutError>,
    },
    ReplyList {
        client: ClientId,
        outcome: Result<Box<Keys>, GetError>,
    },
    /// A record of a backup is with its owners, or is not.
    ReplyRestore {
        client: ClientId,
        outcome: Result<(), RestoreError>,
    },
    /// This shard has come so far with a partition of a change of the owners; the others have to know.
    Progress {
        change: ChangeId,
        partition: PartitionId,
        stage: Stage,
    },
    /// Tell whoever watches; nothing waits for it.
    Changed(Change),
}
