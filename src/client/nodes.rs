//! Connections to nodes, and which of them are avoided for a while.
//!
//! Knows addresses only. Connects when something is to be sent.
//!
//! Invariant: one connection for each address, with bounded requests on it; a node that fails is asked last
//! until its time is up, not never.

use super::tls::{AddressError, Tls, endpoint};
use super::token::{Bearer, Known, Token};
use crate::limits::{
    CLIENT_AVOID_MS, CLIENT_AVOID_MS_MAX, CLIENT_CONNECT_MS, CLIENT_REQUESTS_PER_NODE_MAX,
    CLIENT_RING_BYTES_MAX, GET_BYTES_MAX,
};
use crate::wire::proto::v1::cluster_client::ClusterClient;
use crate::wire::proto::v1::kv_client::KvClient;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A node that says nothing, not even to a ping, is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections of one client.
#[derive(Debug, Default)]
pub struct Nodes {
    bearer: Bearer,
    /// Guards the list, and by what its connections are secured; never held over an await.
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    tls: Option<Tls>,
    open: BTreeMap<Arc<str>, Arc<Line>>,
}

/// The connection to one address.
#[derive(Debug)]
pub struct Line {
    channel: Known,
    /// A request holds one while it is under way.
    pub places: Arc<Semaphore>,
    /// Guards two numbers; never held over an await.
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// One after the other, with no success between them.
    failures: u32,
    avoided_until: Option<Instant>,
}

impl Nodes {
    /// No connections yet; those to come are secured like this, and shown this token.
    pub fn secured(tls: Option<Tls>, token: Option<Token>) -> Self {
        Self {
            bearer: Bearer::of(token),
            lines: Mutex::new(Lines {
                tls,
                open: BTreeMap::new(),
            }),
        }
    }

    /// Takes certificates whose files have changed, for all connections from now on; those that are open are closed once
    /// the requests on them have ended. Files that cannot be used change nothing. Reads files: not for asynchronous
    /// threads.
    pub fn look_again(&self) {
        let Some(before) = self.lines().tls.clone() else {
            return;
        };
        match before.read_again() {
            Ok(None) => {}
            Ok(Some(tls)) => {
                let mut lines = self.lines();
                lines.tls = Some(tls);
                lines.open.clear();
                tracing::info!("new certificates are used for new connections");
            }
            Err(error) => {
                tracing::warn!(%error, "the files of certificates are not used; the ones before are");
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line to `url`; opened, but not yet connected, if there is none.
    pub fn line(&self, url: &Arc<str>) -> Result<Arc<Line>, AddressError> {
        let mut lines = self.lines();
        if let Some(line) = lines.open.get(url) {
            return Ok(Arc::clone(line));
        }
        let line = Arc::new(Line::open(url, lines.tls.as_ref(), &self.bearer)?);
        lines.open.insert(Arc::clone(url), Arc::clone(&line));
        Ok(line)
    }

    /// Whether `url` has failed of late.
    pub fn is_avoided(&self, url: &str) -> bool {
        self.lines()
            .open
            .get(url)
            .is_some_and(|line| line.is_avoided())
    }

    /// Closes the lines to everybody else, once the requests on them have ended.
    pub fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        self.lines().open.retain(|url, _| is_kept(url));
    }
}

impl Line {
    fn open(url: &str, tls: Option<&Tls>, bearer: &Bearer) -> Result<Self, AddressError> {
        let endpoint = endpoint(url, tls)?
            .connect_timeout(Duration::from_millis(CLIENT_CONNECT_MS))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self {
            channel: bearer.on(&endpoint.connect_lazy()),
            places: Arc::new(Semaphore::new(CLIENT_REQUESTS_PER_NODE_MAX)),
            health: Mutex::default(),
        })
    }

    pub fn kv(&self) -> KvClient<Known> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(GET_BYTES_MAX)
    }

    pub fn cluster(&self) -> ClusterClient<Known> {
        ClusterClient::new(self.channel.clone()).max_decoding_message_size(CLIENT_RING_BYTES_MAX)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_avoided(&self) -> bool {
        let until = self.health().avoided_until;
        until.is_some_and(|until| Instant::now() < until)
    }

    /// It answered, whatever it said.
    pub fn on_answer(&self) {
        *self.health() = Health::default();
    }

    /// It did not answer: it is asked last for a while, longer each time. `dice` is drawn from 0 to 1.
    pub fn on_failure(&self, dice: f64) {
        let mut health = self.health();
        let longest = CLIENT_AVOID_MS << health.failures.min(16);
        let longest = longest.min(CLIENT_AVOID_MS_MAX) as f64;
        let avoided = Duration::from_secs_f64(longest * (0.5 + 0.5 * dice) / 1000.0);
        health.failures = health.failures.saturating_add(1);
        health.avoided_until = Some(Instant::now() + avoided);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_failed_is_avoided_until_it_answers() {
        let nodes = Nodes::default();
        let url: Arc<str> = "http://127.0.0.1:1".into();
        assert!(!nodes.is_avoided(&url));
        let line = nodes.line(&url).expect("an address");
        line.on_failure(0.5);
        assert!(nodes.is_avoided(&url));
        assert!(Arc::ptr_eq(&line, &nodes.line(&url).expect("the same")));
        line.on_answer();
        assert!(!nodes.is_avoided(&url));
        nodes.keep(|kept| kept != &*url);
        assert!(!Arc::ptr_eq(&line, &nodes.line(&url).expect("another")));
    }

    #[tokio::test]
    async fn files_that_have_changed_are_used_for_the_next_connection_and_broken_ones_are_not() {
        use super::super::tls::TlsFiles;
        use rcgen::generate_simple_self_signed;
        let folder = tempfile::tempdir().expect("a folder");
        let authorities = folder.path().join("ca.crt");
        let write = |text: &str| std::fs::write(&authorities, text).expect("written");
        let made = || generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        write(&made().cert.pem());
        let files = TlsFiles {
            authorities: authorities.clone(),
            shown: None,
        };
        let tls = Tls::from_files(files).expect("one certificate");
        let nodes = Nodes::secured(Some(tls), None);
        let url: Arc<str> = "https://127.0.0.1:1".into();
        let line = nodes.line(&url).expect("an address");
        let is_same = || Arc::ptr_eq(&line, &nodes.line(&url).expect("an address"));
        nodes.look_again();
        assert!(is_same(), "nothing has changed");
        write("nothing");
        nodes.look_again();
        assert!(is_same(), "it is broken");
        write(&made().cert.pem());
        nodes.look_again();
        assert!(!is_same());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let nodes = Nodes::default();
        assert!(nodes.line(&"not an address".into()).is_err());
    }
}
