//! The client that knows the ring: straight to the right node, contexts carried along, changes watched.
//!
//! Compare with `quickstart`, which does by hand, against one node, what a session does here (Dynamo 4.1, 6.4).
//!
//! ```text
//! cargo run -- dev                         # in one terminal
//! cargo run --example client               # in another; REJOIN_SERVER names another node
//! ```

use anyhow::Context as _;
use rejoin::client::{Client, Error, Event, Found};
use rejoin::wire::proto::v1::CreateBucketRequest;
use rejoin::wire::proto::v1::buckets_client::BucketsClient;
use std::time::Duration;

const BUCKET: &str = "client";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = std::env::var("REJOIN_SERVER");
    let server = server.unwrap_or_else(|_| "http://127.0.0.1:7001".to_owned());
    create_bucket(&server).await?;
    let client = Client::connect([&server]).await?;
    println!("the ring is {:016x}", client.ring_hash());
    let mut watch = client.watch(BUCKET).await?;

    println!("\n* A session carries contexts along: no siblings, and it reads what it wrote");
    let session = client.session();
    let notes = session.bucket(BUCKET);
    notes.get("greeting").await?; // What is there from an earlier run is seen, and replaced.
    for text in ["hello", "good day"] {
        let written = notes
            .put("greeting", text)
            .content_type("text/plain")
            .deadline(Duration::from_secs(2))
            .await;
        match written {
            Ok(written) => println!("put {text:?} at {}: {}", written.coordinator, written.dot),
            // The one error after which a put must not simply be sent again.
            Err(error @ Error::UnknownOutcome { .. }) => println!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    match notes.get("greeting").await?.found {
        Found::Nothing => println!("nothing"),
        Found::One(value) => println!("get: {:?}", String::from_utf8_lossy(&value.bytes)),
        Found::Siblings { values, reason } => println!("{} siblings: {reason}", values.len()),
    }
    let last = notes.delete("greeting").await?.dot;

    println!("\n* Whoever watches was told of each write once, by whichever copy had it first");
    loop {
        match watch.next().await? {
            Event::Resync { told_by } => println!("changes at {told_by} were missed"),
            Event::Changed {
                key, dots, is_live, ..
            } => {
                let state = if is_live { "stored" } else { "deleted" };
                println!("{} {state} {dots:?}", String::from_utf8_lossy(&key));
                if dots.contains(&last) {
                    return Ok(());
                }
            }
        }
    }
}

/// With the defaults, unless it is there.
async fn create_bucket(server: &str) -> anyhow::Result<()> {
    let buckets = BucketsClient::connect(server.to_owned()).await;
    let mut buckets = buckets
        .with_context(|| format!("no node answers at {server}; start some with `rejoin dev`"))?;
    let asked = CreateBucketRequest {
        bucket: BUCKET.to_owned(),
        properties: None,
        replace: true, // So that the example can be run again.
    };
    buckets.create(asked).await?;
    Ok(())
}
