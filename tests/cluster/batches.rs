//! Many requests over one stream: each is answered on its own, in whatever order they are ready.

use super::stage::{Node, Stage, error_info, getting, putting, texts};
use proto::batch_get_reply::Outcome as Got;
use proto::batch_put_reply::Outcome as Stored;
use rejoin::limits::{BATCH_ITEMS_MAX, BATCHES_MAX};
use rejoin::wire::proto::v1 as proto;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};

async fn notes() -> (Stage, Vec<Node>) {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    let properties = proto::Properties {
        value_bytes_max: Some(100),
        ..proto::Properties::default()
    };
    nodes[0].create("notes", properties).await;
    (stage, nodes)
}

/// The outcomes of a batch of puts by their index.
async fn put_batch(node: &Node, puts: Vec<proto::PutRequest>) -> BTreeMap<u64, Stored> {
    let asked = Request::new(tokio_stream::iter(puts));
    let replies = node.connection.kv().batch_put(asked).await;
    let mut replies = replies.expect("a stream").into_inner();
    let mut outcomes = BTreeMap::new();
    while let Some(reply) = replies.message().await.expect("no item ends the stream") {
        let outcome = reply.outcome.expect("an outcome");
        assert!(outcomes.insert(reply.index, outcome).is_none(), "twice");
    }
    outcomes
}

/// The outcomes of a batch of gets in the order in which they came.
async fn get_batch(node: &Node, gets: Vec<proto::GetRequest>) -> Vec<(u64, Got)> {
    let asked = Request::new(tokio_stream::iter(gets));
    let replies = node.connection.kv().batch_get(asked).await;
    let mut replies = replies.expect("a stream").into_inner();
    let mut outcomes = Vec::new();
    while let Some(reply) = replies.message().await.expect("no item ends the stream") {
        outcomes.push((reply.index, reply.outcome.expect("an outcome")));
    }
    outcomes
}

#[tokio::test]
async fn every_request_of_a_batch_has_its_own_reply() {
    let (stage, nodes) = notes().await;
    // More than are under way at a time.
    let count = 4 * BATCH_ITEMS_MAX as u64 + 7;
    let key = |number: u64| format!("key-{number}");
    let puts = (0..count).map(|number| putting("notes", &key(number), &number.to_string()));
    let stored = put_batch(&nodes[0], puts.collect()).await;
    assert!(stored.keys().copied().eq(0..count));
    for (index, outcome) in &stored {
        let Stored::Response(response) = outcome else {
            panic!("{index}: {outcome:?}");
        };
        assert_eq!((response.siblings, response.replicas_answered), (1, 2));
    }
    let gets = (0..count).map(|number| getting("notes", &key(number)));
    let found = get_batch(&nodes[1], gets.collect()).await;
    let found: BTreeMap<u64, Got> = found.into_iter().collect();
    assert!(found.keys().copied().eq(0..count));
    for (index, outcome) in &found {
        let Got::Response(response) = outcome else {
            panic!("{index}: {outcome:?}");
        };
        assert_eq!(texts(response), [index.to_string()]);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_request_that_fails_says_why_and_ends_neither_its_batch_nor_its_neighbours() {
    let (stage, nodes) = notes().await;
    nodes[0].put("notes", "there", "value").await;
    let if_absent = proto::PutRequest {
        condition: proto::Condition::IfAbsent.into(),
        ..putting("notes", "there", "again")
    };
    let rows = [
        (putting("notes", "", "v"), Code::InvalidArgument, "BAD_NAME"),
        (
            putting("nowhere", "k", "v"),
            Code::NotFound,
            "NO_SUCH_BUCKET",
        ),
        (
            putting("notes", "k", &"v".repeat(101)),
            Code::InvalidArgument,
            "BAD_VALUE",
        ),
        (if_absent, Code::FailedPrecondition, "CONDITION_FAILED"),
    ];
    let mut puts = Vec::new();
    for (number, (bad, ..)) in rows.iter().enumerate() {
        puts.push(bad.clone());
        puts.push(putting("notes", &format!("good-{number}"), "good"));
    }
    let stored = put_batch(&nodes[1], puts).await;
    assert_eq!(stored.len(), 2 * rows.len());
    for (number, (_, code, reason)) in rows.iter().enumerate() {
        let Stored::Error(error) = &stored[&(2 * number as u64)] else {
            panic!("{reason} was stored");
        };
        assert_eq!(Code::from(error.code), *code, "{}", error.message);
        assert_eq!(
            (error.reason.as_str(), error.outcome.as_str()),
            (*reason, "not-stored")
        );
        assert!(matches!(
            stored[&(2 * number as u64 + 1)],
            Stored::Response(_)
        ));
    }
    let gets = vec![
        getting("notes", "good-0"),
        getting("nowhere", "k"),
        getting("notes", "good-3"),
    ];
    let found: BTreeMap<u64, Got> = get_batch(&nodes[2], gets).await.into_iter().collect();
    let Got::Error(error) = &found[&1] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (error.reason.as_str(), error.outcome.as_str()),
        ("NO_SUCH_BUCKET", "")
    );
    for index in [0, 2] {
        assert!(matches!(&found[&index], Got::Response(response) if texts(response) == ["good"]));
    }
    stage.end().await;
}

#[tokio::test]
async fn a_slow_request_holds_up_no_other() {
    let (stage, nodes) = notes().await;
    nodes[0].put("notes", "key", "value").await;
    stage.cluster.pause(2);
    let slow = proto::GetRequest {
        r: Some(3),
        ..getting("notes", "key")
    };
    let fast = (0..100).map(|_| getting("notes", "key"));
    let gets = std::iter::once(slow).chain(fast).collect();
    let found = get_batch(&nodes[0], gets).await;
    stage.cluster.resume(2);
    assert_eq!(found.len(), 101);
    let (index, last) = &found[100];
    let Got::Error(error) = last else {
        panic!("{last:?}");
    };
    assert_eq!(*index, 0, "the first request is the last reply");
    let code = Code::from(error.code);
    assert!(
        matches!(code, Code::Unavailable | Code::DeadlineExceeded),
        "{error:?}"
    );
    stage.all_connected().await;
    stage.end().await;
}

#[tokio::test]
async fn a_batch_ends_at_its_own_deadline() {
    let (stage, nodes) = notes().await;
    let mut asked = Request::new(tokio_stream::pending::<proto::PutRequest>());
    asked.set_timeout(Duration::from_millis(300));
    let replies = nodes[0].connection.kv().batch_put(asked).await;
    let mut replies = replies.expect("a stream").into_inner();
    let status: Status = replies.message().await.expect_err("its time is over");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let (reason, metadata) = error_info(&status);
    assert_eq!(reason, "DEADLINE");
    assert_eq!(metadata["outcome"], "not-stored", "nothing was under way");
    stage.end().await;
}

#[tokio::test]
async fn a_node_answers_so_many_batches_at_a_time_and_says_so() {
    let (stage, nodes) = notes().await;
    // A batch stays open for as long as its client may still ask something.
    let open = async || {
        let (requests, stream) = mpsc::channel::<proto::GetRequest>(1);
        let asked = Request::new(ReceiverStream::new(stream));
        let replies = nodes[0].connection.kv().batch_get(asked).await?;
        Ok::<_, Status>((requests, replies))
    };
    let mut held = Vec::new();
    for _ in 0..BATCHES_MAX {
        held.push(open().await.expect("there is a place"));
    }
    let status = open().await.expect_err("all places are taken");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(error_info(&status).0, "OVERLOADED");
    held.clear();
    let claim = "places are free again";
    super::stage::until(claim, async || open().await.is_ok()).await;
    stage.end().await;
}
