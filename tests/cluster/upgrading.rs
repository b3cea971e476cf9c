//! Nodes of two releases in one cluster: they serve, join and repair together, and the cluster works by what all speak.

use super::stage::{Node, Stage, converged, error_info, texts, until};
use rejoin::config::StorageEngine;
use rejoin::dynamo::metadata::facts::{PROTOCOL_MAX, PROTOCOL_MIN};
use rejoin::wire::proto::v1 as proto;
use tonic::{Code, Status};

/// Has the node at `place` speak no later version when it is started next.
fn speak(stage: &Stage, place: usize, version: u32) {
    let file = stage.cluster.config_file(place);
    let config = std::fs::read_to_string(&file).expect("its configuration");
    let lines = config
        .lines()
        .map(|line| match line.starts_with("protocol_max") {
            true => format!("protocol_max = {version}"),
            false => line.to_owned(),
        });
    let lines: Vec<String> = lines.collect();
    std::fs::write(&file, lines.join("\n")).expect("written");
}

/// Waits until it is connected to so many others again.
async fn restart_speaking(stage: &mut Stage, place: usize, version: u32, others: usize) {
    speak(stage, place, version);
    let stopped = stage.cluster.stop_node(place).await;
    assert!(stopped.expect("it can be stopped"));
    stage.restart(place).await;
    stage.node(place).await.reaches(others).await;
}

async fn explain(node: &Node, key: &str) -> Result<proto::ExplainResponse, Status> {
    let asked = proto::ExplainRequest {
        bucket: "notes".to_owned(),
        key: key.to_owned().into(),
    };
    let asked = node.connection.request(asked);
    Ok(node.connection.cluster().explain(asked).await?.into_inner())
}

async fn cluster_works_by(nodes: &[Node], version: u32) {
    until(
        &format!("the cluster works by version {version}"),
        async || {
            for node in nodes {
                if node.members().await.cluster_version != version {
                    return false;
                }
            }
            true
        },
    )
    .await;
}

#[tokio::test]
async fn a_rolling_upgrade_goes_through_a_mixed_cluster_that_serves_repairs_and_lets_nodes_join() {
    let mut stage = Stage::with_spares(StorageEngine::Sled, 3, 1).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    cluster_works_by(&nodes, PROTOCOL_MAX).await;
    restart_speaking(&mut stage, 1, PROTOCOL_MIN, 2).await;
    let nodes = stage.nodes().await;
    cluster_works_by(&nodes, PROTOCOL_MIN).await;

    // They serve, in both directions.
    until("all three take a write", async || {
        let asked = super::stage::putting("notes", "key", "old");
        nodes[1].try_put(asked).await.is_ok()
    })
    .await;
    let first = nodes[1].get("notes", "key").await;
    nodes[0]
        .put_after("notes", "key", "new", &first.context)
        .await;
    for node in &nodes {
        assert_eq!(texts(&node.get("notes", "key").await), ["new"]);
    }
    // What a node has missed is repaired.
    stage.cluster.isolate(1);
    until("two nodes take a write", async || {
        let asked = super::stage::putting("notes", "missed", "value");
        nodes[0].try_put(asked).await.is_ok()
    })
    .await;
    stage.cluster.rejoin(1);
    stage.all_connected().await;
    converged(&nodes, "notes", "missed").await;
    // What needs the later version is refused with the name of who lacks it.
    let refused = explain(&nodes[0], "key").await.expect_err("n2 cannot");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(error_info(&refused).0, "CLUSTER_VERSION");
    assert!(refused.message().contains("[n2]"), "{refused}");
    // A node of the later release joins.
    stage.restart(3).await;
    nodes[0].settles_with(4).await;
    cluster_works_by(&nodes, PROTOCOL_MIN).await;
    let members = nodes[0].members().await.nodes;
    let spoken: Vec<u32> = members.iter().map(|node| node.protocol_max).collect();
    assert_eq!(
        spoken,
        [PROTOCOL_MAX, PROTOCOL_MIN, PROTOCOL_MAX, PROTOCOL_MAX]
    );

    // The last node is upgraded, and with it the cluster.
    restart_speaking(&mut stage, 1, PROTOCOL_MAX, 3).await;
    let nodes = stage.nodes().await;
    cluster_works_by(&nodes, PROTOCOL_MAX).await;
    let explained = explain(&nodes[0], "key").await.expect("all can");
    assert!(explained.is_equal);
    stage.end().await;
}
