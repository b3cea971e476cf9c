//! A disk that fails a write or a sync, under a real node: it stops acknowledging, does not try again, and ends.
//!
//! The node runs as a process whose system calls are followed; one of them is made to fail with EIO, and all
//! later ones succeed, as a disk does that has dropped the pages: who tried again would be told a lie.
//!
//! Invariant: what was acknowledged before is there after a restart.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[allow(
    dead_code,
    reason = "this test needs only some of what the stage offers"
)]
#[path = "cluster/stage.rs"]
mod stage;
#[allow(dead_code, reason = "nothing is read from the followed process here")]
#[path = "power_loss/tracer.rs"]
mod tracer;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use rejoin::wire::proto::v1 as proto;
use stage::{Node, getting, putting, rejoin_binary, texts, until};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use tracer::{Call, End, Order, Witness, follow};

const PWRITE: u64 = 18;
const FSYNC: u64 = 74;
const FDATASYNC: u64 = 75;

/// Fails one call on the engine's files once it is told to, and counts those that come after.
#[derive(Default)]
struct Fault {
    armed: AtomicBool,
    failed: AtomicBool,
    calls_after: AtomicU64,
}

struct Saboteur {
    fault: Arc<Fault>,
    files: PathBuf,
    kinds: &'static [u64],
}

impl Witness for Saboteur {
    fn enters(&mut self, call: &Call) -> Result<Order> {
        let kinds = [PWRITE, FSYNC, FDATASYNC];
        if !kinds.contains(&call.number) {
            return Ok(Order::Proceed);
        }
        let file = call.file(call.arguments[0] as i32).unwrap_or_default();
        if !file.starts_with(&self.files) {
            return Ok(Order::Proceed);
        }
        if self.fault.failed.load(Ordering::SeqCst) {
            self.fault.calls_after.fetch_add(1, Ordering::SeqCst);
            return Ok(Order::Proceed);
        }
        if self.kinds.contains(&call.number) && self.fault.armed.load(Ordering::SeqCst) {
            self.fault.failed.store(true, Ordering::SeqCst);
            return Ok(Order::FailWith(Errno::EIO));
        }
        Ok(Order::Proceed)
    }

    fn leaves(&mut self, _call: &Call, _result: i64) -> Result<()> {
        Ok(())
    }
}

/// A node of its own cluster, followed by a thread.
struct Followed {
    thread: JoinHandle<Result<End>>,
    folder: PathBuf,
    starts: u32,
}

impl Followed {
    fn start(
        folder: &Path,
        engine: &str,
        kinds: &'static [u64],
        fault: &Arc<Fault>,
        starts: u32,
    ) -> Result<Self> {
        let configuration = format!(
            "node = \"n1\"\ndata = \"{}\"\nstorage = \"{engine}\"\nclient = \"127.0.0.1:0\"\n\
             peer = \"127.0.0.1:0\"\ninsecure = true\n[[members]]\nnode = \"n1\"\npeer = \"127.0.0.1:1\"\n",
            folder.join("data").display()
        );
        fs::write(folder.join("n1.toml"), configuration)?;
        let said = File::create(folder.join(format!("said-{starts}")))?;
        let log = File::create(folder.join(format!("log-{starts}")))?;
        let mut command = Command::new(rejoin_binary());
        command.args(["--json", "serve", "--with-parent", "--config"]);
        command.arg(folder.join("n1.toml")).stdout(said).stderr(log);
        let mut saboteur = Saboteur {
            fault: Arc::clone(fault),
            files: folder.join("data").join(engine),
            kinds,
        };
        let thread = std::thread::spawn(move || follow(&mut command, &mut saboteur));
        Ok(Self {
            thread,
            folder: folder.to_owned(),
            starts,
        })
    }

    async fn client(&self) -> Result<Node> {
        let said = self.folder.join(format!("said-{}", self.starts));
        until("the node is ready", async || {
            let said = fs::read_to_string(&said).unwrap_or_default();
            said.contains('\n') || self.thread.is_finished()
        })
        .await;
        let line = fs::read_to_string(&said)?;
        let ready: serde_json::Value =
            serde_json::from_str(line.lines().next().context("it ended")?)?;
        let address = ready["client"]
            .as_str()
            .context("it says where it listens")?;
        Ok(Node::at(&format!("http://{address}")).await)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join(format!("log-{}", self.starts))).unwrap_or_default()
    }
}

fn durably(number: u32) -> proto::PutRequest {
    proto::PutRequest {
        ack: proto::Ack::Durable.into(),
        ..putting("ledger", &format!("key {number}"), "written")
    }
}

/// Puts until the node ends; the numbers that were acknowledged.
async fn put_until_it_ends(client: &Node, node: &Followed, fault: &Fault) -> Result<Vec<u32>> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if number == 5 {
            fault.armed.store(true, Ordering::SeqCst);
        }
        let had_failed = fault.failed.load(Ordering::SeqCst);
        match client.try_put(durably(number)).await {
            Ok(_) => {
                ensure!(
                    !had_failed,
                    "put {number} was acknowledged after the disk had failed"
                );
                acknowledged.push(number);
            }
            Err(_) if node.thread.is_finished() => break,
            Err(_) => {}
        }
        ensure!(
            number < 100_000,
            "the node goes on after its disk has failed"
        );
    }
    Ok(acknowledged)
}

async fn ends_and_keeps_its_word(engine: &str, kinds: &'static [u64]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().canonicalize()?;
    let fault = Arc::new(Fault::default());
    let node = Followed::start(&path, engine, kinds, &fault, 1)?;
    let client = node.client().await?;
    let properties = proto::Properties {
        n: Some(1),
        r: Some(1),
        w: Some(1),
        ..proto::Properties::default()
    };
    client.create("ledger", properties).await;
    let acknowledged = put_until_it_ends(&client, &node, &fault).await?;
    let log = node.log();
    let end = node
        .thread
        .join()
        .map_err(|_| anyhow::anyhow!("the follower panicked"))??;
    ensure!(
        matches!(end, End::Exited(code) if code != 0),
        "it ended with {end:?}: {log}"
    );
    ensure!(log.contains("the node stopped itself"), "{log}");
    ensure!(acknowledged.len() >= 5, "{acknowledged:?}");
    let after = fault.calls_after.load(Ordering::SeqCst);
    ensure!(
        after == 0,
        "{after} writes or syncs came after the one that failed"
    );

    let node = Followed::start(&path, engine, kinds, &Arc::default(), 2)?;
    let client = node.client().await?;
    for number in &acknowledged {
        let found = client
            .try_get(getting("ledger", &format!("key {number}")))
            .await?;
        ensure!(texts(&found) == ["written"], "key {number} shows {found:?}");
    }
    ensure!(
        client.try_put(durably(100_000)).await.is_ok(),
        "it works again"
    );
    let found = client.try_get(getting("ledger", "key 100000")).await?;
    ensure!(texts(&found) == ["written"]);
    Ok(()) // The node ends with the thread that follows it, at the latest with this process.
}

#[tokio::test]
async fn a_sled_node_whose_sync_fails_acknowledges_nothing_more_and_ends() -> Result<()> {
    ends_and_keeps_its_word("sled", &[FSYNC, FDATASYNC]).await
}

#[tokio::test]
async fn a_redb_node_whose_sync_fails_acknowledges_nothing_more_and_ends() -> Result<()> {
    ends_and_keeps_its_word("redb", &[FSYNC, FDATASYNC]).await
}

#[tokio::test]
async fn a_sled_node_whose_write_fails_acknowledges_nothing_more_and_ends() -> Result<()> {
    ends_and_keeps_its_word("sled", &[PWRITE]).await
}

#[tokio::test]
async fn a_redb_node_whose_write_fails_acknowledges_nothing_more_and_ends() -> Result<()> {
    ends_and_keeps_its_word("redb", &[PWRITE]).await
}
