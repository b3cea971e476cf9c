//! What a client knows of the cluster, and how it keeps that fresh (Dynamo 6.4).
//!
//! Pulls the ring from any node: at first, every ten seconds, and at once when a reply shows that it is old. Sends
//! no gets and puts.
//!
//! Invariant: a ring that was not believed changes nothing; two downloads are at least a gap apart.

use super::error::Error;
use super::nodes::{Line, Nodes};
use super::placement::Placement;
use super::retry::judge_get;
use super::tls::Tls;
use super::token::Token;
use crate::dynamo::names::{BucketName, Key};
use crate::limits::{
    CLIENT_BUCKETS_MAX, CLIENT_REFRESH_GAP_MS, CLIENT_RING_TIMEOUT_MS, MEMBERS_MAX, N_MAX,
};
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use rand::seq::SliceRandom as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tonic::{Request, Status};

/// The cluster as a client knows it.
#[derive(Debug)]
pub struct Membership {
    pub nodes: Nodes,
    seeds: Vec<Arc<str>>,
    /// By the names of nodes; they win over what the ring says.
    addresses: BTreeMap<String, String>,
    placement: watch::Sender<Arc<Placement>>,
    /// Somebody has noticed that the ring is old.
    stale: Notify,
    /// N of the buckets that were used. Guards the map; never held over an await.
    replicas: Mutex<BTreeMap<BucketName, u8>>,
}

/// A membership that is kept fresh as long as somebody holds this.
#[derive(Debug)]
pub struct Fresh {
    pub membership: Arc<Membership>,
    refreshing: AbortHandle,
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.refreshing.abort();
    }
}

impl Fresh {
    /// Asks the seeds for the ring, and goes on asking every `interval`.
    pub async fn start(
        seeds: Vec<Arc<str>>,
        addresses: BTreeMap<String, String>,
        interval: Duration,
        (tls, token): (Option<Tls>, Option<Token>),
    ) -> Result<Self, Error> {
        let nodes = Nodes::secured(tls, token);
        let placement = download(&nodes, seeds.clone(), &addresses).await?;
        let membership = Arc::new(Membership {
            nodes,
            seeds,
            addresses,
            placement: watch::Sender::new(Arc::new(placement)),
            stale: Notify::new(),
            replicas: Mutex::default(),
        });
        let refreshing = tokio::spawn(Arc::clone(&membership).keep_fresh(interval));
        Ok(Self {
            membership,
            refreshing: refreshing.abort_handle(),
        })
    }
}

impl Membership {
    pub fn placement(&self) -> Arc<Placement> {
        Arc::clone(&self.placement.borrow())
    }

    /// Told whenever the ring or an address changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Placement>> {
        self.placement.subscribe()
    }

    /// A node works by the ring with this hash; none from a node that does not say.
    pub fn on_ring_hash(&self, hash: u64) {
        if hash != 0 && hash != self.placement.borrow().hash() {
            self.suspect();
        }
    }

    /// The ring may be old: it is downloaded soon.
    pub fn suspect(&self) {
        self.stale.notify_one();
    }

    async fn keep_fresh(self: Arc<Self>, interval: Duration) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(jittered(interval)) => {}
                () = self.stale.notified() => {}
            }
            // Before the ring is asked for: it may be the certificate that nobody takes any more.
            let looking = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || looking.nodes.look_again());
            if let Err(error) = looked.await {
                tracing::warn!(%error, "looking at the certificates");
            }
            self.refresh().await;
            let gap = Duration::from_millis(CLIENT_REFRESH_GAP_MS);
            tokio::time::sleep(jittered(gap)).await;
        }
    }

    async fn refresh(&self) {
        let placement = self.placement();
        let mut urls: Vec<Arc<str>> = Vec::new();
        for (_, target) in placement.targets() {
            if !urls.contains(&target.url) {
                urls.push(Arc::clone(&target.url));
            }
        }
        urls.shuffle(&mut rand::rng());
        urls.extend(self.seeds.iter().cloned());
        urls.sort_by_key(|url| self.nodes.is_avoided(url)); // Stable: the order is kept otherwise.
        match download(&self.nodes, urls, &self.addresses).await {
            Ok(fresh) => self.take(fresh),
            Err(error) => tracing::debug!(%error, "the ring was not refreshed"),
        }
        self.refresh_replicas().await;
    }

    fn take(&self, fresh: Placement) {
        let is_used = |url: &str| {
            let mut used = fresh.targets().map(|(_, target)| &*target.url);
            used.any(|used| used == url) || self.seeds.iter().any(|seed| **seed == *url)
        };
        self.nodes.keep(is_used);
        self.placement.send_if_modified(|current| {
            let is_new = **current != fresh;
            if is_new {
                *current = Arc::new(fresh);
            }
            is_new
        });
    }

    fn known_replicas(&self) -> MutexGuard<'_, BTreeMap<BucketName, u8>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// N of the bucket of `key`: how many of the owners keep it.
    pub async fn replicas(&self, key: &Key, deadline: Instant) -> Result<u8, Error> {
        if let Some(n) = self.known_replicas().get(key.bucket()) {
            return Ok(*n);
        }
        let n = self.ask_replicas(key, deadline).await?;
        let mut known = self.known_replicas();
        if known.len() >= CLIENT_BUCKETS_MAX {
            known.clear(); // They are asked for again as they are used.
        }
        known.insert(key.bucket().clone(), n);
        Ok(n)
    }

    async fn ask_replicas(&self, key: &Key, deadline: Instant) -> Result<u8, Error> {
        let mut last = Error::Unanswered {
            message: "no node was asked".to_owned(),
        };
        let is_avoided = |url: &str| self.nodes.is_avoided(url);
        let turn = rand::random::<u32>() as usize;
        let candidates = self
            .placement()
            .candidates(key, N_MAX, None, turn, is_avoided);
        for target in candidates {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let Ok(line) = self.nodes.line(&target.url) else {
                continue; // The address was no address; it is in the ring all the same.
            };
            let asked = proto::PreferenceListRequest {
                bucket: key.bucket().as_str().to_owned(),
                key: key.bytes().clone(),
            };
            match preference(&line, asked, left / 2).await {
                Ok(reply) => return Ok(reply.n.clamp(1, u32::from(N_MAX)) as u8),
                Err(status) => {
                    let judged = judge_get(&status);
                    if judged.is_node_unwell {
                        line.on_failure(rand::random());
                        self.suspect();
                    }
                    last = judged.error;
                    if !judged.may_go_on {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// An operator may have changed N.
    async fn refresh_replicas(&self) {
        let buckets: Vec<BucketName> = self.known_replicas().keys().cloned().collect();
        for bucket in buckets {
            let Ok(key) = Key::new(bucket.clone(), Bytes::from_static(b"any")) else {
                continue;
            };
            let deadline = Instant::now() + Duration::from_millis(CLIENT_RING_TIMEOUT_MS);
            if let Ok(n) = self.ask_replicas(&key, deadline).await
                && let Some(known) = self.known_replicas().get_mut(&bucket)
            {
                *known = n;
            }
        }
    }
}

async fn preference(
    line: &Line,
    asked: proto::PreferenceListRequest,
    timeout: Duration,
) -> Result<proto::PreferenceListResponse, Status> {
    let mut asked = Request::new(asked);
    asked.set_timeout(timeout);
    let mut cluster = line.cluster();
    within(timeout, cluster.preference_list(asked)).await
}

/// The first ring that a node tells and that can be believed.
async fn download(
    nodes: &Nodes,
    urls: Vec<Arc<str>>,
    addresses: &BTreeMap<String, String>,
) -> Result<Placement, Error> {
    let mut message = "no address was given".to_owned();
    for url in urls.into_iter().take(MEMBERS_MAX) {
        let line = match nodes.line(&url) {
            Ok(line) => line,
            Err(error) => {
                message = error.to_string();
                continue;
            }
        };
        match ring(&line).await {
            Ok(ring) => match Placement::of(ring, &url, addresses) {
                Ok(placement) => {
                    line.on_answer();
                    return Ok(placement);
                }
                Err(error) => message = format!("the ring of {url} was not believed: {error}"),
            },
            Err(status) => {
                line.on_failure(rand::random());
                message = format!("{url}: {}", status.message());
            }
        }
    }
    Err(Error::NoRing { message })
}

async fn ring(line: &Line) -> Result<proto::RingResponse, Status> {
    let timeout = Duration::from_millis(CLIENT_RING_TIMEOUT_MS);
    let mut asked = Request::new(proto::RingRequest {});
    asked.set_timeout(timeout);
    let mut cluster = line.cluster();
    within(timeout, cluster.ring(asked)).await
}

/// What the header asks of the node, kept here as well (law 12).
pub(super) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(timeout, call).await {
        Ok(reply) => Ok(reply?.into_inner()),
        Err(_) => Err(Status::deadline_exceeded("the node did not answer in time")),
    }
}

/// Clients that were started together must not ask together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}
