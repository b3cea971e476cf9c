//! Clients that do not read their answers: a node holds so much for them and no more, and others are served meanwhile.
//!
//! They speak HTTP/2 with windows so small that no answer fits, and go on answering pings, so that keep-alive finds
//! nothing wrong with them.
//!
//! Invariant: what is asserted are bytes that a node counts or has in memory, never times.

use super::metrics::sample;
use super::overload::{Asked, Raw, client_address, resident_kib};
use super::stage::{Node, Stage, error_info, getting, putting, until};
use h2::{RecvStream, SendStream};
use prost::Message;
use rejoin::wire::proto::v1 as proto;
use std::collections::VecDeque;
use std::time::Duration;
use tonic::{Code, Status};

const MIB: u64 = 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(8);
/// What a connection may leave unread, and what all of them may.
const UNREAD_MIB: u64 = 16;
const UNREAD_NODE_MIB: u64 = 512;
const UNREAD: &str = "rejoin_unread_answer_bytes{listener=\"clients\"}";
const REFUSED: &str = "rejoin_unread_refused_total{listener=\"clients\"}";
const CLOSED: &str = "rejoin_unread_closed_total{listener=\"clients\"}";
const VALUE_BYTES: usize = 256 * 1024;
/// The window of a stream; thirty of them fit into the first window of a connection.
const WINDOW_BYTES: u32 = 2 * 1024;

/// A stage with a large value under `notes/large`.
async fn stage_with_a_large_value() -> (Stage, Vec<Node>) {
    let stage = Stage::of(3).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    nodes[0].put("notes", "large", &large()).await;
    (stage, nodes)
}

fn large() -> String {
    "v".repeat(VALUE_BYTES)
}

/// A connection of somebody who asks and never reads.
struct Deaf {
    raw: Raw,
    answered: Vec<(RecvStream, SendStream<bytes::Bytes>)>,
    refused: Vec<Status>,
}

impl Deaf {
    async fn at(stage: &Stage) -> Self {
        Self {
            raw: Raw::to(client_address(stage, 0), WINDOW_BYTES).await,
            answered: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Asks so many times, as long as the node takes requests.
    async fn ask(&mut self, times: usize, method: &str, messages: &[impl Message]) {
        for _ in 0..times {
            let asked = tokio::time::timeout(DEADLINE, self.raw.ask(method, messages)).await;
            let Ok(asked) = asked else {
                return; // All streams of the connection are taken.
            };
            let (response, asking): Asked = asked.expect("it is taken");
            let response = tokio::time::timeout(DEADLINE, response).await;
            let response = response.expect("in time").expect("an answer");
            match Status::from_header_map(response.headers()) {
                Some(status) => self.refused.push(status),
                None => self.answered.push((response.into_body(), asking)),
            }
        }
    }
}

/// Somebody else reads large and small values, and writes.
async fn others_are_served(node: &Node) {
    for turn in 0..5 {
        let key = format!("other-{turn}");
        node.put("notes", &key, "value").await;
        assert!(!node.get("notes", &key).await.values.is_empty());
        assert_eq!(node.get("notes", "large").await.values[0].value, large());
    }
}

/// KiB more than before.
fn grown_kib(stage: &Stage, before: u64) -> u64 {
    resident_kib(stage, 0).saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_no_answer_is_turned_away_and_everybody_else_is_served() {
    let (stage, nodes) = stage_with_a_large_value().await;
    nodes[0].create("names", proto::Properties::default()).await;
    for key in 0..300 {
        let key = format!("{key:0>2000}");
        let put = nodes[0].try_put(putting("names", &key, "value")).await;
        put.expect("a put");
    }
    let before = resident_kib(&stage, 0);
    let mut gets = Deaf::at(&stage).await;
    gets.ask(400, "Kv/Get", &[getting("notes", "large")]).await;
    let mut lists = Deaf::at(&stage).await;
    let page = proto::ListKeysRequest {
        bucket: "names".to_owned(),
        page_size: Some(300),
        ..proto::ListKeysRequest::default()
    };
    lists.ask(400, "Kv/ListKeys", &[page]).await;
    let mut batch = Deaf::at(&stage).await;
    let batched = vec![getting("notes", "large"); 400];
    batch.ask(1, "Kv/BatchGet", &batched).await;
    others_are_served(&nodes[0]).await;
    let grown = grown_kib(&stage, before);
    println!(
        "{} gets and {} pages answered, {} and {} refused; {grown} KiB more in memory",
        gets.answered.len(),
        lists.answered.len(),
        gets.refused.len(),
        lists.refused.len()
    );
    assert!(grown < 112 * 1024, "{grown} KiB more");
    for asked in [&gets, &lists] {
        assert_eq!(asked.answered.len() + asked.refused.len(), 400);
        for status in &asked.refused {
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert_eq!(error_info(status).0, "UNREAD_ANSWERS");
        }
    }
    let refused = sample(&stage, 0, REFUSED).await as usize;
    assert_eq!(refused, gets.refused.len() + lists.refused.len());
    let unread = sample(&stage, 0, UNREAD).await as u64;
    println!("{unread} bytes unread");
    let most = 3 * (UNREAD_MIB + 1) * MIB;
    assert!((UNREAD_MIB * MIB..most).contains(&unread), "{unread} bytes");
    drop((gets, lists, batch));
    until("all is given back", async || {
        sample(&stage, 0, UNREAD).await == 0.0
    })
    .await;
    others_are_served(&nodes[0]).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_read_nothing_share_what_a_node_holds_for_all_of_them() {
    let (stage, nodes) = stage_with_a_large_value().await;
    let before = resident_kib(&stage, 0);
    // All at once, so that none is closed before the last has asked.
    let asking = (0..20).map(async |_| {
        let mut deaf = Deaf::at(&stage).await;
        deaf.ask(120, "Kv/Get", &[getting("notes", "large")]).await;
        deaf
    });
    let connections = futures_util::future::join_all(asking).await;
    others_are_served(&nodes[0]).await;
    let grown = grown_kib(&stage, before);
    let answered: Vec<usize> = connections.iter().map(|deaf| deaf.answered.len()).collect();
    println!("{answered:?} answered; {grown} KiB more in memory");
    assert!(grown < 640 * 1024, "{grown} KiB more");
    let shared = |status: &Status| status.message().contains("has its share");
    let mut refused = connections.iter().flat_map(|deaf| &deaf.refused);
    assert!(refused.any(shared), "each gets its share, no more");
    let unread = sample(&stage, 0, UNREAD).await as u64;
    println!("{unread} bytes unread");
    assert!(unread < UNREAD_NODE_MIB * MIB, "{unread} bytes are unread");
    drop(connections);
    until("all is given back", async || {
        sample(&stage, 0, UNREAD).await == 0.0
    })
    .await;
    others_are_served(&nodes[0]).await;
    stage.end().await;
}

/// Somebody who reads a little at a time.
struct Slow {
    bodies: VecDeque<RecvStream>,
    begun: Vec<u8>,
    whole: Vec<Vec<u8>>,
}

impl Slow {
    /// Reads what fits into a window; false when there is nothing left.
    async fn read_some(&mut self) -> bool {
        let Some(body) = self.bodies.front_mut() else {
            return false;
        };
        match tokio::time::timeout(DEADLINE, body.data()).await {
            Ok(Some(data)) => {
                let data = data.expect("nobody ends it");
                let released = body.flow_control().release_capacity(data.len());
                released.expect("it was taken");
                self.begun.extend(data);
            }
            Ok(None) => {
                self.bodies.pop_front();
                self.whole.push(std::mem::take(&mut self.begun));
            }
            Err(_) => panic!("an answer stands still"),
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_is_closed_and_who_reads_slowly_gets_every_answer_whole() {
    const ANSWERS: usize = 25;
    let (stage, nodes) = stage_with_a_large_value().await;
    let mut asking = Deaf::at(&stage).await;
    let question = [getting("notes", "large")];
    asking.ask(ANSWERS, "Kv/Get", &question).await;
    let (bodies, _asked): (VecDeque<_>, Vec<_>) = asking.answered.drain(..).unzip();
    assert_eq!(bodies.len(), ANSWERS);
    let mut slow = Slow {
        bodies,
        begun: Vec::new(),
        whole: Vec::new(),
    };
    let mut deaf = Deaf::at(&stage).await;
    deaf.ask(1, "Kv/Get", &question).await;
    assert_eq!(deaf.answered.len(), 1);
    until("the connection that takes nothing is closed", async || {
        slow.read_some().await;
        deaf.raw.connection.is_finished()
    })
    .await;
    assert!(!slow.bodies.is_empty(), "it is read beside that");
    assert!(!asking.raw.connection.is_finished());
    assert_eq!(sample(&stage, 0, CLOSED).await, 1.0);
    while slow.read_some().await {}
    assert_eq!(slow.whole.len(), ANSWERS);
    for answer in &slow.whole {
        let answer = proto::GetResponse::decode(&answer[5..]).expect("an answer");
        assert_eq!(answer.values[0].value, large());
    }
    others_are_served(&nodes[0]).await;
    drop((asking, slow, deaf));
    until("all is given back", async || {
        sample(&stage, 0, UNREAD).await == 0.0
    })
    .await;
    stage.end().await;
}
