//! Siblings and the code that resolves them: view on read, merge on put, and guests that misbehave.

use super::stage::{Node, Stage, bound, converged, getting, resolved, texts};
use super::written_plugins::{KEEP, LOOP, PICK_TENTH, TRAP, resolver};
use rejoin::wire::proto::v1 as proto;

const BREAD: &str = r#"{"items":{"bread":2,"milk":1}}"#;
const EGGS: &str = r#"{"items":{"eggs":12,"milk":1}}"#;
const MERGED: &str = r#"{"items":{"bread":2,"eggs":12,"milk":1}}"#;

async fn three() -> (Stage, Vec<Node>) {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    (stage, nodes)
}

/// What a cluster at rest must not do.
async fn writes_and_repairs(nodes: &[Node]) -> Vec<(u64, u64)> {
    let mut counts = Vec::new();
    for node in nodes {
        let counters = node.status().await.counters;
        counts.push((counters["storage_writes"], counters["read_repairs"]));
    }
    counts
}

#[tokio::test]
async fn a_resolved_get_stores_nothing_and_every_node_computes_the_same() {
    let (stage, nodes) = three().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    nodes[0].create_resolved("carts", &plugin).await;
    nodes[0].put("carts", "anna", BREAD).await;
    nodes[1].put("carts", "anna", EGGS).await;
    let stored = converged(&nodes, "carts", "anna").await;
    let before = writes_and_repairs(&nodes).await;
    let once = nodes[0].get("carts", "anna").await;
    let fuel = once.resolved.expect("it says how it came about").fuel;
    assert!(fuel > 0);
    // 10,000 gets, by as few clients as keep the nodes busy: more would wait for the cores until their merges are out of time.
    let clients = (0..4).map(|client| {
        let (node, plugin) = (nodes[client % 3].clone(), plugin.clone());
        tokio::spawn(async move {
            for _ in 0..2_500 {
                let asked = getting("carts", "anna");
                let reply = node.try_get(asked).await.expect("the get");
                assert_eq!(texts(&reply), [MERGED]);
                assert_eq!(reply.siblings.len(), 2, "what went in is shown");
                let how = reply.resolved.expect("it says how it came about");
                assert_eq!(how.resolution(), proto::Resolution::Merged);
                assert_eq!((how.plugin.as_str(), how.fuel), (plugin.as_str(), fuel));
            }
        })
    });
    for client in futures_util::future::join_all(clients).await {
        client.expect("every get is answered");
    }
    assert_eq!(writes_and_repairs(&nodes).await, before);
    let after = converged(&nodes, "carts", "anna").await;
    assert_eq!(after.object_hash, stored.object_hash);
    assert_eq!(after.siblings.len(), 2);
    stage.end().await;
}

#[tokio::test]
async fn a_put_with_the_context_of_a_resolved_get_leaves_one_version() {
    let (stage, nodes) = three().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    nodes[0].create_resolved("carts", &plugin).await;
    nodes[0].put("carts", "anna", BREAD).await;
    nodes[1].put("carts", "anna", EGGS).await;
    let seen = nodes[2].get("carts", "anna").await;
    let stored = nodes[2]
        .put_after("carts", "anna", MERGED, &seen.context)
        .await;
    assert_eq!(stored.siblings, 1);
    let record = converged(&nodes, "carts", "anna").await;
    assert_eq!(record.siblings.len(), 1);
    assert_eq!(record.siblings[0].merged_by, "", "a client wrote it");
    stage.end().await;
}

#[tokio::test]
async fn a_merge_on_put_leaves_one_version_and_every_replica_keeps_what_it_replaced() {
    let (stage, nodes) = three().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    let properties = proto::Properties {
        resolver: Some(bound(&plugin)),
        merge_on_put: Some(true),
        ..proto::Properties::default()
    };
    nodes[0].create("carts", properties).await;
    nodes[0].put("carts", "anna", BREAD).await;
    let merged = nodes[1].put("carts", "anna", EGGS).await;
    assert_eq!(merged.siblings, 1);
    let shown = merged.merged.as_ref().map(|value| value.value.as_ref());
    assert_eq!(shown, Some(MERGED.as_bytes()));
    let how = merged.resolved.clone().expect("it says how it came about");
    assert_eq!(
        (how.resolution(), how.plugin),
        (proto::Resolution::Merged, plugin.clone())
    );
    assert!(how.fuel > 0);
    for node in &nodes {
        let found = node.get("carts", "anna").await;
        assert_eq!(texts(&found), [MERGED]);
        assert_eq!(resolved(&found.resolved).0, proto::Resolution::Single);
        check_retained(&node.record("carts", "anna").await, &merged.dot, &plugin);
    }
    // Its client goes on from its own value without having looked at the merged one.
    nodes[1]
        .put_after("carts", "anna", EGGS, &merged.context)
        .await;
    assert_eq!(texts(&nodes[0].get("carts", "anna").await), [MERGED]);
    stage.end().await;
}

fn check_retained(record: &proto::LocalRecordResponse, dot: &str, plugin: &str) {
    assert_eq!(record.siblings.len(), 1);
    assert_eq!(record.siblings[0].merged_by, plugin);
    assert_eq!(record.retained.len(), 1, "{:?}", record.retained);
    let kept = &record.retained[0];
    assert_eq!((kept.dot.as_str(), kept.merged_by.as_str()), (dot, plugin));
    let values = kept.inputs.iter().filter_map(|input| input.value.as_ref());
    let mut values: Vec<_> = values.map(|value| value.value.as_ref()).collect();
    values.sort();
    assert_eq!(values, [BREAD.as_bytes(), EGGS.as_bytes()]);
}

#[tokio::test]
async fn last_write_wins_must_be_asked_for_and_drops_all_but_the_latest() {
    let (stage, nodes) = three().await;
    for (bucket, merge_on_put, versions) in [("stored", None, 1), ("viewed", Some(false), 2)] {
        let properties = proto::Properties {
            policy: proto::Policy::LastWriteWins.into(),
            merge_on_put,
            ..proto::Properties::default()
        };
        nodes[0].create(bucket, properties).await;
        // In the same millisecond the greater value wins.
        nodes[0].put(bucket, "key", "1 earlier").await;
        nodes[1].put(bucket, "key", "2 later").await;
        let found = nodes[2].get(bucket, "key").await;
        assert_eq!(texts(&found), ["2 later"], "{bucket}");
        assert_eq!(found.siblings.len(), versions, "{bucket}");
        assert_eq!(
            found.resolved.expect("how").plugin,
            "",
            "no plugin answered"
        );
    }
    stage.end().await;
}

#[tokio::test]
async fn plugins_from_c_and_a_core_module_resolve_like_any_other() {
    // The two forms of one plugin have one name and version: a cluster takes one of them.
    for files in [
        &[("max.wasm", "12"), ("last-writer.wasm", "5")][..],
        &[("last-writer.core.wasm", "5")],
    ] {
        let (stage, nodes) = three().await;
        for (file, expected) in files {
            resolves_as(&nodes, file, expected).await;
        }
        stage.end().await;
    }
}

async fn resolves_as(nodes: &[Node], file: &str, expected: &str) {
    let pushed = nodes[0].push(super::stage::plugin_bytes(file)).await;
    let plugin = pushed.plugin.expect("a description");
    assert_eq!((pushed.nodes_ready, pushed.nodes_total), (3, 3), "{file}");
    assert!(plugin.is_resolver && !plugin.is_validator, "{file}");
    nodes[1].create_resolved(file, &plugin.digest).await;
    nodes[0].put(file, "key", "12").await;
    wait_for_the_next_millisecond(&nodes[0], file).await;
    nodes[1].put(file, "key", "5").await;
    for node in nodes {
        let found = node.get(file, "key").await;
        assert_eq!(texts(&found), [expected], "{file}");
        assert_eq!(found.resolved.expect("how").plugin, plugin.digest);
    }
}

/// The last writer's time is in milliseconds: a put elsewhere must not share the one of the put before.
async fn wait_for_the_next_millisecond(node: &Node, bucket: &str) {
    let written_at_ms = node.get(bucket, "key").await.values[0].written_at_ms;
    super::stage::until("the clock goes on", async || {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
        since.expect("after 1970").as_millis() > u128::from(written_at_ms)
    })
    .await;
}

#[tokio::test]
async fn uploading_a_plugin_again_changes_nothing() {
    let (stage, nodes) = three().await;
    let first = nodes[0].push_file("max.wasm").await;
    let before = nodes[0].status().await.metadata_hash;
    assert_eq!(nodes[1].push_file("max.wasm").await, first);
    assert_eq!(nodes[1].status().await.metadata_hash, before);
    let plugins = nodes[2].plugins().await;
    assert_eq!(plugins.len(), 1);
    assert!(plugins[0].is_ready);
    stage.end().await;
}

#[tokio::test]
async fn a_guest_that_misbehaves_keeps_the_siblings_and_says_why() {
    let (stage, nodes) = three().await;
    for (name, body, reason) in [
        ("trapper", TRAP, "R001"),
        ("looper", LOOP, "R002"),
        ("picker", PICK_TENTH, "R004"),
        ("keeper", KEEP, "help me"),
    ] {
        let pushed = nodes[0].push(resolver(name, body)).await;
        let digest = pushed.plugin.expect("a description").digest;
        let properties = proto::Properties {
            resolver: Some(proto::Binding {
                fuel: 100_000,
                ..bound(&digest)
            }),
            merge_on_put: Some(false),
            ..proto::Properties::default()
        };
        nodes[0].create(name, properties).await;
        check_siblings_stay(&nodes, name, reason).await;
    }
    assert!(nodes[0].counter("guest_failures").await > 0);
    nodes[0].create("notes", proto::Properties::default()).await;
    nodes[0].put("notes", "key", "the node lives").await;
    stage.end().await;
}

async fn check_siblings_stay(nodes: &[Node], bucket: &str, why: &str) {
    nodes[0].put(bucket, "key", "apple").await;
    let second = nodes[1].put(bucket, "key", "pear").await;
    assert_eq!(second.siblings, 2, "{bucket}: both are kept");
    for node in nodes {
        let found = node.get(bucket, "key").await;
        assert_eq!(texts(&found), ["apple", "pear"], "{bucket}");
        let (resolution, reason) = resolved(&found.resolved);
        assert_eq!(resolution, proto::Resolution::Siblings, "{bucket}");
        assert!(reason.contains(why), "{bucket}: {reason}");
    }
}

#[tokio::test]
async fn counters_and_sets_lose_nothing_when_every_node_writes_without_having_read() {
    let (stage, nodes) = three().await;
    for (bucket, file) in [("votes", "pn-counter.wasm"), ("tags", "grow-only-set.wasm")] {
        let plugin = nodes[0].push_file(file).await;
        let properties = proto::Properties {
            resolver: Some(bound(&plugin)),
            merge_on_put: Some(true),
            ..proto::Properties::default()
        };
        nodes[0].create(bucket, properties).await;
    }
    for total in 1..=4 {
        for (place, node) in nodes.iter().enumerate() {
            let totals = format!(r#"{{"actor-{place}":[{total},0]}}"#);
            node.put("votes", "bread", &totals).await;
            // The same bytes once more, as after an unknown outcome: not another vote.
            node.put("votes", "bread", &totals).await;
            let tag = format!(r#"["tag-{place}"]"#);
            node.put("tags", "bread", &tag).await;
        }
    }
    for node in &nodes {
        let votes = node.get("votes", "bread").await;
        let expected = r#"{"actor-0":[4,0],"actor-1":[4,0],"actor-2":[4,0]}"#;
        assert_eq!(texts(&votes), [expected]);
        let tags = node.get("tags", "bread").await;
        assert_eq!(texts(&tags), [r#"["tag-0","tag-1","tag-2"]"#]);
    }
    let record = converged(&nodes, "votes", "bread").await;
    assert!(record.siblings.len() <= nodes.len(), "{record:?}");
    stage.end().await;
}

#[tokio::test]
async fn a_lawful_resolver_that_fails_on_a_put_keeps_the_siblings() {
    let (stage, nodes) = three().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    let properties = proto::Properties {
        resolver: Some(proto::Binding {
            // Enough for the carts that the law check tries, and not for these.
            fuel: 100_000,
            ..bound(&plugin)
        }),
        merge_on_put: Some(true),
        ..proto::Properties::default()
    };
    nodes[0].create("carts", properties).await;
    let cart = |item: &str| {
        let items = (0..400).map(|number| format!(r#""{item} {number}":1"#));
        let items: Vec<String> = items.collect();
        format!(r#"{{"items":{{{}}}}}"#, items.join(","))
    };
    nodes[0].put("carts", "anna", &cart("bread")).await;
    let second = nodes[1].put("carts", "anna", &cart("milk")).await;
    assert_eq!(second.siblings, 2, "the write is kept beside the other");
    let (resolution, reason) = resolved(&second.resolved);
    assert_eq!(resolution, proto::Resolution::Siblings);
    assert!(reason.contains("R002"), "{reason}");
    stage.end().await;
}
