//! `Cluster.Explain`: why a key reads as it does, put together from what its nodes have.
//!
//! Asks the whole preference list at once, then reads the key as any client does, so the policy is asked anew.
//!
//! Invariant: it shows what is stored and stores nothing but what any get repairs.

use super::inspection::encode_retained;
use super::status;
use crate::dynamo::causality::object::Object;
use crate::dynamo::coordinator::request::GetRequest;
use crate::dynamo::metadata::facts::INSPECT_SINCE;
use crate::dynamo::names::{Key, NodeId};
use crate::node::inspecting::Inspected;
use crate::node::server::Node;
use crate::wire::key_value::{decode_key, encode_get, encode_stored};
use crate::wire::proto::v1 as proto;
use futures_util::future::join_all;
use tonic::Status;
use xxhash_rust::xxh3::xxh3_64;

pub async fn explain(
    node: &Node,
    asked: proto::ExplainRequest,
    timeout_ms: u64,
) -> Result<proto::ExplainResponse, Status> {
    let key = decode_key(&asked.bucket, asked.key).map_err(status::of_request)?;
    let snapshot = node.snapshot();
    let Some(properties) = snapshot.catalog.bucket(key.bucket()) else {
        let error = format!("there is no bucket {}", key.bucket());
        return Err(status::missing("NO_SUCH_BUCKET", error));
    };
    let able = snapshot.require("explaining a key", INSPECT_SINCE);
    able.map_err(status::of_too_early)?;
    let partition = snapshot.placement.partition_of(&key);
    let seats = snapshot.placement.seats(partition, properties.n);
    let seated = [
        (proto::Seat::Primary, &seats.primaries),
        (proto::Seat::Fallback, &seats.others),
        (proto::Seat::Pending, &seats.pending),
    ];
    let seated = seated.into_iter();
    let seated = seated.flat_map(|(seat, nodes)| nodes.iter().map(move |id| (seat, id)));
    let replicas = join_all(seated.map(|(seat, id)| view(node, seat, id, &key))).await;
    let request = GetRequest {
        key: key.clone(),
        r: None,
        pr: None,
    };
    let (answer, unanswered) = match node.get(request, timeout_ms).await {
        Ok(reply) => (Some(encode_get(&key, *reply, true)), String::new()),
        Err(error) => (None, error.to_string()),
    };
    let primaries = replicas.iter().take(seats.primaries.len());
    let hashes = primaries.map(|replica| (replica.unreached.is_empty(), replica.object_hash));
    let mut hashes: Vec<_> = hashes.collect();
    hashes.dedup();
    Ok(proto::ExplainResponse {
        node: node.id().as_str().to_owned(),
        partition: u32::from(partition.0),
        n: u32::from(properties.n),
        is_equal: matches!(hashes[..], [(true, _)]),
        replicas,
        answer,
        unanswered,
    })
}

async fn view(node: &Node, seat: proto::Seat, id: &NodeId, key: &Key) -> proto::ReplicaView {
    let inspected = match id == node.id() {
        true => {
            let here = node.inspector().here(key.clone()).await;
            here.map_err(|error| error.to_string())
        }
        false => node.inspect_at(id, key).await,
    };
    let (inspected, unreached) = match inspected {
        Ok(inspected) => (inspected, String::new()),
        Err(why) => (Inspected::default(), why),
    };
    let hints = inspected
        .hints
        .iter()
        .map(|(home, object)| proto::HintView {
            home: home.as_str().to_owned(),
            siblings: siblings(object),
        });
    let retained = inspected.replaced.into_iter().map(encode_retained);
    proto::ReplicaView {
        node: id.as_str().to_owned(),
        seat: seat.into(),
        unreached,
        siblings: siblings(&inspected.object),
        object_hash: xxh3_64(&inspected.object.encode()),
        actors: inspected.object.actors() as u32,
        actor: inspected.actor,
        retained: retained.collect(),
        hints: hints.collect(),
    }
}

fn siblings(object: &Object) -> Vec<proto::Sibling> {
    let versions = object.versions();
    versions
        .map(|(dot, version)| encode_stored(dot, version.clone()))
        .collect()
}
