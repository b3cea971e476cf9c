//! Conditional puts: a courtesy among clients that costs availability, and never a write.

use super::stage::{Node, Stage, error_info, putting, texts};
use bytes::Bytes;
use rejoin::wire::proto::v1 as proto;
use tonic::{Code, Status};

async fn notes() -> (Stage, Vec<Node>) {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    (stage, nodes)
}

async fn put_if(
    node: &Node,
    condition: proto::Condition,
    value: &str,
    context: &Bytes,
) -> Result<proto::PutResponse, Status> {
    let asked = proto::PutRequest {
        condition: condition.into(),
        context: context.clone(),
        ..putting("notes", "key", value)
    };
    node.try_put(asked).await
}

async fn put_if_absent(node: &Node, value: &str) -> Result<proto::PutResponse, Status> {
    put_if(node, proto::Condition::IfAbsent, value, &Bytes::new()).await
}

/// What a refusal says to programs: how many live values there are, and the dots in the way.
fn refused(outcome: Result<proto::PutResponse, Status>) -> (String, String) {
    let status = outcome.expect_err("the condition is not fulfilled");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let (reason, metadata) = error_info(&status);
    assert_eq!(reason, "CONDITION_FAILED");
    assert_eq!(metadata["outcome"], "not-stored");
    (metadata["live"].clone(), metadata["dots"].clone())
}

#[tokio::test]
async fn a_put_if_absent_is_made_once_and_again_after_a_delete_or_an_expiry() {
    let (stage, nodes) = notes().await;
    let first = put_if_absent(&nodes[0], "first")
        .await
        .expect("it is absent");
    let (live, dots) = refused(put_if_absent(&nodes[1], "second").await);
    assert_eq!((live.as_str(), dots), ("1", first.dot));
    assert_eq!(texts(&nodes[2].get("notes", "key").await), ["first"]);
    nodes[2].delete("notes", "key", &first.context).await;
    let again = put_if_absent(&nodes[1], "third").await;
    let again = again.expect("it was deleted");
    assert_eq!(again.siblings, 1);
    let found = nodes[0].get("notes", "key").await;
    assert_eq!(texts(&found), ["third"]);
    assert_eq!(found.siblings.len(), 1, "the delete is covered");

    let short = proto::PutRequest {
        ttl_ms: Some(1),
        context: found.context,
        w: Some(3),
        ..putting("notes", "key", "short")
    };
    nodes[0].try_put(short).await.expect("the put");
    super::stage::until("it expires", async || {
        nodes[1].get("notes", "key").await.values.is_empty()
    })
    .await;
    let fourth = put_if_absent(&nodes[2], "fourth").await;
    assert_eq!(fourth.expect("it expired").siblings, 1);
    stage.end().await;
}

#[tokio::test]
async fn a_put_if_context_is_made_only_by_who_has_seen_all_that_stands() {
    let (stage, nodes) = notes().await;
    let if_context = proto::Condition::IfContext;
    let first = put_if(&nodes[0], if_context, "first", &Bytes::new()).await;
    let first = first.expect("nobody has put anything yet");
    let second = put_if(&nodes[1], if_context, "second", &first.context).await;
    let second = second.expect("the first is covered");
    let (live, dots) = refused(put_if(&nodes[2], if_context, "late", &first.context).await);
    assert_eq!((live.as_str(), dots), ("1", second.dot));
    refused(put_if(&nodes[2], if_context, "blind", &Bytes::new()).await);
    let deleted = nodes[0].delete("notes", "key", &second.context).await;
    let (live, dots) = refused(put_if(&nodes[1], if_context, "old", &second.context).await);
    assert_eq!((live.as_str(), dots), ("0", deleted.dot), "a delete counts");
    let found = nodes[1].get("notes", "key").await;
    let last = put_if(&nodes[2], if_context, "last", &found.context).await;
    assert_eq!(last.expect("the delete is covered").siblings, 1);
    assert_eq!(texts(&nodes[0].get("notes", "key").await), ["last"]);
    stage.end().await;
}

#[tokio::test]
async fn puts_if_absent_at_the_same_time_lose_nothing_that_was_acknowledged() {
    let (stage, nodes) = notes().await;
    let mut rounds = Vec::new();
    for round in 0..10 {
        let key = format!("key-{round}");
        let put = async |node: &Node, value: &str| {
            let asked = proto::PutRequest {
                condition: proto::Condition::IfAbsent.into(),
                ..putting("notes", &key, value)
            };
            node.try_put(asked).await
        };
        let (a, b) = tokio::join!(put(&nodes[0], "a"), put(&nodes[1], "b"));
        let mut stored = Vec::new();
        for (outcome, value) in [(a, "a"), (b, "b")] {
            match outcome {
                Ok(_) => stored.push(value),
                Err(status) => assert_eq!(status.code(), Code::FailedPrecondition),
            }
        }
        assert!(!stored.is_empty(), "one of them was first");
        let found = texts(&nodes[2].get("notes", &key).await);
        assert_eq!(
            found, stored,
            "what was acknowledged stands, and nothing else"
        );
        rounds.push(stored.len());
    }
    println!("acknowledged per round: {rounds:?}");
    stage.end().await;
}

#[tokio::test]
async fn a_condition_that_cannot_be_checked_stores_nothing() {
    let (mut stage, nodes) = notes().await;
    stage.kill(1).await;
    stage.kill(2).await;
    let status = put_if_absent(&nodes[0], "value").await.expect_err("no R");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let (reason, metadata) = error_info(&status);
    assert_eq!(reason, "TOO_FEW_REPLICAS");
    assert_eq!(metadata["outcome"], "not-stored");
    let record = nodes[0].record("notes", "key").await;
    assert!(record.siblings.is_empty(), "nothing was stored");
    stage.restart(1).await;
    stage.restart(2).await;
    stage.end().await;
}
