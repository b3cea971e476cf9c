//! Faults on a schedule, on real processes under load: five nodes on sled, and a checker of what their clients were told.
//!
//! See `docs/nemesis.md`.

#[path = "nemesis/checker.rs"]
mod checker;
#[path = "nemesis/history.rs"]
mod history;
#[path = "nemesis/operations.rs"]
mod operations;
#[path = "nemesis/schedule.rs"]
mod schedule;
