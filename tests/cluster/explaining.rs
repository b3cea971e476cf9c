//! `explain`: why a key reads as it does.

use super::stage::{Node, Stage, bound, converged, putting, rejoin_binary, until};
use rejoin::wire::proto::v1 as proto;
use tokio::process::Command;

const BREAD: &str = r#"{"items":{"bread":2,"milk":1}}"#;
const EGGS: &str = r#"{"items":{"eggs":12,"milk":1}}"#;
const MERGED: &str = r#"{"items":{"bread":2,"eggs":12,"milk":1}}"#;

async fn explain(node: &Node, bucket: &str, key: &str) -> proto::ExplainResponse {
    let asked = proto::ExplainRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned().into(),
    };
    let asked = node.connection.request(asked);
    let explained = node.connection.cluster().explain(asked).await;
    explained.expect("it is explained").into_inner()
}

#[tokio::test]
async fn explain_shows_every_replica_its_siblings_and_what_the_resolver_makes_of_them() {
    let stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    nodes[0].create_resolved("carts", &plugin).await;
    nodes[0].put("carts", "anna", BREAD).await;
    nodes[1].put("carts", "anna", EGGS).await;
    until("all replicas hold the same", async || {
        explain(&nodes[3], "carts", "anna").await.is_equal
    })
    .await;
    for node in &nodes {
        let explained = explain(node, "carts", "anna").await;
        let seats: Vec<_> = explained
            .replicas
            .iter()
            .map(|replica| replica.seat())
            .collect();
        assert_eq!(seats[..3], [proto::Seat::Primary; 3]);
        assert_eq!(seats[3..], [proto::Seat::Fallback]);
        for replica in &explained.replicas[..3] {
            assert_eq!(replica.unreached, "");
            assert_eq!(replica.siblings.len(), 2, "{replica:?}");
        }
        let writers = explained
            .replicas
            .iter()
            .filter(|replica| !replica.actor.is_empty());
        assert!(writers.count() > 0, "who coordinated writes under an actor");
        assert!(explained.replicas[3].siblings.is_empty());
        let answer = explained.answer.expect("an answer");
        let how = answer.resolved.expect("it says how");
        assert_eq!(how.plugin, plugin);
        assert!(how.fuel > 0);
        assert_eq!(&answer.values[0].value[..], MERGED.as_bytes());
    }
    stage.end().await;
}

#[tokio::test]
async fn explain_shows_what_a_merge_on_put_replaced_and_by_whom_it_was_merged() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    let properties = proto::Properties {
        resolver: Some(bound(&plugin)),
        merge_on_put: Some(true),
        ..proto::Properties::default()
    };
    nodes[0].create("carts", properties).await;
    nodes[0].put("carts", "anna", BREAD).await;
    nodes[1].put("carts", "anna", EGGS).await;
    converged(&nodes, "carts", "anna").await;
    let explained = explain(&nodes[2], "carts", "anna").await;
    for replica in &explained.replicas[..3] {
        let [merge] = &replica.retained[..] else {
            panic!("{replica:?}");
        };
        assert_eq!(merge.merged_by, plugin);
        let stored = replica.siblings.iter().map(|sibling| &sibling.dot);
        assert!(
            stored.into_iter().any(|dot| *dot == merge.dot),
            "its dot stands"
        );
        let inputs = merge.inputs.iter().filter_map(|input| input.value.as_ref());
        let mut inputs: Vec<&[u8]> = inputs.map(|value| &value.value[..]).collect();
        inputs.sort();
        assert_eq!(inputs, [BREAD.as_bytes(), EGGS.as_bytes()]);
    }
    let output = Command::new(rejoin_binary())
        .args([
            "explain",
            "carts",
            "anna",
            "--server",
            &stage.cluster.url(0),
        ])
        .output()
        .await;
    let output = output.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("was merged at"),
        "{text}"
    );
    stage.end().await;
}

#[tokio::test]
async fn explain_names_the_replica_that_cannot_be_reached_and_the_hint_that_waits_for_it() {
    let mut stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    stage.all_agree().await;
    let mut keys = (0..).map(|count| format!("key-{count}"));
    let key = loop {
        let key = keys.next().expect("endless");
        let listed = nodes[0].preference("notes", &key).await;
        if listed.nodes[..3].contains(&"n4".to_owned()) {
            break key;
        }
    };
    stage.kill(3).await;
    until("a node stands in for n4", async || {
        // It may fail until the others have noticed.
        let _ = nodes[0].try_put(putting("notes", &key, "value")).await;
        let explained = explain(&nodes[0], "notes", &key).await;
        let mut hints = explained.replicas.iter().flat_map(|replica| &replica.hints);
        hints.any(|hint| hint.home == "n4" && !hint.siblings.is_empty())
    })
    .await;
    let explained = explain(&nodes[0], "notes", &key).await;
    let gone = explained
        .replicas
        .iter()
        .find(|replica| replica.node == "n4");
    assert!(!gone.expect("it is a primary").unreached.is_empty());
    assert!(!explained.is_equal);
    stage.restart(3).await;
    stage.end().await;
}
