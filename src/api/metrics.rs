//! `GET /metrics` and `GET /healthz`, for Prometheus and for load balancers, on a listener of their own.
//!
//! Measures nothing itself: the node, its shards and its engine are asked for each page.
//!
//! Invariant: connections are few and end after a while, so that nobody keeps others from looking.

use super::access::metrics::write_access;
use super::cluster::ClusterService;
use super::unread::metrics::write_unread;
use crate::node::guests::meter;
use crate::node::metrics::text::{Kind, Page};
use crate::node::readiness::Readiness;
use crate::node::server::Node;
use crate::storage::space::Space;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Of the counters of `Cluster.Status`, those that also go down.
const GAUGES: [&str; 5] = [
    "conflicts_open",
    "background_rate",
    "hints_pending",
    "hint_bytes",
    "siblings_max",
];

/// Both pages of a node.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .with_state(node)
}

/// 200 while the node serves, else 503 and why.
async fn health(State(node): State<Arc<Node>>) -> (StatusCode, &'static str) {
    match node.readiness() {
        Readiness::Serving => (StatusCode::OK, "serving\n"),
        Readiness::NoCluster => (
            StatusCode::SERVICE_UNAVAILABLE,
            "joining: this node has not found its cluster yet\n",
        ),
        Readiness::ReadOnly => (
            StatusCode::SERVICE_UNAVAILABLE,
            "read-only: the disk of this node is nearly full, and others store its clients' values\n",
        ),
    }
}

async fn metrics(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let mut page = Page::default();
    node.metrics.write(&mut page);
    meter::write(&mut page, &node.guests.measured(), &node.guests.status());
    meter::write_conflicts(&mut page, &node.conflicts().await);
    write_counters(&node, &mut page).await;
    write_repairs(&node, &mut page).await;
    write_cluster(&node, &mut page);
    write_access(&node.access, &mut page);
    write_unread([&node.unread.clients, &node.unread.peers], &mut page);
    write_disk(&node, &mut page);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page.finish())
}

/// What `Cluster.Status` counts, under the same names.
async fn write_counters(node: &Arc<Node>, page: &mut Page) {
    let service = ClusterService {
        node: Arc::clone(node),
    };
    let mut counters: Vec<(String, u64)> = service.counters().await.into_iter().collect();
    counters.sort();
    for (name, value) in counters {
        let help = format!("As `{name}` in the status of this node.");
        match GAUGES.contains(&name.as_str()) {
            true => page.single(&format!("rejoin_{name}"), Kind::Gauge, &help, value),
            false => page.single(&format!("rejoin_{name}_total"), Kind::Counter, &help, value),
        }
    }
}

async fn write_repairs(node: &Node, page: &mut Page) {
    let shards = node.repairs().await;
    let rounds = crate::node::repairs::together(&shards);
    page.single(
        "rejoin_anti_entropy_rounds_total",
        Kind::Counter,
        "Rounds of comparisons that all shards have finished.",
        rounds.rounds_finished,
    );
    page.single(
        "rejoin_exchanges_total",
        Kind::Counter,
        "Comparisons of one partition with one node.",
        rounds.exchanges,
    );
    page.single(
        "rejoin_exchanges_failed_total",
        Kind::Counter,
        "Comparisons that did not end well.",
        rounds.exchanges_failed,
    );
    let transfers = || shards.iter().flat_map(|shard| &shard.transfers);
    page.single(
        "rejoin_transfers_pending",
        Kind::Gauge,
        "Partitions that this node still gives or takes.",
        transfers().count(),
    );
    page.single(
        "rejoin_transfers_failing",
        Kind::Gauge,
        "Of those, how many have failed at least once.",
        transfers().filter(|transfer| transfer.failures > 0).count(),
    );
}

fn write_cluster(node: &Node, page: &mut Page) {
    let snapshot = node.snapshot();
    let placement = &snapshot.placement;
    let peers = node.peers.all();
    let connected = peers.iter().filter(|(_, link)| link.is_connected()).count();
    let has_cluster = node.has_cluster();
    let members = match has_cluster {
        true => placement.members().len(),
        false => 0,
    };
    let gauges = [
        (
            "rejoin_serving",
            "1 if this node serves all requests, else 0.",
            u64::from(node.readiness() == Readiness::Serving),
        ),
        (
            "rejoin_uptime_seconds",
            "Since the process was started.",
            node.clock.uptime_ms() / 1000,
        ),
        (
            "rejoin_peers_connected",
            "Nodes that this one is connected to.",
            connected as u64,
        ),
        (
            "rejoin_peers_known",
            "Nodes that this one has met since it was started.",
            peers.len() as u64,
        ),
        (
            "rejoin_members",
            "Members of the cluster, as this node knows it.",
            members as u64,
        ),
        (
            "rejoin_members_suspected",
            "Nodes that somebody does not reach, as this node has heard.",
            node.registry.suspected().len() as u64,
        ),
        (
            "rejoin_partitions_moving",
            "Partitions whose owners change.",
            placement.unsettled().count() as u64,
        ),
    ];
    for (name, help, value) in gauges {
        page.single(name, Kind::Gauge, help, value);
    }
}

fn write_disk(node: &Node, page: &mut Page) {
    let Ok(space) = Space::of(&node.config.data) else {
        return; // What is unknown is left out.
    };
    page.single(
        "rejoin_disk_free_bytes",
        Kind::Gauge,
        "Bytes that may still be written where the data folder is.",
        space.free,
    );
    page.single(
        "rejoin_disk_bytes",
        Kind::Gauge,
        "All bytes of that file system.",
        space.total,
    );
}
