//! The power fails, at thousands of moments: what was acknowledged as durable is there afterwards.
//!
//! A child process works on a real engine while each of its system calls is recorded. From the recording
//! come the folders that a power failure could have left at any moment (`disk`), and each is opened with the
//! engine as a node opens it. Between the last acknowledged and the last tried batch of a writer there must
//! be one after which its keys were exactly what is found: nothing acknowledged is missing, no batch is torn.
//!
//! `REJOIN_SEED` repeats a run, `REJOIN_POWER_IMAGES` sets the images of each test. Emulates no disk that lies
//! about a flush.
//!
//! Invariant: the controls must fail: a log that is not synced, and sled when it is not made to sync.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "power_loss/disk.rs"]
mod disk;
#[path = "power_loss/log.rs"]
mod log;
#[path = "power_loss/recording.rs"]
mod recording;
#[path = "power_loss/tracer.rs"]
mod tracer;
#[path = "power_loss/trial.rs"]
mod trial;
#[path = "power_loss/workload.rs"]
mod workload;

use anyhow::{Result, ensure};
use trial::{Engine, Trial, images, is_recorded_process, measure, report, seed};
use workload::Workload;

const IMAGES: usize = 300;
/// Each of these images is some fifty MiB.
const BURST_IMAGES: usize = 60;

fn nothing_is_lost(test: &str, engine: Engine, workload: Workload, default: usize) -> Result<()> {
    if is_recorded_process()? {
        return Ok(());
    }
    let tally = measure(test, engine, workload, images(default))?;
    ensure!(tally.faults() == 0, "{tally:#?}");
    Ok(())
}

fn nothing_is_lost_twice(test: &str, engine: Engine) -> Result<()> {
    if is_recorded_process()? {
        return Ok(());
    }
    let seed = seed();
    let trial = Trial::record(test, engine, Workload::Deletes, seed)?;
    let firsts = images(IMAGES).div_ceil(20);
    let tally = trial.cut_twice(test, firsts, 20)?;
    report(&format!("{engine:?} twice"), &tally, seed);
    ensure!(tally.faults() == 0, "{tally:#?}");
    Ok(())
}

fn something_is_lost(test: &str, engine: Engine, workload: Workload) -> Result<()> {
    if is_recorded_process()? {
        return Ok(());
    }
    let tally = measure(test, engine, workload, 60)?;
    ensure!(
        tally.faults() > 0,
        "the control saw nothing in {} images",
        tally.images
    );
    Ok(())
}

#[test]
fn a_synced_log_loses_nothing() -> Result<()> {
    let test = "a_synced_log_loses_nothing";
    nothing_is_lost(test, Engine::SyncedLog, Workload::Deletes, IMAGES)
}

#[test]
fn a_log_that_is_not_synced_is_caught() -> Result<()> {
    let test = "a_log_that_is_not_synced_is_caught";
    something_is_lost(test, Engine::UnsyncedLog, Workload::Overwrites)
}

#[test]
fn sled_that_is_not_made_to_sync_is_caught() -> Result<()> {
    let test = "sled_that_is_not_made_to_sync_is_caught";
    something_is_lost(test, Engine::SledUnfiltered, Workload::Overwrites)
}

#[test]
fn sled_keeps_small_overwrites() -> Result<()> {
    nothing_is_lost(
        "sled_keeps_small_overwrites",
        Engine::Sled,
        Workload::Overwrites,
        IMAGES,
    )
}

#[test]
fn sled_keeps_bursts_of_several_segments() -> Result<()> {
    let test = "sled_keeps_bursts_of_several_segments";
    nothing_is_lost(test, Engine::Sled, Workload::Bursts, BURST_IMAGES)
}

#[test]
fn sled_keeps_the_largest_values() -> Result<()> {
    nothing_is_lost(
        "sled_keeps_the_largest_values",
        Engine::Sled,
        Workload::Large,
        IMAGES,
    )
}

#[test]
fn sled_keeps_batches_whole_and_deletes_deleted() -> Result<()> {
    let test = "sled_keeps_batches_whole_and_deletes_deleted";
    nothing_is_lost(test, Engine::Sled, Workload::Deletes, IMAGES)
}

#[test]
fn sled_keeps_what_one_sync_acknowledged_for_many() -> Result<()> {
    let test = "sled_keeps_what_one_sync_acknowledged_for_many";
    nothing_is_lost(test, Engine::Sled, Workload::Groups, IMAGES)
}

#[test]
fn sled_survives_a_second_failure_while_it_recovers() -> Result<()> {
    nothing_is_lost_twice(
        "sled_survives_a_second_failure_while_it_recovers",
        Engine::Sled,
    )
}

#[test]
fn redb_keeps_small_overwrites() -> Result<()> {
    nothing_is_lost(
        "redb_keeps_small_overwrites",
        Engine::Redb,
        Workload::Overwrites,
        IMAGES,
    )
}

#[test]
fn redb_keeps_bursts_of_several_segments() -> Result<()> {
    let test = "redb_keeps_bursts_of_several_segments";
    nothing_is_lost(test, Engine::Redb, Workload::Bursts, BURST_IMAGES)
}

#[test]
fn redb_keeps_the_largest_values() -> Result<()> {
    nothing_is_lost(
        "redb_keeps_the_largest_values",
        Engine::Redb,
        Workload::Large,
        IMAGES,
    )
}

#[test]
fn redb_keeps_batches_whole_and_deletes_deleted() -> Result<()> {
    let test = "redb_keeps_batches_whole_and_deletes_deleted";
    nothing_is_lost(test, Engine::Redb, Workload::Deletes, IMAGES)
}

#[test]
fn redb_keeps_what_one_sync_acknowledged_for_many() -> Result<()> {
    let test = "redb_keeps_what_one_sync_acknowledged_for_many";
    nothing_is_lost(test, Engine::Redb, Workload::Groups, IMAGES)
}

#[test]
fn redb_survives_a_second_failure_while_it_recovers() -> Result<()> {
    nothing_is_lost_twice(
        "redb_survives_a_second_failure_while_it_recovers",
        Engine::Redb,
    )
}
