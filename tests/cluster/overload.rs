//! More than a cluster can serve: who comes too often is told so soon, nobody is given up, and what was is again.
//!
//! Floods of requests, of connections, of headers and of resets, clients that never read, and a node that is stopped. How
//! fast anything is depends on the machine, so times are printed and only compared with deadlines.
//!
//! Invariant: memory is asserted against what a node had before, with room for what its bounds allow.

use super::stage::{Node, Stage, getting, putting, texts, until};
use bytes::Bytes;
use http::{Method, Version};
use rejoin::cli::connection::Connection;
use rejoin::wire::proto::v1 as proto;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tonic::{Code, Request};

/// More at a time than a connection may have, on more connections than three nodes can serve well.
const CLIENTS_PER_NODE: usize = 8;
const REQUESTS_PER_CLIENT: usize = 120;
const FLOODED_MIN: u64 = 6_000;
const DEADLINE: Duration = Duration::from_secs(8);
/// What requests, connections and what they store may take beside what a node had.
const GROWTH_KIB_MAX: u64 = 512 * 1024;
/// Times that requests may take of what they took before, once a flood is over.
const SLOWER_MAX: u32 = 3;
/// As many as a node takes at a time, and some.
const SILENT_CONNECTIONS: usize = 1_024 + 40;

/// What became of a flood.
#[derive(Default)]
struct Tally {
    is_over: AtomicBool,
    good: AtomicU64,
    turned_away: AtomicU64,
    turned_away_ms: AtomicU64,
    late: AtomicU64,
}

impl Tally {
    fn note(&self, code: Code, took: Duration) {
        match code {
            Code::Ok => &self.good,
            Code::ResourceExhausted => {
                let ms = took.as_millis() as u64;
                self.turned_away_ms.fetch_add(ms, Ordering::Relaxed);
                &self.turned_away
            }
            // Its time ran out, or it cannot be known whether it was stored: it had waited.
            Code::DeadlineExceeded | Code::Unavailable | Code::Aborted | Code::Unknown => {
                &self.late
            }
            other => panic!("a flood is told {other:?}"),
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    fn all(&self) -> u64 {
        [&self.good, &self.turned_away, &self.late]
            .map(|count| count.load(Ordering::Relaxed))
            .iter()
            .sum()
    }
}

/// One of many who ask without a pause: the first half of them write, the others read.
async fn flood(node: Node, tally: Arc<Tally>, place: usize) {
    for turn in 0.. {
        if tally.is_over.load(Ordering::Relaxed) {
            return;
        }
        let (key, begun) = (format!("{place}-{}", turn % 8), Instant::now());
        let outcome = match place % 2 {
            0 => node
                .try_put(putting("notes", &key, "flood"))
                .await
                .map(|_| ()),
            _ => node.try_get(getting("notes", &key)).await.map(|_| ()),
        };
        let code = outcome.map_or_else(|status| status.code(), |()| Code::Ok);
        tally.note(code, begun.elapsed());
        if code != Code::Ok {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_turned_away_early_and_no_node_is_given_up_or_grows_without_bound() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let calm = rounds(&nodes, "calm").await;
    let before: Vec<u64> = (0..3).map(|place| resident_kib(&stage, place)).collect();
    let tally = Arc::new(Tally::default());
    let mut clients = Vec::new();
    for place in 0..3 {
        for _ in 0..CLIENTS_PER_NODE {
            let node = stage.node(place).await;
            for client in 0..REQUESTS_PER_CLIENT {
                clients.push(tokio::spawn(flood(
                    node.clone(),
                    Arc::clone(&tally),
                    client,
                )));
            }
        }
    }
    let mut highest = before.clone();
    let mut suspicions = 0;
    until("the flood was a flood", async || {
        for (place, node) in nodes.iter().enumerate() {
            highest[place] = highest[place].max(resident_kib(&stage, place));
            let members = node.members().await.nodes;
            assert_eq!(members.len(), 3, "nobody is given up");
            suspicions += members.iter().map(|n| n.suspected_by.len()).sum::<usize>();
            let away: Vec<_> = members.iter().filter(|n| !n.is_connected).collect();
            assert!(away.is_empty(), "streams between nodes stand: {away:?}");
        }
        tally.all() >= FLOODED_MIN && tally.turned_away.load(Ordering::Relaxed) > 0
    })
    .await;
    tally.is_over.store(true, Ordering::Relaxed);
    let over = Instant::now();
    for client in clients {
        client.await.expect("no client panics");
    }
    let mut recovered = over.elapsed();
    until("requests are answered as they were before", async || {
        recovered = over.elapsed();
        let after = rounds(&nodes, "after").await;
        after.2 == 0 && after.1 < calm.1 * SLOWER_MAX
    })
    .await;
    println!(
        "requests took less than {SLOWER_MAX} times what they took before, {recovered:?} after the flood"
    );
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let (good, away, late) = (
        count(&tally.good),
        count(&tally.turned_away),
        count(&tally.late),
    );
    let mean_ms = count(&tally.turned_away_ms) / away.max(1);
    println!("{good} good, {away} turned away after {mean_ms} ms on average, {late} late");
    println!("{suspicions} suspicions seen, KiB before {before:?}, at most {highest:?}");
    assert!(
        Duration::from_millis(mean_ms) < DEADLINE / 2,
        "it is said early"
    );
    assert!(late <= good + away, "most hear something of use");
    for (before, highest) in before.iter().zip(&highest) {
        assert!(
            *highest < before + GROWTH_KIB_MAX,
            "{before} KiB became {highest}"
        );
    }
    is_as_before(&stage, &nodes).await;
    stage.end().await;
}

/// Ordinary requests get ordinary answers at every node, and nobody suspects anybody.
async fn is_as_before(stage: &Stage, nodes: &[Node]) {
    for (place, node) in nodes.iter().enumerate() {
        let key = format!("after-{place}");
        until("ordinary requests are answered", async || {
            node.try_put(putting("notes", &key, "calm")).await.is_ok()
        })
        .await;
        until("what was written is read", async || {
            let found = node.try_get(getting("notes", &key)).await;
            found.is_ok_and(|found| texts(&found).contains(&"calm".to_owned()))
        })
        .await;
    }
    until("nobody suspects anybody", async || {
        let members = nodes[0].members().await.nodes;
        members.iter().all(|node| node.suspected_by.is_empty())
    })
    .await;
    stage.all_connected().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_does_not_hold_the_others_up() {
    let stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let calm = rounds(&nodes[..3], "calm").await;
    stage.cluster.pause(3);
    let beside = rounds(&nodes[..3], "beside").await;
    stage.cluster.resume(3);
    let ratio = beside.1.as_secs_f64() / calm.1.as_secs_f64();
    println!(
        "{:?} for {} requests, beside a node that stands still {:?}: {ratio:.1} times",
        calm.1,
        calm.0 + calm.2,
        beside.1
    );
    let share = beside.0 as f64 / (beside.0 + beside.2) as f64;
    assert!(share >= 0.95, "{} good, {} not", beside.0, beside.2);
    is_as_before(&stage, &nodes).await;
    stage.end().await;
}

/// Writes and reads of fifty keys at each node: how many were good, how long they took, how many were not.
async fn rounds(nodes: &[Node], name: &str) -> (u64, Duration, u64) {
    let (mut good, mut bad, begun) = (0, 0, Instant::now());
    for key in 0..50 {
        for (place, node) in nodes.iter().enumerate() {
            let key = format!("{name}-{place}-{key}");
            let put = node.try_put(putting("notes", &key, "value")).await.is_ok();
            let get = node.try_get(getting("notes", &key)).await.is_ok();
            good += u64::from(put) + u64::from(get);
            bad += u64::from(!put) + u64::from(!get);
        }
    }
    (good, begun.elapsed(), bad)
}

pub fn client_address(stage: &Stage, place: usize) -> SocketAddr {
    let url = stage.cluster.url(place);
    let address = url.strip_prefix("http://").expect("an address");
    address.parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_never_speak_lose_their_places_to_those_that_do() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let before = resident_kib(&stage, 0);
    let address = client_address(&stage, 0);
    let mut silent = Vec::new();
    while silent.len() < SILENT_CONNECTIONS {
        match tokio::time::timeout(DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(connection)) => silent.push(connection),
            // The kernel's queue is full as well; this is flood enough.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    println!("{} connections that say nothing", silent.len());
    // Whoever was there before goes on, and whoever comes next is served after a while.
    assert!(
        nodes[0]
            .try_put(putting("notes", "key", "value"))
            .await
            .is_ok()
    );
    let url = stage.cluster.url(0);
    until("a newcomer is served", async || {
        let Ok(connection) = Connection::to(&url, Duration::from_secs(2)).await else {
            return false;
        };
        let newcomer = Node { connection };
        newcomer.try_get(getting("notes", "key")).await.is_ok()
    })
    .await;
    let after = resident_kib(&stage, 0);
    assert!(
        after < before + GROWTH_KIB_MAX,
        "{before} KiB became {after}"
    );
    drop(silent);
    is_as_before(&stage, &nodes).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giant_headers_are_refused_and_cost_nobody_else_anything() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    for bytes in [17 * 1024, 64 * 1024, 1024 * 1024] {
        let hostile = stage.node(0).await;
        let mut asked = Request::new(getting("notes", "key"));
        let header = "h".repeat(bytes).parse().expect("ascii");
        asked.metadata_mut().insert("rejoin-giant", header);
        let refused = hostile.connection.kv().get(asked).await;
        let refused = refused.expect_err("a header of that size");
        println!("{bytes} bytes of headers: {refused:?}");
        assert_ne!(refused.code(), Code::Ok);
        assert!(nodes[0].try_get(getting("notes", "key")).await.is_ok());
    }
    is_as_before(&stage, &nodes).await;
    stage.end().await;
}

/// Requests over HTTP/2 as no client of gRPC would make them.
pub struct Raw {
    requests: h2::client::SendRequest<Bytes>,
    pub connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Raw {
    pub async fn to(address: SocketAddr, window_bytes: u32) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window_bytes);
        let (requests, connection) = builder.handshake(stream).await.expect("it speaks HTTP/2");
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }

    /// Asks for a key. The body follows unless it is `None`.
    async fn get(&mut self, key: &str, is_whole: bool) -> Result<Asked, h2::Error> {
        let asked = [getting("notes", key)];
        let asked = is_whole.then_some(&asked[..]);
        self.ask("Kv/Get", asked.unwrap_or_default()).await
    }

    /// Asks for anything, with all messages of the request at once. Without one its body stays open.
    pub async fn ask(
        &mut self,
        method: &str,
        messages: &[impl prost::Message],
    ) -> Result<Asked, h2::Error> {
        let request = http::Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("http://rejoin/rejoin.v1.{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        self.requests = self.requests.clone().ready().await?;
        let (response, mut body) = self.requests.send_request(request, false)?;
        let mut framed = Vec::new();
        for message in messages {
            let message = message.encode_to_vec();
            framed.push(0);
            framed.extend((message.len() as u32).to_be_bytes());
            framed.extend(message);
        }
        if !framed.is_empty() {
            // Whoever is turned away before the request was read has an answer, and nobody to send it to.
            drop(body.send_data(framed.into(), true));
        }
        Ok((response, body))
    }
}

pub type Asked = (h2::client::ResponseFuture, h2::SendStream<Bytes>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_resets_ends_its_own_connection_and_no_other() {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let before = resident_kib(&stage, 0);
    let mut ended = 0;
    for _ in 0..4 {
        let mut raw = Raw::to(client_address(&stage, 0), 65_535).await;
        for _ in 0..5_000 {
            match raw.get("key", false).await {
                Ok((_, mut body)) => body.send_reset(h2::Reason::CANCEL),
                Err(_) => break,
            }
            tokio::task::yield_now().await;
        }
        assert!(nodes[0].try_get(getting("notes", "key")).await.is_ok());
        drop(raw.requests);
        let outcome = tokio::time::timeout(DEADLINE, raw.connection).await;
        ended += u32::from(matches!(outcome, Ok(Ok(Err(_)))));
    }
    let after = resident_kib(&stage, 0);
    println!("{ended} of 4 connections were ended by the node; {before} KiB became {after}");
    assert!(
        after < before + GROWTH_KIB_MAX,
        "{before} KiB became {after}"
    );
    is_as_before(&stage, &nodes).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_hold_nobody_up_and_give_back_what_they_held() {
    const READERS: usize = 4;
    const STREAMS: usize = 60;
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let large = "v".repeat(256 * 1024);
    nodes[0].put("notes", "large", &large).await;
    let before = resident_kib(&stage, 0);
    let mut readers = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..READERS {
        // A window so small that no answer fits.
        let mut raw = Raw::to(client_address(&stage, 0), 1_024).await;
        for _ in 0..STREAMS {
            let (response, body) = raw.get("large", true).await.expect("it is taken");
            let response = tokio::time::timeout(DEADLINE, response).await;
            answers.push((response.expect("in time").expect("an answer"), body));
        }
        readers.push(raw);
    }
    let held = resident_kib(&stage, 0);
    assert!(nodes[0].try_get(getting("notes", "large")).await.is_ok());
    drop(answers);
    drop(readers);
    is_as_before(&stage, &nodes).await;
    let after = resident_kib(&stage, 0);
    println!(
        "{} unread answers of 256 KiB: {before} KiB, {held} held, {after} after",
        READERS * STREAMS
    );
    assert!(held < before + GROWTH_KIB_MAX, "{before} KiB became {held}");
    stage.end().await;
}

/// KiB that the process of a node has in memory.
pub fn resident_kib(stage: &Stage, place: usize) -> u64 {
    let process = stage.process(place);
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.expect("a size")
}
