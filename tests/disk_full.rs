//! Disks that run full under real nodes: the others take what a full node leaves to them, nothing is written where there is
//! no room, and a node whose disk had no byte left is back by itself, in the same process, when there is.
//!
//! The folders of full nodes are small file systems in memory, which takes root to mount; where they cannot be mounted a
//! test says that it was skipped.
//!
//! Invariant: the file systems are gone when a test is over, also when it fails.
#![cfg(target_os = "linux")]

#[allow(
    dead_code,
    reason = "these tests need only some of what the stage offers"
)]
#[path = "cluster/stage.rs"]
mod stage;

use rejoin::cli::local::{LocalCluster, Plan, Wiring};
use rejoin::config::StorageEngine;
use rejoin::storage::space::{CRITICAL_BYTES, FULL_BYTES, Space};
use rejoin::wire::proto::v1 as proto;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::{Pid, Signal, kill_process};
use stage::{Node, converged, error_info, getting, putting, rejoin_binary, texts, until};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::Code;

const DISK_MIB: u64 = 160;
/// Too little for values, enough for all else that these tests do.
const SCARCE_BYTES: u64 = (FULL_BYTES + CRITICAL_BYTES) / 2;
/// Too little for anything.
const SPENT_BYTES: u64 = CRITICAL_BYTES / 2;
const WAITS: &str = "this node waits for room";
const ENGINES: [StorageEngine; 2] = [StorageEngine::Sled, StorageEngine::Redb];

/// A file system in memory.
struct Disk(PathBuf);

impl Disk {
    /// None: this user may not.
    fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a folder");
        let size = format!("size={DISK_MIB}m,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "rejoin-test"]);
        let mounted = mount.arg(folder).output().ok()?;
        mounted.status.success().then(|| Self(folder.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn free(&self) -> u64 {
        Space::of(&self.0).expect("it is mounted").free
    }

    /// Leaves so many bytes at once, as far as there are more.
    fn leave(&self, left: u64) {
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .create(true)
            .open(self.ballast())
            .expect("a file");
        let length = file.metadata().expect("a file").len();
        let taken = self.free().saturating_sub(left);
        if taken > 0 {
            // The node may have been faster.
            let _ = fallocate(&file, FallocateFlags::empty(), length, taken);
        }
        while left == 0 && file.write(&[1; 4096]).is_ok() {}
    }

    fn empty(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Three nodes, the first of which have small disks.
struct Scene {
    cluster: LocalCluster,
    nodes: Vec<Node>,
    disks: Vec<Disk>,
    processes: Vec<Option<u32>>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn of(storage: StorageEngine, small: usize) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("rejoin-full-").tempdir();
        let folder = folder.expect("a temporary folder");
        let mount = |place: usize| Disk::mount(&folder.path().join(format!("n{}", place + 1)));
        let disks: Option<Vec<Disk>> = (0..small).map(mount).collect();
        let Some(disks) = disks else {
            println!("SKIPPED: a file system in memory cannot be mounted here; run it as root");
            return None;
        };
        let settings = [
            ("REJOIN_FOREGROUND_P99_MS", "3000"),
            ("REJOIN_HINT_RETRY_MS", "300"),
            ("REJOIN_PROBE_MS", "250"),
            ("REJOIN_TOMBSTONE_HORIZON_MS", "30000"),
        ];
        let plan = Plan {
            binary: rejoin_binary(),
            folder: folder.path().to_owned(),
            nodes: 3,
            spares: 0,
            wiring: Wiring::Links,
            storage,
            settings: settings
                .map(|(name, value)| (name, value.to_owned()))
                .to_vec(),
            certificates: Vec::new(),
        };
        let cluster = LocalCluster::start(plan).await.expect("the nodes start");
        let mut nodes = Vec::new();
        for place in 0..3 {
            nodes.push(Node::at(&cluster.url(place)).await);
        }
        for node in &nodes {
            node.reaches(2).await;
        }
        nodes[0].create("notes", proto::Properties::default()).await;
        for node in &nodes {
            until("the bucket is known", async || {
                node.properties("notes").await.is_some()
            })
            .await;
        }
        Some(Self {
            processes: (0..3).map(|place| cluster.process(place)).collect(),
            cluster,
            nodes,
            disks,
            _folder: folder,
        })
    }

    fn log(&self, place: usize) -> String {
        std::fs::read_to_string(self.cluster.log_file(place)).unwrap_or_default()
    }

    /// Leaves so many bytes, and waits until the nodes say that they have seen it.
    async fn leave(&self, left: u64, seen: &str) {
        for (place, disk) in self.disks.iter().enumerate() {
            let before = self.log(place).matches(seen).count();
            disk.leave(left);
            let has_seen = async || self.log(place).matches(seen).count() > before;
            until(&format!("the node sees: {seen}"), has_seen).await;
        }
    }

    /// Takes the last byte while the first node writes: it looks at its disk often, so more than one try may be needed.
    async fn use_up(&self) {
        until("a write meets a disk without a byte", async || {
            self.disks[0].empty();
            tokio::time::sleep(Duration::from_millis(1_300)).await;
            self.disks[0].leave(0);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.log(0).contains(WAITS)
        })
        .await;
        self.disks[0].leave(0);
    }

    /// Makes room everywhere, and waits until copies of these keys are equal and nothing is kept for anybody.
    async fn make_room(&self, keys: &[String]) {
        self.disks.iter().for_each(Disk::empty);
        for node in &self.nodes {
            until("no hint is left", async || {
                node.counter("hints_pending").await == 0
            })
            .await;
        }
        for key in keys {
            converged(&self.nodes, "notes", key).await;
        }
    }

    /// Nobody has ended, or been started again.
    fn check_processes(&self) {
        let now: Vec<Option<u32>> = (0..3).map(|place| self.cluster.process(place)).collect();
        assert_eq!(now, self.processes);
    }
}

async fn put(node: &Node, key: &str) -> Result<proto::PutResponse, tonic::Status> {
    node.try_put(putting("notes", key, "value")).await
}

async fn try_delete(node: &Node, key: &str) -> Result<(), tonic::Status> {
    let asked = proto::DeleteRequest {
        bucket: "notes".to_owned(),
        key: key.to_owned().into(),
        ..proto::DeleteRequest::default()
    };
    let asked = node.connection.request(asked);
    node.connection.kv().delete(asked).await.map(drop)
}

/// Puts at one node only; the keys.
async fn put_some(node: &Node, name: &str, full: &str) -> Vec<String> {
    let keys: Vec<String> = (0..40).map(|turn| format!("{name}-{turn}")).collect();
    for key in &keys {
        let stored = put(node, key).await.expect("the others store it");
        assert_eq!(stored.siblings, 1, "one put, one dot");
        assert_ne!(stored.coordinator, full);
    }
    keys
}

#[tokio::test]
async fn clients_that_ask_only_a_full_node_keep_getting_their_puts_stored_and_all_of_it_comes_home()
{
    for storage in ENGINES {
        let Some(scene) = Scene::of(storage, 1).await else {
            return;
        };
        let node = &scene.nodes[0];
        let before = node.put("notes", "before", "value").await;

        scene.leave(SCARCE_BYTES, "watermark=Full").await;
        let mut keys = put_some(node, "scarce", "n1").await;
        // It reads on, and what the others hand over is a repair: it is taken.
        for key in &keys {
            converged(&scene.nodes, "notes", key).await;
        }
        node.delete("notes", "before", &before.context).await;
        assert_eq!(node.get("notes", "before").await.values, []);

        scene.leave(SPENT_BYTES, "watermark=Critical").await;
        let spent = put_some(node, "spent", "n1").await;
        for key in &spent {
            let found = node.try_get(getting("notes", key)).await.expect("a read");
            assert_eq!(texts(&found), ["value"]);
            assert_eq!(node.record("notes", key).await.siblings, []);
        }
        keys.extend(spent);
        scene.make_room(&keys).await;
        until("it coordinates again", async || {
            let stored = put(node, "after").await;
            stored.is_ok_and(|stored| stored.coordinator == "n1")
        })
        .await;
        for key in &keys {
            assert_eq!(node.record("notes", key).await.siblings.len(), 1, "{key}");
        }
        scene.check_processes();
    }
}

#[tokio::test]
async fn where_all_three_disks_are_full_values_are_refused_with_the_reason_and_taken_again_later() {
    for storage in ENGINES {
        let Some(scene) = Scene::of(storage, 3).await else {
            return;
        };
        for node in &scene.nodes {
            node.put("notes", "before", "value").await;
        }
        scene.leave(SCARCE_BYTES, "watermark=Full").await;
        for node in &scene.nodes {
            let refused = put(node, "full").await.expect_err("all are full");
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
            let (reason, metadata) = error_info(&refused);
            assert_eq!(reason, "DISK_FULL");
            assert_eq!(metadata["outcome"], "not-stored");
            let found = node.get("notes", "before").await;
            assert_eq!(found.values.len(), 3, "it reads on");
            assert_eq!(node.record("notes", "full").await.siblings, []);
        }
        // A delete makes room, and is taken.
        try_delete(&scene.nodes[0], "before")
            .await
            .expect("a delete");
        scene.leave(SPENT_BYTES, "watermark=Critical").await;
        for node in &scene.nodes {
            let refused = try_delete(node, "full").await.expect_err("not even that");
            assert_eq!(error_info(&refused).0, "DISK_FULL");
        }
        scene.disks.iter().for_each(Disk::empty);
        for (place, node) in scene.nodes.iter().enumerate() {
            let key = format!("after-{place}");
            until("values are taken again", async || {
                put(node, &key).await.is_ok()
            })
            .await;
        }
        scene
            .make_room(&["after-0".to_owned(), "after-2".to_owned()])
            .await;
        scene.check_processes();
    }
}

#[tokio::test]
async fn below_the_critical_mark_a_node_writes_nothing_whatever_the_others_repair() {
    for storage in ENGINES {
        let Some(scene) = Scene::of(storage, 1).await else {
            return;
        };
        let keys: Vec<String> = (0..40).map(|turn| format!("key-{turn}")).collect();
        for key in &keys {
            scene.nodes[1].put("notes", key, "value").await;
        }
        scene.leave(SPENT_BYTES, "watermark=Critical").await;
        // What it had taken before is written first.
        let mut before = (0, 0);
        until("it has come to rest", async || {
            let writes = scene.nodes[0].counter("storage_writes").await;
            let now = (scene.disks[0].free(), writes);
            tokio::time::sleep(Duration::from_millis(200)).await;
            std::mem::replace(&mut before, now) == now
        })
        .await;
        for round in 0..3 {
            for (turn, key) in keys.iter().enumerate() {
                let other = &scene.nodes[1 + turn % 2];
                let value = "x".repeat(20_000);
                let asked = putting("notes", key, &value);
                other.try_put(asked).await.expect("two disks are enough");
                let delete = format!("gone-{round}-{turn}");
                try_delete(other, &delete).await.expect("two are enough");
            }
            for node in &scene.nodes {
                let asked = proto::AntiEntropyRequest { now: true };
                let asked = node.connection.request(asked);
                let begun = node.connection.cluster().anti_entropy(asked).await;
                begun.expect("it is asked");
                let asked = node.connection.request(proto::ReapRequest { now: true });
                node.connection
                    .cluster()
                    .reap(asked)
                    .await
                    .expect("it is asked");
            }
        }
        let writes = scene.nodes[0].counter("storage_writes").await;
        assert_eq!(
            (scene.disks[0].free(), writes),
            before,
            "nothing is written"
        );
        assert!(scene.nodes[1].counter("hints_pending").await > 0);
        scene.make_room(&keys).await;
        scene.check_processes();
    }
}

/// Puts durably until told to stop; the keys that were acknowledged.
async fn put_on(nodes: Vec<Node>, name: String, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for turn in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("{name}-{turn}");
        let asked = proto::PutRequest {
            ack: proto::Ack::Durable.into(),
            ..putting("notes", &key, &"value".repeat(1_000))
        };
        match nodes[turn % nodes.len()].try_put(asked).await {
            Ok(_) => acknowledged.push(key),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    acknowledged
}

/// Four clients that put; what ends them, and what they return.
fn begin_writing(nodes: &[Node]) -> (Arc<AtomicBool>, Vec<JoinHandle<Vec<String>>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..4).map(|n| {
        let (nodes, stop) = (nodes.to_vec(), Arc::clone(&stop));
        tokio::spawn(put_on(nodes, format!("writer-{n}"), stop))
    });
    let writers = writers.collect();
    (stop, writers)
}

#[tokio::test]
async fn a_node_whose_disk_has_no_byte_left_is_back_by_itself_in_the_same_process_and_nothing_acknowledged_is_lost()
 {
    for storage in ENGINES {
        let Some(mut scene) = Scene::of(storage, 1).await else {
            return;
        };
        let (stop, writers) = begin_writing(&scene.nodes);
        scene.use_up().await;
        // It reads on, and the others write on.
        put(&scene.nodes[1], "meanwhile")
            .await
            .expect("two disks are enough");
        let found = scene.nodes[0].try_get(getting("notes", "meanwhile")).await;
        assert_eq!(texts(&found.expect("a read")), ["value"]);
        stop.store(true, Ordering::SeqCst);
        let mut keys = vec!["meanwhile".to_owned()];
        for writer in writers {
            keys.extend(writer.await.expect("a writer"));
        }
        assert!(keys.len() > 20, "{keys:?}");

        scene.disks[0].empty();
        until("it has started over", async || {
            scene.log(0).contains("starting over")
        })
        .await;
        let url = scene.cluster.url(0);
        until("it takes values again, where it was", async || {
            let Ok(connection) = tonic::transport::Endpoint::from_shared(url.clone()) else {
                return false;
            };
            if connection.connect().await.is_err() {
                return false;
            }
            let stored = put(&Node::at(&url).await, "after").await;
            stored.is_ok_and(|stored| stored.coordinator == "n1")
        })
        .await;
        scene.check_processes();
        let log = scene.log(0);
        assert!(log.contains("an existing database"), "{log}");
        assert!(!log.contains("the database is lost"), "{log}");
        scene.nodes[0] = Node::at(&url).await;
        scene.make_room(&[]).await;
        for node in &scene.nodes {
            let asked = node
                .connection
                .request(proto::AntiEntropyRequest { now: true });
            node.connection
                .cluster()
                .anti_entropy(asked)
                .await
                .expect("it is asked");
        }
        for key in &keys {
            let record = converged(&scene.nodes, "notes", key).await;
            assert_eq!(record.siblings.len(), 1, "{key}: one put, one dot");
        }
    }
}

#[tokio::test]
async fn a_node_that_reads_on_without_a_byte_ends_cleanly_when_it_is_told_to_and_has_what_it_acknowledged()
 {
    for storage in ENGINES {
        let Some(mut scene) = Scene::of(storage, 1).await else {
            return;
        };
        let (stop, writers) = begin_writing(&scene.nodes);
        scene.use_up().await;
        let is_clean = scene.cluster.stop_node(0).await.expect("it ends");
        assert!(is_clean, "{}", scene.log(0));
        stop.store(true, Ordering::SeqCst);
        let mut keys = Vec::new();
        for writer in writers {
            keys.extend(writer.await.expect("a writer"));
        }
        scene.disks[0].empty();
        scene.cluster.start_node(0).await.expect("it starts");
        scene.nodes[0] = Node::at(&scene.cluster.url(0)).await;
        scene.nodes[0].reaches(2).await;
        for key in &keys {
            let found = scene.nodes[0].get("notes", key).await;
            assert_eq!(found.values.len(), 1, "{key}");
        }
    }
}

/// A node of its own, started as an operator would.
fn serve(config: &Path, folder: &Path) -> std::process::Child {
    let log = File::create(folder.join("log")).expect("a file");
    let said = File::create(folder.join("said")).expect("a file");
    let mut command = Command::new(rejoin_binary());
    command
        .args(["--json", "serve", "--with-parent", "--config"])
        .arg(config);
    let command = command.stdin(Stdio::null()).stdout(said).stderr(log);
    command.spawn().expect("the binary runs")
}

#[tokio::test]
async fn a_node_that_is_started_on_a_full_disk_waits_for_room_and_ends_cleanly_if_it_is_told_to() {
    for storage in ENGINES {
        let folder = tempfile::Builder::new().prefix("rejoin-full-").tempdir();
        let folder = folder.expect("a temporary folder");
        let Some(disk) = Disk::mount(&folder.path().join("n1")) else {
            println!("SKIPPED: a file system in memory cannot be mounted here; run it as root");
            return;
        };
        let engine = match storage {
            StorageEngine::Redb => "redb",
            _ => "sled",
        };
        let config = folder.path().join("n1.toml");
        let text = format!(
            "node = \"n1\"\ndata = \"{}\"\nstorage = \"{engine}\"\nclient = \"127.0.0.1:0\"\n\
             peer = \"127.0.0.1:0\"\ninsecure = true\n[[members]]\nnode = \"n1\"\npeer = \"127.0.0.1:1\"\n",
            folder.path().join("n1/data").display()
        );
        std::fs::write(&config, text).expect("a file");
        let read =
            |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap_or_default();
        disk.leave(0);
        for is_stopped in [true, false] {
            let mut node = serve(&config, folder.path());
            until("it waits", async || read("log").contains(WAITS)).await;
            assert!(read("log").contains("needed_bytes"), "{}", read("log"));
            if is_stopped {
                let pid = Pid::from_child(&node);
                kill_process(pid, Signal::TERM).expect("it runs");
                assert!(node.wait().expect("it ends").success());
                continue;
            }
            assert_eq!(read("said"), "");
            disk.empty();
            until("it is ready", async || read("said").contains("\"ready\"")).await;
            assert_eq!(node.try_wait().expect("a child"), None, "the same process");
            kill_process(Pid::from_child(&node), Signal::TERM).expect("it runs");
            assert!(node.wait().expect("it ends").success());
        }
    }
}
