//! A disk that runs full under a real node: it reads on, turns values away and says so, and takes them again when there is
//! room, without a restart. The others go on meanwhile.
//!
//! The first node's folder is a small file system in memory, which takes root to mount; where it cannot be mounted the
//! test says that it was skipped. What a disk does that has no byte left is `storage_sled.rs`'s to test.
//!
//! Invariant: the file system is gone when the test is over, also when it fails.
#![cfg(target_os = "linux")]

#[allow(
    dead_code,
    reason = "this test needs only some of what the stage offers"
)]
#[path = "cluster/stage.rs"]
mod stage;

use rejoin::cli::local::{LocalCluster, Plan, Wiring};
use rejoin::config::StorageEngine;
use rejoin::storage::space::{FULL_BYTES, Space};
use rejoin::wire::proto::v1 as proto;
use stage::{Node, error_info, getting, putting, rejoin_binary, texts, until};
use std::path::{Path, PathBuf};
use std::process::Command;
use tonic::Code;

const DISK_MIB: u64 = 192;
/// What is left: too little for values, enough for all that this test does.
const LEFT_BYTES: u64 = FULL_BYTES / 2;

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

    /// Leaves so many bytes.
    fn fill(&self) {
        let free = Space::of(&self.0).expect("it is mounted").free;
        let ballast = vec![1; (free - LEFT_BYTES) as usize];
        std::fs::write(self.ballast(), ballast).expect("there is room");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

async fn put(node: &Node, key: &str) -> Result<proto::PutResponse, tonic::Status> {
    node.try_put(putting("notes", key, "value")).await
}

async fn check_engine(storage: StorageEngine) {
    let folder = tempfile::Builder::new().prefix("rejoin-full-").tempdir();
    let folder = folder.expect("a temporary folder");
    let Some(disk) = Disk::mount(&folder.path().join("n1")) else {
        println!("SKIPPED: a file system in memory cannot be mounted here; run it as root");
        return;
    };
    let plan = Plan {
        binary: rejoin_binary(),
        folder: folder.path().to_owned(),
        nodes: 3,
        spares: 0,
        wiring: Wiring::Links,
        storage,
        settings: vec![("REJOIN_FOREGROUND_P99_MS", "3000".to_owned())],
        certificates: Vec::new(),
    };
    let cluster = LocalCluster::start(plan).await.expect("the nodes start");
    let process = cluster.process(0);
    let mut nodes = Vec::new();
    for place in 0..3 {
        nodes.push(Node::at(&cluster.url(place)).await);
    }
    nodes[0].reaches(2).await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let before = nodes[0].put("notes", "before", "value").await;

    disk.fill();
    until("the node turns values away", async || {
        put(&nodes[0], "full").await.is_err()
    })
    .await;
    let refused = put(&nodes[0], "full").await.expect_err("it is full");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let (reason, metadata) = error_info(&refused);
    assert_eq!(reason, "DISK_FULL");
    assert_eq!(metadata["outcome"], "not-stored");
    // It reads on, and the others write on, with its vote too.
    let found = nodes[0].try_get(getting("notes", "before")).await;
    assert_eq!(texts(&found.expect("a read")), ["value"]);
    for (place, node) in nodes.iter().enumerate().skip(1) {
        for turn in 0..20 {
            let key = format!("meanwhile-{place}-{turn}");
            put(node, &key).await.expect("the others take writes");
            let found = nodes[0].try_get(getting("notes", &key)).await;
            assert_eq!(texts(&found.expect("a read")), ["value"]);
        }
    }
    // A delete makes room.
    nodes[0].delete("notes", "before", &before.context).await;
    let gone = nodes[0].get("notes", "before").await;
    assert_eq!(gone.values, []);
    assert!(put(&nodes[0], "full").await.is_err(), "still full");

    std::fs::remove_file(disk.ballast()).expect("room is made");
    until("the node takes values again", async || {
        put(&nodes[0], "after").await.is_ok()
    })
    .await;
    assert_eq!(cluster.process(0), process, "without a restart");
    let written = nodes[0].put("notes", "again", "value").await;
    assert_eq!(written.siblings, 1);
    drop(cluster);
    drop(disk);
}

#[tokio::test]
async fn a_sled_node_on_a_full_disk_reads_on_and_takes_values_again_without_a_restart() {
    check_engine(StorageEngine::Sled).await;
}

#[tokio::test]
async fn a_redb_node_on_a_full_disk_reads_on_and_takes_values_again_without_a_restart() {
    check_engine(StorageEngine::Redb).await;
}
