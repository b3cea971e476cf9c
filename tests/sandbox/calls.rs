//! What calls of guests come to.

use super::plugins::{CONCATENATE, PICK_FIRST, Shelf, Text, asking, question};
use bytes::Bytes;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::reconcile::answer::{Answer, GuestFailure, Judgement, Resolution};
use rejoin::dynamo::reconcile::question::Ask;
use rejoin::wasm::guest::{Level, ParamsError, Report};

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
