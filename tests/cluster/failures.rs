//! Killed, paused and cut-off nodes: what goes on, what is refused and how, what is there afterwards.

use super::stage::{
    Node, Stage, bound, converged, error_info, getting, putting, resolved, texts, until,
};
use rejoin::wire::proto::v1 as proto;
use tonic::Code;

const BREAD: &str = r#"{"items":{"bread":2}}"#;
const EGGS: &str = r#"{"items":{"eggs":12}}"#;
const MERGED: &str = r#"{"items":{"bread":2,"eggs":12}}"#;

/// Three nodes with the bucket `notes`.
async fn notes() -> (Stage, Vec<Node>) {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    (stage, nodes)
}

/// The random number of the process that made a dot.
fn incarnation(dot: &str) -> String {
    dot.split('.').next().expect("a dot").to_owned()
}

#[tokio::test]
async fn a_killed_node_comes_back_with_its_durable_data_and_a_new_incarnation() {
    let (mut stage, nodes) = notes().await;
    let before = nodes[0].put("notes", "key", "old").await;
    let record = nodes[0].record("notes", "key").await;
    stage.kill(0).await;
    stage.restart(0).await;
    stage.all_connected().await;
    let node = stage.node(0).await;
    assert_eq!(node.record("notes", "key").await, record, "on its own disk");
    let after = node.put_after("notes", "key", "new", &before.context).await;
    assert_eq!(after.coordinator, before.coordinator);
    assert_ne!(incarnation(&after.dot), incarnation(&before.dot));
    assert_eq!(texts(&node.get("notes", "key").await), ["new"]);
    stage.end().await;
}

#[tokio::test]
async fn a_cluster_killed_as_a_whole_comes_back_with_buckets_plugins_and_data() {
    let mut stage = Stage::of(3).await;
    let node = stage.node(0).await;
    let plugin = node.push_file("shopping-cart.wasm").await;
    node.create_resolved("carts", &plugin).await;
    node.put("carts", "anna", BREAD).await;
    stage.node(1).await.put("carts", "anna", EGGS).await;
    for place in 0..3 {
        stage.kill(place).await;
    }
    for place in 0..3 {
        stage.restart(place).await;
    }
    stage.all_connected().await;
    stage.all_agree().await;
    for node in stage.nodes().await {
        until("the plugin is ready again", async || {
            node.plugins().await[0].is_ready
        })
        .await;
        let found = node.get("carts", "anna").await;
        assert_eq!(texts(&found), [MERGED]);
        assert_eq!(found.resolved.expect("how").plugin, plugin);
    }
    stage.end().await;
}

#[tokio::test]
async fn with_one_of_three_nodes_down_two_of_three_go_on() {
    let (mut stage, nodes) = notes().await;
    stage.kill(2).await;
    for turn in 0..20 {
        let key = format!("key-{turn}");
        let stored = nodes[turn % 2]
            .try_put(putting("notes", &key, "value"))
            .await;
        assert_eq!(stored.expect("the put").replicas_answered, 2);
        let found = nodes[(turn + 1) % 2].try_get(getting("notes", &key)).await;
        assert_eq!(texts(&found.expect("the get")), ["value"]);
    }
    stage.restart(2).await;
    stage.all_connected().await;
    let back = stage.node(2).await;
    let found = back.get("notes", "key-0").await;
    assert_eq!(texts(&found), ["value"], "the others tell it");
    until("the get has repaired its reader", async || {
        !back.record("notes", "key-0").await.siblings.is_empty()
    })
    .await;
    stage.end().await;
}

#[tokio::test]
async fn with_two_of_three_nodes_down_the_outcome_is_told_as_it_is() {
    let (mut stage, nodes) = notes().await;
    nodes[0].put("notes", "key", "old").await;
    stage.kill(1).await;
    stage.kill(2).await;
    nodes[0].reaches(0).await;

    let failed = nodes[0].try_get(getting("notes", "key")).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable, "not a deadline: {failed}");
    assert_eq!(error_info(&failed).0, "TOO_FEW_REPLICAS");
    assert!(
        failed
            .message()
            .contains("1 of 3 replicas answered, 2 are needed"),
        "{failed}"
    );

    let unknown = nodes[0]
        .try_put(putting("notes", "key", "perhaps"))
        .await
        .unwrap_err();
    let (reason, metadata) = error_info(&unknown);
    assert_eq!(reason, "OUTCOME_UNKNOWN");
    assert_eq!(metadata["outcome"], "unknown");
    assert!(
        unknown.message().contains("of 2 needed replicas"),
        "{unknown}"
    );

    let asked = proto::PutRequest {
        w: Some(1),
        ..putting("notes", "other", "certainly")
    };
    let stored = nodes[0].try_put(asked).await.expect("always writeable");
    assert_eq!(stored.replicas_answered, 1);
    let asked = proto::GetRequest {
        r: Some(1),
        ..getting("notes", "other")
    };
    let found = nodes[0].try_get(asked).await.expect("the get");
    assert_eq!(texts(&found), ["certainly"]);

    stage.restart(1).await;
    stage.restart(2).await;
    stage.all_connected().await;
    let found = stage.node(2).await.get("notes", "other").await;
    assert_eq!(
        texts(&found),
        ["certainly"],
        "no acknowledged write is lost"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_paused_node_holds_nobody_up_and_catches_up_when_it_goes_on() {
    let (stage, nodes) = notes().await;
    stage.cluster.pause(2);
    for turn in 0..10 {
        let asked = putting("notes", "key", &turn.to_string());
        nodes[turn % 2]
            .try_put(asked)
            .await
            .expect("two of three are there");
    }
    nodes[0].reaches(1).await;
    let seen = nodes[0]
        .try_get(getting("notes", "key"))
        .await
        .expect("the get");
    assert_eq!(seen.values.len(), 10, "blind writes");
    let asked = proto::PutRequest {
        context: seen.context,
        ..putting("notes", "key", "last")
    };
    nodes[1].try_put(asked).await.expect("the put");
    stage.cluster.resume(2);
    stage.all_connected().await;
    assert_eq!(texts(&nodes[2].get("notes", "key").await), ["last"]);
    let record = converged(&nodes, "notes", "key").await;
    assert_eq!(record.siblings.len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn writes_on_both_sides_of_a_cut_are_both_there_after_the_heal() {
    let (stage, nodes) = notes().await;
    cut_off_the_third(&stage, &nodes).await;
    for (node, value) in [(&nodes[0], "left"), (&nodes[2], "right")] {
        let asked = proto::PutRequest {
            w: Some(1),
            ..putting("notes", "key", value)
        };
        node.try_put(asked).await.expect("always writeable");
    }
    stage.cluster.rejoin(2);
    stage.all_connected().await;
    assert_eq!(
        texts(&nodes[1].get("notes", "key").await),
        ["left", "right"]
    );
    let record = converged(&nodes, "notes", "key").await;
    assert_eq!(record.siblings.len(), 2);
    stage.end().await;
}

async fn cut_off_the_third(stage: &Stage, nodes: &[Node]) {
    stage.cluster.isolate(2);
    nodes[2].reaches(0).await;
    nodes[0].reaches(1).await;
    nodes[1].reaches(1).await;
}

#[tokio::test]
async fn a_node_that_was_cut_off_during_an_upload_has_the_plugin_after_the_heal() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    cut_off_the_third(&stage, &nodes).await;
    let pushed = nodes[0]
        .push(super::stage::plugin_bytes("shopping-cart.wasm"))
        .await;
    assert_eq!((pushed.nodes_ready, pushed.nodes_total), (2, 3));
    let plugin = pushed.plugin.expect("a description").digest;
    let properties = proto::Properties {
        resolver: Some(bound(&plugin)),
        merge_on_put: Some(false),
        ..proto::Properties::default()
    };
    let created = nodes[0].create("carts", properties).await;
    assert_eq!((created.nodes_reached, created.nodes_total), (2, 3));
    let ignorant = nodes[2]
        .try_get(getting("carts", "anna"))
        .await
        .unwrap_err();
    // Whether it had heard from the others before it was cut off is chance.
    let reason = error_info(&ignorant).0;
    assert!(
        ["NO_SUCH_BUCKET", "NO_NEWS"].contains(&reason.as_str()),
        "{reason}"
    );
    stage.cluster.rejoin(2);
    stage.all_connected().await;
    until("the third node has fetched and compiled it", async || {
        let plugins = nodes[2].plugins().await;
        plugins.first().is_some_and(|plugin| plugin.is_ready)
    })
    .await;
    nodes[0].put("carts", "anna", BREAD).await;
    nodes[1].put("carts", "anna", EGGS).await;
    let found = nodes[2].get("carts", "anna").await;
    assert_eq!(texts(&found), [MERGED]);
    assert_eq!(resolved(&found.resolved).0, proto::Resolution::Merged);
    stage.end().await;
}

#[tokio::test]
async fn metadata_that_was_edited_on_both_sides_of_a_cut_converges() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    cut_off_the_third(&stage, &nodes).await;
    for (node, own, w) in [(&nodes[0], "left", 1), (&nodes[2], "right", 3)] {
        let properties = proto::Properties {
            w: Some(w),
            ..proto::Properties::default()
        };
        node.create(own, properties.clone()).await;
        node.create("both", properties).await;
    }
    stage.cluster.rejoin(2);
    stage.all_connected().await;
    until("all nodes agree on the metadata", async || {
        let hash = nodes[0].status().await.metadata_hash;
        let others = [nodes[1].status().await, nodes[2].status().await];
        others.iter().all(|status| status.metadata_hash == hash)
    })
    .await;
    for bucket in ["left", "right", "both"] {
        let known = nodes[0].properties(bucket).await;
        assert!(known.is_some(), "{bucket}");
        assert_eq!(nodes[1].properties(bucket).await, known, "{bucket}");
        assert_eq!(nodes[2].properties(bucket).await, known, "{bucket}");
    }
    stage.end().await;
}
