//! What the rest of the node sees of the steward: what it knows of the cluster, and how it is asked.
//!
//! The steward works in a task of its own (`office`); orders go there through a channel, and what is published is
//! watched.
//!
//! Invariant: what is published was on this node's disk before.

use super::peers::Peers;
use crate::dynamo::membership::gossip::Gossip;
use crate::dynamo::membership::opinions::Suspicion;
use crate::dynamo::membership::plan::{Asked, Plan, PlanError, Wish};
use crate::dynamo::membership::snapshot::{CommitError, Snapshot};
use crate::dynamo::metadata::catalog::{Catalog, EditError};
use crate::dynamo::metadata::row::{Fact, Subject};
use crate::dynamo::names::{BucketName, NodeId};
use crate::dynamo::replica::storage::StorageError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long an edit waits for the other nodes to have it.
const SPREAD_TIMEOUT: Duration = Duration::from_secs(2);
/// Orders that wait for the steward; gossip beyond it is lost, and comes again.
const ORDERS_MAX: usize = 4 * 1024;

/// Why an edit was refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The bucket is there; the caller has not asked to replace it.
    #[error("the bucket {0} exists already; pass `replace` to change its properties")]
    Exists(BucketName),
    #[error("there is no bucket {0}; create it with `rejoin bucket create {0}`")]
    NoSuchBucket(BucketName),
    /// The node stops itself after this.
    #[error("the metadata could not be stored: {0}")]
    Storage(#[from] StorageError),
    #[error("the node is going down")]
    Stopped,
}

/// What others see of the steward.
pub struct Registry {
    peers: Arc<Peers>,
    orders: mpsc::Sender<Order>,
    current: watch::Receiver<Arc<Snapshot>>,
    agreeing: watch::Receiver<Agreement>,
    suspected: watch::Receiver<Suspected>,
}

/// Nodes whose catalog equals this one's, this one among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreement {
    now: usize,
    /// At any time since the node started.
    most: usize,
}

impl Agreement {
    pub(super) fn note(&mut self, now: usize) {
        self.now = now;
        self.most = self.most.max(now);
    }
}

/// Whom the nodes do not reach: by name, who says so, and for how many milliseconds.
pub type Suspected = BTreeMap<NodeId, Vec<Suspicion>>;

pub(super) type Answer<T> = oneshot::Sender<Result<T, RegistryError>>;

/// What the steward is told or asked.
pub(super) enum Order {
    Gossip(NodeId, Gossip),
    Seed(NodeId),
    Suspects(Vec<Suspicion>),
    Edit {
        subject: Subject,
        fact: Box<Fact>,
        may_replace: bool,
        answer: Answer<()>,
    },
    Plan {
        wish: Wish,
        asked: Asked,
        answer: Answer<Box<Plan>>,
    },
    Commit {
        wish: Wish,
        expected: Option<u64>,
        force: bool,
        answer: Answer<Box<Plan>>,
    },
}

/// The other ends of a registry.
pub(super) struct Desk {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) publish: watch::Sender<Arc<Snapshot>>,
    pub(super) agreeing: watch::Sender<Agreement>,
    pub(super) suspected: watch::Sender<Suspected>,
}

/// A registry, and what the steward's task needs to serve it.
pub(super) fn connected(first: Arc<Snapshot>, peers: Arc<Peers>) -> (Registry, Desk) {
    let (send_orders, orders) = mpsc::channel(ORDERS_MAX);
    let (publish, current) = watch::channel(first);
    let (agreeing, agreed) = watch::channel(Agreement { now: 1, most: 1 });
    let (suspecting, suspected) = watch::channel(Suspected::new());
    let registry = Registry {
        peers,
        orders: send_orders,
        current,
        agreeing: agreed,
        suspected,
    };
    let desk = Desk {
        orders,
        publish,
        agreeing,
        suspected: suspecting,
    };
    (registry, desk)
}

impl Registry {
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.borrow().clone()
    }

    /// Whether another node has had the same catalog since this one started, or there is no other one. Before, it may
    /// lack what was created while it was away, or had another disk.
    pub fn has_heard(&self) -> bool {
        self.agreeing.borrow().most > 1 || self.snapshot().placement.nodes().len() <= 1
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.snapshot().catalog)
    }

    /// Whom the nodes do not reach, as far as this one has heard.
    pub fn suspected(&self) -> Suspected {
        self.suspected.borrow().clone()
    }

    /// Told whenever the catalog changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.clone()
    }

    /// Whether a node may talk to the shards: it takes part in the cluster, or has.
    pub fn knows(&self, node: &NodeId) -> bool {
        let snapshot = self.current.borrow();
        snapshot.placement.nodes().contains(node) || snapshot.catalog.node(node).is_some()
    }

    /// Gossip that arrived. What finds the queue full is lost, and comes again.
    pub fn hear(&self, from: NodeId, gossip: Gossip) {
        self.order(Order::Gossip(from, gossip));
    }

    /// A seed is connected.
    pub fn seed(&self, node: NodeId) {
        self.order(Order::Seed(node));
    }

    /// Whom the shards do not reach.
    pub fn suspect(&self, suspects: Vec<Suspicion>) {
        self.order(Order::Suspects(suspects));
    }

    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            tracing::debug!("the steward is busy; something was not told to it");
        }
    }

    /// Edits one row here and tells all nodes. Returns how many have it now.
    pub async fn edit(
        &self,
        subject: Subject,
        fact: Fact,
        may_replace: bool,
    ) -> Result<usize, RegistryError> {
        let fact = Box::new(fact);
        self.ask(|answer| Order::Edit {
            subject,
            fact,
            may_replace,
            answer,
        })
        .await?;
        Ok(self.spread().await)
    }

    /// Removes a bucket here and tells all nodes. Returns how many know it now.
    pub async fn remove(&self, bucket: BucketName) -> Result<usize, RegistryError> {
        let removed = Fact::Removed { generation: 0 }; // The catalog knows better.
        self.edit(Subject::Bucket(bucket), removed, true).await
    }

    /// What a change of the members would be, and cost.
    pub async fn plan(&self, wish: Wish, asked: Asked) -> Result<Box<Plan>, RegistryError> {
        self.ask(|answer| Order::Plan {
            wish,
            asked,
            answer,
        })
        .await
    }

    /// Commits a change of the members and tells all nodes.
    pub async fn commit(
        &self,
        wish: Wish,
        expected: Option<u64>,
        force: bool,
    ) -> Result<Box<Plan>, RegistryError> {
        self.ask(|answer| Order::Commit {
            wish,
            expected,
            force,
            answer,
        })
        .await
    }

    async fn ask<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, RegistryError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(order(answer)).await;
        sent.map_err(|_| RegistryError::Stopped)?;
        answered.await.map_err(|_| RegistryError::Stopped)?
    }

    /// Waits a little for the other nodes to have what this one has.
    async fn spread(&self) -> usize {
        let nodes = self.snapshot().placement.nodes().len();
        let total = nodes.min(1 + self.peers.connected().len());
        let mut agreeing = self.agreeing.clone();
        let all = agreeing.wait_for(|agreeing| agreeing.now >= total);
        // Whoever is not reached by then learns it later.
        drop(tokio::time::timeout(SPREAD_TIMEOUT, all).await);
        let agreeing = self.agreeing.borrow().now;
        agreeing.min(nodes)
    }
}
