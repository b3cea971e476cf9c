//! The law check at a real node: what an upload is told, what a bucket may do, and that the command line agrees.

use super::stage::{Node, Stage, bound, error_info, plugin_bytes, putting, rejoin_binary, until};
use rejoin::cli::plugin::push;
use rejoin::wire::proto::v1 as proto;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use tonic::Code;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/corpus/bin")
}

fn of_corpus(name: &str) -> String {
    format!("../corpus/bin/{name}.wasm")
}

/// What `rejoin plugin` prints with `--json`, and its exit status.
async fn offline(arguments: &[&str]) -> (Value, bool, String) {
    let output = Command::new(rejoin_binary())
        .args(["--json", "plugin"])
        .args(arguments)
        .output()
        .await
        .expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = serde_json::from_str(&printed).unwrap_or(Value::Null);
    (printed, output.status.success(), errors)
}

#[tokio::test]
async fn the_command_line_says_of_the_whole_corpus_what_a_node_says() {
    let stage = Stage::of(1).await;
    let nodes = stage.nodes().await;
    let entries = std::fs::read_dir(corpus()).expect("the corpus");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|e| e == "wasm"))
        .collect();
    files.push(corpus().join("../../bin/shopping-cart.wasm"));
    assert!(files.len() > 20);
    for file in files {
        let path = file.to_str().expect("a plain path");
        let bytes = std::fs::read(&file).expect("a plugin").into();
        let pushed = push(bytes, &nodes[0].connection).await;
        let (tested, _, errors) = offline(&["test", path]).await;
        match pushed {
            Ok(pushed) => {
                let check = pushed.plugin.expect("a plugin").law_check.expect("a grade");
                assert_eq!(tested["grade"], check.grade, "{path}: {errors}");
                assert_eq!(tested["cases_run"], check.cases, "{path}");
                assert_eq!(
                    tested["finding"].as_str().unwrap_or(""),
                    check.finding,
                    "{path}"
                );
                let evidence = tested["failures"].as_array().expect("failures");
                let evidence: Vec<&Value> = evidence.iter().map(|f| &f["evidence"]).collect();
                let told = pushed.evidence.iter().map(|file| &file.json);
                let told: Vec<Value> = told
                    .map(|json| serde_json::from_str(json).unwrap())
                    .collect();
                assert_eq!(evidence, told.iter().collect::<Vec<_>>(), "{path}");
            }
            Err(error) => {
                let status = error.downcast::<tonic::Status>().expect("a status");
                let refused = tested["refused"].as_str().unwrap_or_default();
                assert!(refused.starts_with("P052"), "{path}: {tested}");
                assert_eq!(status.message(), refused, "{path}");
            }
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn a_refused_plugin_leaves_nothing_behind() {
    let stage = Stage::of(1).await;
    let nodes = stage.nodes().await;
    let bytes = plugin_bytes(&of_corpus("trap-on-sample"));
    for _ in 0..2 {
        let refused = push(bytes.clone(), &nodes[0].connection).await.unwrap_err();
        let refused = refused.downcast::<tonic::Status>().expect("a status");
        assert_eq!(error_info(&refused).0, "P052", "{refused}");
        assert!(refused.message().contains("unreachable"), "{refused}");
    }
    assert!(nodes[0].plugins().await.is_empty());
    stage.end().await;
}

fn resolving(plugin: &str, merge_on_put: Option<bool>) -> proto::Properties {
    proto::Properties {
        n: Some(1),
        resolver: Some(bound(plugin)),
        merge_on_put,
        ..proto::Properties::default()
    }
}

async fn merges_on_put(node: &Node, bucket: &str) -> bool {
    let properties = node.properties(bucket).await;
    properties.expect("the bucket").merge_on_put()
}

#[tokio::test]
async fn only_a_lawful_resolver_merges_on_put_and_does_so_by_default() {
    let stage = Stage::of(1).await;
    let nodes = stage.nodes().await;
    let node = &nodes[0];
    let table = [
        ("first-wins", false, "not commutative"),
        ("average", false, "not absorbing"),
        ("keep-always", false, "no case was merged"),
        ("union-of-lines", true, ""),
    ];
    for (name, is_lawful, why) in table {
        let plugin = node.push_file(&of_corpus(name)).await;
        node.create(name, resolving(&plugin, None)).await;
        assert_eq!(merges_on_put(node, name).await, is_lawful, "{name}");
        let asked = proto::CreateBucketRequest {
            bucket: format!("{name}.asked"),
            properties: Some(resolving(&plugin, Some(true))),
            replace: false,
        };
        match node.try_create(asked).await {
            Ok(_) => assert!(is_lawful, "{name}"),
            Err(status) => {
                assert!(!is_lawful, "{status}");
                assert_eq!(status.code(), Code::FailedPrecondition);
                assert_eq!(error_info(&status).0, "UNLAWFUL_RESOLVER");
                assert!(status.message().contains(why), "{status}");
            }
        }
        let viewing = format!("{name}.viewed");
        node.create(&viewing, resolving(&plugin, Some(false))).await;
        assert!(!merges_on_put(node, &viewing).await);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_binding_is_tried_on_what_stands_in_the_bucket() {
    let stage = Stage::of(1).await;
    let nodes = stage.nodes().await;
    let node = &nodes[0];
    let plain = proto::Properties {
        n: Some(1),
        ..proto::Properties::default()
    };
    node.create("notes", plain).await;
    for value in ["", "milk"] {
        let mut asked = putting("notes", "anna", value);
        asked.w = None;
        node.try_put(asked).await.expect("the put");
    }
    let plugin = node.push_file(&of_corpus("trap-on-empty")).await;
    let asked = proto::CreateBucketRequest {
        bucket: "notes".to_owned(),
        properties: Some(resolving(&plugin, Some(true))),
        replace: true,
    };
    let refused = node.try_create(asked).await.unwrap_err();
    assert!(
        refused.message().contains("siblings of the bucket"),
        "{refused}"
    );
    stage.end().await;
}

#[tokio::test]
async fn the_evidence_of_a_node_replays_on_the_command_line() {
    let stage = Stage::of(1).await;
    let nodes = stage.nodes().await;
    let pushed = nodes[0].push(plugin_bytes(&of_corpus("nan-maximum"))).await;
    let told = pushed.evidence.first().expect("a counterexample");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(&told.file_name);
    std::fs::write(&file, &told.json).expect("the file");
    let file = file.to_str().expect("a plain path");
    let replay = async |name: &str| {
        let plugin = corpus().join(name);
        let plugin = plugin.to_str().expect("a plain path");
        offline(&["replay", file, "--plugin", plugin]).await
    };
    let (again, succeeded, errors) = replay("nan-maximum.wasm").await;
    assert_eq!(again["outcome"], "it fails in the same way", "{errors}");
    assert!(!succeeded && errors.contains("not commutative"), "{errors}");
    let (mended, succeeded, errors) = replay("float-maximum.wasm").await;
    assert_eq!(mended["holds"], true, "{errors}");
    assert!(succeeded, "{errors}");
    stage.end().await;
}

#[tokio::test]
async fn the_grade_stands_in_the_catalog_of_every_node() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    let plugin = nodes[0].push_file(&of_corpus("average")).await;
    for node in &nodes {
        until("the node knows the grade", async || {
            let plugins = node.plugins().await;
            let found = plugins.into_iter().filter_map(|status| status.plugin);
            let found = found.into_iter().find(|found| found.digest == plugin);
            let check = found.and_then(|plugin| plugin.law_check);
            check.is_some_and(|c| c.grade == 1 && c.finding.contains("not absorbing"))
        })
        .await;
    }
    stage.end().await;
}
