//! Defects that are built in on purpose: each checker has to catch the one made for it.
//!
//! A checker that nothing can set off proves nothing.
//!
//! Invariant: a world without a mutant runs none of this.

use bytes::Bytes;
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::reconcile::answer::{Answer, Resolution};
use rejoin::dynamo::replica::record::Record;
use rejoin::dynamo::replica::storage::{Batch, Change};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// A disk that loses one of several siblings.
    DropsSiblings,
    /// A disk that applies nothing from the heal on, and says it did.
    SwallowsWrites,
    /// All disks are wiped when peace is made, and nobody owns up to it.
    LosesDisks,
    /// The lawful resolver answers with nothing of what it was given.
    MergesNothing,
    /// Crashed nodes come back under the incarnation that they had.
    ReusesIncarnation,
    /// Durable acknowledgements leave before the sync.
    AcknowledgesEarly,
    /// A get's context covers one write more of each actor than it showed.
    WidensContexts,
    /// Put replies do not reach the client.
    SwallowsReplies,
    /// Put replies reach the client twice.
    RepeatsReplies,
    /// Nodes are never told that time has passed.
    StopsTimers,
    /// An unknown outcome is told as "not stored".
    DeniesStoring,
    /// Polite clients forget their contexts.
    ForgetsContexts,
    /// A forwarded put is handed to its coordinator twice as if it were two.
    ForwardsTwice,
    /// A hint that is handed over is deleted before its home has it.
    ConfirmsHintsUnseen,
    /// Machines work by a change as if all of it were over: pending owners are counted, and read.
    CountsPending,
    /// Machines work by views in which every partition has one owner.
    ForgetsPrimaries,
    /// Who gives a partition away drops its copies when it hears of the change.
    LeaversDrop,
    /// Stewards are not told what has moved.
    HidesProgress,
    /// Stewards send each other hashes, and no rows.
    KeepsRowsBack,
    /// Disks keep the records that they are told to delete.
    Hoards,
    /// Nobody tells a node that its disk has no room.
    OverlooksDisks,
    /// At the end something is stored again and again.
    WritesIdly,
    /// Everybody vouches for everything unasked, so that tombstones go by age alone.
    ReapsUnasked,
}

/// The batch, with one version less in every object that has several.
pub fn without_a_sibling(mut batch: Batch) -> Batch {
    for change in &mut batch.changes {
        if let Change::Put { value, .. } = change {
            *value = thinned(value.clone());
        }
    }
    batch
}

/// The batch, with what it puts and nothing else.
pub fn without_deletes(mut batch: Batch) -> Batch {
    let changes = &mut batch.changes;
    changes.retain(|change| matches!(change, Change::Put { .. }));
    batch
}

fn thinned(bytes: Bytes) -> Bytes {
    let Ok(mut record) = Record::decode(bytes.clone()) else {
        return bytes;
    };
    let last = record.object.versions().map(|(dot, _)| dot).last();
    match last {
        Some(dot) if record.object.has_siblings(0) => {
            let covers = Context::from_clock([(dot.actor, dot.counter)].into_iter());
            record.object.discard(&covers);
            record.encode()
        }
        _ => bytes,
    }
}

/// The same context, one write wider per actor.
pub fn widened(context: &Context) -> Context {
    let mut wide = Context::from_clock(context.clock().map(|(actor, n)| (actor, n + 1)));
    wide.fastest = context.fastest.clone();
    wide
}

/// The answer of a resolver that has thrown everything away.
pub fn emptied(answer: Answer) -> Answer {
    match answer {
        Answer::Resolved { fuel, .. } => Answer::Resolved {
            resolution: Resolution::Merged(Bytes::from_static(b"nothing")),
            fuel,
        },
        other => other,
    }
}
