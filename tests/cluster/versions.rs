//! Versions of a bucket's resolver on real nodes: activation in two phases, the way back, what a bad one merged, and
//! one that is only tried.

use super::command_line::Shell;
use super::stage::{Node, Stage, bound, error_info, texts, until};
use super::written_plugins::{chooser, resolver, versioned};
use bytes::Bytes;
use rejoin::wire::proto::v1 as proto;
use serde_json::json;
use std::collections::BTreeSet;
use tonic::{Code, Status};

/// The values of all siblings, one after the other.
const CONCATENATE: &str = "(call $concatenate (local.get $siblings) (local.get $count))";
/// The first sibling; the others are lost.
const PICK_FIRST: &str = "(call $answer (i32.const 2) (i32.const 0) (i32.const 0))";
/// As `CONCATENATE`, but for keys that end with a 7.
const PICK_FIRST_OF_SEVENTHS: &str = "(if (result i32)
    (i32.eq (i32.const 55) (i32.load8_u (i32.sub (i32.add (local.get $key) (local.get $key-length)) (i32.const 1))))
    (then (call $answer (i32.const 2) (i32.const 0) (i32.const 0)))
    (else (call $concatenate (local.get $siblings) (local.get $count))))";

async fn three() -> (Stage, Vec<Node>) {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    (stage, nodes)
}

fn digest(reply: &proto::PushResponse) -> String {
    reply.plugin.clone().expect("a description").digest
}

/// A bucket that merges on put by `joining@1.2.3`, which keeps the greatest value; the digests of that and of a version
/// 1.2.4, as lawful and wrong, which keeps the least.
async fn two_versions(node: &Node) -> (String, String) {
    let first = digest(&node.push(chooser("joining", "1.2.3", false)).await);
    let next = digest(&node.push(chooser("joining", "1.2.4", true)).await);
    let properties = proto::Properties {
        resolver: Some(bound(&first)),
        merge_on_put: Some(true),
        ack: proto::Ack::Buffered.into(),
        ..proto::Properties::default()
    };
    node.create("carts", properties).await;
    (first, next)
}

async fn activate(
    node: &Node,
    plugin: &str,
    without: &[&str],
) -> Result<proto::ActivateResponse, Status> {
    let asked = proto::ActivateRequest {
        bucket: "carts".to_owned(),
        plugin: plugin.to_owned(),
        without: without.iter().map(|node| (*node).to_owned()).collect(),
        ..proto::ActivateRequest::default()
    };
    let mut asked = tonic::Request::new(asked);
    asked.set_timeout(std::time::Duration::from_secs(60));
    let reply = node.connection.plugins().activate(asked).await?;
    Ok(reply.into_inner())
}

async fn bucket(node: &Node) -> proto::Bucket {
    let asked = proto::DescribeBucketRequest {
        bucket: "carts".to_owned(),
    };
    let reply = node.connection.buckets().describe(asked).await;
    reply
        .expect("the bucket")
        .into_inner()
        .bucket
        .expect("it is there")
}

async fn rollback(node: &Node) -> proto::Bucket {
    let asked = proto::RollbackRequest {
        bucket: "carts".to_owned(),
        to_epoch: None,
    };
    let reply = node.connection.plugins().rollback(asked).await;
    reply
        .expect("a way back")
        .into_inner()
        .bucket
        .expect("it is there")
}

async fn unmerge(node: &Node, dry_run: bool) -> proto::UnmergeProgress {
    let asked = proto::UnmergeRequest {
        bucket: "carts".to_owned(),
        dry_run,
        ..proto::UnmergeRequest::default()
    };
    let reply = node.connection.plugins().unmerge(asked).await;
    let mut steps = reply.expect("somebody to blame").into_inner();
    let mut sum = proto::UnmergeProgress::default();
    while let Some(step) = steps.message().await.expect("it goes on to the end") {
        sum.rewritten += step.rewritten;
        sum.rewritten_in_part += step.rewritten_in_part;
        sum.unchanged += step.unchanged;
        sum.not_retained += step.not_retained;
        sum.failed += step.failed;
        sum.reasons.extend(step.reasons);
    }
    sum
}

#[tokio::test]
async fn a_taken_name_and_version_is_refused_and_nothing_of_it_is_kept() {
    let (stage, nodes) = three().await;
    let first = digest(&nodes[0].push(resolver("joining", CONCATENATE)).await);
    let again = digest(&nodes[1].push(resolver("joining", CONCATENATE)).await);
    assert_eq!(again, first, "the same bytes are welcome");
    let other = resolver("joining", PICK_FIRST);
    let refused = rejoin::cli::plugin::push(other, &nodes[1].connection).await;
    let refused = refused.expect_err("other bytes under the same name and version");
    let refused = refused.downcast::<Status>().expect("a status");
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(error_info(&refused).0, "P063");
    assert!(refused.message().contains(&first), "{}", refused.message());
    assert_eq!(nodes[1].plugins().await.len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn an_activation_is_staged_on_all_members_and_then_counts_an_epoch() {
    let (stage, nodes) = three().await;
    let (first, next) = two_versions(&nodes[0]).await;
    let ambiguous = activate(&nodes[0], "joining", &[])
        .await
        .expect_err("two versions");
    assert!(
        ambiguous.message().contains("joining@1.2.4"),
        "{}",
        ambiguous.message()
    );
    let reply = activate(&nodes[1], "joining@1.2.4", &[])
        .await
        .expect("all are there");
    assert_eq!(
        (reply.digest, reply.epoch, reply.previous_epoch),
        (next.clone(), 1, 0)
    );
    let found: BTreeSet<&str> = reply.members.iter().map(|m| m.rehearsal.as_str()).collect();
    assert_eq!(
        (reply.members.len(), found.len()),
        (3, 1),
        "{:?}",
        reply.members
    );
    assert!(
        reply
            .members
            .iter()
            .all(|member| member.agrees && member.calls > 0)
    );
    for node in &nodes {
        let now = bucket(node).await;
        let resolver = now
            .properties
            .expect("properties")
            .resolver
            .expect("one is bound");
        assert_eq!(resolver.plugin, next);
    }
    let back = rollback(&nodes[2]).await;
    let activation = back.activation.expect("it has changed");
    assert_eq!((activation.epoch, activation.past.len()), (2, 2));
    let resolver = back
        .properties
        .expect("properties")
        .resolver
        .expect("one is bound");
    assert_eq!(resolver.plugin, first);
    stage.end().await;
}

#[tokio::test]
async fn a_member_that_is_down_has_to_be_left_out_by_name() {
    let (mut stage, nodes) = three().await;
    two_versions(&nodes[0]).await;
    let gone = nodes[2].status().await.node;
    stage.kill(2).await;
    nodes[0].reaches(1).await;
    let refused = activate(&nodes[0], "joining@1.2.4", &[])
        .await
        .expect_err("one is down");
    assert_eq!(error_info(&refused).0, "NOT_STAGED");
    let fix = format!("--without {gone}");
    assert!(refused.message().contains(&fix), "{}", refused.message());
    assert_eq!(
        bucket(&nodes[0]).await.activation.unwrap_or_default().epoch,
        0
    );
    let reply = activate(&nodes[0], "joining@1.2.4", &[&gone])
        .await
        .expect("it was left out");
    assert_eq!(reply.epoch, 1);
    stage.end().await;
}

#[tokio::test]
async fn what_a_bad_version_merged_is_put_back_through_the_good_one() {
    let (stage, nodes) = three().await;
    let (first, _) = two_versions(&nodes[0]).await;
    activate(&nodes[0], "joining@1.2.4", &[])
        .await
        .expect("all are there");
    for number in 0..60 {
        let key = format!("key{number}");
        for (node, word) in nodes.iter().zip(["apple ", "bread ", "cheese "]) {
            node.put("carts", &key, word).await;
        }
        assert_eq!(texts(&nodes[0].get("carts", &key).await), ["apple "]);
    }
    rollback(&nodes[1]).await;
    until("all nodes are back", async || {
        let mut back = 0;
        for node in &nodes {
            back += usize::from(bucket(node).await.activation.unwrap_or_default().epoch == 2);
        }
        back == 3
    })
    .await;
    let looked = unmerge(&nodes[0], true).await;
    assert_eq!((looked.rewritten, looked.failed), (60, 0), "{looked:?}");
    assert_eq!(
        texts(&nodes[2].get("carts", "key0").await),
        ["apple "],
        "a dry run"
    );
    let done = unmerge(&nodes[0], false).await;
    assert_eq!(
        (done.rewritten, done.rewritten_in_part),
        (60, 0),
        "{done:?}"
    );
    let again = unmerge(&nodes[2], false).await;
    assert_eq!((again.rewritten, again.unchanged), (0, 60), "{again:?}");
    for number in 0..60 {
        let key = format!("key{number}");
        let found = nodes[number % 3].get("carts", &key).await;
        assert_eq!(texts(&found), ["cheese "], "{key}");
        let record = nodes[number % 3].record("carts", &key).await;
        assert_eq!(record.siblings.len(), 1);
        assert_eq!(record.siblings[0].merged_by, first);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_resolver_that_is_tried_is_reported_where_it_differs_and_changes_nothing() {
    let (stage, nodes) = three().await;
    let first = digest(&nodes[0].push(resolver("joining", CONCATENATE)).await);
    let next = versioned("joining", "1.2.4", PICK_FIRST_OF_SEVENTHS);
    let next = digest(&nodes[0].push(next).await);
    nodes[0].create_resolved("carts", &first).await;
    let asked = proto::ShadowRequest {
        bucket: "carts".to_owned(),
        plugin: "joining@1.2.4".to_owned(),
        ..proto::ShadowRequest::default()
    };
    let shadowed = nodes[0].connection.plugins().shadow(asked).await;
    assert_eq!(
        shadowed
            .expect("it can be tried")
            .into_inner()
            .nodes_reached,
        3
    );
    let mut stored = Vec::new();
    for number in 0..30 {
        let key = format!("key{number}");
        nodes[0].put("carts", &key, "apple ").await;
        nodes[1].put("carts", &key, "bread ").await;
        stored.push(nodes[2].record("carts", &key).await.object_hash);
    }
    let wanted: BTreeSet<Bytes> = ["key7", "key17", "key27"].map(Bytes::from).into();
    let mut report = proto::ShadowReportResponse::default();
    // What finds the workers busy is dropped: it is asked again.
    until("every difference is reported", async || {
        for number in 0..30 {
            let key = format!("key{number}");
            let found = nodes[number % 3].get("carts", &key).await;
            assert_eq!(texts(&found), ["apple bread "], "the bound one answers");
        }
        let asked = proto::ShadowReportRequest {
            bucket: "carts".to_owned(),
            replay: false,
        };
        let asked = nodes[1].connection.plugins().shadow_report(asked).await;
        report = asked.expect("a report").into_inner();
        report.differences.len() == wanted.len() && report.same >= 27
    })
    .await;
    let found: BTreeSet<Bytes> = report.differences.iter().map(|d| d.key.clone()).collect();
    assert_eq!(found, wanted, "exactly those");
    assert!(
        report
            .differences
            .iter()
            .all(|found| found.active != found.shadow)
    );
    assert_eq!(
        (report.active, report.shadow, report.failed),
        (first, next, 0)
    );
    assert_eq!(report.calls, report.same + report.different);
    assert!(report.active_fuel_p50 > 0 && report.shadow_fuel_p99 >= report.shadow_fuel_p50);
    assert!(
        report.shadow_bytes < report.active_bytes,
        "it picks one where it differs"
    );
    for (number, before) in stored.into_iter().enumerate() {
        let now = nodes[2].record("carts", &format!("key{number}")).await;
        assert_eq!(now.object_hash, before, "nothing was stored");
    }
    stage.end().await;
}

#[tokio::test]
async fn recorded_conflicts_are_replayed_through_a_resolver_that_is_tried() {
    let (stage, nodes) = three().await;
    let (first, next) = two_versions(&nodes[0]).await;
    nodes[0].create_resolved("viewed", &first).await;
    // Merged on put, and recorded; or still standing. The least is the greatest where both are the same.
    for bucket in ["carts", "viewed"] {
        for number in 0..30 {
            let key = format!("key{number}");
            nodes[0].put(bucket, &key, "apple").await;
            let other = if number % 10 == 7 { "bread" } else { "apple" };
            nodes[1].put(bucket, &key, other).await;
        }
        let asked = proto::ShadowRequest {
            bucket: bucket.to_owned(),
            plugin: next.clone(),
            ..proto::ShadowRequest::default()
        };
        let shadowed = nodes[0].connection.plugins().shadow(asked).await;
        assert_eq!(shadowed.expect("tried").into_inner().nodes_reached, 3);
    }
    let shell = Shell {
        url: stage.cluster.url(1),
    };
    let before = stored_and_written(&nodes).await;
    for bucket in ["carts", "viewed"] {
        let report = shell
            .line(&["plugin", "shadow-report", bucket, "--replay"])
            .await;
        assert_eq!(
            (&report["active"], &report["shadow"]),
            (&json!(first), &json!(next))
        );
        assert_eq!(
            (&report["calls"], &report["same"], &report["different"]),
            (&json!(30), &json!(27), &json!(3)),
            "{bucket}: {report}"
        );
        let found = report["differences"].as_array().expect("a list").iter();
        let found: BTreeSet<String> = found
            .map(|found| found["key_hex"].as_str().expect("a key").to_owned())
            .collect();
        let wanted = ["key7", "key17", "key27"].map(hex::encode);
        assert_eq!(found, BTreeSet::from(wanted), "{bucket}: exactly those");
        assert_eq!(report["nodes_cut"], 0);
        // It is no part of what is compared on live requests.
        let live = shell.line(&["plugin", "shadow-report", bucket]).await;
        assert_eq!(live["calls"], 0, "{bucket}: {live}");
    }
    assert_eq!(stored_and_written(&nodes).await, before);
    stage.end().await;
}

async fn stored_and_written(nodes: &[Node]) -> Vec<(u64, u64)> {
    let mut seen = Vec::new();
    for node in nodes {
        let record = node.record("carts", "key7").await;
        seen.push((node.counter("storage_writes").await, record.object_hash));
    }
    seen
}

#[tokio::test]
async fn a_paused_resolver_leaves_siblings_until_it_is_resumed() {
    let (stage, nodes) = three().await;
    two_versions(&nodes[0]).await;
    for (is_paused, shown) in [(true, 2), (false, 1)] {
        let asked = proto::PauseRequest {
            bucket: "carts".to_owned(),
            is_paused,
        };
        let paused = nodes[0].connection.plugins().pause(asked).await;
        assert_eq!(
            paused
                .expect("it has a resolver")
                .into_inner()
                .nodes_reached,
            3
        );
        if is_paused {
            nodes[0].put("carts", "anna", "apple ").await;
            nodes[1].put("carts", "anna", "bread ").await;
        }
        let found = nodes[2].get("carts", "anna").await;
        assert_eq!(found.values.len(), shown);
        let reason = found.resolved.expect("it says how").reason;
        assert_eq!(reason.contains("paused by operator"), is_paused, "{reason}");
    }
    stage.end().await;
}

#[tokio::test]
async fn the_command_line_goes_from_one_version_to_the_next_and_back() {
    let (stage, nodes) = three().await;
    let (first, next) = two_versions(&nodes[0]).await;
    let shell = Shell {
        url: stage.cluster.url(1),
    };
    let dry = ["plugin", "activate", "carts", "joining@1.2.4", "--dry-run"];
    let dry = shell.line(&dry).await;
    assert_eq!((&dry["epoch"], &dry["dry_run"]), (&json!(0), &json!(true)));
    let active = shell
        .line(&["plugin", "activate", "carts", "joining@1.2.4"])
        .await;
    assert_eq!(
        (&active["epoch"], &active["digest"]),
        (&json!(1), &json!(next))
    );
    nodes[0].put("carts", "anna", "apple ").await;
    nodes[1].put("carts", "anna", "bread ").await;
    let back = shell.line(&["plugin", "rollback", "carts"]).await;
    assert_eq!(
        (&back["now"]["epoch"], &back["now"]["resolver"]),
        (&json!(2), &json!(first))
    );
    assert_eq!(back["past"][0]["resolver"], json!(next));
    let history = shell.line(&["plugin", "history", "carts"]).await;
    assert_eq!(history, back);
    let looked = shell
        .line(&["plugin", "unmerge", "carts", "--from", "1", "--dry-run"])
        .await;
    assert_eq!(looked["rewritten"], json!(1));
    let undone = shell
        .line(&["plugin", "unmerge", "carts", "--from", "joining@1.2.4"])
        .await;
    assert_eq!(
        (&undone["rewritten"], &undone["failed"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(texts(&nodes[2].get("carts", "anna").await), ["bread "]);
    let tried = shell
        .line(&["plugin", "shadow", "carts", "joining@1.2.4"])
        .await;
    assert_eq!(tried["shadow"], json!(next));
    let report = shell.line(&["plugin", "shadow-report", "carts"]).await;
    assert_eq!(
        (&report["shadow"], &report["calls"]),
        (&json!(next), &json!(0))
    );
    let off = shell.line(&["plugin", "shadow", "carts", "--off"]).await;
    assert_eq!(off["shadow"], json!(null));
    let paused = shell.line(&["plugin", "pause", "carts"]).await;
    assert_eq!(paused["is_paused"], json!(true));
    let resumed = shell.line(&["plugin", "resume", "carts"]).await;
    assert_eq!(resumed["is_paused"], json!(false));
    let bound = shell
        .error(&["plugin", "unmerge", "carts", "--from", &first])
        .await;
    assert!(bound.contains("rejoin plugin rollback"), "{bound}");
    let unknown = shell
        .error(&["plugin", "rollback", "carts", "--to", "9"])
        .await;
    assert!(unknown.contains("epoch 9 is not remembered"), "{unknown}");
    stage.end().await;
}
