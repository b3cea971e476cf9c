//! A whole cluster in one thread, from one seed: `dynamo::machine` under every fault we can think of.
//!
//! `REJOIN_SEED=<n>` replays one run, `REJOIN_SEEDS=<count>` sets how many fresh ones are tried.
//! Knows nothing of tokio, sled, gRPC or Wasm: those are the shell's, and this is what it has to be
//! faithful to.
//!
//! Invariant: whatever a run does follows from its seed.

mod clients;
mod disk;
mod guests;
mod history;
mod marks;
mod mutant;
mod nemesis;
mod network;
mod node;
mod plan;
mod reaping;
mod replies;
mod run;
mod trace;
mod world;

use history::{Check, Violation};
use mutant::Mutant;
use plan::{Fault, Manners, Plan};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use trace::Trace;

const SEEDS_DEFAULT: u64 = 200;
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
    let report = run::run(seed, Mutant::None, Trace::hashed());
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
    let base = since_1970.expect("after 1970").as_nanos() as u64;
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

/// The laws that a mutant is caught breaking, over a few plans.
fn caught(mutant: Mutant, adapt: impl Fn(&mut Plan)) -> BTreeSet<Check> {
    let mut found = BTreeSet::new();
    for seed in 0..MUTANT_SEEDS {
        let mut plan = Plan::of(seed);
        adapt(&mut plan);
        let report = run::run_plan(plan, mutant, Trace::hashed());
        found.extend(report.violations.iter().map(|violation| violation.check));
    }
    found
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
fn replicas_that_nobody_reads_or_compares_are_caught() {
    let reports = (0..MUTANT_SEEDS).flat_map(|seed| unread(seed, 0).violations);
    let found: BTreeSet<Check> = reports.map(|violation| violation.check).collect();
    assert!(found.contains(&Check::Diverged), "{found:?}");
}

#[test]
fn a_disk_that_drops_a_sibling_is_caught() {
    assert!(caught(Mutant::DropsSiblings, any).contains(&Check::Lost));
}

#[test]
fn an_acknowledged_write_that_is_gone_at_the_end_is_caught() {
    let calm = |plan: &mut Plan| plan.faults.clear();
    assert!(caught(Mutant::LosesDisks, calm).contains(&Check::Lost));
}

#[test]
fn a_lawful_resolver_that_drops_its_inputs_is_caught() {
    assert!(caught(Mutant::MergesNothing, any).contains(&Check::Resolved));
}

#[test]
fn replicas_that_stay_different_and_reads_that_keep_writing_are_caught() {
    let found = caught(Mutant::SwallowsWrites, any);
    assert!(found.contains(&Check::Diverged), "{found:?}");
    assert!(found.contains(&Check::ReadWrote), "{found:?}");
}

#[test]
fn an_incarnation_that_is_used_twice_is_caught() {
    assert!(caught(Mutant::ReusesIncarnation, with_crashes).contains(&Check::DotReused));
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    assert!(caught(Mutant::AcknowledgesEarly, with_crashes).contains(&Check::Dishonest));
}

#[test]
fn a_context_that_covers_too_much_is_caught() {
    assert!(caught(Mutant::WidensContexts, any).contains(&Check::Context));
}

#[test]
fn a_reply_that_never_comes_or_comes_twice_is_caught() {
    assert!(caught(Mutant::SwallowsReplies, any).contains(&Check::Replies));
    assert!(caught(Mutant::RepeatsReplies, any).contains(&Check::Replies));
}

#[test]
fn a_conversation_that_does_not_end_is_caught() {
    let found = caught(Mutant::StopsTimers, with_loss);
    assert!(found.contains(&Check::Leaked), "{found:?}");
}

#[test]
fn a_stored_write_that_is_denied_is_caught() {
    assert!(caught(Mutant::DeniesStoring, with_loss).contains(&Check::Dishonest));
}

#[test]
fn siblings_beyond_the_number_of_writers_are_caught() {
    let polite = |plan: &mut Plan| {
        *plan = (plan.seed * 1_000..)
            .map(Plan::of)
            .find(|plan| plan.manners == Manners::Polite)
            .expect("one in eight is");
    };
    assert!(caught(Mutant::ForgetsContexts, polite).contains(&Check::Siblings));
}

#[test]
fn a_put_that_is_coordinated_twice_is_caught() {
    assert!(caught(Mutant::ForwardsTwice, any).contains(&Check::Coordinated));
}

#[test]
fn a_hint_that_is_deleted_before_its_home_has_it_is_caught() {
    let alone = |plan: &mut Plan| {
        plan.faults = BTreeSet::from([Fault::Partition]);
    };
    let found = caught(Mutant::ConfirmsHintsUnseen, alone);
    assert!(found.contains(&Check::Lost), "{found:?}");
}
