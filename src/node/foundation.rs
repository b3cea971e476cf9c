//! What a node is started on: its store, its plugins, and what it knows of its cluster.
//!
//! Starts nothing but the guest threads.
//!
//! Invariant: a catalog on the disk is believed before what the configuration says of the members.

use super::certificates;
use super::clock::Clock;
use super::feed::Feed;
use super::guests::Guests;
use super::metrics::Metrics;
use super::office::stored_catalog;
use super::peers::Peers;
use super::store::Store;
use crate::config::Config;
use crate::dynamo::membership::snapshot::Identity;
use crate::dynamo::metadata::catalog::Catalog;
use crate::dynamo::metadata::facts::{NodeFacts, Speaks};
use crate::dynamo::metadata::row::{Fact, Subject};
use crate::dynamo::ring::change::Change;
use crate::dynamo::ring::partition::Partitions;
use crate::security::access::Access;
use crate::security::transport::Transport;
use crate::wasm::library::{Library, Settings};
use crate::wasm::workers::Workers;
use anyhow::Context as _;
use std::sync::Arc;

/// Questions that wait for one guest thread.
const GUEST_QUEUE_PER_THREAD: usize = 64;

/// Where others find this node.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub client: String,
    pub peer: String,
}

/// What is started together with a node.
pub(super) struct Foundation {
    pub(super) identity: Identity,
    pub(super) catalog: Catalog,
    pub(super) store: Store,
    pub(super) peers: Arc<Peers>,
    pub(super) guests: Arc<Guests>,
    pub(super) library: Arc<Library>,
    pub(super) feed: Arc<Feed>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) transport: Arc<Transport>,
    pub(super) access: Arc<Access>,
}

impl Foundation {
    pub(super) fn lay(
        config: &Config,
        addresses: &Addresses,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let me = config.node_id()?;
        let transport = Arc::new(certificates::load(config)?); // Before anything is made on the disk.
        let store = Store::open(config)
            .with_context(|| format!("opening the data folder {}", config.data.display()))?;
        let catalog = match stored_catalog(&store)? {
            Some(catalog) => catalog,
            None => founding_catalog(config)?,
        };
        let identity = Identity {
            me: me.clone(),
            facts: NodeFacts {
                peer_address: addresses.peer.clone(),
                client_address: addresses.client.clone(),
                weight: config.weight,
                zone: config.zone.clone(),
                wants_to_join: false,
                speaks: Speaks::upto(config.protocol_max),
            },
            token: config.join_token()?,
            partitions: Partitions::new(config.partitions)?,
        };
        let threads = config.guest_threads();
        let compiler = std::env::current_exe().context("finding the compiler of plugins")?;
        let settings = Settings::new(compiler, threads, config.plugin_bytes_max);
        let library = Arc::new(Library::open(&config.data, settings)?);
        let waiting_max = threads * GUEST_QUEUE_PER_THREAD;
        let workers = Workers::start(Arc::clone(&library), threads, waiting_max)
            .context("starting the guest threads")?;
        let metrics: Arc<Metrics> = Arc::default();
        let access = open_access(config)?;
        Ok(Self {
            identity,
            catalog,
            store,
            peers: Arc::new(Peers::new(me)),
            guests: Arc::new(Guests::new(Arc::new(workers), Arc::clone(&metrics), clock)),
            library,
            feed: Arc::default(),
            metrics,
            transport,
            access: Arc::new(access),
        })
    }
}

/// What a member of a new cluster starts from: the same on all of them. Nothing, for one that joins.
fn founding_catalog(config: &Config) -> anyhow::Result<Catalog> {
    let mut catalog = Catalog::default();
    if let Some(members) = config.founders()? {
        let first = members[0].id.clone();
        let partitions = Partitions::new(config.partitions)?;
        let change = Change::first(partitions, members)?;
        catalog.edit(Subject::Change, Fact::Change(Box::new(change)), first)?;
    }
    Ok(catalog)
}

fn open_access(config: &Config) -> anyhow::Result<Access> {
    let audit = config.access.audit_file_in(&config.data);
    let file = config.access.file.as_deref();
    Ok(Access::open(file, audit.as_deref(), &config.node)?)
}
