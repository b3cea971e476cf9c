//! Data folders of past releases: this one finds everything in them, and goes on with them.
//!
//! `tests/golden/VERSION/ENGINE` holds what the three nodes of a cluster of that release left behind, stopped in the
//! middle of things: siblings, a delete, a merge on put with what it replaced, hints for a node that was down, buckets of
//! every policy, a removed one, and a plugin. Folders are never changed; each release adds its own, with
//! `REJOIN_GOLDEN=write cargo test --test golden`, which does nothing where the folder is there.
//!
//! Invariant: no test but the one that was asked to writes into `tests/golden`.

#[path = "golden/packing.rs"]
mod packing;
#[allow(
    dead_code,
    reason = "this test needs only some of what the stage offers"
)]
#[path = "cluster/stage.rs"]
mod stage;

use packing::{pack, unpack};
use rejoin::cli::local::{LocalCluster, Plan, Wiring};
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use stage::{Node, bound, putting, rejoin_binary, texts, until};
use std::path::{Path, PathBuf};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
const ENGINES: [(StorageEngine, &str); 2] =
    [(StorageEngine::Sled, "sled"), (StorageEngine::Redb, "redb")];
const NODES: usize = 3;
/// Longer than what is stored in one piece by either engine.
const LARGE_BYTES: usize = 200 * 1024;
/// Ten years, the most that a put may ask for.
const TTL_MS: u64 = 315_360_000_000;

/// A cluster in a folder of its own, on whatever is there already.
struct Reopened {
    cluster: LocalCluster,
    folder: tempfile::TempDir,
}

impl Reopened {
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("rejoin-golden-").tempdir();
        folder.expect("a temporary folder")
    }

    async fn start(folder: tempfile::TempDir, storage: StorageEngine) -> Self {
        let settings = [
            ("REJOIN_FOREGROUND_P99_MS", "3000".to_owned()),
            ("REJOIN_HINT_RETRY_MS", "500".to_owned()),
            // Old as they are, kept merges go with the next walk; no walk is to begin.
            ("REJOIN_REAP_INTERVAL_MS", "0".to_owned()),
        ];
        let plan = Plan {
            binary: rejoin_binary(),
            folder: folder.path().to_owned(),
            nodes: NODES,
            spares: 0,
            wiring: Wiring::Links,
            storage,
            settings: settings.into(),
            certificates: Vec::new(),
        };
        let cluster = LocalCluster::start(plan).await.expect("the nodes start");
        let reopened = Self { cluster, folder };
        for node in reopened.nodes().await {
            node.reaches(NODES - 1).await;
        }
        reopened
    }

    async fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for place in 0..NODES {
            nodes.push(Node::at(&self.cluster.url(place)).await);
        }
        nodes
    }

    async fn restart(&mut self) {
        for place in 0..NODES {
            let stopped = self.cluster.stop_node(place).await;
            assert!(stopped.expect("it can be stopped"), "it stops well");
        }
        for place in 0..NODES {
            self.cluster.start_node(place).await.expect("it starts");
        }
        for node in self.nodes().await {
            node.reaches(NODES - 1).await;
        }
    }
}

fn merging(plugin: &str) -> proto::Properties {
    proto::Properties {
        resolver: Some(bound(plugin)),
        merge_on_put: Some(true),
        ..proto::Properties::default()
    }
}

/// What a release leaves behind. The last of it happens while the third node is down.
async fn write_all(reopened: &mut Reopened) {
    let nodes = reopened.nodes().await;
    let digest = nodes[0].push_file("max.wasm").await;
    for (bucket, properties) in [
        ("notes", proto::Properties::default()),
        ("highest", merging(&digest)),
        (
            "latest",
            proto::Properties {
                policy: proto::Policy::LastWriteWins.into(),
                ..proto::Properties::default()
            },
        ),
        ("removed", proto::Properties::default()),
    ] {
        nodes[0].create(bucket, properties).await;
    }
    for node in &nodes {
        until("all know the buckets", async || {
            node.properties("removed").await.is_some()
        })
        .await;
    }
    nodes[0].put("notes", "one", "milk").await;
    nodes[0].put("notes", "two", "left").await;
    nodes[1].put("notes", "two", "right").await;
    let written = nodes[0].put("notes", "gone", "for a while").await;
    nodes[0].delete("notes", "gone", &written.context).await;
    let large = "\0".repeat(LARGE_BYTES);
    nodes[0].put("notes", "large", &large).await;
    let lasting = proto::PutRequest {
        content_type: "text/plain".to_owned(),
        metadata: [("colour".to_owned(), "red".to_owned())].into(),
        ttl_ms: Some(TTL_MS),
        w: Some(3),
        ..putting("notes", "lasting", "ten years")
    };
    nodes[0].try_put(lasting).await.expect("the put");
    for value in ["3", "20", "7"] {
        nodes[0].put("highest", "score", value).await;
    }
    nodes[0].put("latest", "word", "first").await;
    nodes[0].put("latest", "word", "last").await;
    let asked = proto::RemoveBucketRequest {
        bucket: "removed".to_owned(),
        force: true,
    };
    let asked = nodes[0].connection.request(asked);
    let removed = nodes[0].connection.buckets().remove(asked).await;
    removed.expect("the bucket is removed");
    reopened.cluster.kill(2).await.expect("it can be killed");
    until("the two others take a write", async || {
        let asked = putting("notes", "missed", "hinted");
        nodes[0].try_put(asked).await.is_ok()
    })
    .await;
    until("somebody keeps it for the third", async || {
        hints(&nodes[0]).await + hints(&nodes[1]).await > 0
    })
    .await;
    for place in 0..2 {
        let stopped = reopened.cluster.stop_node(place).await;
        assert!(stopped.expect("it can be stopped"));
    }
}

async fn hints(node: &Node) -> u64 {
    let asked = node.connection.request(proto::HintsRequest {});
    let hints = node.connection.cluster().hints(asked).await;
    let homes = hints.expect("the hints").into_inner().homes;
    homes.iter().map(|home| home.count).sum()
}

/// Everything is as it was left, at every node.
async fn find_all(nodes: &[Node]) {
    // What was kept for the third node arrives, and first of all it has to be there.
    until("what the third node had missed is there", async || {
        !nodes[2].record("notes", "missed").await.siblings.is_empty()
    })
    .await;
    for node in nodes {
        assert_eq!(node.members().await.nodes.len(), NODES);
        let plugins = node.plugins().await;
        assert_eq!(plugins.len(), 1, "{plugins:?}");
        for bucket in ["notes", "highest", "latest"] {
            assert!(node.properties(bucket).await.is_some(), "{bucket}");
        }
        assert_eq!(node.properties("removed").await, None);
        let highest = node.properties("highest").await.expect("it is there");
        assert_eq!(highest.policy(), proto::Policy::Resolver);
        assert_eq!(highest.merge_on_put, Some(true));
        let read = async |bucket: &str, key: &str| texts(&node.get(bucket, key).await);
        assert_eq!(read("notes", "one").await, ["milk"]);
        assert_eq!(read("notes", "two").await, ["left", "right"]);
        assert_eq!(read("notes", "gone").await, [""; 0]);
        assert_eq!(read("notes", "large").await, ["\0".repeat(LARGE_BYTES)]);
        assert_eq!(read("notes", "missed").await, ["hinted"]);
        assert_eq!(read("highest", "score").await, ["20"]);
        assert_eq!(read("latest", "word").await, ["last"]);
        let gone = node.record("notes", "gone").await.siblings;
        assert!(gone.iter().all(|sibling| sibling.tombstone) && gone.len() == 1);
        // Of its record: to readers it is hidden when its ten years are over.
        let lasting = node.record("notes", "lasting").await.siblings;
        let lasting: Vec<_> = lasting.into_iter().filter_map(|s| s.value).collect();
        assert_eq!(lasting[0].content_type, "text/plain");
        assert_eq!(lasting[0].metadata["colour"], "red");
        let (written, expires) = (lasting[0].written_at_ms, lasting[0].expires_at_ms);
        assert_eq!(expires, Some(written + TTL_MS));
        let score = node.record("highest", "score").await;
        assert!(!score.retained.is_empty(), "what a merge replaced is kept");
        assert_eq!(score.retained[0].inputs.len(), 2);
    }
}

/// It is a cluster like any other: it takes writes, resolves, and keeps them over a restart.
async fn goes_on(nodes: &[Node]) {
    let two = nodes[2].get("notes", "two").await;
    nodes[2]
        .put_after("notes", "two", "both", &two.context)
        .await;
    let gone = nodes[1].get("notes", "gone").await;
    nodes[1]
        .put_after("notes", "gone", "back", &gone.context)
        .await;
    nodes[0].put("highest", "score", "100").await;
    nodes[1].put("notes", "new", "value").await;
}

async fn has_gone_on(nodes: &[Node]) {
    for node in nodes {
        let read = async |bucket: &str, key: &str| texts(&node.get(bucket, key).await);
        assert_eq!(read("notes", "two").await, ["both"]);
        assert_eq!(read("notes", "gone").await, ["back"]);
        assert_eq!(read("highest", "score").await, ["100"]);
        assert_eq!(read("notes", "new").await, ["value"]);
    }
}

/// Every folder of this engine.
fn golden(engine: &str) -> Vec<PathBuf> {
    let releases = std::fs::read_dir(GOLDEN)
        .expect("the golden folders")
        .flatten();
    let folders = releases.map(|release| release.path().join(engine));
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
    folders.sort();
    folders
}

async fn check_engine(storage: StorageEngine, engine: &str) {
    let folders = golden(engine);
    assert!(!folders.is_empty(), "no release left a folder of {engine}");
    for kept in folders {
        println!("{}", kept.display());
        let folder = Reopened::folder();
        for place in 1..=NODES {
            let packed = std::fs::read(kept.join(format!("n{place}.folder")));
            unpack(
                &packed.expect("a node"),
                &folder.path().join(format!("n{place}")),
            );
        }
        let mut reopened = Reopened::start(folder, storage).await;
        find_all(&reopened.nodes().await).await;
        goes_on(&reopened.nodes().await).await;
        reopened.restart().await;
        has_gone_on(&reopened.nodes().await).await;
    }
}

#[tokio::test]
async fn everything_in_the_sled_folders_of_past_releases_is_found_and_gone_on_with() {
    check_engine(StorageEngine::Sled, "sled").await;
}

#[tokio::test]
async fn everything_in_the_redb_folders_of_past_releases_is_found_and_gone_on_with() {
    check_engine(StorageEngine::Redb, "redb").await;
}

/// Of this release, and only if it was asked to. A folder that is there is left as it is.
#[tokio::test]
async fn a_folder_is_written_only_on_purpose_and_only_once() {
    if std::env::var("REJOIN_GOLDEN").as_deref() != Ok("write") {
        return;
    }
    for (storage, engine) in ENGINES {
        let kept = Path::new(GOLDEN)
            .join(env!("CARGO_PKG_VERSION"))
            .join(engine);
        if kept.exists() {
            println!("{} is there and stays as it is", kept.display());
            continue;
        }
        let mut reopened = Reopened::start(Reopened::folder(), storage).await;
        write_all(&mut reopened).await;
        std::fs::create_dir_all(&kept).expect("a folder");
        for place in 1..=NODES {
            let packed = pack(&reopened.folder.path().join(format!("n{place}")));
            std::fs::write(kept.join(format!("n{place}.folder")), packed).expect("written");
        }
    }
}

#[test]
fn what_was_packed_is_unpacked_as_it_was() {
    let (from, to) = (Reopened::folder(), Reopened::folder());
    let whole = [
        b"begin".to_vec(),
        vec![0; 70_000],
        b"end".to_vec(),
        vec![0; 9],
    ]
    .concat();
    std::fs::create_dir(from.path().join("inner")).expect("a folder");
    std::fs::write(from.path().join("inner/file"), &whole).expect("written");
    std::fs::write(from.path().join("empty"), "").expect("written");
    let packed = pack(from.path());
    assert!(
        packed.len() < 200,
        "runs of zeros take no room: {}",
        packed.len()
    );
    unpack(&packed, to.path());
    let read = |file: &str| std::fs::read(to.path().join(file)).expect("it is there");
    assert_eq!(read("inner/file"), whole);
    assert_eq!(read("empty"), b"");
}
