//! The pages for operators, read as Prometheus and load balancers read them.

use super::stage::{PATIENCE, Stage, error_info, getting, putting, until};
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Status and body of an answer.
struct Page {
    status: u16,
    head: String,
    body: String,
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> Page {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let asked = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("in time").expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status");
    Page {
        status: status.parse().expect("a number"),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

async fn page(stage: &Stage, place: usize, path: &str) -> Page {
    let address = stage.cluster.metrics(place).expect("it shows its metrics");
    ask(address, "GET", path).await
}

/// The samples of a page, by name and labels as they stand there; demands that the page is well formed.
fn samples(page: &Page) -> BTreeMap<String, f64> {
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(
        page.head.contains("text/plain; version=0.0.4"),
        "{}",
        page.head
    );
    let mut families = BTreeSet::new();
    let mut samples = BTreeMap::new();
    for line in page.body.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let name = family.split(' ').next().expect("a name");
            assert!(families.insert(name.to_owned()), "{name} comes twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let name = series.split('{').next().expect("a name");
            let parts = ["_bucket", "_sum", "_count"];
            let of = parts.iter().find_map(|part| name.strip_suffix(part));
            let is_known = families.contains(name) || of.is_some_and(|of| families.contains(of));
            assert!(is_known, "{name} has no type");
            let value = value.parse().expect("a number");
            let before = samples.insert(series.to_owned(), value);
            assert_eq!(before, None, "{series} comes twice");
        }
    }
    samples
}

/// One sample of a node's page, by name and labels as they stand there.
pub async fn sample(stage: &Stage, place: usize, series: &str) -> f64 {
    let samples = samples(&page(stage, place, "/metrics").await);
    let found = samples.get(series).copied();
    found.unwrap_or_else(|| panic!("no {series}"))
}

/// The counts of a histogram in the order of its bounds, the last without one.
fn counts(samples: &BTreeMap<String, f64>, name: &str, labels: &str) -> Vec<u64> {
    let start = format!("{name}_bucket{{{labels},le=\"");
    let matching = samples.iter().filter_map(|(series, count)| {
        let bound = series.strip_prefix(&start)?.trim_end_matches("\"}");
        Some((bound.parse::<f64>().expect("a bound"), *count as u64))
    });
    let mut counts: Vec<(f64, u64)> = matching.collect();
    counts.sort_by(|a, b| a.0.total_cmp(&b.0));
    counts.into_iter().map(|(_, count)| count).collect()
}

#[tokio::test]
async fn the_histograms_count_what_was_asked_and_the_gauges_say_how_the_node_is() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    node.create("notes", proto::Properties::default()).await;
    let before = samples(&page(&stage, 0, "/metrics").await);
    for number in 0..7 {
        node.put("notes", &format!("key-{number}"), "value").await;
    }
    for number in 0..5 {
        node.get("notes", &format!("key-{number}")).await;
    }
    let refused = node.try_get(getting("no-such-bucket", "key")).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    let after = samples(&page(&stage, 0, "/metrics").await);
    let name = "rejoin_request_seconds";
    for (labels, asked) in [
        ("bucket=\"notes\",operation=\"put\",outcome=\"ok\"", 7),
        ("bucket=\"notes\",operation=\"get\",outcome=\"ok\"", 5),
        (
            "bucket=\"(other)\",operation=\"get\",outcome=\"refused\"",
            1,
        ),
    ] {
        let counts = counts(&after, name, labels);
        assert_eq!(counts.len(), 16, "{labels}");
        assert!(counts.is_sorted(), "{labels}: {counts:?}");
        assert_eq!(counts.last(), Some(&asked), "{labels}");
        assert_eq!(after[&format!("{name}_count{{{labels}}}")], asked as f64);
        assert!(after[&format!("{name}_sum{{{labels}}}")] > 0.0, "{labels}");
    }
    assert!(!after.keys().any(|series| series.contains("no-such-bucket")));
    for (gauge, value) in [
        ("rejoin_serving", 1.0),
        ("rejoin_peers_connected", 2.0),
        ("rejoin_members", 3.0),
        ("rejoin_partitions_moving", 0.0),
        ("rejoin_hints_pending", 0.0),
        ("rejoin_transfers_pending", 0.0),
    ] {
        assert_eq!(after[gauge], value, "{gauge}");
    }
    assert!(after["rejoin_disk_free_bytes"] > 0.0);
    assert_eq!(
        after["rejoin_puts_total"] - before["rejoin_puts_total"],
        7.0
    );
    assert!(after["rejoin_storage_writes_total"] >= before["rejoin_storage_writes_total"] + 7.0);
    assert!(after["rejoin_storage_syncs_total"] > 0.0);
    let counters = node.status().await.counters;
    for name in counters.keys() {
        let shown = [format!("rejoin_{name}"), format!("rejoin_{name}_total")];
        assert!(shown.iter().any(|name| after.contains_key(name)), "{name}");
    }
    stage.end().await;
}

#[tokio::test]
async fn guests_are_measured_by_plugin_and_role() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    let plugin = node.push_file("shopping-cart.wasm").await;
    node.create_resolved("carts", &plugin).await;
    node.put("carts", "anna", r#"{"items":{"milk":1}}"#).await;
    let other = stage.node(1).await;
    other.put("carts", "anna", r#"{"items":{"eggs":2}}"#).await;
    let labels = format!("plugin=\"{plugin}\",role=\"resolver\"");
    until("a resolver has been asked", async || {
        node.get("carts", "anna").await;
        let mut calls = 0;
        for place in 0..3 {
            let samples = samples(&page(&stage, place, "/metrics").await);
            let Some(count) = samples.get(&format!("rejoin_plugin_fuel_count{{{labels}}}")) else {
                continue; // It has not been asked on this node.
            };
            let fuel = samples[&format!("rejoin_plugin_fuel_sum{{{labels}}}")];
            assert!(fuel > 1_000.0 * count, "{fuel} units");
            let seconds = counts(&samples, "rejoin_plugin_seconds", &labels);
            assert_eq!(seconds.last(), Some(&(*count as u64)), "all have answered");
            assert_eq!(
                samples[&format!("rejoin_plugin_failures_total{{{labels}}}")],
                0.0
            );
            calls += *count as u64;
        }
        calls > 0
    })
    .await;
    stage.end().await;
}

async fn health_of(stage: &Stage, place: usize, service: &str) -> ServingStatus {
    let endpoint = Endpoint::from_shared(stage.cluster.url(place)).expect("a URL");
    let channel = endpoint.connect().await.expect("it takes connections");
    let service = service.to_owned();
    let asked = HealthCheckRequest { service };
    let reply = HealthClient::new(channel).check(asked).await;
    reply.expect("an answer").into_inner().status()
}

#[tokio::test]
async fn a_node_without_a_cluster_is_not_ready_and_serves_once_it_has_found_one() {
    let mut stage = Stage::with_spares(StorageEngine::Sled, 3, 1).await;
    let member = stage.node(0).await;
    member.create("notes", proto::Properties::default()).await;
    stage.cluster.isolate(3);
    stage.restart(3).await;
    let newcomer = stage.node(3).await;
    let health = page(&stage, 3, "/healthz").await;
    assert_eq!(health.status, 503);
    assert!(health.body.starts_with("joining"), "{}", health.body);
    for service in ["", "rejoin.v1.Kv"] {
        let status = health_of(&stage, 3, service).await;
        assert_eq!(status, ServingStatus::NotServing, "{service:?}");
    }
    let refused = newcomer.try_get(getting("notes", "key")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(error_info(&refused).0, "NO_CLUSTER");
    let refused = newcomer.try_put(putting("notes", "key", "value")).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(error_info(&refused).1["outcome"], "not-stored");
    stage.cluster.rejoin(3);
    until("it serves", async || {
        page(&stage, 3, "/healthz").await.status == 200
    })
    .await;
    until("it says so to everybody", async || {
        health_of(&stage, 3, "rejoin.v1.Kv").await == ServingStatus::Serving
            && health_of(&stage, 3, "").await == ServingStatus::Serving
    })
    .await;
    until("it takes values", async || {
        newcomer
            .try_put(putting("notes", "key", "value"))
            .await
            .is_ok()
    })
    .await;
    stage.end().await;
}

#[tokio::test]
async fn the_listener_of_the_metrics_serves_two_pages_and_nothing_else() {
    let stage = Stage::of(1).await;
    let address = stage.cluster.metrics(0).expect("it shows its metrics");
    assert_eq!(page(&stage, 0, "/healthz").await.body, "serving\n");
    assert_eq!(ask(address, "GET", "/secret").await.status, 404);
    assert_eq!(ask(address, "POST", "/metrics").await.status, 405);
    assert_eq!(page(&stage, 0, "/metrics").await.status, 200);
    stage.end().await;
}
