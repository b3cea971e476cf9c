//! A cluster of real node processes on this machine, for `rejoin dev`, the demonstration and the tests.
//!
//! Starts and ends processes and cuts the links between them. Every byte between two nodes goes through a
//! link of ours unless the ports are fixed.
//!
//! Invariant: no node outlives the process that started it.

use super::proxy::Link;
use crate::config::{AccessConfig, Config, MemberConfig, StorageEngine};
use crate::dynamo::metadata::facts::PROTOCOL_MAX;
use crate::limits::{
    ANTI_ENTROPY_INTERVAL_MS_DEFAULT, CONVERGE_QUIET_MS_DEFAULT, FOREGROUND_P99_MS_DEFAULT,
    HINT_BYTES_MAX, HINT_RETRY_MS, HINTS_MAX, PARTITIONS_DEFAULT, PLUGIN_BYTES_DEFAULT, PROBE_MS,
    REAP_INTERVAL_MS_DEFAULT, STAND_IN_AFTER_MS, SUSPECT_MS, TOMBSTONE_HORIZON_MS_DEFAULT,
};
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How the nodes of a cluster reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// On this port and those after it; peer ports are 100 higher.
    Ports(u16),
    /// On free ports, through links that can be cut.
    Links,
}

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `rejoin` binary.
    pub binary: PathBuf,
    /// Everything that the nodes keep.
    pub folder: PathBuf,
    pub nodes: usize,
    /// Nodes that are ready to be started and to join; they come after the others.
    pub spares: usize,
    pub wiring: Wiring,
    pub storage: StorageEngine,
    /// `REJOIN_...` variables of the nodes.
    pub settings: Vec<(&'static str, String)>,
}

/// A running cluster.
#[derive(Debug)]
pub struct LocalCluster {
    plan: Plan,
    nodes: Vec<LocalNode>,
    /// By the places of the node that dials and of the one that is dialled.
    links: BTreeMap<(usize, usize), Link>,
}

#[derive(Debug)]
struct LocalNode {
    name: String,
    client: SocketAddr,
    metrics: Option<SocketAddr>,
    child: Option<(Child, Lines<BufReader<ChildStdout>>)>,
}

/// The line that a node prints when it is ready.
#[derive(Deserialize)]
struct Ready {
    client: SocketAddr,
    peer: SocketAddr,
    metrics: Option<SocketAddr>,
}

impl LocalCluster {
    /// Starts all nodes and waits until they are ready, though not yet connected.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&plan.folder)
            .with_context(|| format!("making the folder {}", plan.folder.display()))?;
        let node = |place: usize| LocalNode {
            name: format!("n{}", place + 1),
            client: client_address(plan.wiring, place),
            metrics: None,
            child: None,
        };
        let mut cluster = Self {
            nodes: (0..plan.nodes + plan.spares).map(node).collect(),
            links: BTreeMap::new(),
            plan,
        };
        cluster.write_token()?;
        if cluster.plan.wiring == Wiring::Links {
            cluster.lay_links().await?;
        }
        for place in 0..cluster.nodes.len() {
            cluster.write_config(place)?;
        }
        for place in 0..cluster.plan.nodes {
            cluster.start_node(place).await?;
        }
        Ok(cluster)
    }

    /// The secret that lets the spares in; drawn anew for every cluster.
    fn write_token(&self) -> anyhow::Result<()> {
        let file = self.token_file();
        if file.exists() {
            return Ok(());
        }
        let mut options = std::fs::OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let token: [u8; 16] = rand::random();
        let mut open = options.open(&file).context("writing the join token")?;
        open.write_all(hex::encode(token).as_bytes())?;
        Ok(())
    }

    fn token_file(&self) -> PathBuf {
        self.plan.folder.join("join-token")
    }

    async fn lay_links(&mut self) -> anyhow::Result<()> {
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|to| *to != from) {
                self.links.insert((from, to), Link::open().await?);
            }
        }
        Ok(())
    }

    /// Names of the nodes, in the order of their places, spares included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// Where clients find the node at `place`.
    pub fn url(&self, place: usize) -> String {
        format!("http://{}", self.nodes[place].client)
    }

    /// Where the node at `place` shows its metrics, if it does.
    pub fn metrics(&self, place: usize) -> Option<SocketAddr> {
        self.nodes[place].metrics
    }

    /// Everything that the node at `place` keeps.
    pub fn folder(&self, place: usize) -> PathBuf {
        self.plan.folder.join(&self.nodes[place].name)
    }

    /// What the node at `place` is started with.
    pub fn config_file(&self, place: usize) -> PathBuf {
        self.plan
            .folder
            .join(format!("{}.toml", self.nodes[place].name))
    }

    fn write_config(&self, place: usize) -> anyhow::Result<()> {
        let members = (0..self.plan.nodes).map(|other| MemberConfig {
            node: self.nodes[other].name.clone(),
            peer: self.peer_address(place, other).to_string(),
            weight: 1,
            zone: String::new(),
        });
        let is_founder = place < self.plan.nodes;
        let founders = (0..self.plan.nodes).filter(|_| !is_founder);
        let seeds = founders.map(|other| self.peer_address(place, other).to_string());
        let others = (0..self.nodes.len()).filter(|other| *other != place);
        let route = |other: usize| {
            let address = self.peer_address(place, other).to_string();
            (self.nodes[other].name.clone(), address)
        };
        let config = Config {
            cluster: "dev".to_owned(),
            node: self.nodes[place].name.clone(),
            data: self.folder(place),
            storage: self.plan.storage,
            client: client_address(self.plan.wiring, place),
            peer: listen_address(self.plan.wiring, place),
            metrics: None,
            advertise_client: None,
            advertise_peer: None,
            members: members.filter(|_| is_founder).collect(),
            seeds: seeds.collect(),
            join_token_file: Some(self.token_file()),
            access: AccessConfig::default(),
            weight: 1,
            zone: String::new(),
            routes: others.map(route).collect(),
            partitions: PARTITIONS_DEFAULT,
            shards: 0,
            guest_threads: 0,
            plugin_bytes_max: PLUGIN_BYTES_DEFAULT,
            cache_bytes: 32 * 1024 * 1024,
            quarantine: true,
            anti_entropy_interval_ms: ANTI_ENTROPY_INTERVAL_MS_DEFAULT,
            foreground_p99_ms: FOREGROUND_P99_MS_DEFAULT,
            suspect_ms: SUSPECT_MS,
            probe_ms: PROBE_MS,
            stand_in_after_ms: STAND_IN_AFTER_MS,
            hint_retry_ms: HINT_RETRY_MS,
            hints_max: HINTS_MAX,
            hint_bytes_max: HINT_BYTES_MAX,
            clock_offset_ms: 0,
            protocol_max: PROTOCOL_MAX,
            reap_interval_ms: REAP_INTERVAL_MS_DEFAULT,
            tombstone_horizon_ms: TOMBSTONE_HORIZON_MS_DEFAULT,
            converge_quiet_ms: CONVERGE_QUIET_MS_DEFAULT,
        };
        let file = self.config_file(place);
        std::fs::write(&file, toml::to_string(&config)?)
            .with_context(|| format!("writing {}", file.display()))
    }

    /// Where `from` dials `to`.
    fn peer_address(&self, from: usize, to: usize) -> SocketAddr {
        match self.links.get(&(from, to)) {
            Some(link) => link.address(),
            None => listen_address(self.plan.wiring, to),
        }
    }

    /// Starts a node that is not running, on the data that it has.
    pub async fn start_node(&mut self, place: usize) -> anyhow::Result<()> {
        let name = self.nodes[place].name.clone();
        let child = spawn(&self.plan, &self.config_file(place), &self.log_file(place))?;
        let (child, ready, lines) = ready(child)
            .await
            .with_context(|| format!("starting {name}; see {}", self.log_file(place).display()))?;
        self.nodes[place].client = ready.client;
        self.nodes[place].metrics = ready.metrics;
        self.nodes[place].child = Some((child, lines));
        for ((_, to), link) in &mut self.links {
            if *to == place {
                link.lead_to(ready.peer);
            }
        }
        Ok(())
    }

    /// What the node at `place` has to say.
    pub fn log_file(&self, place: usize) -> PathBuf {
        self.plan
            .folder
            .join(format!("{}.log", self.nodes[place].name))
    }

    /// Cuts every link between `place` and the others, in both directions.
    pub fn isolate(&self, place: usize) {
        self.links_of(place).for_each(Link::cut);
    }

    /// Mends what `isolate` cut.
    pub fn rejoin(&self, place: usize) {
        self.links_of(place).for_each(Link::heal);
    }

    fn links_of(&self, place: usize) -> impl Iterator<Item = &Link> {
        let touches =
            move |((from, to), _): &(&(usize, usize), &Link)| *from == place || *to == place;
        self.links.iter().filter(touches).map(|(_, link)| link)
    }

    /// The process of a node that runs.
    pub fn process(&self, place: usize) -> Option<u32> {
        let (child, _) = self.nodes[place].child.as_ref()?;
        child.id()
    }

    /// Kills a node without warning, and waits until it is gone.
    pub async fn kill(&mut self, place: usize) -> anyhow::Result<()> {
        if let Some((mut child, _)) = self.nodes[place].child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Stops a node in its tracks, connections and all, until it is resumed.
    pub fn pause(&self, place: usize) {
        self.signal(place, Signal::STOP);
    }

    pub fn resume(&self, place: usize) {
        self.signal(place, Signal::CONT);
    }

    fn signal(&self, place: usize, which: Signal) {
        if let Some((child, _)) = &self.nodes[place].child {
            signal(child, which);
        }
    }

    /// Asks a node to stop, and waits. False: it had to be killed, or it ended with an error.
    pub async fn stop_node(&mut self, place: usize) -> anyhow::Result<bool> {
        let Some((mut child, _)) = self.nodes[place].child.take() else {
            return Ok(true);
        };
        signal(&child, Signal::TERM);
        match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(status) => Ok(status?.success()),
            Err(_) => {
                child.kill().await?;
                Ok(false)
            }
        }
    }

    /// Asks all nodes to stop. The names of those that did not stop well.
    pub async fn stop(mut self) -> anyhow::Result<Vec<String>> {
        let mut failed = Vec::new();
        for place in 0..self.nodes.len() {
            if !self.stop_node(place).await? {
                failed.push(self.nodes[place].name.clone());
            }
        }
        Ok(failed)
    }

    /// Resolves when a node ends that nobody asked to, with its name.
    pub async fn ended(&mut self) -> String {
        let waits = self.nodes.iter_mut().filter_map(|node| {
            let (child, _) = node.child.as_mut()?;
            Some(Box::pin(async {
                let status = child.wait().await;
                format!("{} ended: {status:?}", node.name)
            }))
        });
        let waits: Vec<_> = waits.collect();
        match waits.is_empty() {
            true => std::future::pending().await,
            false => futures_util::future::select_all(waits).await.0,
        }
    }
}

fn client_address(wiring: Wiring, place: usize) -> SocketAddr {
    match wiring {
        Wiring::Ports(first) => (Ipv4Addr::LOCALHOST, first + place as u16).into(),
        Wiring::Links => (Ipv4Addr::LOCALHOST, 0).into(),
    }
}

fn listen_address(wiring: Wiring, place: usize) -> SocketAddr {
    match wiring {
        Wiring::Ports(first) => (Ipv4Addr::LOCALHOST, first + 100 + place as u16).into(),
        Wiring::Links => (Ipv4Addr::LOCALHOST, 0).into(),
    }
}

fn spawn(plan: &Plan, config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)?;
    let child = Command::new(&plan.binary)
        .envs(plan.settings.iter().map(|(name, value)| (*name, value)))
        .arg("serve")
        .arg("--config")
        .arg(config)
        .args(["--json", "--with-parent"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn();
    child.with_context(|| format!("starting {}", plan.binary.display()))
}

fn signal(child: &Child, which: Signal) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id as i32)) {
        // It may have ended by itself in the meantime.
        let _ = kill_process(pid, which);
    }
}

/// Waits for the ready line. The output stays open: a node that writes to a closed pipe would end.
async fn ready(mut child: Child) -> anyhow::Result<(Child, Ready, Lines<BufReader<ChildStdout>>)> {
    let output = child.stdout.take().context("the node has no output")?;
    let mut lines = BufReader::new(output).lines();
    let line = tokio::time::timeout(READY_TIMEOUT, lines.next_line())
        .await
        .context("the node is not ready after 60 s")??;
    match line {
        Some(line) => Ok((child, serde_json::from_str(&line)?, lines)),
        None => {
            let status = child.wait().await?;
            anyhow::bail!("the node ended at once: {status}")
        }
    }
}
