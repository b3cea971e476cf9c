//! One shard of one node: events in, effects out (Dynamo 5, request coordination).
//!
//! The router on top of the small machines of `coordinator`. It never waits and never fails.
//!
//! Invariant: `step` with the same events in the same order gives the same effects.

pub mod activity;
mod background;
pub mod effect;
pub mod event;
pub mod message;
pub mod router;

mod clearing;
mod converging;
mod desk;
mod exchanges;
mod forwards;
mod gets;
mod health;
mod hints;
mod inquiries;
mod lines;
mod listings;
mod merging;
mod passed;
mod pressure;
mod puts;
mod reaping;
mod restores;
mod room;
mod seating;
mod serving;
mod storing;
mod sweeping;
mod turn;
mod unmerging;
