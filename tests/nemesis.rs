//! Faults on a schedule, on real processes under load: five nodes on sled, and a checker of what their clients were told.
//!
//! See `docs/nemesis.md`.

#[path = "nemesis/checker.rs"]
mod checker;
#[path = "nemesis/disk.rs"]
mod disk;
#[path = "nemesis/doors.rs"]
mod doors;
#[path = "nemesis/faults.rs"]
mod faults;
#[path = "nemesis/flood.rs"]
mod flood;
#[path = "nemesis/history.rs"]
mod history;
#[path = "nemesis/membership.rs"]
mod membership;
#[path = "nemesis/operations.rs"]
mod operations;
#[path = "nemesis/report.rs"]
mod report;
#[path = "nemesis/run.rs"]
mod run;
#[path = "nemesis/schedule.rs"]
mod schedule;
#[path = "nemesis/settling.rs"]
mod settling;
#[allow(
    dead_code,
    reason = "this test needs only some of what the stage offers"
)]
#[path = "cluster/stage.rs"]
mod stage;
#[path = "nemesis/workloads.rs"]
mod workloads;
