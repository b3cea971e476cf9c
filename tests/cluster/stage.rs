//! The stage of the cluster tests: real node processes, and what a test does with them in one word.
//!
//! Asserts only that the stage itself holds: a claim about the cluster stands in the test that makes it.
//!
//! Invariant: no process of a stage outlives it, and `end` also demands that every node stops well.

use bytes::Bytes;
use rejoin::cli::connection::Connection;
use rejoin::cli::local::{LocalCluster, Plan, Wiring};
use rejoin::cli::plugin::push;
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// For what has to happen sooner or later; generous, for busy machines.
pub const PATIENCE: Duration = Duration::from_secs(120);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// A cluster that goes with its test.
pub struct Stage {
    pub cluster: LocalCluster,
    /// Without the spares.
    nodes: usize,
    _folder: TempDir,
}

impl Stage {
    /// Starts nodes that keep their data on disk, and waits until they know each other.
    pub async fn of(nodes: usize) -> Self {
        Self::stored_in(StorageEngine::Sled, nodes).await
    }

    pub async fn stored_in(storage: StorageEngine, nodes: usize) -> Self {
        Self::with_spares(storage, nodes, 0).await
    }

    /// Nodes, and others that are not started yet and can join.
    pub async fn with_spares(storage: StorageEngine, nodes: usize, spares: usize) -> Self {
        Self::with_settings(storage, nodes, spares, &[]).await
    }

    /// The same, with `REJOIN_...` variables beside those of all stages.
    pub async fn with_settings(
        storage: StorageEngine,
        nodes: usize,
        spares: usize,
        settings: &[(&'static str, &str)],
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("rejoin-test-").tempdir();
        let folder = folder.expect("a temporary folder");
        let plan = Plan {
            binary: rejoin_binary(),
            folder: folder.path().to_owned(),
            nodes,
            spares,
            wiring: Wiring::Links,
            storage,
            // A busy machine must not starve what these tests wait for, hints need not be waited for long, and the
            // horizon is the shortest that is safe.
            settings: [
                ("REJOIN_FOREGROUND_P99_MS", "3000"),
                ("REJOIN_PROBE_MS", "250"),
                ("REJOIN_HINT_RETRY_MS", "500"),
                ("REJOIN_TOMBSTONE_HORIZON_MS", "30000"),
                ("REJOIN_METRICS", "127.0.0.1:0"),
            ]
            .into_iter()
            .chain(settings.iter().copied())
            .map(|(name, value)| (name, value.to_owned()))
            .collect(),
            certificates: Vec::new(),
        };
        let cluster = LocalCluster::start(plan).await.expect("the cluster starts");
        let stage = Self {
            cluster,
            nodes,
            _folder: folder,
        };
        stage.all_connected().await;
        stage
    }

    /// A client of the node at `place`.
    pub async fn node(&self, place: usize) -> Node {
        Node::at(&self.cluster.url(place)).await
    }

    /// A client of each node.
    pub async fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for place in 0..self.nodes {
            nodes.push(self.node(place).await);
        }
        nodes
    }

    pub async fn all_connected(&self) {
        let nodes = self.nodes().await;
        for node in &nodes {
            node.reaches(nodes.len() - 1).await;
        }
    }

    /// Waits until all nodes know the same of ring and metadata.
    pub async fn all_agree(&self) {
        let nodes = self.nodes().await;
        until("all nodes agree", async || {
            let mut hashes = std::collections::BTreeSet::new();
            for node in &nodes {
                let status = node.status().await;
                hashes.insert((status.ring_hash, status.metadata_hash));
            }
            hashes.len() == 1
        })
        .await;
    }

    /// The process of a node that runs.
    pub fn process(&self, place: usize) -> u32 {
        self.cluster.process(place).expect("it runs")
    }

    pub async fn kill(&mut self, place: usize) {
        self.cluster.kill(place).await.expect("it can be killed");
    }

    pub async fn restart(&mut self, place: usize) {
        let started = self.cluster.start_node(place).await;
        started.expect("the node starts again");
    }

    /// Ends all nodes.
    pub async fn end(mut self) {
        for place in 0..self.cluster.names().count() {
            let stopped = self.cluster.stop_node(place).await;
            assert!(
                stopped.expect("it can be stopped"),
                "node {place} did not stop well"
            );
        }
    }

    fn print_logs(&self) {
        for (place, name) in self.cluster.names().enumerate() {
            let log = std::fs::read_to_string(self.cluster.log_file(place));
            println!("--- {name} said:\n{}", log.unwrap_or_default());
        }
    }
}

/// The folder goes with a failed test, what the nodes said must not.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
    }
}

pub fn rejoin_binary() -> PathBuf {
    env!("CARGO_BIN_EXE_rejoin").into()
}

/// A plugin of this repository.
pub fn plugin_bytes(file: &str) -> Bytes {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/bin");
    let read = std::fs::read(PathBuf::from(folder).join(file));
    read.unwrap_or_else(|error| panic!("{file}: {error}"))
        .into()
}

/// Asks again and again until the answer is yes.
pub async fn until(claim: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(
            Instant::now() < end,
            "after {PATIENCE:?} still not: {claim}"
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A client of one node.
#[derive(Clone)]
pub struct Node {
    pub connection: Connection,
}

/// What a get without conditions asks.
pub fn getting(bucket: &str, key: &str) -> proto::GetRequest {
    proto::GetRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned().into(),
        r: None,
        pr: None,
        with_siblings: true,
    }
}

/// What a blind put asks.
pub fn putting(bucket: &str, key: &str, value: &str) -> proto::PutRequest {
    proto::PutRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..proto::PutRequest::default()
    }
}

/// A plugin with its defaults.
pub fn bound(plugin: &str) -> proto::Binding {
    proto::Binding {
        plugin: plugin.to_owned(),
        ..proto::Binding::default()
    }
}

impl Node {
    pub async fn at(url: &str) -> Self {
        let connection = Connection::to(url, REQUEST_TIMEOUT).await;
        Self {
            connection: connection.expect("the node takes connections"),
        }
    }

    pub async fn status(&self) -> proto::StatusResponse {
        let asked = self.connection.request(proto::StatusRequest {});
        let status = self.connection.cluster().status(asked).await;
        status.expect("a status").into_inner()
    }

    pub async fn counter(&self, name: &str) -> u64 {
        self.status().await.counters[name]
    }

    /// Waits until the node is connected to so many peers.
    pub async fn reaches(&self, peers: usize) {
        until(&format!("{peers} peers are connected"), async || {
            let status = self.status().await;
            status.peers.iter().filter(|p| p.is_connected).count() == peers
        })
        .await;
    }

    pub async fn push(&self, bytes: Bytes) -> proto::PushResponse {
        push(bytes, &self.connection).await.expect("the upload")
    }

    /// Uploads a plugin of this repository and returns its digest.
    pub async fn push_file(&self, file: &str) -> String {
        let reply = self.push(plugin_bytes(file)).await;
        reply.plugin.expect("a description").digest
    }

    pub async fn create(
        &self,
        bucket: &str,
        properties: proto::Properties,
    ) -> proto::CreateBucketResponse {
        let asked = proto::CreateBucketRequest {
            bucket: bucket.to_owned(),
            properties: Some(properties),
            replace: false,
        };
        self.try_create(asked).await.expect("the bucket")
    }

    pub async fn try_create(
        &self,
        asked: proto::CreateBucketRequest,
    ) -> Result<proto::CreateBucketResponse, Status> {
        let asked = self.connection.request(asked);
        let reply = self.connection.buckets().create(asked).await?;
        Ok(reply.into_inner())
    }

    /// A bucket whose resolver is asked on reads only.
    pub async fn create_resolved(&self, bucket: &str, plugin: &str) {
        let properties = proto::Properties {
            resolver: Some(bound(plugin)),
            merge_on_put: Some(false),
            ..proto::Properties::default()
        };
        self.create(bucket, properties).await;
    }

    pub async fn properties(&self, bucket: &str) -> Option<proto::Properties> {
        let asked = proto::DescribeBucketRequest {
            bucket: bucket.to_owned(),
        };
        let asked = self.connection.request(asked);
        match self.connection.buckets().describe(asked).await {
            Ok(reply) => reply.into_inner().bucket?.properties,
            Err(status) if status.code() == Code::NotFound => None,
            // It has not heard from the others yet.
            Err(status) if error_info(&status).0 == "NO_NEWS" => None,
            Err(status) => panic!("{status}"),
        }
    }

    pub async fn try_get(&self, asked: proto::GetRequest) -> Result<proto::GetResponse, Status> {
        let asked = self.connection.request(asked);
        Ok(self.connection.kv().get(asked).await?.into_inner())
    }

    /// Asks all three replicas of a bucket with n = 3.
    pub async fn get(&self, bucket: &str, key: &str) -> proto::GetResponse {
        let asked = proto::GetRequest {
            r: Some(3),
            ..getting(bucket, key)
        };
        self.try_get(asked).await.expect("the get")
    }

    pub async fn try_put(&self, asked: proto::PutRequest) -> Result<proto::PutResponse, Status> {
        let asked = self.connection.request(asked);
        Ok(self.connection.kv().put(asked).await?.into_inner())
    }

    /// A blind put that all three replicas acknowledge.
    pub async fn put(&self, bucket: &str, key: &str, value: &str) -> proto::PutResponse {
        self.put_after(bucket, key, value, &Bytes::new()).await
    }

    /// A put with a context, acknowledged by all three replicas.
    pub async fn put_after(
        &self,
        bucket: &str,
        key: &str,
        value: &str,
        context: &Bytes,
    ) -> proto::PutResponse {
        let asked = proto::PutRequest {
            context: context.clone(),
            w: Some(3),
            ..putting(bucket, key, value)
        };
        self.try_put(asked).await.expect("the put")
    }

    /// A delete that all three replicas acknowledge.
    pub async fn delete(&self, bucket: &str, key: &str, context: &Bytes) -> proto::DeleteResponse {
        let asked = proto::DeleteRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned().into(),
            context: context.clone(),
            w: Some(3),
            ..proto::DeleteRequest::default()
        };
        let asked = self.connection.request(asked);
        let reply = self.connection.kv().delete(asked).await;
        reply.expect("the delete").into_inner()
    }

    /// The node's own record of a key.
    pub async fn record(&self, bucket: &str, key: &str) -> proto::LocalRecordResponse {
        let asked = proto::LocalRecordRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned().into(),
        };
        let asked = self.connection.request(asked);
        let record = self.connection.cluster().local_record(asked).await;
        record.expect("a record").into_inner()
    }

    pub async fn preference(&self, bucket: &str, key: &str) -> proto::PreferenceListResponse {
        let asked = proto::PreferenceListRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned().into(),
        };
        let asked = self.connection.request(asked);
        let reply = self.connection.cluster().preference_list(asked).await;
        reply.expect("a preference list").into_inner()
    }

    pub async fn plugins(&self) -> Vec<proto::PluginStatus> {
        let asked = self.connection.request(proto::ListPluginsRequest {});
        let reply = self.connection.plugins().list(asked).await;
        reply.expect("the plugins").into_inner().plugins
    }
}

/// The values of a reply as text, in order.
pub fn texts(reply: &proto::GetResponse) -> Vec<String> {
    let text = |value: &proto::Value| String::from_utf8_lossy(&value.value).into_owned();
    let mut texts: Vec<String> = reply.values.iter().map(text).collect();
    texts.sort();
    texts
}

/// How a reply says it came about.
pub fn resolved(reply: &Option<proto::Resolved>) -> (proto::Resolution, String) {
    let resolved = reply.clone().expect("it says how it came about");
    (resolved.resolution(), resolved.reason)
}

/// Reason and metadata of the `ErrorInfo` of a status.
pub fn error_info(status: &Status) -> (String, HashMap<String, String>) {
    let info = status.get_error_details().error_info().cloned();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status}"));
    assert_eq!(info.domain, "rejoin");
    (info.reason, info.metadata)
}

/// Waits until all nodes hold the same record of a key, and returns it.
pub async fn converged(nodes: &[Node], bucket: &str, key: &str) -> proto::LocalRecordResponse {
    let mut first = proto::LocalRecordResponse::default();
    until(
        &format!("all nodes hold the same {bucket}/{key}"),
        async || {
            first = nodes[0].record(bucket, key).await;
            for node in &nodes[1..] {
                if node.record(bucket, key).await.object_hash != first.object_hash {
                    return false;
                }
            }
            !first.siblings.is_empty()
        },
    )
    .await;
    first
}

/// Who is in the cluster, and changing that.
impl Node {
    pub async fn members(&self) -> proto::MembersResponse {
        let asked = self.connection.request(proto::MembersRequest {});
        let members = self.connection.cluster().members(asked).await;
        members.expect("the members").into_inner()
    }

    pub async fn change(
        &self,
        wish: proto::change_request::Wish,
        commit: bool,
    ) -> proto::ChangeResponse {
        let asked = proto::ChangeRequest {
            wish: Some(wish),
            commit,
            ..proto::ChangeRequest::default()
        };
        let asked = self.connection.request(asked);
        let changed = self.connection.cluster().change(asked).await;
        changed.expect("the change").into_inner()
    }

    pub async fn set_policy(&self, asked: proto::SetPolicyRequest) -> proto::MembershipPolicy {
        let asked = self.connection.request(asked);
        let policy = self.connection.cluster().set_policy(asked).await;
        policy.expect("the policy").into_inner()
    }

    /// Waits until so many members hold all partitions, and nothing moves.
    pub async fn settles_with(&self, members: usize) {
        until(
            &format!("{members} members and nothing moves"),
            async || {
                let reply = self.members().await;
                let roles = reply.nodes.iter().map(|node| node.role());
                let count = roles.filter(|role| *role == proto::Role::Member).count();
                count == members && reply.partitions_moving == 0
            },
        )
        .await;
    }
}
