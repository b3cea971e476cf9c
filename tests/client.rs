//! The partition-aware client and the change feed, against real clusters (Dynamo 6.4).
//!
//! What the client knows of addresses is given to it where a test wants it to go through a link.
//!
//! Invariant: waits for conditions, never for time; every node is started and ended by its test.

#[allow(dead_code, reason = "`cluster` uses the rest")]
#[path = "cluster/stage.rs"]
mod stage;

use bytes::Bytes;
use rejoin::cli::proxy::Link;
use rejoin::client::{Client, Context, Error, Event, Found, Options, Watch};
use rejoin::config::StorageEngine;
use rejoin::dynamo::causality::context;
use rejoin::dynamo::names::{BucketName, Key};
use rejoin::wire::proto::v1 as proto;
use rejoin::wire::proto::v1::watch_response::Event as Told;
use stage::{Node, Stage, converged, error_info, rejoin_binary, until};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;
use tonic::{Code, Streaming};

/// So many nodes in memory, with the bucket `notes`.
async fn notes(nodes: usize, properties: proto::Properties) -> (Stage, Vec<Node>) {
    let stage = Stage::stored_in(StorageEngine::Memory, nodes).await;
    let properties = proto::Properties {
        ack: proto::Ack::Buffered.into(),
        ..properties
    };
    let nodes = stage.nodes().await;
    nodes[0].create("notes", properties).await;
    (stage, nodes)
}

fn addresses(stage: &Stage) -> BTreeMap<String, String> {
    let names = stage.cluster.names().enumerate();
    names
        .map(|(place, name)| (name.to_owned(), stage.cluster.url(place)))
        .collect()
}

async fn client(stage: &Stage) -> Client {
    let client = Client::with_addresses(addresses(stage)).await;
    client.expect("the nodes tell their ring")
}

/// A client that finds every node at one address: whoever is asked there.
async fn client_of_one(stage: &Stage, address: String) -> Client {
    let names = stage.cluster.names();
    let known: BTreeMap<String, String> = names
        .map(|name| (name.to_owned(), address.clone()))
        .collect();
    let client = Client::with_addresses(known).await;
    client.expect("the node tells its ring")
}

/// A link to the client listener of the node at `place`.
async fn link_to(stage: &Stage, place: usize) -> Link {
    let mut link = Link::open().await.expect("a link");
    link.lead_to(address(stage, place));
    link
}

fn address(stage: &Stage, place: usize) -> std::net::SocketAddr {
    let url = stage.cluster.url(place);
    let address = url.strip_prefix("http://").expect("a URL");
    address.parse().expect("an address")
}

async fn primaries(node: &Node, key: &str) -> Vec<String> {
    let reply = node.preference("notes", key).await;
    reply.nodes.into_iter().take(reply.n as usize).collect()
}

async fn forwards(nodes: &[Node]) -> u64 {
    let mut sum = 0;
    for node in nodes {
        sum += node.counter("forwards").await;
    }
    sum
}

fn text(found: &Found) -> Option<String> {
    let value = found.one()?;
    Some(String::from_utf8_lossy(&value.bytes).into_owned())
}

/// The node that a context names as the fastest.
fn fastest(key: &str, context: &Context) -> Option<String> {
    let bucket = BucketName::new("notes").expect("a name");
    let key = Key::new(bucket, key.to_owned().into()).expect("a key");
    let context = context::Context::decode(context.0.clone(), &key).expect("a context");
    context.fastest.map(|node| node.as_str().to_owned())
}

#[tokio::test]
async fn s6_4_d42_requests_go_straight_to_a_node_that_keeps_the_key() {
    let (stage, nodes) = notes(5, proto::Properties::default()).await;
    let addresses = addresses(&stage);
    let bucket = client(&stage).await.bucket("notes");
    let mut coordinators = BTreeSet::new();
    for number in 0..40 {
        let key = format!("key-{number}");
        let primaries = primaries(&nodes[0], &key).await;
        let first = bucket.put(&key, "one").await.expect("the put");
        assert!(primaries.contains(&first.coordinator), "{first:?}");
        assert_eq!(first.asked, addresses[&first.coordinator]);
        coordinators.insert(first.coordinator);

        let read = bucket.get(&key).await.expect("the get");
        assert_eq!(text(&read.found).as_deref(), Some("one"));
        assert!(
            primaries.iter().any(|node| addresses[node] == read.asked),
            "{read:?}"
        );

        let fastest = fastest(&key, &read.context).expect("it names the fastest");
        let second = bucket.put(&key, "two").context(read.context).await;
        let second = second.expect("the put");
        assert_eq!((second.coordinator, second.siblings), (fastest, 1));
    }
    assert_eq!(forwards(&nodes).await, 0, "nobody had to pass a put on");
    assert!(coordinators.len() > 2, "puts spread: {coordinators:?}");
    stage.end().await;
}

#[tokio::test]
async fn with_one_node_killed_gets_and_puts_go_on() {
    let (mut stage, nodes) = notes(4, proto::Properties::default()).await;
    let bucket = client(&stage).await.bucket("notes");
    for number in 0..20 {
        bucket
            .put(format!("key-{number}"), "before")
            .await
            .expect("the put");
    }
    stage.kill(0).await;
    nodes[1].reaches(2).await;
    let mut unknown = 0;
    for number in 0..60 {
        let key = format!("key-{number}");
        match bucket.put(&key, "after").await {
            Ok(written) => {
                let read = bucket.get(&key).await.expect("gets go on");
                let mut values = read.found.values().iter();
                assert!(
                    values.any(|value| value.bytes == "after"),
                    "{written:?} {read:?}"
                );
            }
            // It was on its way when its connection broke: nobody can tell, and the client does not guess.
            Err(error) => {
                assert!(error.may_be_stored(), "{error}");
                unknown += 1;
            }
        }
    }
    assert!(
        unknown <= 1,
        "one connection broke, {unknown} puts were lost from sight"
    );
    stage.restart(0).await;
    stage.end().await;
}

#[tokio::test]
async fn a_node_that_hangs_costs_a_get_some_time_and_no_answer() {
    let (stage, _) = notes(4, proto::Properties::default()).await;
    let bucket = client(&stage).await.bucket("notes");
    for number in 0..12 {
        bucket
            .put(format!("key-{number}"), "value")
            .w(3)
            .await
            .expect("the put");
    }
    stage.cluster.pause(0);
    for number in 0..12 {
        let read = bucket
            .get(format!("key-{number}"))
            .await
            .expect("gets go on");
        assert_eq!(text(&read.found).as_deref(), Some("value"));
    }
    stage.cluster.resume(0);
    stage.end().await;
}

#[tokio::test]
async fn a_put_cut_off_on_its_way_is_an_unknown_outcome_and_is_not_sent_again() {
    let (stage, nodes) = notes(3, proto::Properties::default()).await;
    let link = link_to(&stage, 0).await;
    let client = client_of_one(&stage, link.address().to_string()).await;
    let bucket = client.bucket("notes");
    stage.cluster.pause(1);
    stage.cluster.pause(2);
    let put = bucket
        .put("key", "perhaps")
        .deadline(Duration::from_secs(10));
    let put = tokio::spawn(async move { put.await });
    until(
        "the coordinator has stored it and waits for another",
        async || !nodes[0].record("notes", "key").await.siblings.is_empty(),
    )
    .await;
    link.cut();
    let error = put.await.expect("it ends").expect_err("nobody can know");
    assert!(matches!(error, Error::UnknownOutcome { .. }), "{error}");
    assert!(error.may_be_stored() && !error.is_retry_safe());

    let get = bucket.get("key").deadline(Duration::from_millis(500)).await;
    let error = get.expect_err("no node can be reached");
    assert!(matches!(error, Error::Unanswered { .. }), "{error}");
    assert!(error.is_retry_safe());
    stage.cluster.resume(1);
    stage.cluster.resume(2);
    link.heal();
    until("the client finds its way back", async || {
        bucket.get("key").r(3).await.is_ok()
    })
    .await;
    let record = converged(&nodes, "notes", "key").await;
    assert_eq!(record.siblings.len(), 1, "it was sent once");
    stage.end().await;
}

#[tokio::test]
async fn a_put_for_which_there_was_no_connection_is_not_stored() {
    let (mut stage, _) = notes(3, proto::Properties::default()).await;
    let alone = client_of_one(&stage, stage.cluster.url(2)).await;
    let bucket = alone.bucket("notes");
    bucket.put("key", "value").await.expect("the put");
    stage.kill(2).await;
    let get = bucket.get("key").deadline(Duration::from_millis(500));
    let error = get.await.expect_err("the only node that it knows is gone");
    assert!(matches!(error, Error::Unanswered { .. }), "{error}");
    let put = bucket.put("key", "no").deadline(Duration::from_millis(500));
    let error = put.await.expect_err("the only node that it knows is gone");
    assert!(matches!(error, Error::NotStored { .. }), "{error}");
    assert!(error.is_retry_safe() && !error.may_be_stored());
    stage.restart(2).await;
    stage.end().await;
}

#[tokio::test]
async fn a_session_reads_its_own_writes_and_replaces_what_it_has_read() {
    let one_of_three = proto::Properties {
        r: Some(1),
        w: Some(1),
        ..proto::Properties::default()
    };
    let (stage, nodes) = notes(3, one_of_three).await;
    stage.cluster.isolate(2);
    nodes[2].reaches(0).await;
    let client = client(&stage).await;
    let (session, plain) = (client.session().bucket("notes"), client.bucket("notes"));
    let mut stale = 0;
    for number in 0..40 {
        let key = format!("key-{number}");
        session.put(&key, "one").await.expect("the put");
        let anybody = plain.get(&key).await.expect("the get");
        stale += usize::from(anybody.found == Found::Nothing);
        let read = session.get(&key).await.expect("the get");
        assert_eq!(text(&read.found).as_deref(), Some("one"));
        let written = session.put(&key, "two").await.expect("the put");
        assert_eq!(written.siblings, 1, "the session passed its context");
        let read = session.get(&key).await.expect("the get");
        assert_eq!(text(&read.found).as_deref(), Some("two"));
        session.delete(&key).await.expect("the delete");
        let read = session.get(&key).await.expect("the get");
        assert_eq!(read.found, Found::Nothing);
    }
    assert!(
        stale > 0,
        "some node had nothing to show, or this test shows nothing"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_session_that_cannot_be_shown_its_write_says_so() {
    let one_of_three = proto::Properties {
        r: Some(1),
        w: Some(1),
        ..proto::Properties::default()
    };
    let (mut stage, nodes) = notes(3, one_of_three).await;
    stage.cluster.isolate(2);
    nodes[2].reaches(0).await;
    let mut link = link_to(&stage, 2).await;
    let client = client_of_one(&stage, link.address().to_string()).await;
    let session = client.session().bucket("notes");
    session.put("key", "one").await.expect("the put");
    stage.kill(2).await; // What it had in memory is gone, and nobody else had it.
    stage.restart(2).await;
    stage.cluster.rejoin(2);
    stage.all_connected().await;
    link.lead_to(address(&stage, 2));
    until("others than the session find nothing", async || {
        let read = client.bucket("notes").get("key").await;
        read.is_ok_and(|read| read.found == Found::Nothing)
    })
    .await;
    let get = session.get("key").deadline(Duration::from_secs(1));
    let error = get.await.expect_err("nobody has what the session wrote");
    assert_eq!(error, Error::Behind);
    assert!(error.is_retry_safe());
    stage.end().await;
}

#[tokio::test]
async fn s6_4_d42_a_stale_ring_is_refreshed_when_a_reply_shows_another() {
    let (stage, nodes) = notes(4, proto::Properties::default()).await;
    let (mut links, mut known) = (Vec::new(), BTreeMap::new());
    let names: Vec<String> = stage.cluster.names().map(str::to_owned).collect();
    for (place, name) in names.iter().enumerate() {
        let link = link_to(&stage, place).await;
        known.insert(name.clone(), link.address().to_string());
        links.push(link);
    }
    let seeds: Vec<String> = known.values().cloned().collect();
    let options = Options {
        addresses: known,
        refresh_interval: Duration::from_secs(3600), // Only what it notices makes it ask.
        ..Options::default()
    };
    let client = Client::with_options(seeds, options)
        .await
        .expect("a client");
    let bucket = client.bucket("notes");
    bucket.put("key", "value").await.expect("the put");
    let old = nodes[0].status().await.ring_hash;
    assert_eq!(client.ring_hash(), old);

    let heavier = proto::Member {
        node: "n1".to_owned(),
        weight: 3,
        ..proto::Member::default()
    };
    let resize = proto::change_request::Wish::Resize(heavier);
    nodes[0].change(resize, true).await;
    nodes[0].settles_with(4).await;
    stage.all_agree().await;
    let new = nodes[0].status().await.ring_hash;
    assert_ne!(new, old);
    until("the client works by the new ring", async || {
        bucket.get("key").await.is_ok() && client.ring_hash() == new
    })
    .await;
    let before = forwards(&nodes).await;
    for number in 0..40 {
        let key = format!("key-{number}");
        let written = bucket.put(&key, "value").await.expect("the put");
        let primaries = primaries(&nodes[0], &key).await;
        assert!(primaries.contains(&written.coordinator), "{written:?}");
    }
    assert_eq!(
        forwards(&nodes).await,
        before,
        "nobody had to pass a put on"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_request_at_fault_is_refused_at_once() {
    let (stage, _) = notes(3, proto::Properties::default()).await;
    let client = client(&stage).await;
    for (bucket, key, reason) in [
        ("absent", "key", "NO_SUCH_BUCKET"),
        ("notes", "", "BAD_NAME"),
    ] {
        let refused = client.bucket(bucket).put(key, "value").await.unwrap_err();
        let Error::Refused { reason: told, .. } = &refused else {
            panic!("{refused}");
        };
        assert_eq!(told, reason);
        assert!(!refused.is_retry_safe() && !refused.may_be_stored());
    }
    let context = client
        .bucket("notes")
        .put("one", "value")
        .await
        .expect("the put")
        .context;
    let refused = client
        .bucket("notes")
        .put("two", "value")
        .context(context)
        .await;
    let Err(Error::Refused { reason, .. }) = refused else {
        panic!("the context of another key: {refused:?}");
    };
    assert_eq!(reason, "BAD_CONTEXT");
    let nobody = Client::connect(["http://127.0.0.1:1"]).await.unwrap_err();
    assert!(matches!(nobody, Error::NoRing { .. }), "{nobody}");
    stage.end().await;
}

// ---- The change feed ----

/// Events until one names `dot`.
async fn until_told(watch: &mut Watch, dot: &str) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let next = tokio::time::timeout(stage::PATIENCE, watch.next()).await;
        let event = next
            .expect("it is told in time")
            .expect("the watch goes on");
        let is_last =
            matches!(&event, Event::Changed { dots, .. } if dots.contains(&dot.to_owned()));
        events.push(event);
        if is_last {
            return events;
        }
    }
}

#[tokio::test]
async fn a_watch_of_all_nodes_tells_each_write_once() {
    let (stage, nodes) = notes(4, proto::Properties::default()).await;
    nodes[0]
        .create(
            "others",
            proto::Properties {
                ack: proto::Ack::Buffered.into(),
                ..proto::Properties::default()
            },
        )
        .await;
    let client = client(&stage).await;
    let mut watch = client.watch("notes").await.expect("a watch");
    let bucket = client.session().bucket("notes");
    let mut dots: BTreeMap<String, String> = BTreeMap::new();
    for number in 0..30 {
        let key = format!("key-{}", number % 20);
        client
            .bucket("others")
            .put(&key, "value")
            .await
            .expect("the put");
        let written = bucket.put(&key, "value").w(3).await.expect("the put");
        dots.insert(written.dot, key);
    }
    let last = bucket.delete("key-0").w(3).await.expect("the delete").dot;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for event in until_told(&mut watch, &last).await {
        let Event::Changed {
            key,
            dots: named,
            is_live,
            ..
        } = event
        else {
            panic!("nothing was missed: {event:?}");
        };
        for dot in named {
            assert_eq!(is_live, dot != last, "{dot}");
            let expected = dots.get(&dot).map_or("key-0", String::as_str);
            assert_eq!(key, expected, "{dot}");
            *told.entry(dot).or_default() += 1;
        }
    }
    dots.insert(last, "key-0".to_owned());
    assert!(told.values().all(|times| *times == 1), "{told:?}");
    assert_eq!(
        told.keys().collect::<Vec<_>>(),
        dots.keys().collect::<Vec<_>>()
    );

    let log = stage.cluster.log_file(0);
    stage_ends_with(watch, stage, &log).await;
}

/// The nodes stop at once although somebody watches.
async fn stage_ends_with(watch: Watch, mut stage: Stage, log: &std::path::Path) {
    let stopped = stage.cluster.stop_node(0).await;
    assert!(stopped.expect("it can be stopped"));
    let said = std::fs::read_to_string(log).expect("a log");
    assert!(
        !said.contains("cut off"),
        "watchers do not hold a node up: {said}"
    );
    drop(watch);
    stage.end().await;
}

async fn watching(node: &Node, position: &Bytes) -> Streaming<proto::WatchResponse> {
    let asked = proto::WatchRequest {
        bucket: "notes".to_owned(),
        position: position.clone(),
    };
    let stream = node.connection.kv().watch(asked).await;
    stream.expect("a stream").into_inner()
}

async fn next(stream: &mut Streaming<proto::WatchResponse>) -> (Told, Bytes) {
    let response = tokio::time::timeout(stage::PATIENCE, stream.message()).await;
    let response = response.expect("it is told in time").expect("no error");
    let response = response.expect("no end");
    (response.event.expect("an event"), response.position)
}

fn key_of(told: Told) -> String {
    match told {
        Told::Changed(changed) => String::from_utf8_lossy(&changed.key).into_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_copy_tells_of_its_repair_and_not_of_being_read() {
    let (stage, nodes) = notes(3, proto::Properties::default()).await;
    nodes[0].put("notes", "settled", "value").await;
    stage.cluster.isolate(2);
    nodes[2].reaches(0).await;
    let missed = nodes[0]
        .try_put(stage::putting("notes", "missed", "value"))
        .await;
    let missed = missed.expect("two of three are enough").dot;
    let mut stream = watching(&nodes[2], &Bytes::new()).await;
    next(&mut stream).await;
    stage.cluster.rejoin(2);
    stage.all_connected().await;
    for _ in 0..10 {
        nodes[0].get("notes", "settled").await;
    }
    nodes[0].get("notes", "missed").await;
    let Told::Changed(changed) = next(&mut stream).await.0 else {
        panic!("nothing else happened at this node");
    };
    assert_eq!(
        (&*changed.key, changed.dots),
        (&b"missed"[..], vec![missed])
    );
    assert!(changed.is_live && changed.standing == 1);
    drop(stream);
    stage.end().await;
}

#[tokio::test]
async fn a_watcher_that_comes_back_is_told_what_it_missed_or_to_list() {
    let (mut stage, nodes) = notes(3, proto::Properties::default()).await;
    nodes[0].put("notes", "before", "value").await;
    let mut stream = watching(&nodes[0], &Bytes::new()).await;
    let (told, position) = next(&mut stream).await;
    assert_eq!(told, Told::Reached(proto::Reached {}), "from now on");
    drop(stream);
    let mut missed = BTreeSet::new();
    for number in 0..10 {
        let key = format!("key-{number}");
        nodes[number % 3].put("notes", &key, "value").await;
        missed.insert(key);
    }
    let mut stream = watching(&nodes[0], &position).await;
    next(&mut stream).await;
    let mut told = BTreeSet::new();
    for _ in 0..missed.len() {
        told.insert(key_of(next(&mut stream).await.0));
    }
    assert_eq!(told, missed, "this node keeps a copy of each");

    let mut elsewhere = watching(&nodes[1], &position).await;
    assert_eq!(next(&mut elsewhere).await.0, Told::Resync(proto::Resync {}));
    stage.kill(0).await;
    stage.restart(0).await;
    stage.all_connected().await;
    let node = stage.node(0).await;
    until("the others have told it of the bucket", async || {
        node.properties("notes").await.is_some()
    })
    .await;
    let mut stream = watching(&node, &position).await;
    assert_eq!(next(&mut stream).await.0, Told::Resync(proto::Resync {}));

    let asked = proto::WatchRequest {
        bucket: "notes".to_owned(),
        position: Bytes::from_static(b"nonsense"),
    };
    let refused = nodes[1].connection.kv().watch(asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(error_info(&refused).0, "BAD_POSITION");
    drop((stream, elsewhere));
    stage.end().await;
}

#[tokio::test]
async fn a_watcher_that_does_not_read_holds_nobody_up_and_is_told_to_list() {
    let alone = proto::Properties {
        n: Some(1),
        ..proto::Properties::default()
    };
    let (stage, nodes) = notes(1, alone).await;
    let mut stream = watching(&nodes[0], &Bytes::new()).await;
    next(&mut stream).await;
    let mut puts = JoinSet::new();
    for writer in 0..16 {
        let bucket = client(&stage).await.bucket("notes");
        puts.spawn(async move {
            for number in 0..300 {
                let key = format!("{writer}-{number}-{}", "k".repeat(4000));
                bucket.put(key, "").await.expect("the put");
            }
        });
    }
    while let Some(done) = puts.join_next().await {
        done.expect("no put waits for a watcher");
    }
    let (mut resyncs, mut told) = (0, 0);
    loop {
        match next(&mut stream).await.0 {
            Told::Resync(_) => {
                resyncs += 1;
                nodes[0].put_alone(&format!("last-{resyncs}")).await;
            }
            Told::Reached(_) => {}
            Told::Changed(changed) if changed.key.starts_with(b"last") => break,
            Told::Changed(_) => told += 1,
        }
    }
    assert!(
        resyncs > 0 && told < 16 * 300,
        "{resyncs} resyncs, {told} told"
    );
    drop(stream);
    stage.end().await;
}

trait Alone {
    /// A put in a cluster of one.
    async fn put_alone(&self, key: &str);
}

impl Alone for Node {
    async fn put_alone(&self, key: &str) {
        let put = self.try_put(stage::putting("notes", key, "value")).await;
        put.expect("the put");
    }
}

#[tokio::test]
async fn the_command_line_prints_what_changes() {
    let (stage, nodes) = notes(3, proto::Properties::default()).await;
    let mut child = Command::new(rejoin_binary())
        .args(["watch", "notes", "--limit", "2", "--json", "--server"])
        .arg(stage.cluster.url(0))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut errors = BufReader::new(child.stderr.take().expect("piped")).lines();
    let ready = errors.next_line().await.expect("readable");
    assert_eq!(ready.as_deref(), Some("watching notes"));
    let put = nodes[1].put("notes", "key", "value").await;
    nodes[1].delete("notes", "key", &put.context).await;
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for (is_live, dot) in [(true, Some(put.dot)), (false, None)] {
        let line = lines.next_line().await.expect("readable").expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["event"], "changed");
        assert_eq!(
            (&line["key"], &line["is_live"]),
            (&"key".into(), &is_live.into())
        );
        if let Some(dot) = dot {
            assert_eq!(line["dots"], serde_json::json!([dot]));
        }
    }
    assert!(child.wait().await.expect("it ends").success());
    stage.end().await;
}
