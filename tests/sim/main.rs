//! A whole cluster in one thread, from one seed: `dynamo::machine` under every fault we can think of.
//!
//! `REJOIN_SEED=<n>` replays one run (`REJOIN_LINES=<count>` shows more of it), `REJOIN_SEEDS=<count>` sets how many
//! fresh ones are tried, `REJOIN_SEED_BASE=<n>` where they begin; the time, if it is not given.
//! Knows nothing of tokio, sled, gRPC or Wasm: those are the shell's, and this is what it has to be
//! faithful to.
//!
//! Invariant: whatever a run does follows from its seed.

mod clients;
mod converging;
mod disk;
mod guests;
mod history;
mod marks;
mod members;
mod mutant;
mod nemesis;
mod network;
mod node;
mod plan;
mod reaping;
mod replies;
mod run;
mod trace;
mod versions;
mod views;
mod world;

use guests::Guest;
use history::{Check, Violation};
use mutant::Mutant;
use plan::{Fault, Manners, Plan};
use rejoin::dynamo::bucket::{Ack, Policy};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use trace::Trace;

const SEEDS_DEFAULT: u64 = 1_000;
/// Runs in which a mutant has to be caught.
const MUTANT_SEEDS: u64 = 60;
/// Later violations mostly follow from the first.
const VIOLATIONS_SHOWN: usize = 4;
/// Seeds that once found a bug: one a line, and what it was.
const REGRESSIONS: &str = include_str!("regressions.txt");

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Panics with the command that replays the run, and with the end of its trace.
fn check(seed: u64) {
    let ran = std::panic::catch_unwind(|| run::run(seed, Mutant::None, Trace::hashed()));
    let report = ran.unwrap_or_else(|_| panic!("seed {seed} made the simulator itself panic"));
    if report.violations.is_empty() {
        return;
    }
    let replay = run::run(seed, Mutant::None, Trace::kept());
    let first = report.violations.iter().take(VIOLATIONS_SHOWN);
    let violations: Vec<String> = first.map(shown).collect();
    panic!(
        "seed {seed} broke a law\n{}\nreplay: REJOIN_SEED={seed} cargo test --test sim fresh_seeds\n{}",
        violations.join("\n"),
        replay.trace.tail()
    );
}

fn shown(violation: &Violation) -> String {
    format!("{:?}: {}", violation.check, violation.what)
}

/// Runs seeds on all cores; the first failure is the one reported.
fn check_all(base: u64, count: u64) {
    let next = AtomicU64::new(0);
    let failure = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failure.lock().expect("no panics inside").is_none() {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= count {
                        return;
                    }
                    let seed = base.wrapping_add(place);
                    if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
                        *failure.lock().expect("no panics inside") = Some(panic);
                    }
                }
            });
        }
    });
    if let Some(panic) = failure.into_inner().expect("no panics inside") {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn no_law_breaks_in_fresh_seeds() {
    if let Some(seed) = number("REJOIN_SEED") {
        return check(seed);
    }
    let count = number("REJOIN_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since_1970.expect("after 1970").as_nanos() as u64;
    let base = number("REJOIN_SEED_BASE").unwrap_or(now);
    println!("seeds {base} and the {count} that follow");
    let start = Instant::now();
    check_all(base, count);
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} seeds a second");
}

#[test]
fn no_law_breaks_in_the_seeds_that_once_broke_one() {
    let seeds = REGRESSIONS.lines().filter(|line| !line.starts_with('#'));
    for line in seeds.filter(|line| !line.is_empty()) {
        let seed = line.split_whitespace().next().expect("not empty");
        check(seed.parse().expect("a seed"));
    }
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..8 {
        let hash = |trace| run::run(seed, Mutant::None, trace).trace.hash();
        assert_eq!(hash(Trace::hashed()), hash(Trace::kept()), "seed {seed}");
        assert_ne!(
            hash(Trace::hashed()),
            run::run(seed + 1000, Mutant::None, Trace::hashed())
                .trace
                .hash()
        );
    }
}

/// The laws that a mutant is caught breaking, over a few plans; no more of them once these are among those.
fn caught(mutant: Mutant, adapt: impl Fn(&mut Plan), wanted: &[Check]) -> BTreeSet<Check> {
    let mut found = BTreeSet::new();
    for seed in 0..MUTANT_SEEDS {
        let mut plan = Plan::of(seed);
        adapt(&mut plan);
        let report = run::run_plan(plan, mutant, Trace::hashed());
        found.extend(report.violations.iter().map(|violation| violation.check));
        if wanted.iter().all(|check| found.contains(check)) {
            break;
        }
    }
    found
}

#[track_caller]
fn assert_caught(mutant: Mutant, adapt: impl Fn(&mut Plan), wanted: &[Check]) {
    let found = caught(mutant, adapt, wanted);
    let is_caught = wanted.iter().all(|check| found.contains(check));
    assert!(is_caught, "{wanted:?} are not all in {found:?}");
}

fn any(_: &mut Plan) {}

fn with_crashes(plan: &mut Plan) {
    plan.faults.insert(Fault::Crash);
}

fn with_loss(plan: &mut Plan) {
    plan.faults.insert(Fault::Loss);
    plan.faults.insert(Fault::Partition);
}

/// A record that vanishes under a running process is found when its tree is built anew, which takes a day.
fn unread(seed: u64, anti_entropy_interval_ms: u64) -> run::Report {
    let mut plan = Plan::of(seed);
    plan.faults.remove(&Fault::Forget);
    plan.anti_entropy_interval_ms = anti_entropy_interval_ms;
    run::run_unread(plan, Trace::hashed())
}

#[test]
fn after_the_heal_anti_entropy_alone_makes_replicas_equal_and_then_writes_nothing() {
    for seed in 0..MUTANT_SEEDS {
        let report = unread(seed, 5_000);
        let shown: Vec<String> = report.violations.iter().map(shown).collect();
        assert!(shown.is_empty(), "seed {seed}: {}", shown.join("\n"));
    }
}

#[test]
fn merges_of_several_owners_breed_no_merges_and_leave_no_conflict() {
    let mut merges = 0;
    for seed in 0..MUTANT_SEEDS {
        let report = run::run_unread(converging::lawful(seed), Trace::hashed());
        let shown: Vec<String> = report.violations.iter().map(shown).collect();
        assert!(shown.is_empty(), "seed {seed}: {}", shown.join("\n"));
        merges += report.background_merges;
    }
    assert!(merges > MUTANT_SEEDS, "{merges} merges prove little");
}

#[test]
fn conflicts_that_nobody_merges_are_caught() {
    let mut reports = (0..MUTANT_SEEDS).flat_map(|seed| {
        let mut plan = converging::lawful(seed);
        plan.converge_quiet_ms = 3_600_000; // In an hour, that is never.
        run::run_unread(plan, Trace::hashed()).violations
    });
    assert!(reports.any(|violation| violation.check == Check::Conflicted));
}

#[test]
fn replicas_that_nobody_reads_or_compares_are_caught() {
    let mut reports = (0..MUTANT_SEEDS).flat_map(|seed| unread(seed, 0).violations);
    assert!(reports.any(|violation| violation.check == Check::Diverged));
}

#[test]
fn no_law_breaks_while_versions_of_plugins_come_and_go() {
    for seed in 0..MUTANT_SEEDS {
        let mut plan = Plan::of(seed);
        plan.manners = Manners::Any;
        plan.rebinds = true;
        for properties in plan.buckets.values_mut() {
            properties.policy = Policy::Resolver(Guest::Union.binding());
            properties.merge_on_put = true;
        }
        let report = run::run_plan(plan, Mutant::None, Trace::hashed());
        let shown: Vec<String> = report.violations.iter().map(shown).collect();
        assert!(shown.is_empty(), "seed {seed}: {}", shown.join("\n"));
    }
}

#[test]
fn a_disk_that_drops_a_sibling_is_caught() {
    assert_caught(Mutant::DropsSiblings, any, &[Check::Lost]);
}

#[test]
fn an_acknowledged_write_that_is_gone_at_the_end_is_caught() {
    let calm = |plan: &mut Plan| plan.faults.clear();
    assert_caught(Mutant::LosesDisks, calm, &[Check::Lost]);
}

#[test]
fn a_lawful_resolver_that_drops_its_inputs_is_caught() {
    assert_caught(Mutant::MergesNothing, any, &[Check::Resolved]);
}

#[test]
fn replicas_that_stay_different_and_reads_that_keep_writing_are_caught() {
    let both = [Check::Diverged, Check::ReadWrote];
    assert_caught(Mutant::SwallowsWrites, any, &both);
}

#[test]
fn an_incarnation_that_is_used_twice_is_caught() {
    assert_caught(Mutant::ReusesIncarnation, with_crashes, &[Check::DotReused]);
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    assert_caught(Mutant::AcknowledgesEarly, with_crashes, &[Check::Dishonest]);
}

/// Every put is acknowledged by one disk, and by memory beyond it.
fn with_one_durable_copy(plan: &mut Plan) {
    with_crashes(plan);
    for properties in plan.buckets.values_mut() {
        properties.ack = Ack::Buffered;
        properties.dw = Some(1);
    }
}

#[test]
fn one_durable_copy_of_n_survives_every_loss_of_memory() {
    for seed in 0..MUTANT_SEEDS {
        let mut plan = Plan::of(seed);
        with_one_durable_copy(&mut plan);
        let report = run::run_plan(plan, Mutant::None, Trace::hashed());
        let shown: Vec<String> = report.violations.iter().map(shown).collect();
        assert!(shown.is_empty(), "seed {seed}: {}", shown.join("\n"));
    }
}

#[test]
fn w_acknowledgements_with_fewer_than_dw_from_a_disk_are_caught() {
    let wanted = [Check::Dishonest];
    assert_caught(Mutant::AcknowledgesEarly, with_one_durable_copy, &wanted);
}

#[test]
fn a_context_that_covers_too_much_is_caught() {
    assert_caught(Mutant::WidensContexts, any, &[Check::Context]);
}

#[test]
fn a_reply_that_never_comes_or_comes_twice_is_caught() {
    assert_caught(Mutant::SwallowsReplies, any, &[Check::Replies]);
    assert_caught(Mutant::RepeatsReplies, any, &[Check::Replies]);
}

#[test]
fn a_conversation_that_does_not_end_is_caught() {
    assert_caught(Mutant::StopsTimers, with_loss, &[Check::Leaked]);
}

#[test]
fn a_stored_write_that_is_denied_is_caught() {
    assert_caught(Mutant::DeniesStoring, with_loss, &[Check::Dishonest]);
}

#[test]
fn siblings_beyond_the_number_of_writers_are_caught() {
    let polite = |plan: &mut Plan| {
        *plan = (plan.seed * 1_000..)
            .map(Plan::of)
            .find(|plan| plan.manners == Manners::Polite)
            .expect("one in eight is");
    };
    assert_caught(Mutant::ForgetsContexts, polite, &[Check::Siblings]);
}

#[test]
fn a_put_that_is_coordinated_twice_is_caught() {
    assert_caught(Mutant::ForwardsTwice, any, &[Check::Coordinated]);
}

#[test]
fn a_hint_that_is_deleted_before_its_home_has_it_is_caught() {
    let alone = |plan: &mut Plan| {
        plan.faults = BTreeSet::from([Fault::Partition]);
    };
    assert_caught(Mutant::ConfirmsHintsUnseen, alone, &[Check::Lost]);
}

fn with_members(plan: &mut Plan) {
    plan.change_members(2);
}

fn with_members_and_peace(plan: &mut Plan) {
    plan.manners = Manners::Any;
    plan.change_members(2);
    plan.calm_down();
}

#[test]
fn a_pending_owner_that_is_counted_and_read_is_caught() {
    assert_caught(
        Mutant::CountsPending,
        with_members_and_peace,
        &[Check::Missed],
    );
}

#[test]
fn a_leaver_that_drops_its_copies_before_its_heirs_have_them_is_caught() {
    let lost = [Check::Missed, Check::Lost];
    assert_caught(Mutant::LeaversDrop, with_members_and_peace, &lost);
}

#[test]
fn a_view_that_forgets_owners_is_caught() {
    assert_caught(Mutant::ForgetsPrimaries, with_members, &[Check::Owners]);
}

#[test]
fn views_that_stay_different_are_caught() {
    assert_caught(Mutant::KeepsRowsBack, with_members, &[Check::Views]);
}

#[test]
fn a_change_that_does_not_end_is_caught() {
    assert_caught(Mutant::HidesProgress, with_members, &[Check::Unsettled]);
}

#[test]
fn copies_that_stay_where_they_do_not_belong_are_caught() {
    assert_caught(Mutant::Hoards, with_members, &[Check::Strays]);
}

#[test]
fn a_cluster_that_writes_without_a_cause_is_caught() {
    assert_caught(Mutant::WritesIdly, with_members, &[Check::Restless]);
}

#[test]
fn a_node_that_writes_on_a_disk_without_room_is_caught() {
    let with_full_disks = |plan: &mut Plan| {
        plan.faults.insert(Fault::Full);
    };
    assert_caught(Mutant::OverlooksDisks, with_full_disks, &[Check::Overfull]);
}
