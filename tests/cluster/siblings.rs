//! Siblings, contexts and deletes as clients see them (Dynamo 4.1, 4.4).

use super::stage::{Node, Stage, converged, error_info, putting, resolved, texts};
use bytes::Bytes;
use rejoin::wire::proto::v1 as proto;
use tonic::Code;

/// Three nodes with the bucket `notes`, which has no resolver.
async fn notes() -> (Stage, Vec<Node>) {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    (stage, nodes)
}

#[tokio::test]
async fn two_blind_writers_make_two_siblings_and_a_contextual_put_leaves_one() {
    let (stage, nodes) = notes().await;
    let first = nodes[0].put("notes", "key", "apple").await;
    assert!(
        !first.context.is_empty(),
        "its writer has seen all there is"
    );
    let second = nodes[1].put("notes", "key", "pear").await;
    assert_eq!(second.siblings, 2);
    let third = nodes[1]
        .put_after("notes", "key", "pear", &second.context)
        .await;
    assert_eq!(third.siblings, 2, "its writer has not seen the first");
    let both = nodes[2].get("notes", "key").await;
    assert_eq!(texts(&both), ["apple", "pear"]);
    let (resolution, reason) = resolved(&both.resolved);
    assert_eq!(resolution, proto::Resolution::Siblings);
    assert!(reason.contains("no resolver"), "{reason}");
    let dots: Vec<&String> = both.siblings.iter().map(|sibling| &sibling.dot).collect();
    assert!(
        dots.contains(&&first.dot) && dots.contains(&&third.dot),
        "{dots:?}"
    );

    let last = nodes[2]
        .put_after("notes", "key", "plum", &both.context)
        .await;
    assert_eq!(last.siblings, 1);
    assert!(!last.context.is_empty());
    for node in &nodes {
        let found = node.get("notes", "key").await;
        assert_eq!(texts(&found), ["plum"]);
        assert_eq!(resolved(&found.resolved).0, proto::Resolution::Single);
    }
    stage.end().await;
}

#[tokio::test]
async fn one_client_that_passes_its_contexts_on_never_makes_siblings() {
    let (stage, nodes) = notes().await;
    let mut context = Bytes::new();
    for turn in 0..12 {
        let value = turn.to_string();
        let stored = nodes[turn % 3]
            .put_after("notes", "key", &value, &context)
            .await;
        assert_eq!(stored.siblings, 1, "turn {turn}");
        assert!(!stored.context.is_empty(), "turn {turn}");
        context = stored.context;
    }
    let record = converged(&nodes, "notes", "key").await;
    assert_eq!(record.siblings.len(), 1);
    assert_eq!(record.actors, 3, "one for each node that coordinated");
    stage.end().await;
}

#[tokio::test]
async fn two_interleaved_clients_never_make_more_than_two_siblings() {
    let (stage, nodes) = notes().await;
    let mut contexts = [Bytes::new(), Bytes::new()];
    for turn in 0..12 {
        let who = turn % 2;
        let value = format!("{who}-{turn}");
        let stored = nodes[who]
            .put_after("notes", "key", &value, &contexts[who])
            .await;
        assert!(
            stored.siblings <= 2,
            "turn {turn}: {} siblings",
            stored.siblings
        );
        // Each reads before the other writes, so each context misses the other's latest.
        contexts[who] = nodes[who].get("notes", "key").await.context;
    }
    stage.end().await;
}

#[tokio::test]
async fn siblings_that_weigh_more_than_most_messages_can_be_read_and_replaced() {
    let (stage, nodes) = notes().await;
    let values: Vec<String> = ('a'..='l')
        .map(|letter| letter.to_string().repeat(1 << 20))
        .collect();
    // Of two replicas: on a busy machine the third may be late, and is made equal.
    for value in &values {
        let stored = nodes[0].try_put(putting("notes", "heavy", value)).await;
        stored.expect("the put");
    }
    let equal = converged(&nodes, "notes", "heavy").await;
    assert_eq!(equal.siblings.len(), values.len());
    let heavy = nodes[1].get("notes", "heavy").await;
    assert_eq!(heavy.values.len(), values.len());
    let asked = proto::PutRequest {
        context: heavy.context,
        ..putting("notes", "heavy", "light")
    };
    let last = nodes[1].try_put(asked).await.expect("the put");
    assert_eq!(last.siblings, 1);
    stage.end().await;
}

#[tokio::test]
async fn a_context_of_another_key_is_refused_and_nothing_is_stored() {
    let (stage, nodes) = notes().await;
    nodes[0]
        .create("others", proto::Properties::default())
        .await;
    let stored = nodes[0].put("notes", "key", "value").await;
    for (bucket, key) in [("notes", "other"), ("others", "key")] {
        let asked = proto::PutRequest {
            context: stored.context.clone(),
            ..putting(bucket, key, "value")
        };
        let refused = nodes[1].try_put(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(error_info(&refused).0, "BAD_CONTEXT");
        assert!(
            refused.message().contains("not one of this key"),
            "{refused}"
        );
        assert_eq!(
            texts(&nodes[2].get(bucket, key).await),
            Vec::<String>::new()
        );
    }
    stage.end().await;
}

#[tokio::test]
async fn a_deleted_key_is_not_found_but_has_a_context_and_can_be_written_again() {
    let (stage, nodes) = notes().await;
    let never = nodes[0].get("notes", "never").await;
    assert!(never.values.is_empty() && never.context.is_empty());
    let stored = nodes[0].put("notes", "key", "old").await;
    let deleted = nodes[1].delete("notes", "key", &stored.context).await;
    assert_eq!(deleted.siblings, 0);
    for node in &nodes {
        let gone = node.get("notes", "key").await;
        assert!(gone.values.is_empty());
        assert!(!gone.context.is_empty(), "of the delete");
        assert!(gone.siblings.iter().all(|sibling| sibling.tombstone));
    }
    let gone = nodes[2].get("notes", "key").await;
    let again = nodes[2]
        .put_after("notes", "key", "new", &gone.context)
        .await;
    assert_eq!(again.siblings, 1);
    assert_eq!(texts(&nodes[0].get("notes", "key").await), ["new"]);
    let record = converged(&nodes, "notes", "key").await;
    assert_eq!(record.siblings.len(), 1, "the tombstone is covered");
    stage.end().await;
}

#[tokio::test]
async fn a_blind_put_after_a_delete_is_seen() {
    let (stage, nodes) = notes().await;
    let stored = nodes[0].put("notes", "key", "old").await;
    nodes[0].delete("notes", "key", &stored.context).await;
    let blind = nodes[1].put("notes", "key", "new").await;
    assert_eq!(blind.siblings, 1, "a delete is no live version");
    assert_eq!(texts(&nodes[2].get("notes", "key").await), ["new"]);
    stage.end().await;
}

#[tokio::test]
async fn a_write_that_a_delete_did_not_see_survives_it() {
    let (stage, nodes) = notes().await;
    let seen = nodes[0].put("notes", "key", "seen").await;
    nodes[1].put("notes", "key", "unseen").await;
    let deleted = nodes[2].delete("notes", "key", &seen.context).await;
    assert_eq!(deleted.siblings, 1);
    for node in &nodes {
        assert_eq!(texts(&node.get("notes", "key").await), ["unseen"]);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_delete_without_a_context_deletes_what_its_coordinator_holds() {
    let (stage, nodes) = notes().await;
    nodes[0].put("notes", "key", "apple").await;
    nodes[1].put("notes", "key", "pear").await;
    let deleted = nodes[2].delete("notes", "key", &Bytes::new()).await;
    assert_eq!(deleted.siblings, 0);
    assert!(nodes[0].get("notes", "key").await.values.is_empty());
    stage.end().await;
}

#[tokio::test]
async fn type_and_metadata_come_back_as_they_were_put() {
    let (stage, nodes) = notes().await;
    let asked = proto::PutRequest {
        content_type: "text/plain; charset=utf-8".to_owned(),
        metadata: [("author".to_owned(), "anna".to_owned())].into(),
        w: Some(3),
        ..putting("notes", "key", "")
    };
    nodes[0].try_put(asked).await.expect("the put");
    let found = nodes[2].get("notes", "key").await;
    let value = &found.values[0];
    assert!(value.value.is_empty(), "an empty value is a value");
    assert_eq!(value.content_type, "text/plain; charset=utf-8");
    assert_eq!(value.metadata["author"], "anna");
    assert!(value.written_at_ms > 0);
    stage.end().await;
}
