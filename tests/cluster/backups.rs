//! Backups of running clusters, and what a restore brings back into another one, or into the same.

use super::stage::{
    Node, Stage, bound, converged, error_info, getting, putting, rejoin_binary, texts, until,
};
use bytes::Bytes;
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tempfile::TempDir;
use tokio::process::Command;

const BREAD: &str = r#"{"items":{"bread":2,"milk":1}}"#;
const EGGS: &str = r#"{"items":{"eggs":12,"milk":1}}"#;
const KEYS: [(&str, &str); 5] = [
    ("notes", "siblings"),
    ("notes", "gone"),
    ("notes", "dressed"),
    ("carts", "anna"),
    ("merged", "anna"),
];

/// `rejoin backup ...` at a node of a stage.
async fn rejoin(stage: &Stage, arguments: &[&str]) -> Result<Value, String> {
    let output = Command::new(rejoin_binary())
        .arg("backup")
        .args(arguments)
        .args(["--json", "--server", &stage.cluster.url(0)])
        .kill_on_drop(true)
        .output()
        .await;
    let output = output.expect("it starts");
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).expect("one line of JSON")),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("rejoin-backup-").tempdir();
    folder.expect("a temporary folder")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Siblings, a tombstone, a value with all that can be said of it, siblings with a resolver, and a merge on put.
async fn fill(nodes: &[Node]) {
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    nodes[0].create("notes", proto::Properties::default()).await;
    nodes[0].create_resolved("carts", &plugin).await;
    let merged = proto::Properties {
        resolver: Some(bound(&plugin)),
        merge_on_put: Some(true),
        ttl_ms: Some(60 * 60 * 1_000),
        ..proto::Properties::default()
    };
    nodes[0].create("merged", merged).await;
    nodes[0].put("notes", "siblings", "apple").await;
    nodes[1].put("notes", "siblings", "pear").await;
    let gone = nodes[0].put("notes", "gone", "plum").await;
    nodes[0].delete("notes", "gone", &gone.context).await;
    let dressed = proto::PutRequest {
        content_type: "text/plain".to_owned(),
        metadata: [("colour".to_owned(), "green".to_owned())].into(),
        ttl_ms: Some(60 * 60 * 1_000),
        w: Some(3),
        ..putting("notes", "dressed", "grape")
    };
    nodes[0].try_put(dressed).await.expect("the put");
    for bucket in ["carts", "merged"] {
        nodes[0].put(bucket, "anna", BREAD).await;
        nodes[1].put(bucket, "anna", EGGS).await;
    }
    for (bucket, key) in KEYS {
        converged(nodes, bucket, key).await;
    }
}

/// What a reader is told, without how many answered.
async fn told(
    node: &Node,
    (bucket, key): (&str, &str),
) -> (Vec<proto::Value>, Vec<proto::Sibling>) {
    match node.try_get(getting(bucket, key)).await {
        Ok(reply) => (reply.values, reply.siblings),
        Err(status) => panic!("{bucket}/{key}: {status}"),
    }
}

/// The replicas of a key.
async fn owners(stage: &Stage, nodes: &[Node], (bucket, key): (&str, &str)) -> Vec<Node> {
    let listed = nodes[0].preference(bucket, key).await;
    let names: Vec<&str> = stage.cluster.names().collect();
    let first = listed.nodes.iter().take(listed.n as usize);
    let places = first.filter_map(|name| names.iter().position(|known| known == name));
    places.map(|place| nodes[place].clone()).collect()
}

#[tokio::test]
async fn a_backup_under_writes_is_restored_into_a_cluster_of_another_size_with_siblings_and_deletes()
 {
    let folder = folder();
    let file = folder.path().join("all.backup");
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    fill(&nodes).await;
    let (stop, written) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let writer = tokio::spawn(write_on(nodes[1].clone(), stop.clone(), written.clone()));
    until("some writes are under way", async || {
        written.load(Ordering::SeqCst) > 20
    })
    .await;
    let before = written.load(Ordering::SeqCst);
    let made = rejoin(&stage, &["create", "--out", path(&file)]).await;
    let made = made.expect("a backup");
    stop.store(true, Ordering::SeqCst);
    writer.await.expect("the writer ends");
    assert_eq!(made["plugins"], 1);
    assert_eq!(made["tombstones"], 1);
    let verified = rejoin(&stage, &["verify", path(&file)]).await;
    assert_eq!(verified.expect("it is whole")["records"], made["records"]);
    let mut wanted = BTreeMap::new();
    for named in KEYS {
        let record = nodes[0].record(named.0, named.1).await;
        wanted.insert(named, (record, told(&nodes[0], named).await));
    }
    let context = nodes[0].get("notes", "siblings").await.context;
    stage.end().await;

    let stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    let restored = rejoin(&stage, &["restore", path(&file)]).await;
    let restored = restored.expect("it is restored");
    assert_eq!(restored["records"], made["records"]);
    assert_eq!(restored["buckets_created"], 3);
    assert_eq!(restored["plugins_pushed"], 1);
    stage.all_agree().await;
    for (named, (record, answer)) in &wanted {
        for node in owners(&stage, &nodes, *named).await {
            let found = node.record(named.0, named.1).await;
            assert_eq!(found, *record, "{named:?}, with what merges replaced");
        }
        for node in &nodes {
            assert_eq!(told(node, *named).await, *answer, "{named:?}");
        }
    }
    for count in 0..before {
        let key = format!("busy-{count}");
        let found = nodes[3].get("notes", &key).await;
        assert_eq!(
            texts(&found),
            [count.to_string()],
            "acknowledged before the backup"
        );
    }
    let repeated = writes(&nodes).await;
    let again = rejoin(&stage, &["restore", path(&file)]).await;
    assert_eq!(again.expect("once more")["buckets_created"], 0);
    assert_eq!(
        writes(&nodes).await,
        repeated,
        "a second restore writes nothing"
    );

    // A context of the first cluster covers what it covered there.
    let stored = nodes[2]
        .put_after("notes", "siblings", "quince", &context)
        .await;
    assert_eq!(stored.siblings, 1);
    let known: BTreeSet<&str> = wanted
        .values()
        .flat_map(|(record, _)| dots(record))
        .collect();
    let incarnation = |dot: &str| dot.split(['/', ':', '.', '@']).next().map(str::to_owned);
    let known: BTreeSet<_> = known.into_iter().map(incarnation).collect();
    assert!(
        !known.contains(&incarnation(&stored.dot)),
        "{} is of an actor of the backup: {known:?}",
        stored.dot
    );
    stage.end().await;
}

fn dots(record: &proto::LocalRecordResponse) -> impl Iterator<Item = &str> {
    record.siblings.iter().map(|sibling| sibling.dot.as_str())
}

async fn writes(nodes: &[Node]) -> u64 {
    let mut writes = 0;
    for node in nodes {
        writes += node.counter("storage_writes").await;
    }
    writes
}

/// Puts one key after the other until it is told to stop.
async fn write_on(node: Node, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    while !stop.load(Ordering::SeqCst) {
        let count = written.load(Ordering::SeqCst);
        node.put("notes", &format!("busy-{count}"), &count.to_string())
            .await;
        written.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_restore_into_the_living_cluster_takes_nothing_back_that_was_written_or_deleted_since() {
    let folder = folder();
    let file = folder.path().join("all.backup");
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let mut contexts = BTreeMap::new();
    for key in ["kept", "changed", "deleted"] {
        contexts.insert(key, nodes[0].put("notes", key, "old").await.context);
    }
    let out = path(folder.path());
    rejoin(&stage, &["create", "--out", out])
        .await
        .expect("a backup");
    std::fs::rename(folder.path().join("dev.backup"), &file).expect("named by its cluster");
    nodes[1]
        .put_after("notes", "changed", "new", &contexts["changed"])
        .await;
    nodes[1]
        .delete("notes", "deleted", &contexts["deleted"])
        .await;
    let restored = rejoin(&stage, &["restore", path(&file)]).await;
    assert_eq!(restored.expect("it is restored")["records"], 3);
    for node in &nodes {
        assert_eq!(texts(&node.get("notes", "kept").await), ["old"]);
        assert_eq!(texts(&node.get("notes", "changed").await), ["new"]);
        assert!(texts(&node.get("notes", "deleted").await).is_empty());
    }
    // The same process writes on under its own name, and no dot is given twice.
    let next = nodes[0]
        .put_after("notes", "kept", "newer", &contexts["kept"])
        .await;
    assert_eq!(next.siblings, 1);
    stage.end().await;
}

#[tokio::test]
async fn a_damaged_or_cut_backup_is_told_and_nothing_of_it_is_restored() {
    let folder = folder();
    let [file, flipped, cut] = ["good", "flipped", "cut"].map(|name| folder.path().join(name));
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    fill(&nodes).await;
    rejoin(&stage, &["create", "--out", path(&file)])
        .await
        .expect("a backup");
    stage.end().await;
    let mut bytes = std::fs::read(&file).expect("the backup");
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).expect("written");
    let apple = bytes.windows(5).position(|word| word == b"apple");
    bytes[apple.expect("a value of the backup")] ^= 1;
    std::fs::write(&flipped, &bytes).expect("written");

    let stage = Stage::stored_in(StorageEngine::Memory, 3).await;
    let nodes = stage.nodes().await;
    for (file, why) in [
        (&flipped, "checksum"),
        (&cut, "in the middle of the backup"),
    ] {
        for command in ["verify", "restore"] {
            let error = rejoin(&stage, &[command, path(file)]).await;
            let error = error.expect_err("it is damaged");
            assert!(
                error.contains(why) && error.contains("is not whole"),
                "{error}"
            );
        }
    }
    assert!(
        nodes[0].properties("notes").await.is_none(),
        "nothing was restored"
    );
    stage.end().await;
}

#[tokio::test]
async fn what_only_a_stand_in_keeps_is_in_the_backup_and_a_missing_node_has_to_be_named() {
    let folder = folder();
    let file = folder.path().join("all.backup");
    let mut stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    let single = proto::Properties {
        n: Some(1),
        ..proto::Properties::default()
    };
    nodes[0].create("single", single).await;
    stage.all_agree().await;
    let mut keys = (0..).map(|count| format!("key-{count}"));
    let key = loop {
        let key = keys.next().expect("endless");
        let first = nodes[0].preference("single", &key).await.nodes.remove(0);
        if first == "n4" {
            break key;
        }
    };
    stage.kill(3).await;
    until("a node stands in for n4", async || {
        nodes[0]
            .try_put(putting("single", &key, "kept"))
            .await
            .is_ok()
    })
    .await;
    let refused = rejoin(&stage, &["create", "--out", path(&file)]).await;
    let refused = refused.expect_err("n4 is not there");
    assert!(refused.contains("--without n4"), "{refused}");
    let created = &["create", "--out", path(&file), "--without", "n4"];
    rejoin(&stage, created).await.expect("a backup");
    let again = rejoin(&stage, created).await.expect_err("it is there");
    assert!(again.contains("is there already"), "{again}");
    stage.restart(3).await;
    stage.end().await;

    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    rejoin(&stage, &["restore", path(&file)])
        .await
        .expect("it is restored");
    for node in &nodes {
        let asked = proto::GetRequest {
            r: Some(1),
            ..getting("single", &key)
        };
        let found = node.try_get(asked).await.expect("the get");
        assert_eq!(texts(&found), ["kept"]);
    }
    stage.end().await;
}

#[tokio::test]
async fn an_interrupted_backup_is_taken_up_behind_its_last_whole_partition() {
    let folder = folder();
    let [file, part] = ["b", "b.part"].map(|name| folder.path().join(name));
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    for count in 0..40 {
        nodes[0].put("notes", &count.to_string(), "value").await;
    }
    let made = rejoin(&stage, &["create", "--out", path(&file)]).await;
    let made = made.expect("a backup");
    let bytes = std::fs::read(&file).expect("the backup");
    std::fs::remove_file(&file).expect("removed");
    std::fs::write(&part, &bytes[..bytes.len() / 2]).expect("as if it was interrupted");
    let resumed = rejoin(&stage, &["create", "--out", path(&file)]).await;
    let resumed = resumed.expect("it goes on");
    assert_eq!(resumed["records"], made["records"]);
    assert!(!part.exists());
    let same = std::fs::read(&file).expect("the backup");
    assert_eq!(
        same[..bytes.len() / 4],
        bytes[..bytes.len() / 4],
        "what was there stays"
    );
    rejoin(&stage, &["verify", path(&file)])
        .await
        .expect("it is whole");
    stage.end().await;
}

#[tokio::test]
async fn a_restore_waits_for_all_owners_and_says_who_is_missing() {
    let mut stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    nodes[0].put("notes", "key", "value").await;
    let folder = folder();
    let file = folder.path().join("all.backup");
    rejoin(&stage, &["create", "--out", path(&file)])
        .await
        .expect("a backup");
    stage.kill(2).await;
    let error = rejoin(&stage, &["restore", path(&file)]).await;
    let error = error.expect_err("n3 is not there");
    assert!(
        error.contains("n3") && error.contains("restore again"),
        "{error}"
    );
    stage.restart(2).await;
    stage.all_connected().await;
    rejoin(&stage, &["restore", path(&file)])
        .await
        .expect("it is restored");
    stage.end().await;
}

#[tokio::test]
async fn bad_requests_of_a_restore_are_refused() {
    let stage = Stage::stored_in(StorageEngine::Memory, 1).await;
    let node = stage.node(0).await;
    let piece = proto::RecordPiece {
        bytes: Bytes::from_static(b"\x07nonsense"),
        ..proto::RecordPiece::default()
    };
    let asked = tokio_stream::iter([piece]);
    let refused = node.connection.backups().restore(asked).await;
    let refused = refused.expect_err("no record");
    assert_eq!(error_info(&refused).0, "BAD_RECORD");
    let asked = proto::ReadRequest {
        partition: 1_000_000,
        ..proto::ReadRequest::default()
    };
    let refused = node.connection.backups().read(asked).await;
    assert_eq!(
        error_info(&refused.expect_err("no such partition")).0,
        "BAD_PARTITION"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_bucket_that_was_removed_and_created_again_is_saved_as_what_it_is_now() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    nodes[0].put("notes", "old", "gone").await;
    let asked = proto::RemoveBucketRequest {
        bucket: "notes".to_owned(),
        force: true,
    };
    let removed = nodes[0].connection.buckets().remove(asked).await;
    removed.expect("the bucket is removed");
    nodes[0].create("notes", proto::Properties::default()).await;
    nodes[0].put("notes", "new", "kept").await;
    let folder = folder();
    let file = folder.path().join("saved");
    let create = ["create", "--out", path(&file), "--bucket", "notes"];
    rejoin(&stage, &create).await.expect("a backup");
    stage.end().await;

    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    let restored = rejoin(&stage, &["restore", path(&file)]).await;
    restored.expect("it is restored");
    assert_eq!(texts(&nodes[1].get("notes", "new").await), ["kept"]);
    assert!(texts(&nodes[1].get("notes", "old").await).is_empty());
    stage.end().await;
}
