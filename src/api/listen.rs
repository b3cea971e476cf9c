//! The listeners of a node, each with every limit set.
//!
//! Clients, peers and those who look at the metrics are apart: a flood on one does not take the other's connections. See
//! `docs/decisions/0005-listeners.md` for the numbers. How a connection is opened is `opening`.
//!
//! Invariant: connections, streams, headers, messages, what is unread and waiting are bounded on each.

use super::access::guards::Guarded;
use super::access::threshold::Threshold;
use super::backups::BackupsService;
use super::buckets::BucketsService;
use super::cluster::ClusterService;
use super::deadline::intercept;
use super::few::Few;
use super::key_value::KvService;
use super::metrics;
use super::opening::{Door, incoming};
use super::plugins::PluginsService;
use super::unread::counting::Counting;
use crate::limits::transport::REQUESTS_PER_CONNECTION_MAX;
use crate::limits::{GET_BYTES_MAX, PEER_MESSAGE_BYTES_MAX};
use crate::node::server::Node;
use crate::wire::proto::DESCRIPTORS;
use crate::wire::proto::peer::peer_server::PeerServer;
use crate::wire::proto::v1::backups_server::BackupsServer;
use crate::wire::proto::v1::buckets_server::BucketsServer;
use crate::wire::proto::v1::cluster_server::ClusterServer;
use crate::wire::proto::v1::kv_server::KvServer;
use crate::wire::proto::v1::plugins_server::PluginsServer;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::server::NamedService;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// What reflection lists: the descriptors also hold the service of the other listener.
const SERVED: [&str; 7] = [
    <KvServer<Guarded<KvService>> as NamedService>::NAME,
    <BucketsServer<Guarded<BucketsService>> as NamedService>::NAME,
    <PluginsServer<Guarded<PluginsService>> as NamedService>::NAME,
    <ClusterServer<Guarded<ClusterService>> as NamedService>::NAME,
    <BackupsServer<Guarded<BackupsService>> as NamedService>::NAME,
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
];

const CLIENT_CONNECTIONS_MAX: usize = 1024;
const PEER_CONNECTIONS_MAX: usize = 256;
const STREAMS_MAX: u32 = 128;
const HEADER_BYTES_MAX: u32 = 16 * 1024;
const PENDING_RESETS_MAX: usize = 20;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3600);
const CONNECTION_GRACE: Duration = Duration::from_secs(30);
/// Longer than any deadline; a push waits for three compilers.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const DECODED_BYTES_MAX: usize = 2 * 1024 * 1024;
const ENCODED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A key must stay readable whatever its siblings weigh, or nobody could ever replace them.
const KV_ENCODED_BYTES_MAX: usize = GET_BYTES_MAX;
const PEER_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Serves clients until `stop` resolves and open requests have ended.
pub async fn serve_clients(
    node: Arc<Node>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    // Told again by a task that ends with the server: until it knows its cluster, a node has nothing to serve.
    let joining = report_health(Arc::clone(&node), health);
    let reflection = SERVED
        .iter()
        .fold(
            tonic_reflection::server::Builder::configure(),
            |builder, name| builder.with_service_name(*name),
        )
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let kv = KvServer::new(Guarded(KvService::new(Arc::clone(&node))))
        .max_decoding_message_size(DECODED_BYTES_MAX)
        .max_encoding_message_size(KV_ENCODED_BYTES_MAX);
    let buckets = BucketsServer::new(Guarded(BucketsService {
        node: Arc::clone(&node),
    }))
    .max_decoding_message_size(DECODED_BYTES_MAX)
    .max_encoding_message_size(ENCODED_BYTES_MAX);
    let plugins = PluginsServer::new(Guarded(PluginsService {
        node: Arc::clone(&node),
    }))
    .max_decoding_message_size(DECODED_BYTES_MAX)
    .max_encoding_message_size(ENCODED_BYTES_MAX);
    let backups = BackupsServer::new(Guarded(BackupsService::new(Arc::clone(&node))))
        .max_decoding_message_size(DECODED_BYTES_MAX)
        .max_encoding_message_size(2 * ENCODED_BYTES_MAX); // A whole catalog, and more.
    let door = Door::Clients(Arc::clone(&node.transport), Arc::clone(&node.access));
    let feed = Arc::clone(&node.feed);
    let stop = async move {
        stop.await;
        feed.close(); // Watchers would keep their connections open for ever.
    };
    let threshold = Threshold::new(Arc::clone(&node.access));
    let unread = Arc::clone(&node.unread.clients);
    let connections = incoming(listener, CLIENT_CONNECTIONS_MAX, door, unread);
    let cluster = ClusterServer::new(Guarded(ClusterService { node }))
        .max_decoding_message_size(DECODED_BYTES_MAX)
        .max_encoding_message_size(KV_ENCODED_BYTES_MAX); // It explains keys of any size.
    let serving = Server::builder()
        .tcp_nodelay(true)
        .timeout(REQUEST_TIMEOUT)
        .load_shed(true)
        .concurrency_limit_per_connection(REQUESTS_PER_CONNECTION_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_connection_age(CONNECTION_AGE_MAX)
        .max_connection_age_grace(CONNECTION_GRACE)
        .layer(Counting)
        .layer(threshold)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(InterceptedService::new(kv, intercept))
        .add_service(InterceptedService::new(buckets, intercept))
        .add_service(InterceptedService::new(plugins, intercept))
        .add_service(InterceptedService::new(cluster, intercept))
        .add_service(InterceptedService::new(backups, intercept))
        .serve_with_incoming_shutdown(connections, stop);
    tokio::select! {
        served = serving => Ok(served?),
        never = joining => match never {},
    }
}

/// Says whether the node serves, as a whole and its keys; never ends.
async fn report_health(node: Arc<Node>, health: HealthReporter) -> Infallible {
    let kv = <KvServer<Guarded<KvService>> as NamedService>::NAME;
    if !node.has_cluster() {
        for service in ["", kv] {
            health
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    }
    node.found_cluster().await;
    for service in ["", kv] {
        health
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    std::future::pending().await
}

/// Serves `/metrics` and `/healthz` until `stop` resolves.
pub async fn serve_metrics(
    node: Arc<Node>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = Few::new(listener);
    axum::serve(listener, metrics::router(node))
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

/// Serves the other nodes until `stop` resolves.
pub async fn serve_peers(
    node: Arc<Node>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let door = Door::Peers(Arc::clone(&node.transport), Arc::clone(&node.access));
    let peer = PeerServer::new(node.peer_service())
        .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX);
    let unread = Arc::clone(&node.unread.peers);
    let connections = incoming(listener, PEER_CONNECTIONS_MAX, door, unread);
    Server::builder()
        .tcp_nodelay(true)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(PEER_WINDOW_BYTES)
        .initial_connection_window_size(4 * PEER_WINDOW_BYTES)
        .layer(Counting)
        .add_service(peer)
        .serve_with_incoming_shutdown(connections, stop)
        .await?;
    Ok(())
}
