//! Validators: what they refuse is stored nowhere, and a bucket whose validator fails takes nothing in.

use super::stage::{
    Node, Stage, bound, error_info, getting, plugin_bytes, putting, resolved, texts,
};
use super::written_plugins::{TRAP, validator};
use bytes::Bytes;
use rejoin::wire::proto::v1 as proto;
use tonic::{Code, Status};

const GOOD: &str = r#"{"items":{"milk":1}}"#;
const BAD: &str = r#"{"items":{"milk":1000}}"#;

async fn validated(node: &Node, bucket: &str, plugin: Bytes, n: u32) {
    let plugin = node.push(plugin).await.plugin.expect("a description");
    assert!(plugin.is_validator && !plugin.is_resolver);
    let properties = proto::Properties {
        n: Some(n),
        validator: Some(bound(&plugin.digest)),
        ..proto::Properties::default()
    };
    node.create(bucket, properties).await;
}

fn check_refusal(refused: &Status, reason: &str) {
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let (found, metadata) = error_info(refused);
    assert_eq!(found, reason);
    assert_eq!(metadata["outcome"], "not-stored");
}

#[tokio::test]
async fn a_refused_value_is_stored_nowhere_whichever_node_it_came_to() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    // With one copy, two of three nodes forward.
    validated(&nodes[0], "carts", plugin_bytes("cart-validator.wasm"), 1).await;
    for node in &nodes {
        let refused = node
            .try_put(putting("carts", "anna", BAD))
            .await
            .unwrap_err();
        check_refusal(&refused, "REFUSED_BY_VALIDATOR");
        let message = refused.message();
        assert!(
            message.contains("maximum: $.items.milk is 1000"),
            "{message}"
        );
    }
    for node in &nodes {
        assert!(node.record("carts", "anna").await.siblings.is_empty());
        assert_eq!(node.counter("storage_writes").await, 0);
    }
    for (place, node) in nodes.iter().enumerate() {
        let key = format!("good-{place}");
        let stored = node.try_put(putting("carts", &key, GOOD)).await;
        stored.expect("a good value is taken");
        let found = node.try_get(getting("carts", &key)).await.expect("the get");
        assert_eq!(texts(&found), [GOOD]);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_delete_is_not_validated() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    validated(&node, "carts", plugin_bytes("cart-validator.wasm"), 3).await;
    let stored = node.put("carts", "anna", GOOD).await;
    node.delete("carts", "anna", &stored.context).await;
    assert!(node.get("carts", "anna").await.values.is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_bucket_whose_validator_traps_takes_nothing_in() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    validated(&node, "closed", validator("trapper", TRAP), 3).await;
    let refused = node
        .try_put(putting("closed", "key", "value"))
        .await
        .unwrap_err();
    check_refusal(&refused, "VALIDATOR_FAILED");
    assert!(refused.message().contains("R001"), "{refused}");
    assert!(node.record("closed", "key").await.siblings.is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_merged_value_that_the_validator_refuses_leaves_the_siblings() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    let resolver = nodes[0].push_file("shopping-cart.wasm").await;
    let validator = nodes[0].push_file("cart-validator.wasm").await;
    // More than any cart of the law check has, which refuses to merge where the validator would stop it.
    let few_items = r#"{"properties":{"items":{"maxProperties":20}}}"#;
    let properties = proto::Properties {
        resolver: Some(bound(&resolver)),
        validator: Some(proto::Binding {
            params: few_items.into(),
            ..bound(&validator)
        }),
        merge_on_put: Some(true),
        ..proto::Properties::default()
    };
    nodes[0].create("carts", properties).await;
    let cart = |item: &str| {
        let items = (0..11).map(|number| format!(r#""{item} {number}":1"#));
        let items: Vec<String> = items.collect();
        format!(r#"{{"items":{{{}}}}}"#, items.join(","))
    };
    nodes[0].put("carts", "anna", &cart("bread")).await;
    let second = nodes[1].put("carts", "anna", &cart("milk")).await;
    assert_eq!(second.siblings, 2, "each passes alone");
    let (resolution, reason) = resolved(&second.resolved);
    assert_eq!(resolution, proto::Resolution::Siblings);
    assert!(reason.contains("max-properties"), "{reason}");
    stage.end().await;
}
