//! Guests in production: deadlines, remembered merges, what is measured, conflicts that go by themselves, dry runs.

use super::stage::{Node, Stage, bound, getting, plugin_bytes, putting, resolved, texts, until};
use super::written_plugins::{LOOP, TRAP, resolver};
use bytes::Bytes;
use rejoin::cli::connection::Connection;
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use std::collections::BTreeSet;
use std::time::Duration;

const GOOD: &str = r#"{"items":{"milk":1}}"#;
const BAD: &str = r#"{"items":{"milk":1000}}"#;

async fn connection(stage: &Stage, place: usize, timeout_ms: u64) -> Connection {
    let timeout = Duration::from_millis(timeout_ms);
    let connection = Connection::to(&stage.cluster.url(place), timeout).await;
    connection.expect("the node takes connections")
}

async fn stats(connection: &Connection, bucket: &str) -> Vec<proto::GuestStats> {
    let asked = proto::PluginStatsRequest {
        bucket: bucket.to_owned(),
        plugin: String::new(),
    };
    let reply = connection.plugins().stats(connection.request(asked)).await;
    reply.expect("the stats").into_inner().stats
}

/// All keys in conflict, a small page at a time.
async fn conflicts(connection: &Connection, bucket: &str) -> BTreeSet<Bytes> {
    let mut keys = BTreeSet::new();
    let mut page_token = Bytes::new();
    loop {
        let asked = connection.request(proto::ListConflictsRequest {
            bucket: bucket.to_owned(),
            page_size: Some(7),
            page_token,
        });
        let page = connection.buckets().list_conflicts(asked).await;
        let page = page.expect("a page").into_inner();
        assert!(page.keys.len() <= 7);
        for key in page.keys {
            assert!(keys.insert(key.clone()), "{key:?} comes twice");
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return keys;
        }
    }
}

#[tokio::test]
async fn a_get_whose_plugin_loops_answers_siblings_within_its_deadline() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    let pushed = node.push(resolver("looper", LOOP)).await;
    let digest = pushed.plugin.expect("a description").digest;
    let properties = proto::Properties {
        resolver: Some(proto::Binding {
            fuel: 10_000_000_000,
            ..bound(&digest)
        }),
        ..proto::Properties::default()
    };
    node.create("endless", properties).await;
    node.put("endless", "key", "apple").await;
    stage.node(1).await.put("endless", "key", "pear").await;
    // Longer than the slice of a guest, and shorter.
    for timeout_ms in [3_000, 400] {
        let hurried = connection(&stage, 0, timeout_ms).await;
        let asked = hurried.request(getting("endless", "key"));
        let reply = hurried.kv().get(asked).await.expect("within its deadline");
        let reply = reply.into_inner();
        assert_eq!(texts(&reply), ["apple", "pear"]);
        let (resolution, reason) = resolved(&reply.resolved);
        assert_eq!(resolution, proto::Resolution::Siblings);
        assert!(reason.starts_with("R003"), "{timeout_ms}: {reason}");
    }
    stage.end().await;
}

#[tokio::test]
async fn the_second_read_of_the_same_siblings_runs_no_guest() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    let plugin = node.push_file("shopping-cart.wasm").await;
    node.create_resolved("carts", &plugin).await;
    node.put("carts", "anna", r#"{"items":{"bread":1}}"#).await;
    stage.node(1).await.put("carts", "anna", GOOD).await;
    let asked = connection(&stage, 0, 5_000).await;
    let first = node.get("carts", "anna").await;
    assert_eq!(resolved(&first.resolved).0, proto::Resolution::Merged);
    let once = stats(&asked, "carts").await;
    assert_eq!((once[0].calls, once[0].remembered), (1, 0));
    for _ in 0..9 {
        assert_eq!(texts(&node.get("carts", "anna").await), texts(&first));
    }
    let often = stats(&asked, "carts").await;
    assert_eq!((often[0].calls, often[0].remembered), (1, 9));
    assert_eq!(often[0].outcomes["merged"], 10);
    assert!(often[0].fuel_p50 > 0 && often[0].fuel_p50 == often[0].fuel_p99);
    assert!(often[0].memory_bytes_max > 0);
    assert_eq!(
        (often[0].role.as_str(), often[0].breaker.as_str()),
        ("resolver", "closed")
    );
    // Another set of siblings is another merge.
    stage
        .node(2)
        .await
        .put("carts", "anna", r#"{"items":{"eggs":1}}"#)
        .await;
    node.get("carts", "anna").await;
    assert_eq!(stats(&asked, "carts").await[0].calls, 2);
    assert!(stats(&asked, "others").await.is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_plugin_that_keeps_failing_rests_and_its_author_reads_why() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    let pushed = node.push(resolver("trapper", TRAP)).await;
    let digest = pushed.plugin.expect("a description").digest;
    node.create_resolved("bad", &digest).await;
    node.put("bad", "key", "apple").await;
    stage.node(1).await.put("bad", "key", "pear").await;
    let mut reasons = Vec::new();
    for _ in 0..8 {
        let reply = node.get("bad", "key").await;
        assert_eq!(texts(&reply), ["apple", "pear"]);
        let (_, reason) = resolved(&reply.resolved);
        reasons.push(reason[..4].to_owned());
    }
    assert_eq!(
        reasons,
        [
            "R001", "R001", "R001", "R001", "R001", "R010", "R010", "R010"
        ]
    );
    let asked = connection(&stage, 0, 5_000).await;
    let stats = stats(&asked, "bad").await;
    assert_eq!((stats[0].calls, stats[0].breaker.as_str()), (5, "open"));
    assert_eq!(
        (stats[0].outcomes["R001"], stats[0].outcomes["R010"]),
        (5, 3)
    );
    let logs = proto::PluginLogsRequest {
        plugin: digest,
        lines_max: 3,
    };
    let logs = asked.plugins().logs(asked.request(logs)).await;
    let logs = logs.expect("the log").into_inner();
    assert_eq!(logs.lines.len(), 3);
    for line in &logs.lines {
        assert_eq!((line.bucket.as_str(), line.level.as_str()), ("bad", ""));
        assert!(line.text.starts_with("R001") && line.at_ms > 0, "{line:?}");
    }
    stage.end().await;
}

#[tokio::test]
async fn keys_in_conflict_are_listed_and_go_once_their_bucket_merges() {
    let quick = [("REJOIN_CONVERGE_QUIET_MS", "300")];
    let stage = Stage::with_settings(StorageEngine::Sled, 3, 0, &quick).await;
    let nodes = stage.nodes().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    nodes[0].create_resolved("carts", &plugin).await;
    for number in 0..40 {
        let key = format!("cart-{number}");
        nodes[0].put("carts", &key, GOOD).await;
        if number % 2 == 0 {
            nodes[1]
                .put("carts", &key, r#"{"items":{"bread":1}}"#)
                .await;
        }
    }
    let asked = connection(&stage, 2, 5_000).await;
    let torn = conflicts(&asked, "carts").await;
    assert_eq!(torn.len(), 20);
    assert!(torn.contains(&Bytes::from("cart-38")) && !torn.contains(&Bytes::from("cart-39")));
    for node in &nodes {
        assert_eq!(node.counter("conflicts_open").await, 20);
    }
    let properties = proto::Properties {
        resolver: Some(bound(&plugin)),
        merge_on_put: Some(true),
        ..proto::Properties::default()
    };
    let merging = proto::CreateBucketRequest {
        bucket: "carts".to_owned(),
        properties: Some(properties),
        replace: true,
    };
    nodes[0].try_create(merging).await.expect("it is replaced");
    until("nobody knows of a conflict", async || {
        let mut open = 0;
        for node in &nodes {
            open += node.counter("conflicts_open").await;
        }
        open == 0
    })
    .await;
    assert!(conflicts(&asked, "carts").await.is_empty());
    let mut merges = 0;
    for node in &nodes {
        merges += node.counter("background_merges").await;
    }
    assert_eq!(merges, 20, "one of each");
    let found = nodes[1].get("carts", "cart-38").await;
    assert_eq!(texts(&found), [r#"{"items":{"bread":1,"milk":1}}"#]);
    assert_eq!(resolved(&found.resolved).0, proto::Resolution::Single);
    let record = nodes[1].record("carts", "cart-38").await;
    assert_eq!(record.retained.len(), 1, "what was merged is kept");
    stage.end().await;
}

async fn with_validator(node: &Node, bucket: &str, mode: proto::ValidatorMode) -> String {
    let pushed = node.push(plugin_bytes("cart-validator.wasm")).await;
    let digest = pushed.plugin.expect("a description").digest;
    let properties = proto::Properties {
        validator: Some(bound(&digest)),
        validator_mode: mode.into(),
        ..proto::Properties::default()
    };
    node.create(bucket, properties).await;
    digest
}

#[tokio::test]
async fn a_validator_that_only_warns_lets_values_in_and_says_what_is_wrong() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    with_validator(&node, "carts", proto::ValidatorMode::Warn).await;
    let stored = node.put("carts", "anna", BAD).await;
    assert_eq!(stored.warnings.len(), 1, "{:?}", stored.warnings);
    let warning = &stored.warnings[0];
    assert!(
        warning.contains("maximum: $.items.milk is 1000"),
        "{warning}"
    );
    assert_eq!(texts(&node.get("carts", "anna").await), [BAD]);
    assert!(node.put("carts", "berta", GOOD).await.warnings.is_empty());
    let mut counted = 0;
    for node in stage.nodes().await {
        counted += node.counter("put_warnings").await;
    }
    assert_eq!(counted, 1);
    let properties = node.properties("carts").await.expect("the bucket");
    assert_eq!(properties.validator_mode(), proto::ValidatorMode::Warn);
    with_validator(&node, "strict", proto::ValidatorMode::Enforce).await;
    let refused = node.try_put(putting("strict", "anna", BAD)).await;
    assert!(refused.is_err());
    stage.end().await;
}

#[tokio::test]
async fn a_dry_run_says_which_existing_keys_would_fail_and_stores_nothing() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    let pushed = node.push(plugin_bytes("cart-validator.wasm")).await;
    let digest = pushed.plugin.expect("a description").digest;
    node.create("carts", proto::Properties::default()).await;
    for number in 0..100 {
        let value = if number < 3 { BAD } else { GOOD };
        let stored = node.try_put(putting("carts", &format!("key-{number}"), value));
        stored.await.expect("nothing is checked yet");
    }
    let asked = connection(&stage, 1, 10_000).await;
    let before = node.counter("storage_writes").await;
    let (mut judged, mut failing) = (0, BTreeSet::new());
    let mut page_token = Bytes::new();
    loop {
        let page = asked.request(proto::DryRunRequest {
            bucket: "carts".to_owned(),
            validator: Some(bound(&digest)),
            page_size: Some(30),
            page_token,
        });
        let page = asked
            .buckets()
            .dry_run(page)
            .await
            .expect("a page")
            .into_inner();
        judged += page.keys_judged;
        assert_eq!(page.keys_refused, page.findings.len() as u64);
        assert_eq!(page.keys_unjudged, 0);
        for finding in page.findings {
            assert_eq!(finding.code, "maximum");
            failing.insert(finding.key);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(judged, 100);
    let wanted = ["key-0", "key-1", "key-2"].map(Bytes::from);
    assert_eq!(failing, BTreeSet::from(wanted));
    assert_eq!(node.counter("storage_writes").await, before);
    let stored = node.put("carts", "key-1", BAD).await;
    assert!(stored.warnings.is_empty(), "nothing was bound");
    stage.end().await;
}
