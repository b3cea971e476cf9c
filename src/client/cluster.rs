//! The client itself: connected to a whole cluster, handing out buckets and sessions.
//!
//! ```no_run
//! # async fn example() -> Result<(), rejoin::client::Error> {
//! use rejoin::client::{Client, Found};
//!
//! let client = Client::connect(["http://127.0.0.1:7001"]).await?;
//! let carts = client.bucket("carts");
//! let read = carts.get("anna").await?;
//! match &read.found {
//!     Found::Nothing => println!("an empty cart"),
//!     Found::One(value) => println!("{:?}", value.bytes),
//!     Found::Siblings { values, .. } => println!("{} carts", values.len()),
//! }
//! carts.put("anna", "{}").context(read.context).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: clones share connections and ring; the last one that goes ends the refreshing.

use super::bucket::Bucket;
use super::error::Error;
use super::membership::Fresh;
use super::placement::url;
use super::remembered::Remembered;
use super::tls::Tls;
use super::token::Token;
use super::watch::Watch;
use crate::limits::{CLIENT_REFRESH_MS, DEADLINE_DEFAULT_MS};
use rand::seq::SliceRandom as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client may be told besides where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where nodes are found, by name; wins over what their ring says. For clusters behind something that
    /// translates addresses, or whose configuration does not tell them.
    pub addresses: BTreeMap<String, String>,
    /// Of a request that has none of its own.
    pub deadline: Duration,
    /// Between two downloads of the ring while nothing looks stale.
    pub refresh_interval: Duration,
    /// How connections are secured; none: in plain text.
    pub tls: Option<Tls>,
    /// Shown to every node with every request; for clusters that have to know who asks.
    pub token: Option<Token>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addresses: BTreeMap::new(),
            deadline: Duration::from_millis(DEADLINE_DEFAULT_MS),
            refresh_interval: Duration::from_millis(CLIENT_REFRESH_MS),
            tls: None,
            token: None,
        }
    }
}

/// A client of a whole cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    fresh: Arc<Fresh>,
    deadline: Duration,
}

/// A client that remembers what it has seen of each key (the latest 1024): a put after a get needs no context, and
/// a get never shows less than what the session has read or written before. For one task at a time: of two that use
/// the same key at once, one may replace what only the other has looked at.
#[derive(Debug, Clone)]
pub struct Session {
    client: Client,
    remembered: Arc<Mutex<Remembered>>,
}

impl Client {
    /// Downloads the ring from the first of these addresses that answers, in random order.
    pub async fn connect<S: AsRef<str>>(seeds: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        Self::with_options(seeds, Options::default()).await
    }

    /// As `connect`, to nodes that are found at these addresses, by name, whatever their ring says.
    pub async fn with_addresses<N: Into<String>, A: Into<String>>(
        addresses: impl IntoIterator<Item = (N, A)>,
    ) -> Result<Self, Error> {
        let named = addresses
            .into_iter()
            .map(|(name, at)| (name.into(), at.into()));
        let addresses: BTreeMap<String, String> = named.collect();
        let seeds: Vec<String> = addresses.values().cloned().collect();
        let options = Options {
            addresses,
            ..Options::default()
        };
        Self::with_options(seeds, options).await
    }

    /// As `connect`, with choices.
    pub async fn with_options<S: AsRef<str>>(
        seeds: impl IntoIterator<Item = S>,
        options: Options,
    ) -> Result<Self, Error> {
        let Options {
            addresses,
            deadline,
            refresh_interval,
            tls,
            token,
        } = options;
        let scheme = match tls {
            Some(_) => "https",
            None => "http",
        };
        let seeds = seeds.into_iter().map(|seed| url(seed.as_ref(), scheme));
        let mut seeds: Vec<Arc<str>> = seeds.collect();
        seeds.shuffle(&mut rand::rng());
        let fresh = Fresh::start(seeds, addresses, refresh_interval, (tls, token)).await?;
        Ok(Self {
            fresh: Arc::new(fresh),
            deadline,
        })
    }

    /// A bucket, whether or not it exists: that is found out by the first request.
    pub fn bucket(&self, name: impl Into<String>) -> Bucket {
        Bucket {
            name: name.into(),
            fresh: Arc::clone(&self.fresh),
            deadline: self.deadline,
            remembered: None,
        }
    }

    /// A session that has seen nothing yet.
    pub fn session(&self) -> Session {
        Session {
            client: self.clone(),
            remembered: Arc::default(),
        }
    }

    /// The changes of a bucket at all nodes, from now on.
    pub async fn watch(&self, bucket: impl Into<String>) -> Result<Watch, Error> {
        Watch::start(Arc::clone(&self.fresh), bucket.into()).await
    }

    /// Of the ring that the client works by.
    pub fn ring_hash(&self) -> u64 {
        self.fresh.membership.placement().hash()
    }
}

impl Session {
    /// As `Client::bucket`, with this session's contexts.
    pub fn bucket(&self, name: impl Into<String>) -> Bucket {
        Bucket {
            remembered: Some(Arc::clone(&self.remembered)),
            ..self.client.bucket(name)
        }
    }
}
