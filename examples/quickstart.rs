//! The paper's interface in one sitting: a bucket, two writes that do not know of each other, siblings, and
//! one put that settles them (Dynamo 4.1, 4.4).
//!
//! Uses the generated client only, as a program in any other language would.
//!
//! ```text
//! cargo run -- dev                         # in one terminal
//! cargo run --example quickstart           # in another; REJOIN_SERVER names another node
//! ```

use anyhow::Context as _;
use bytes::Bytes;
use rejoin::wire::proto::v1::buckets_client::BucketsClient;
use rejoin::wire::proto::v1::kv_client::KvClient;
use rejoin::wire::proto::v1::{
    CreateBucketRequest, DeleteRequest, GetRequest, GetResponse, PutRequest, PutResponse,
};
use tonic::transport::{Channel, Endpoint};

const BUCKET: &str = "quickstart";
const KEY: &[u8] = b"greeting";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = std::env::var("REJOIN_SERVER");
    let server = server.unwrap_or_else(|_| "http://127.0.0.1:7001".to_owned());
    let channel = Endpoint::from_shared(server.clone())?
        .connect()
        .await
        .with_context(|| format!("no node answers at {server}; start some with `rejoin dev`"))?;
    create_bucket(channel.clone()).await?;
    let mut kv = KvClient::new(channel);

    println!("\n* Two puts that know nothing of each other");
    put(&mut kv, "hello", Bytes::new()).await?;
    put(&mut kv, "good day", Bytes::new()).await?;

    println!("\n* The bucket has no resolver, so a get shows both");
    let seen = get(&mut kv).await?;
    anyhow::ensure!(seen.values.len() >= 2, "expected siblings, got {seen:?}");

    println!("\n* A put with the context of that get replaces what it showed");
    let stored = put(&mut kv, "hello and good day", seen.context).await?;
    let seen = get(&mut kv).await?;
    anyhow::ensure!(seen.values.len() == 1, "expected one value, got {seen:?}");

    println!("\n* A delete with the context of the put leaves nothing");
    let delete = DeleteRequest {
        bucket: BUCKET.to_owned(),
        key: Bytes::from_static(KEY),
        context: stored.context,
        ..DeleteRequest::default()
    };
    kv.delete(delete).await?;
    let seen = get(&mut kv).await?;
    anyhow::ensure!(seen.values.is_empty(), "expected nothing, got {seen:?}");
    Ok(())
}

/// Three copies, two answers for a get, two durable acknowledgements for a put: the defaults.
async fn create_bucket(channel: Channel) -> anyhow::Result<()> {
    let request = CreateBucketRequest {
        bucket: BUCKET.to_owned(),
        properties: None,
        replace: true, // So that the example can be run again.
    };
    let reply = BucketsClient::new(channel).create(request).await?;
    let reply = reply.into_inner();
    println!(
        "bucket {BUCKET}: known to {} of {} nodes",
        reply.nodes_reached, reply.nodes_total
    );
    Ok(())
}

/// Without a context the value stands beside what is there; with one it replaces what the context has seen.
async fn put(
    kv: &mut KvClient<Channel>,
    value: &str,
    context: Bytes,
) -> anyhow::Result<PutResponse> {
    let request = PutRequest {
        bucket: BUCKET.to_owned(),
        key: Bytes::from_static(KEY),
        value: Bytes::copy_from_slice(value.as_bytes()),
        context,
        content_type: "text/plain".to_owned(),
        ..PutRequest::default()
    };
    let reply = kv.put(request).await?.into_inner();
    println!(
        "put {value:?}: version {} made by {}, acknowledged by {}, {} now stand under the key",
        reply.dot, reply.coordinator, reply.replicas_answered, reply.siblings
    );
    Ok(reply)
}

async fn get(kv: &mut KvClient<Channel>) -> anyhow::Result<GetResponse> {
    let request = GetRequest {
        bucket: BUCKET.to_owned(),
        key: Bytes::from_static(KEY),
        ..GetRequest::default()
    };
    let reply = kv.get(request).await?.into_inner();
    println!("get: {} values", reply.values.len());
    for value in &reply.values {
        println!("  {:?}", String::from_utf8_lossy(&value.value));
    }
    Ok(reply)
}
