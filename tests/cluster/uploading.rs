//! Uploads that take long: the work outlives the request, and is told step by step.
//!
//! What takes long is a compiler that is stopped, so that no test waits for a real one.
//!
//! Invariant: every compiler that a test stops is let go on.

use super::stage::{Node, Stage, error_info, until};
use super::written_plugins::{KEEP, resolver, resolver_with};
use bytes::Bytes;
use rejoin::config::StorageEngine;
use rejoin::limits::versions::UPLOADS_MAX;
use rejoin::wasm::compiler::child::SUBCOMMAND;
use rejoin::wire::proto::v1 as proto;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use tonic::{Code, Status, Streaming};

/// A module that is compiled for long enough to be caught at it.
fn large() -> Bytes {
    let body = "(local.set 0 (i32.xor (i32.mul (local.get 0) (i32.const 31)) (local.get 1)))";
    let body = body.repeat(20);
    let function = format!("(func (param i32 i32) (result i32) {body} (local.get 0))");
    resolver_with("large", KEEP, &function.repeat(4_000))
}

fn parts(bytes: &Bytes) -> impl tokio_stream::Stream<Item = proto::PushRequest> + use<> {
    use proto::push_request::Part;
    let start = Part::Start(proto::PushStart {
        size_bytes: bytes.len() as u64,
        sha256: String::new(),
    });
    let chunks: Vec<_> = bytes.chunks(500_000).map(Bytes::copy_from_slice).collect();
    let parts = std::iter::once(start).chain(chunks.into_iter().map(Part::Chunk));
    tokio_stream::iter(parts.map(|part| proto::PushRequest { part: Some(part) }))
}

async fn upload(node: &Node, bytes: &Bytes) -> Result<Streaming<proto::UploadProgress>, Status> {
    let told = node.connection.plugins().upload(parts(bytes)).await?;
    Ok(told.into_inner())
}

/// The next message of this stage; those before it are passed over.
async fn told(
    messages: &mut Streaming<proto::UploadProgress>,
    stage: proto::UploadStage,
) -> proto::UploadProgress {
    loop {
        let message = messages.message().await.expect("the upload goes well");
        let message = message.expect("it is told to its end");
        if message.stage() == stage {
            return message;
        }
        assert!(message.pushed.is_none(), "{stage:?} was never told");
    }
}

/// The process in which a node compiles, stopped.
struct Frozen(Pid);

impl Frozen {
    async fn on(stage: &Stage, place: usize) -> Self {
        let parent = stage.process(place).to_string();
        let mut found = None;
        until("the node compiles", async || {
            found = compiler_of(&parent);
            found.is_some()
        })
        .await;
        let compiler = found.expect("it was found");
        kill_process(compiler, Signal::STOP).expect("it runs");
        Self(compiler)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Its node may have ended it by now.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn compiler_of(parent: &str) -> Option<Pid> {
    let processes = fs::read_dir("/proc").expect("there are processes");
    processes.flatten().find_map(|process| {
        let words = fs::read_to_string(process.path().join("cmdline")).ok()?;
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let (_, stat) = stat.rsplit_once(") ")?;
        let is_it = words.contains(SUBCOMMAND) && stat.split(' ').nth(1) == Some(parent);
        let number = process.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(number).filter(|_| is_it)
    })
}

async fn patient(nodes: usize) -> Stage {
    let settings = [("REJOIN_PLUGIN_BYTES_MAX", "33554432")];
    Stage::with_settings(StorageEngine::Sled, nodes, 0, &settings).await
}

#[tokio::test]
async fn an_upload_goes_on_when_its_client_leaves_and_whoever_sends_it_again_is_told() {
    use proto::UploadStage::{Compiling, Done, Staging};
    let stage = patient(3).await;
    let node = stage.node(0).await;
    let bytes = large();
    let mut first = upload(&node, &bytes).await.expect("it is taken");
    let compiler = Frozen::on(&stage, 0).await;
    let begun = told(&mut first, Compiling).await;
    assert_eq!((begun.nodes_ready, begun.nodes_total), (0, 3));
    drop(first);
    drop(compiler);
    // Nobody asks, and the others have it to compile.
    let others = (Frozen::on(&stage, 1).await, Frozen::on(&stage, 2).await);
    let mut again = upload(&node, &bytes).await.expect("it is taken");
    for _ in 0..2 {
        let staging = told(&mut again, Staging).await;
        assert_eq!((staging.nodes_ready, staging.refusals.len()), (1, 0));
    }
    drop(others);
    let done = told(&mut again, Done).await;
    let pushed = done.pushed.expect("the end has the result");
    assert_eq!((pushed.nodes_ready, pushed.nodes_total), (3, 3));
    assert_eq!(pushed.plugin.expect("a plugin").name, "large");
    stage.end().await;
}

#[tokio::test]
async fn more_uploads_at_a_time_than_there_may_be_are_turned_away() {
    let stage = patient(1).await;
    let node = stage.node(0).await;
    let mut uploads = vec![upload(&node, &large()).await.expect("it is taken")];
    let compiler = Frozen::on(&stage, 0).await;
    for number in 1..UPLOADS_MAX {
        let bytes = resolver(&format!("waits-{number}"), KEEP);
        uploads.push(upload(&node, &bytes).await.expect("it is taken"));
    }
    let refused = upload(&node, &resolver("surplus", KEEP)).await;
    let refused = refused.expect_err("there is no place");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(error_info(&refused).0, "UPLOADS");
    drop(compiler);
    for upload in &mut uploads {
        told(upload, proto::UploadStage::Done).await;
    }
    assert_eq!(node.plugins().await.len(), UPLOADS_MAX);
    stage.end().await;
}
