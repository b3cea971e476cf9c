//! `rejoin serve`: one node, until it is told to stop.
//!
//! Invariant: the ready line is printed when all listeners take connections, and a stop by signal ends
//! with everything synced and exit status 0.

use super::arguments::Serve;
use super::output::print_json;
use super::starting_over::{Listening, is_full, lacks_room, start_over, wait_for_room};
use crate::api::listen::{serve_clients, serve_metrics, serve_peers};
use crate::config::{Config, StorageEngine};
use crate::node::failure::Failure;
use crate::node::server::{Addresses, Node};
use anyhow::Context as _;
use serde_json::json;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// How long open requests may take once the node was told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(12);

impl Serve {
    /// Asks the kernel to end this process with its parent, if the parent asked for it.
    pub fn follow_parent(&self) -> anyhow::Result<()> {
        if self.with_parent {
            let signal = Some(rustix::process::Signal::TERM);
            rustix::process::set_parent_process_death_signal(signal)?;
        }
        Ok(())
    }

    fn load(&self) -> anyhow::Result<Config> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let given = [
            ("node", self.node.clone()),
            ("data", path(&self.data)),
            ("client", address(self.client)),
            ("peer", address(self.peer)),
            ("metrics", address(self.metrics)),
            ("advertise_client", self.advertise_client.clone()),
            ("advertise_peer", self.advertise_peer.clone()),
            ("join_token_file", path(&self.join_token_file)),
        ];
        let given = given.into_iter();
        let given = given.filter_map(|(name, value)| Some((name, value?.into())));
        let mut overrides: Vec<(&str, config::Value)> = given.collect();
        if self.insecure {
            overrides.push(("insecure", true.into()));
        }
        if !self.seeds.is_empty() {
            overrides.push(("seeds", self.seeds.clone().into()));
        }
        Ok(Config::load(&self.config, overrides)?)
    }
}

pub async fn run(serve: Serve, json: bool) -> anyhow::Result<()> {
    log_to_stderr();
    let config = serve.load()?;
    let mut signals = Signals::listen()?;
    let folder = config.data.clone();
    if config.storage != StorageEngine::Memory && lacks_room(&folder) {
        return outlast(
            &folder,
            "there is no room to open the database",
            &mut signals,
        )
        .await;
    }
    let listeners = Listeners::bind(&config).await?;
    let addresses = listeners.advertised(&config);
    let (node, running) = match Node::start(config, addresses).await {
        Ok(started) => started,
        Err(error) if is_full(&error) => {
            drop(listeners); // Nobody shall wait for an answer here.
            return outlast(&folder, &format!("{error:#}"), &mut signals).await;
        }
        Err(error) => return Err(error),
    };
    let (stopping, _) = watch::channel(false);
    let clients = tokio::spawn(serve_clients(
        Arc::clone(&node),
        listeners.clients,
        stopped(&stopping),
    ));
    let peers = tokio::spawn(serve_peers(
        Arc::clone(&node),
        listeners.peers,
        stopped(&stopping),
    ));
    let metrics = listeners.metrics.map(|listener| {
        let serving = serve_metrics(Arc::clone(&node), listener, stopped(&stopping));
        tokio::spawn(serving)
    });
    print_ready(&node, &listeners.bound, json);
    let end = end_of(&node, &folder, &mut signals).await;
    stopping.send_replace(true);
    drain(clients).await;
    if let Some(metrics) = metrics {
        metrics.abort(); // Nobody waits for a page of a node that has stopped.
    }
    match end {
        End::Told => {}
        // Its disk may never answer again, so nothing is waited for.
        End::Failed(reason) => anyhow::bail!("the node stopped itself: {reason}"),
        End::Room => return Err(start_over(Some(&listeners.bound))),
    }
    running.stop().await;
    peers.abort(); // Its streams last as long as the peers do; nothing is said on them any more.
    Ok(())
}

/// Why a node does not go on.
enum End {
    /// Somebody said so.
    Told,
    Failed(String),
    /// Its disk was full, and it can start over.
    Room,
}

/// Resolves when the node must not go on. One whose disk is full reads on meanwhile.
async fn end_of(node: &Node, folder: &Path, signals: &mut Signals) -> End {
    let full = tokio::select! {
        reason = signals.received() => return told(reason),
        failure = node.failure(None) => failure,
    };
    let Failure::Full(why) = &full else {
        return failed(full);
    };
    tokio::select! {
        reason = signals.received() => told(reason),
        failure = node.failure(Some(&full)) => failed(failure),
        () = wait_for_room(folder, why) => End::Room,
    }
}

fn told(reason: &str) -> End {
    tracing::info!(reason, "stopping");
    End::Told
}

fn failed(failure: Failure) -> End {
    let (Failure::Full(reason) | Failure::Disk(reason)) = failure;
    End::Failed(reason)
}

/// A node that cannot start for want of room waits, and starts then.
async fn outlast(folder: &Path, why: &str, signals: &mut Signals) -> anyhow::Result<()> {
    tokio::select! {
        reason = signals.received() => {
            told(reason);
            Ok(())
        }
        () = wait_for_room(folder, why) => Err(start_over(None)),
    }
}

struct Listeners {
    clients: TcpListener,
    peers: TcpListener,
    metrics: Option<TcpListener>,
    bound: Listening,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let clients = bind("client", config.client).await?;
        let peers = bind("peer", config.peer).await?;
        let metrics = match config.metrics {
            Some(address) => Some(bind("metrics", address).await?),
            None => None,
        };
        let bound = Listening {
            client: clients.local_addr()?,
            peer: peers.local_addr()?,
            metrics: metrics.as_ref().map(TcpListener::local_addr).transpose()?,
        };
        Ok(Self {
            clients,
            peers,
            metrics,
            bound,
        })
    }

    /// What the configuration says, or where this node really listens.
    fn advertised(&self, config: &Config) -> Addresses {
        let said = |said: &Option<String>, bound: SocketAddr| {
            let said = said.clone();
            said.unwrap_or_else(|| bound.to_string())
        };
        Addresses {
            client: said(&config.advertise_client, self.bound.client),
            peer: said(&config.advertise_peer, self.bound.peer),
        }
    }
}

async fn bind(field: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another `{field}` address, or end who uses it")
    })
}

fn log_to_stderr() {
    // sled logs an error before it returns it, also those that the probe of `durability` is made to cause.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sled=off"));
    // A second call, as in tests that run two nodes in one process, changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

fn print_ready(node: &Node, bound: &Listening, json: bool) {
    let name = node.id();
    let Listening {
        client,
        peer,
        metrics,
    } = bound;
    match json {
        true => print_json(&json!({
            "ready": name.as_str(),
            "client": client.to_string(),
            "peer": peer.to_string(),
            "metrics": metrics.map(|address| address.to_string()),
        })),
        false => {
            let scheme = match node.transport.clients() {
                Some(_) => "https",
                None => "http",
            };
            println!("{name} is ready: clients at {scheme}://{client}, nodes at {peer}");
        }
    }
}

async fn stopped_of(mut stopping: watch::Receiver<bool>) {
    // The sender outlives the servers; if it does not, it is time to stop as well.
    drop(stopping.wait_for(|stop| *stop).await);
}

fn stopped(stopping: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    stopped_of(stopping.subscribe())
}

/// The signals that ask for an orderly end; from `listen` on they no longer end the process themselves.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Resolves with the name of the signal, also if it came earlier.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Waits for the open requests of clients, but not for ever.
async fn drain(mut server: tokio::task::JoinHandle<anyhow::Result<()>>) {
    match tokio::time::timeout(DRAIN_TIMEOUT, &mut server).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::error!(error = format!("{error:#}"), "serving ended badly"),
        Ok(Err(error)) => tracing::error!(%error, "serving ended badly"),
        Err(_) => {
            tracing::warn!("open requests were cut off");
            server.abort();
        }
    }
}
