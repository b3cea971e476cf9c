//! Many calls at once and one after the other: turns, breakers, budgets, memory of merges, deadlines, limits of buckets.

use super::plugins::{CONCATENATE, Shelf, Text, question};
use bytes::Bytes;
use futures_util::future::join_all;
use rejoin::dynamo::names::{BucketName, Digest, Key};
use rejoin::dynamo::reconcile::answer::{Answer, GuestFailure};
use rejoin::dynamo::reconcile::question::Question;
use rejoin::limits::{
    BREAKER_FAILURES, FUEL_MAX, GUEST_FUEL_PER_SECOND_MAX, GUEST_MEMORY_BYTES_MIN,
};
use rejoin::wasm::guest::{Report, Source};
use rejoin::wasm::workers::Workers;
use std::time::{Duration, Instant};

const FOREVER: &str = "(loop $l (br $l)) unreachable";
/// Burns some ten million units of fuel, and then picks the first sibling.
const BURN: &str = "(local $n i32) (local.set $n (i32.const 2000000))
    (loop $l (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n)))
    (call $answer (i32.const 2) (i32.const 0) (i32.const 0))";

fn failure(report: &Report) -> &GuestFailure {
    match &report.answer {
        Answer::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn is_resolved(report: &Report) -> bool {
    matches!(report.answer, Answer::Resolved { .. })
}

/// A question about a key of a bucket; each number another one.
fn numbered(digest: Digest, bucket: &str, number: usize) -> Question {
    let bucket = BucketName::new(bucket).unwrap();
    Question {
        key: Key::new(bucket, Bytes::from(format!("key-{number}"))).unwrap(),
        ..question(digest, &["apple", "pear"])
    }
}

#[tokio::test]
async fn a_noisy_bucket_leaves_every_other_its_answers() {
    let shelf = Shelf::open();
    let burner = shelf.admit(Text::resolver(BURN).component()).await;
    let quick = shelf.admit(Text::resolver(CONCATENATE).component()).await;
    let workers = Workers::start(shelf.library.clone(), 2, 16).unwrap();
    let noise = join_all((0..200).map(|number| {
        let mut question = numbered(burner, "noisy", number);
        question.binding.limits.fuel_per_second = GUEST_FUEL_PER_SECOND_MAX;
        workers.ask(question, None)
    }));
    let others = join_all((0..12).map(|number| {
        let bucket = format!("quiet-{}", number % 3);
        workers.ask(numbered(quick, &bucket, number), None)
    }));
    // The noise comes first: it fills the queue before anybody else asks.
    let (noise, others) = tokio::join!(noise, others);
    assert!(others.iter().all(is_resolved), "{others:?}");
    let turned_away = noise.iter().filter(|report| !is_resolved(report));
    assert!(
        turned_away.count() >= 200 - 16 - 2,
        "the noise was turned away"
    );
    assert!(noise.iter().any(is_resolved), "and had its turns");
}

#[tokio::test]
async fn a_plugin_over_its_budget_of_fuel_is_not_asked_in_that_bucket() {
    let shelf = Shelf::open();
    let burner = shelf.admit(Text::resolver(BURN).component()).await;
    let workers = Workers::start(shelf.library.clone(), 2, 64).unwrap();
    let limited = |number| {
        let mut question = numbered(burner, "limited", number);
        question.binding.limits.fuel_per_second = 1_000;
        question
    };
    assert!(is_resolved(&workers.ask(limited(0), None).await));
    let fuel_per_second = 1_000;
    let over = GuestFailure::OverBudget {
        digest: burner,
        fuel_per_second,
    };
    assert_eq!(failure(&workers.ask(limited(1), None).await), &over);
    assert!(is_resolved(
        &workers.ask(numbered(burner, "other", 2), None).await
    ));
}

#[tokio::test]
async fn a_plugin_that_keeps_trapping_rests_in_its_bucket_alone() {
    let shelf = Shelf::open();
    let trapping = shelf.admit(Text::resolver("unreachable").component()).await;
    let workers = Workers::start(shelf.library.clone(), 2, 64).unwrap();
    for number in 0..BREAKER_FAILURES as usize {
        let report = workers.ask(numbered(trapping, "bad", number), None).await;
        assert!(matches!(failure(&report), GuestFailure::Trap { .. }));
    }
    let rests = workers.ask(numbered(trapping, "bad", 99), None).await;
    assert!(
        matches!(failure(&rests), GuestFailure::Resting { .. }),
        "{rests:?}"
    );
    assert_eq!(rests.source, Source::Nowhere);
    let elsewhere = workers.ask(numbered(trapping, "other", 99), None).await;
    assert!(matches!(failure(&elsewhere), GuestFailure::Trap { .. }));
    let status = workers.status();
    let labels = status.breakers.iter();
    let labels: Vec<_> = labels
        .map(|(lane, breaker)| (lane.bucket.as_str(), breaker.label()))
        .collect();
    assert_eq!(labels, [("bad", "open"), ("other", "closed")]);
}

#[tokio::test]
async fn the_same_question_is_answered_from_memory_and_another_is_not() {
    let shelf = Shelf::open();
    let digest = shelf.admit(Text::resolver(CONCATENATE).component()).await;
    let workers = Workers::start(shelf.library.clone(), 2, 64).unwrap();
    let first = workers
        .ask(question(digest, &["apple", "pear"]), None)
        .await;
    assert_eq!(first.source, Source::Call);
    assert!(first.fuel > 0 && first.memory_bytes > 0);
    for _ in 0..5 {
        let again = workers
            .ask(question(digest, &["apple", "pear"]), None)
            .await;
        assert_eq!((again.source, again.fuel), (Source::Memory, 0));
        assert_eq!(again.answer, first.answer);
    }
    let mut with_params = question(digest, &["apple", "pear"]);
    with_params.binding.fuel += 1;
    for other in [question(digest, &["apple", "plum"]), with_params] {
        assert_eq!(workers.ask(other, None).await.source, Source::Call);
    }
    assert_eq!(workers.status().remembered.0, 3);
}

#[tokio::test]
async fn a_deadline_cuts_a_call_short_and_is_not_held_against_the_plugin() {
    let shelf = Shelf::open();
    let digest = shelf.admit(Text::resolver(FOREVER).component()).await;
    let workers = Workers::start(shelf.library.clone(), 2, 64).unwrap();
    for number in 0..2 * BREAKER_FAILURES as usize {
        let mut asked = numbered(digest, "b", number);
        asked.binding.fuel = FUEL_MAX;
        let deadline = Instant::now() + Duration::from_millis(40);
        let report = workers.ask(asked, Some(deadline)).await;
        match failure(&report) {
            GuestFailure::OutOfTime { limit_ms, .. } => assert!(*limit_ms <= 40, "{limit_ms}"),
            GuestFailure::Busy => {} // The machine was, and the deadline passed in the queue.
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn what_a_bucket_grants_bounds_memory_log_and_output() {
    let shelf = Shelf::open();
    let greedy =
        "(loop $l (br_if $l (i32.ne (i32.const -1) (call $grow (i32.const 1))))) unreachable";
    let digest = shelf.admit(Text::resolver(greedy).component()).await;
    let mut asked = question(digest, &["apple", "pear"]);
    asked.binding.limits.memory_bytes = GUEST_MEMORY_BYTES_MIN;
    let report = shelf.library.answer(&asked);
    assert!(matches!(failure(&report), GuestFailure::Trap { .. }));
    assert_eq!(report.memory_bytes, GUEST_MEMORY_BYTES_MIN);

    let talkative = "(call $emit (i32.const 0) (i32.const 352) (i32.const 7))
        (call $emit (i32.const 0) (i32.const 352) (i32.const 7)) unreachable";
    let digest = shelf.admit(Text::resolver(talkative).component()).await;
    let mut asked = question(digest, &["apple", "pear"]);
    asked.binding.limits.log_lines = 1;
    let log = shelf.library.answer(&asked).log;
    assert_eq!((log.lines.len(), log.dropped), (1, 1));

    let digest = shelf.admit(Text::resolver(CONCATENATE).component()).await;
    let mut asked = question(digest, &["apple", "pear"]);
    assert!(is_resolved(&shelf.library.answer(&asked)));
    asked.binding.limits.output_bytes = 8;
    let report = shelf.library.answer(&asked);
    assert!(
        matches!(failure(&report), GuestFailure::BadAnswer { .. }),
        "{report:?}"
    );
}
