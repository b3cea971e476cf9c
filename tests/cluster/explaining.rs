//! `explain`: why a key reads as it does.

use super::stage::{Node, Stage, bound, converged, getting, putting, rejoin_binary, until};
use rejoin::wire::proto::v1 as proto;
use tokio::process::Command;
use tonic::metadata::MetadataMap;

const BREAD: &str = r#"{"items":{"bread":2,"milk":1}}"#;
const EGGS: &str = r#"{"items":{"eggs":12,"milk":1}}"#;
const MERGED: &str = r#"{"items":{"bread":2,"eggs":12,"milk":1}}"#;

async fn explain(node: &Node, bucket: &str, key: &str) -> proto::ExplainResponse {
    let asked = proto::ExplainRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned().into(),
    };
    let asked = node.connection.request(asked);
    let explained = node.connection.cluster().explain(asked).await;
    explained.expect("it is explained").into_inner()
}

#[tokio::test]
async fn explain_shows_every_replica_its_siblings_and_what_the_resolver_makes_of_them() {
    let stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    nodes[0].create_resolved("carts", &plugin).await;
    nodes[0].put("carts", "anna", BREAD).await;
    nodes[1].put("carts", "anna", EGGS).await;
    until("all replicas hold the same", async || {
        explain(&nodes[3], "carts", "anna").await.is_equal
    })
    .await;
    for node in &nodes {
        let explained = explain(node, "carts", "anna").await;
        let seats: Vec<_> = explained
            .replicas
            .iter()
            .map(|replica| replica.seat())
            .collect();
        assert_eq!(seats[..3], [proto::Seat::Primary; 3]);
        assert_eq!(seats[3..], [proto::Seat::Fallback]);
        for replica in &explained.replicas[..3] {
            assert_eq!(replica.unreached, "");
            assert_eq!(replica.siblings.len(), 2, "{replica:?}");
        }
        let writers = explained
            .replicas
            .iter()
            .filter(|replica| !replica.actor.is_empty());
        assert!(writers.count() > 0, "who coordinated writes under an actor");
        assert!(explained.replicas[3].siblings.is_empty());
        let answer = explained.answer.expect("an answer");
        let how = answer.resolved.expect("it says how");
        assert_eq!(how.plugin, plugin);
        assert!(how.fuel > 0);
        assert_eq!(&answer.values[0].value[..], MERGED.as_bytes());
    }
    stage.end().await;
}

#[tokio::test]
async fn explain_shows_what_a_merge_on_put_replaced_and_by_whom_it_was_merged() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    let properties = proto::Properties {
        resolver: Some(bound(&plugin)),
        merge_on_put: Some(true),
        ..proto::Properties::default()
    };
    nodes[0].create("carts", properties).await;
    nodes[0].put("carts", "anna", BREAD).await;
    nodes[1].put("carts", "anna", EGGS).await;
    converged(&nodes, "carts", "anna").await;
    let explained = explain(&nodes[2], "carts", "anna").await;
    for replica in &explained.replicas[..3] {
        let [merge] = &replica.retained[..] else {
            panic!("{replica:?}");
        };
        assert_eq!(merge.merged_by, plugin);
        let stored = replica.siblings.iter().map(|sibling| &sibling.dot);
        assert!(
            stored.into_iter().any(|dot| *dot == merge.dot),
            "its dot stands"
        );
        let inputs = merge.inputs.iter().filter_map(|input| input.value.as_ref());
        let mut inputs: Vec<&[u8]> = inputs.map(|value| &value.value[..]).collect();
        inputs.sort();
        assert_eq!(inputs, [BREAD.as_bytes(), EGGS.as_bytes()]);
    }
    let output = Command::new(rejoin_binary())
        .args([
            "explain",
            "carts",
            "anna",
            "--server",
            &stage.cluster.url(0),
        ])
        .output()
        .await;
    let output = output.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("was merged at"),
        "{text}"
    );
    stage.end().await;
}

#[tokio::test]
async fn explain_names_the_replica_that_cannot_be_reached_and_the_hint_that_waits_for_it() {
    let mut stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    stage.all_agree().await;
    let mut keys = (0..).map(|count| format!("key-{count}"));
    let key = loop {
        let key = keys.next().expect("endless");
        let listed = nodes[0].preference("notes", &key).await;
        if listed.nodes[..3].contains(&"n4".to_owned()) {
            break key;
        }
    };
    stage.kill(3).await;
    until("a node stands in for n4", async || {
        // It may fail until the others have noticed.
        let _ = nodes[0].try_put(putting("notes", &key, "value")).await;
        let explained = explain(&nodes[0], "notes", &key).await;
        let mut hints = explained.replicas.iter().flat_map(|replica| &replica.hints);
        hints.any(|hint| hint.home == "n4" && !hint.siblings.is_empty())
    })
    .await;
    let explained = explain(&nodes[0], "notes", &key).await;
    let gone = explained
        .replicas
        .iter()
        .find(|replica| replica.node == "n4");
    assert!(!gone.expect("it is a primary").unreached.is_empty());
    assert!(!explained.is_equal);
    stage.restart(3).await;
    stage.end().await;
}

/// The steps that came back with an answer or an error.
fn steps(metadata: &MetadataMap) -> Vec<String> {
    let steps = metadata.get_all("rejoin-trace").iter();
    steps
        .map(|step| step.to_str().expect("ascii").to_owned())
        .collect()
}

fn traced<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("rejoin-trace", "1".parse().expect("ascii"));
    metadata.insert("x-request-id", "cart-7".parse().expect("ascii"));
    request
}

#[tokio::test]
async fn a_traced_request_comes_back_with_its_steps_and_its_own_name() {
    let mut stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    let plugin = nodes[0].push_file("shopping-cart.wasm").await;
    nodes[0].create_resolved("carts", &plugin).await;
    nodes[0].put("carts", "anna", BREAD).await;
    nodes[1].put("carts", "anna", EGGS).await;
    let listed = nodes[0].preference("carts", "anna").await.nodes;
    let names: Vec<String> = stage.cluster.names().map(str::to_owned).collect();
    let stranger = names
        .iter()
        .position(|name| *name == listed[3])
        .expect("a node");

    // A node without a copy asks those who have one, and then its own resolver.
    let asked = proto::GetRequest {
        r: Some(3),
        ..getting("carts", "anna")
    };
    let mut kv = nodes[stranger].connection.kv();
    let reply = kv.get(traced(asked)).await.expect("the get");
    let told = steps(reply.metadata());
    for node in &listed[..3] {
        assert!(
            told.iter()
                .any(|step| step.ends_with(&format!("{node} is asked"))),
            "{told:?}"
        );
        let has = format!("{node} has 2 versions");
        assert!(told.iter().any(|step| step.ends_with(&has)), "{told:?}");
    }
    let fuel = reply
        .get_ref()
        .resolved
        .as_ref()
        .map(|how| how.fuel)
        .unwrap_or_default();
    let resolved = format!("the plugin resolved with {fuel} units of fuel");
    assert!(
        told.iter().any(|step| step.ends_with(&resolved)),
        "{told:?}"
    );
    assert!(
        told.last()
            .is_some_and(|step| step.ends_with("the client is answered"))
    );
    assert_eq!(
        reply.metadata().get("x-request-id").expect("a name"),
        "cart-7"
    );

    // It passes a put on.
    let put = kv
        .put(traced(putting("carts", "ben", BREAD)))
        .await
        .expect("the put");
    let passed = nodes[stranger].preference("carts", "ben").await.nodes[3] == listed[3];
    let told = steps(put.metadata());
    let word = if passed {
        "is passed the put"
    } else {
        "is sent the write"
    };
    assert!(told.iter().any(|step| step.contains(word)), "{told:?}");

    // Nobody has to ask.
    let plain = kv
        .get(tonic::Request::new(getting("carts", "anna")))
        .await
        .expect("the get");
    assert!(steps(plain.metadata()).is_empty());
    let drawn = plain.metadata().get("x-request-id").expect("a name");
    assert_eq!(drawn.len(), 16);

    // An error has its steps as well.
    for name in &listed[..3] {
        let place = names
            .iter()
            .position(|known| known == name)
            .expect("a node");
        stage.kill(place).await;
    }
    let asked = proto::GetRequest {
        pr: Some(3),
        r: Some(3),
        ..getting("carts", "anna")
    };
    let failed = kv.get(traced(asked)).await.expect_err("nobody is there");
    let told = steps(failed.metadata());
    assert!(!told.is_empty(), "{failed}");
}
