//! What calls of guests come to: answers, failures in the right words, and nothing left behind.
//!
//! Invariant: the clock decides no test but the one that is about it; fuel does.

use super::plugins::{CONCATENATE, PICK_FIRST, Shelf, Text, asking, question, settings};
use bytes::Bytes;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::reconcile::answer::{Answer, GuestFailure, Judgement, Resolution};
use rejoin::dynamo::reconcile::question::Ask;
use rejoin::limits::{FUEL_MAX, GUEST_LOG_LINE_BYTES_MAX, GUEST_LOG_LINES_MAX};
use rejoin::wasm::guest::{Level, ParamsError, Report};
use rejoin::wasm::workers::Workers;
use std::time::Instant;

fn resolution(report: &Report) -> &Resolution {
    match &report.answer {
        Answer::Resolved { resolution, .. } => resolution,
        other => panic!("no resolution but {other:?}"),
    }
}

fn failure(report: &Report) -> &GuestFailure {
    match &report.answer {
        Answer::Failed(failure) => failure,
        other => panic!("no failure but {other:?}"),
    }
}

fn merged(text: &str) -> Resolution {
    Resolution::Merged(Bytes::copy_from_slice(text.as_bytes()))
}

#[tokio::test]
async fn every_resolution_comes_back_as_the_guest_gave_it() {
    let keep = "(call $answer (i32.const 3) (i32.const 352) (i32.const 7))";
    let cases = [
        (PICK_FIRST, Resolution::Pick(0)),
        (
            "(call $answer (i32.const 2) (i32.const 9) (i32.const 0))",
            Resolution::Pick(9),
        ),
        (CONCATENATE, merged("applepear")),
        (
            "(call $answer (i32.const 1) (i32.const 0) (i32.const 0))",
            Resolution::Deleted,
        ),
        (keep, Resolution::KeepSiblings("help me".to_owned())),
    ];
    let shelf = Shelf::open();
    for (body, expected) in cases {
        assert_eq!(resolution(&shelf.ask(body).await), &expected, "{body}");
    }
}

/// Instructions that never leave, and go nowhere.
const FOREVER: &str = "(loop $l (br $l)) unreachable";

#[tokio::test]
async fn a_trap_carries_the_guests_last_words_and_where_it_was() {
    let shelf = Shelf::open();
    let body = "(call $emit (i32.const 3) (i32.const 352) (i32.const 7)) unreachable";
    let report = shelf.ask(body).await;
    let GuestFailure::Trap { message, .. } = failure(&report) else {
        panic!("{report:?}");
    };
    assert!(message.contains("unreachable"), "{message}");
    assert!(message.contains("it said: help me"), "{message}");
    assert_eq!(report.log.lines[0].level, Level::Error);
}

#[tokio::test]
async fn an_endless_loop_runs_out_of_the_buckets_fuel() {
    let shelf = Shelf::open();
    let digest = shelf.admit(Text::resolver(FOREVER).component()).await;
    let mut question = question(digest, &["apple", "pear"]);
    question.binding.fuel = 123_456;
    let report = shelf.library.answer(&question);
    let fuel = 123_456;
    assert_eq!(failure(&report), &GuestFailure::OutOfFuel { digest, fuel });
    assert!(failure(&report).is_deterministic());
}

#[tokio::test]
async fn the_clock_stops_a_guest_with_too_much_fuel_and_says_that_it_was_the_clock() {
    let mut impatient = settings();
    impatient.guest_wall_ms = 30;
    let shelf = Shelf::with(impatient);
    let digest = shelf.admit(Text::resolver(FOREVER).component()).await;
    let mut question = question(digest, &["apple", "pear"]);
    question.binding.fuel = FUEL_MAX;
    let report = shelf.library.answer(&question);
    let limit_ms = 30;
    assert_eq!(
        failure(&report),
        &GuestFailure::OutOfTime { digest, limit_ms }
    );
    assert!(!failure(&report).is_deterministic());
}

#[tokio::test]
async fn memory_is_refused_beyond_its_bound_and_the_trap_says_so() {
    let shelf = Shelf::open();
    let greedy =
        "(loop $l (br_if $l (i32.ne (i32.const -1) (call $grow (i32.const 16))))) unreachable";
    let report = shelf.ask(greedy).await;
    let GuestFailure::Trap { message, .. } = failure(&report) else {
        panic!("{report:?}");
    };
    assert!(message.contains("refused more memory"), "{message}");
}

#[tokio::test]
async fn a_guest_that_can_do_without_more_memory_still_answers() {
    let shelf = Shelf::open();
    let modest = format!("(drop (call $grow (i32.const 2000))) {PICK_FIRST}");
    assert_eq!(resolution(&shelf.ask(&modest).await), &Resolution::Pick(0));
    // Its own maximum is the guest's affair, and no failure of this node.
    let own = Text::resolver(&modest).with("memory", "2 3").component();
    let digest = shelf.admit(own).await;
    let report = shelf.library.answer(&question(digest, &["apple", "pear"]));
    assert_eq!(resolution(&report), &Resolution::Pick(0));
}

#[tokio::test]
async fn deep_recursion_is_a_trap_of_the_guest() {
    let shelf = Shelf::open();
    let report = shelf
        .ask("(drop (call $recurse (i32.const 0))) unreachable")
        .await;
    let GuestFailure::Trap { message, .. } = failure(&report) else {
        panic!("{report:?}");
    };
    assert!(message.contains("stack"), "{message}");
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_bad_answers() {
    let giant = "(drop (call $grow (i32.const 40)))
                 (call $answer (i32.const 0) (i32.const 0) (i32.const 2000000))";
    let cases = [
        (giant, "larger than"),
        (
            "(call $answer (i32.const 3) (i32.const 320) (i32.const 9))",
            "utf-8",
        ),
        (
            "(call $answer (i32.const 0) (i32.const 131000) (i32.const 999))",
            "out of bounds",
        ),
        (
            "(call $answer (i32.const 3) (i32.const -1) (i32.const -1))",
            "out of bounds",
        ),
        (
            "(call $answer (i32.const 7) (i32.const 0) (i32.const 0))",
            "discriminant",
        ),
        ("(i32.const 65)", "not aligned"),
        ("(i32.const -8)", "out of bounds"),
    ];
    let shelf = Shelf::open();
    for (body, expected) in cases {
        let report = shelf.ask(body).await;
        let GuestFailure::BadAnswer { message, .. } = failure(&report) else {
            panic!("{body}: {report:?}");
        };
        assert!(message.contains(expected), "{body}: {message}");
    }
}

#[tokio::test]
async fn logged_lines_are_bounded_in_number_and_length() {
    let flood = "(local $i i32)
        (loop $l
          (call $emit (i32.const 1) (i32.const 4096) (i32.const 1000))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))";
    let shelf = Shelf::open();
    let report = shelf.ask(&format!("{flood} {PICK_FIRST}")).await;
    assert_eq!(resolution(&report), &Resolution::Pick(0));
    assert_eq!(report.log.lines.len(), GUEST_LOG_LINES_MAX);
    assert_eq!(report.log.dropped, 100 - GUEST_LOG_LINES_MAX as u64);
    let longest = report.log.lines.iter().map(|line| line.text.len()).max();
    assert_eq!(longest, Some(GUEST_LOG_LINE_BYTES_MAX));
}

#[tokio::test]
async fn logging_for_ever_uses_up_the_fuel() {
    let shelf = Shelf::open();
    let talkative =
        "(loop $l (call $emit (i32.const 0) (i32.const 352) (i32.const 7)) (br $l)) unreachable";
    let report = shelf.ask(talkative).await;
    assert!(
        matches!(failure(&report), GuestFailure::OutOfFuel { .. }),
        "{report:?}"
    );
}

#[tokio::test]
async fn same_question_gives_same_bytes_and_same_fuel_also_after_a_restart() {
    let shelf = Shelf::open();
    let digest = shelf.admit(Text::resolver(CONCATENATE).component()).await;
    let question = question(digest, &["apple", "pear", "plum"]);
    let first = shelf.library.answer(&question).answer;
    assert!(matches!(&first, Answer::Resolved { fuel, .. } if *fuel > 0));
    for _ in 0..50 {
        assert_eq!(shelf.library.answer(&question).answer, first);
    }
    let shelf = shelf.reopen();
    assert_eq!(shelf.library.answer(&question).answer, first);
    shelf.library.remove(digest).unwrap();
    shelf.admit(Text::resolver(CONCATENATE).component()).await;
    assert_eq!(shelf.library.answer(&question).answer, first);
}

#[tokio::test]
async fn nothing_of_a_call_is_left_for_the_next() {
    let forgetful =
        "(i32.store8 (i32.const 2048) (i32.add (i32.load8_u (i32.const 2048)) (i32.const 1)))
        (call $answer (i32.const 2) (i32.load8_u (i32.const 2048)) (i32.const 0))";
    let shelf = Shelf::open();
    for _ in 0..20 {
        assert_eq!(
            resolution(&shelf.ask(forgetful).await),
            &Resolution::Pick(1)
        );
    }
}

#[tokio::test]
async fn nans_have_the_same_bits_on_every_machine() {
    let nan = "(f64.store (i32.const 2048) (f64.div (f64.load (i32.const 3000)) (f64.load (i32.const 3000))))
        (call $answer (i32.const 0) (i32.const 2048) (i32.const 8))";
    let shelf = Shelf::open();
    let canonical = Bytes::copy_from_slice(&0x7ff8_0000_0000_0000u64.to_le_bytes());
    assert_eq!(
        resolution(&shelf.ask(nan).await),
        &Resolution::Merged(canonical)
    );
}

#[tokio::test]
async fn a_validator_accepts_or_refuses_and_resolves_nothing() {
    let shelf = Shelf::open();
    let accepting = "(call $answer (i32.const 0) (i32.const 0) (i32.const 0))";
    let refusing =
        "(i32.store (i32.const 76) (i32.const 352)) (i32.store (i32.const 80) (i32.const 7))
        (call $answer (i32.const 1) (i32.const 288) (i32.const 5))";
    let refused = Judgement::Refused {
        code: "1.2.3".to_owned(),
        message: "help me".to_owned(),
    };
    for (body, expected) in [(accepting, Judgement::Accepted), (refusing, refused)] {
        let digest = shelf.admit(Text::validator(body).component()).await;
        let incoming = Version::value("apple", 7);
        let report = shelf
            .library
            .answer(&asking(digest, Ask::Validate(incoming)));
        let Answer::Judged { judgement, .. } = &report.answer else {
            panic!("{report:?}");
        };
        assert_eq!(judgement, &expected);
        let report = shelf.library.answer(&question(digest, &["apple", "pear"]));
        let role = "resolver";
        assert_eq!(failure(&report), &GuestFailure::WrongRole { digest, role });
    }
}

#[tokio::test]
async fn a_plugin_that_is_not_here_is_missing() {
    let shelf = Shelf::open();
    let digest = rejoin::wasm::library::digest_of(b"something else");
    let report = shelf.library.answer(&question(digest, &["apple", "pear"]));
    assert_eq!(failure(&report), &GuestFailure::Missing { digest });
}

#[tokio::test]
async fn params_are_refused_in_the_plugins_words() {
    let shelf = Shelf::open();
    let digest = shelf.admit(Text::resolver(PICK_FIRST).component()).await;
    assert_eq!(shelf.library.check_params(digest, b""), Ok(()));
    let message = "no such option".to_owned();
    let refused = ParamsError::Refused { digest, message };
    assert_eq!(
        shelf.library.check_params(digest, b"no such option"),
        Err(refused)
    );
}

#[tokio::test]
async fn workers_answer_from_async_code_and_say_at_once_when_they_are_busy() {
    let shelf = Shelf::open();
    let digest = shelf.admit(Text::resolver(CONCATENATE).component()).await;
    let ask = || question(digest, &["apple", "pear"]);
    let workers = Workers::start(shelf.library.clone(), 2, 64).unwrap();
    let reports = tokio::join!(workers.ask(ask(), None), workers.ask(ask(), None));
    assert_eq!(resolution(&reports.0), &merged("applepear"));
    assert_eq!(reports.0.answer, reports.1.answer);
    // Another question: the first one's answer is remembered.
    let other = question(digest, &["apple", "plum"]);
    let late = workers.ask(other, Some(Instant::now())).await;
    assert_eq!(failure(&late), &GuestFailure::Busy);
    let full = Workers::start(shelf.library.clone(), 1, 0).unwrap();
    assert_eq!(failure(&full.ask(ask(), None).await), &GuestFailure::Busy);
}
