//! A whole node: opens what is on disk, starts the shards and the conversations with peers, and ends them.
//!
//! Everything is started in `Node::start` and ended in `Node::stop`, in the opposite order.
//!
//! Invariant: after `stop` returns no task or thread of the node runs, and all that was applied is synced.

use super::access::keep_reading;
use super::certificates::keep_fresh;
use super::clock::Clock;
use super::commit::Committer;
use super::dialing::Exchange;
use super::failure::Failure;
use super::feed::Feed;
pub use super::foundation::Addresses;
use super::foundation::Foundation;
use super::guests::Guests;
use super::hello::Identity;
use super::inbox::{GetOutcome, INBOX_MAX, Input, Inspection, Progress, PutOutcome};
use super::listening::PeerService;
use super::meeting::meet_everybody;
use super::metrics::Metrics;
use super::office::Office;
use super::peers::Peers;
use super::plugins::Plugins;
use super::registry::Registry;
use super::scrubbing::Scrubber;
use super::shadows::Shadows;
use super::shard::{Outlets, Shard};
use super::store::Store;
use super::switchboard::{Line, Switchboard};
use super::traces::Trace;
use super::unread::Listeners;
use crate::config::Config;
use crate::dynamo::causality::dot::Incarnation;
use crate::dynamo::coordinator::request::{GetError, GetRequest, PutError, PutRequest};
use crate::dynamo::machine::event::Event;
use crate::dynamo::machine::router::Machine;
use crate::dynamo::membership::snapshot::Snapshot;
use crate::dynamo::metadata::facts::Speaks;
use crate::dynamo::names::{Key, NodeId};
use crate::dynamo::repair::schedule::Share;
use crate::dynamo::replica::storage::StorageError;
use crate::dynamo::ring::placement::Placement;
use crate::limits::PARTITIONS_MAX;
use crate::security::access::Access;
use crate::security::transport::Transport;
use crate::storage::space::Watermark;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How much longer than its deadline a request is waited for before it is given up as lost.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// Stages of transfers that wait to be told: both of every partition.
const PROGRESS_MAX: usize = 2 * PARTITIONS_MAX as usize;

/// What the services and the operator see of a node.
pub struct Node {
    pub config: Config,
    pub clock: Clock,
    pub peers: Arc<Peers>,
    pub registry: Arc<Registry>,
    pub plugins: Arc<Plugins>,
    pub store: Store,
    pub feed: Arc<Feed>,
    pub metrics: Arc<Metrics>,
    pub guests: Arc<Guests>,
    pub shadows: Arc<Shadows>,
    pub scrubber: Arc<Scrubber>,
    pub transport: Arc<Transport>,
    pub access: Arc<Access>,
    pub unread: Listeners,
    pub(super) switchboard: Switchboard,
    failed: watch::Receiver<Option<Failure>>,
    /// How full the disk is.
    pub(super) watermark: watch::Sender<Watermark>,
}

/// What has to be ended.
pub struct Running {
    stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
    shards: Vec<std::thread::JoinHandle<std::io::Result<()>>>,
    switchboard: Switchboard,
    committer: Committer,
}

impl Node {
    /// Starts everything but the listeners, which are bound to `addresses` already.
    pub async fn start(
        config: Config,
        addresses: Addresses,
    ) -> anyhow::Result<(Arc<Self>, Running)> {
        let clock = Clock::start(config.clock_offset_ms);
        let foundation = Foundation::lay(&config, &addresses, clock)?;
        let (failing, failed) = watch::channel(None);
        let peers = Arc::clone(&foundation.peers);
        let committer = Committer::start(foundation.store.clone(), peers, failing.clone())
            .context("starting the committing thread")?;
        let (progress, progressed) = mpsc::channel(PROGRESS_MAX);
        let shadows = Arc::new(Shadows::default());
        let outlets = (progress, Arc::clone(&shadows));
        let watermark = foundation
            .store
            .watermark(&config.data)
            .unwrap_or(Watermark::Ok);
        let (switchboard, shards) = start_shards(
            &config,
            clock,
            &foundation,
            &committer,
            (&outlets, watermark),
        )?;
        let (office, registry) = Office::open(
            foundation.identity,
            foundation.catalog,
            clock,
            foundation.store.clone(),
            Arc::clone(&foundation.peers),
            switchboard.clone(),
            progressed,
        );
        let registry = Arc::new(registry);
        let plugins = Arc::new(Plugins::new(
            Arc::clone(&foundation.library),
            Arc::clone(&foundation.peers),
            Arc::clone(&registry),
            &config.data,
        ));
        let scrubber = Scrubber::new(foundation.store.clone(), switchboard.clone());
        let node = Arc::new(Self {
            config,
            clock,
            peers: foundation.peers,
            registry,
            plugins,
            store: foundation.store,
            feed: foundation.feed,
            metrics: foundation.metrics,
            guests: foundation.guests,
            shadows,
            scrubber: Arc::new(scrubber),
            transport: foundation.transport,
            access: foundation.access,
            unread: Listeners::default(),
            switchboard: switchboard.clone(),
            failed,
            watermark: watch::Sender::new(watermark),
        });
        let (stopping, stop) = watch::channel(false);
        let mut tasks = node.start_tasks(&stop);
        tasks.spawn(office.run(failing.clone(), stop.clone()));
        let watch = Arc::clone(&node).watch_disk(committer.handle(), failing, stop.clone());
        tasks.spawn(watch);
        tasks.spawn(Arc::clone(&node.scrubber).run(stop.clone()));
        tasks.spawn(Arc::clone(&node).tell_suspects(stop));
        let running = Running {
            tasks,
            stopping,
            shards,
            switchboard,
            committer,
        };
        Ok((node, running))
    }

    fn start_tasks(&self, stop: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let exchange = Exchange {
            identity: self.identity(),
            peers: Arc::clone(&self.peers),
            switchboard: self.switchboard.clone(),
            registry: Arc::clone(&self.registry),
            transport: Arc::clone(&self.transport),
        };
        tasks.spawn(keep_fresh(Arc::clone(&self.transport), stop.clone()));
        tasks.spawn(meet_everybody(self.config.clone(), exchange, stop.clone()));
        tasks.spawn(Arc::clone(&self.plugins).keep_ready(stop.clone()));
        tasks.spawn(keep_reading(Arc::clone(&self.access), stop.clone()));
        tasks
    }

    pub fn id(&self) -> &NodeId {
        self.peers.me()
    }

    /// What this node knows of the cluster.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.snapshot()
    }

    pub(super) fn switchboard(&self) -> &Switchboard {
        &self.switchboard
    }

    /// The nodes that take part, as this one knows them.
    pub fn nodes_total(&self) -> usize {
        self.snapshot().placement.nodes().len()
    }

    fn identity(&self) -> Identity {
        Identity {
            cluster: self.config.cluster.clone(),
            node: self.id().clone(),
            partitions: self.snapshot().placement.partitions(),
            speaks: Speaks::upto(self.config.protocol_max),
        }
    }

    /// The service for the peer listener.
    pub fn peer_service(&self) -> PeerService {
        PeerService {
            identity: self.identity(),
            peers: Arc::clone(&self.peers),
            switchboard: self.switchboard.clone(),
            registry: Arc::clone(&self.registry),
            plugins: Arc::clone(&self.plugins),
            shadows: Arc::clone(&self.shadows),
            inspector: self.inspector(),
            access: Arc::clone(&self.access),
            replayer: self.replayer(),
            clock: self.clock,
        }
    }

    /// Resolves when the node must not go on as it is, with the reason; after a disk that was full, also if it fails.
    pub async fn failure(&self, known: Option<&Failure>) -> Failure {
        let mut failed = self.failed.clone();
        let is_news = |told: &Option<Failure>| told.is_some() && told.as_ref() != known;
        match failed.wait_for(is_news).await.map(|told| told.clone()) {
            Ok(Some(failure)) => failure,
            _ => std::future::pending().await, // It stopped without failing.
        }
    }

    pub async fn get(&self, request: GetRequest, timeout_ms: u64) -> GetOutcome {
        let (reply, outcome) = oneshot::channel();
        let inbox = self.switchboard.of_key(&request.key);
        let input = Input::Get {
            request,
            timeout_ms,
            reply,
            trace: Trace::current(),
        };
        if inbox.try_send(input).is_err() {
            return Err(GetError::Overloaded { limit: INBOX_MAX });
        }
        let lost = GetError::Deadline {
            answered: 0,
            needed: 1,
        };
        match tokio::time::timeout(Duration::from_millis(timeout_ms) + GRACE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(lost), // The node is going down.
        }
    }

    pub async fn put(&self, request: PutRequest, timeout_ms: u64) -> PutOutcome {
        let (reply, outcome) = oneshot::channel();
        let inbox = self.switchboard.of_key(&request.key);
        let input = Input::Put {
            request: Box::new(request),
            timeout_ms,
            reply,
            trace: Trace::current(),
        };
        if inbox.try_send(input).is_err() {
            return Err(PutError::Overloaded { limit: INBOX_MAX });
        }
        let lost = PutError::Unknown {
            acknowledged: 0,
            needed: 1,
            reason: "the node is going down".to_owned(),
        };
        match tokio::time::timeout(Duration::from_millis(timeout_ms) + GRACE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(lost),
        }
    }

    /// This node's own record of a key.
    pub async fn inspect(&self, key: Key) -> Inspection {
        let (reply, inspection) = oneshot::channel();
        let inbox = self.switchboard.of_key(&key);
        let stopped = || StorageError::Failed("the node is going down".to_owned());
        if inbox.send(Input::Inspect { key, reply }).await.is_err() {
            return Err(stopped());
        }
        inspection.await.unwrap_or_else(|_| Err(stopped()))
    }
}

type ShardThread = std::thread::JoinHandle<std::io::Result<()>>;

fn start_shards(
    config: &Config,
    clock: Clock,
    foundation: &Foundation,
    committer: &Committer,
    ((progress, shadows), watermark): (&(mpsc::Sender<Progress>, Arc<Shadows>), Watermark),
) -> anyhow::Result<(Switchboard, Vec<ShardThread>)> {
    let partitions = foundation.identity.partitions;
    let alone = Placement::alone(partitions, foundation.identity.me.clone());
    let alone = Arc::new(alone); // Until the steward says where everything is.
    let mut lines = Vec::new();
    let mut threads = Vec::new();
    for number in 0..config.shards() {
        let (inbox, queue) = mpsc::channel(INBOX_MAX);
        let incarnation = Incarnation(rand::random());
        let me = foundation.peers.me().clone();
        let mut machine = Machine::new(
            me,
            incarnation,
            foundation.store.clone(),
            Arc::clone(&alone),
        );
        let share = Share {
            shard: number as u16,
            shards: config.shards() as u16,
        };
        // It counts the hints that it keeps before anybody can ask for one.
        let room = watermark.room();
        let settings = Event::Settings(config.settings(share));
        for event in [settings, Event::Room(room), Event::Tick] {
            machine.step(clock.now(), event, &mut Vec::new());
        }
        let outlets = Outlets {
            inbox: inbox.clone(),
            peers: Arc::clone(&foundation.peers),
            committing: committer.handle(),
            guests: Arc::clone(&foundation.guests),
            progress: progress.clone(),
            shadows: Arc::clone(shadows),
            tail: foundation.feed.open(incarnation.0),
            runtime: tokio::runtime::Handle::current(),
        };
        let shard = Shard::new(machine, outlets, clock);
        let thread = std::thread::Builder::new()
            .name(format!("shard-{number}"))
            .spawn(move || shard.run(queue))
            .context("starting a shard")?;
        threads.push(thread);
        lines.push(Line {
            inbox,
            life: incarnation.0,
        });
    }
    let switchboard = Switchboard::new(partitions, lines);
    Ok((switchboard, threads))
}

impl Running {
    /// Ends tasks, then shards, then syncs for the last time. Call it when the listeners are closed.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        for inbox in self.switchboard.all() {
            // A shard that has stopped already needs not be told.
            drop(inbox.send(Input::Stop).await);
        }
        let shards = std::mem::take(&mut self.shards);
        let ended = tokio::task::spawn_blocking(move || {
            for shard in shards {
                if shard.join().is_err() {
                    tracing::error!("a shard panicked");
                }
            }
            self.committer.stop();
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "stopping");
        }
    }
}
