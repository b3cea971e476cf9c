//! The changes of a bucket at all nodes, as one stream.
//!
//! Follows every member of the ring, each from where it was when a stream breaks. Tells keys, no values.
//!
//! Invariant: a change of a copy at a node that is followed is told at least once, or `Resync` in its place;
//! a change that all dots of were told is told once, as long as they are remembered.

use super::error::Error;
use super::membership::{Fresh, Membership, within};
use super::placement::Placement;
use super::retry::{backoff, judge_get};
use crate::limits::{CLIENT_DOTS_MAX, CLIENT_EVENTS_MAX, CLIENT_RING_TIMEOUT_MS};
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use proto::watch_response::Event as Told;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tonic::{Status, Streaming};

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A copy of this key changed. The others follow; a get may not show it yet.
    Changed {
        key: Bytes,
        /// The versions that stand in that copy now, deletes included; 64 of them at most.
        dots: Vec<String>,
        /// How many there are in all.
        standing: u32,
        /// Whether one of them holds a value.
        is_live: bool,
        /// The address of the node that told it.
        told_by: String,
    },
    /// Changes at this node were missed: list the keys of the bucket. What changes from here on is told.
    Resync { told_by: String },
}

/// A stream of changes; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    /// What was told before the last node was followed.
    early: VecDeque<Heard>,
    heard: mpsc::Receiver<Heard>,
    told: Remembered,
    _following: JoinSet<()>,
    _fresh: Arc<Fresh>,
}

#[derive(Debug)]
enum Heard {
    /// A node is followed now.
    Following(Arc<str>),
    /// A node could not be followed, and will be tried again unless the request is at fault.
    Failed(Arc<str>, Error),
    Told(Arc<str>, Told),
}

/// One node that is followed.
struct Follower {
    membership: Arc<Membership>,
    bucket: String,
    url: Arc<str>,
    heard: mpsc::Sender<Heard>,
    /// Of the last event; none before the first.
    position: Bytes,
    /// Something may have been missed before the node was followed at all.
    is_late: bool,
}

/// Dots that were told, the latest of them.
#[derive(Debug, Default)]
struct Remembered {
    dots: HashSet<String>,
    order: VecDeque<String>,
}

impl Watch {
    /// Resolves when each node is followed or has failed once; the error is that of the last if none is.
    pub(super) async fn start(fresh: Arc<Fresh>, bucket: String) -> Result<Self, Error> {
        let (sender, mut heard) = mpsc::channel(CLIENT_EVENTS_MAX);
        let membership = Arc::clone(&fresh.membership);
        let mut pending = urls(&membership.placement());
        let mut following = JoinSet::new();
        following.spawn(follow_all(membership, bucket, sender));
        let (mut failed, mut is_followed) = (None, false);
        let mut early = VecDeque::new();
        while !pending.is_empty() && early.len() < CLIENT_EVENTS_MAX {
            match heard.recv().await {
                Some(Heard::Following(url)) => {
                    pending.remove(&url);
                    is_followed = true;
                }
                Some(Heard::Failed(_, error @ Error::Refused { .. })) => return Err(error),
                Some(Heard::Failed(url, error)) => {
                    pending.remove(&url);
                    failed = Some(error);
                }
                Some(told) => early.push_back(told),
                None => break,
            }
        }
        match failed {
            Some(error) if !is_followed => Err(error),
            _ => Ok(Self {
                early,
                heard,
                told: Remembered::default(),
                _following: following,
                _fresh: fresh,
            }),
        }
    }

    /// The next change. An error ends the watch: the bucket is gone, or the client.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            let heard = match self.early.pop_front() {
                Some(heard) => Some(heard),
                None => self.heard.recv().await,
            };
            match heard {
                Some(Heard::Told(url, told)) => {
                    if let Some(event) = self.event(&url, told) {
                        return Ok(event);
                    }
                }
                Some(Heard::Failed(_, error @ Error::Refused { .. })) => return Err(error),
                Some(Heard::Following(_) | Heard::Failed(..)) => {}
                None => {
                    let message = "the watch has ended".to_owned();
                    return Err(Error::Unanswered { message });
                }
            }
        }
    }

    fn event(&mut self, url: &str, told: Told) -> Option<Event> {
        let told_by = url.to_owned();
        match told {
            Told::Reached(_) => None,
            Told::Resync(_) => Some(Event::Resync { told_by }),
            Told::Changed(changed) => self.told.is_news(&changed).then_some(Event::Changed {
                key: changed.key,
                dots: changed.dots,
                standing: changed.standing,
                is_live: changed.is_live,
                told_by,
            }),
        }
    }
}

impl Remembered {
    /// Whether the change names a dot that was not told, or more dots than it can name. Remembers them.
    fn is_news(&mut self, changed: &proto::Changed) -> bool {
        let mut is_news =
            changed.dots.len() != changed.standing as usize || changed.dots.is_empty();
        for dot in &changed.dots {
            if self.dots.insert(dot.clone()) {
                is_news = true;
                self.order.push_back(dot.clone());
            }
        }
        while self.order.len() > CLIENT_DOTS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.dots.remove(&oldest);
            }
        }
        is_news
    }
}

fn urls(placement: &Placement) -> BTreeSet<Arc<str>> {
    let urls = placement.targets().map(|(_, target)| &target.url);
    urls.cloned().collect()
}

/// Follows the members of the ring as it changes.
async fn follow_all(membership: Arc<Membership>, bucket: String, heard: mpsc::Sender<Heard>) {
    let mut rings = membership.watch();
    let mut tasks = JoinSet::new();
    let mut followed: BTreeMap<Arc<str>, AbortHandle> = BTreeMap::new();
    let mut is_late = false;
    loop {
        let members = urls(&rings.borrow_and_update());
        followed.retain(|url, task| {
            let stays = members.contains(url);
            if !stays {
                task.abort();
            }
            stays
        });
        for url in members {
            followed.entry(Arc::clone(&url)).or_insert_with(|| {
                let follower = Follower {
                    membership: Arc::clone(&membership),
                    bucket: bucket.clone(),
                    url,
                    heard: heard.clone(),
                    position: Bytes::new(),
                    is_late,
                };
                tasks.spawn(follower.run())
            });
        }
        is_late = true;
        if rings.changed().await.is_err() {
            return;
        }
        while tasks.try_join_next().is_some() {}
    }
}

impl Follower {
    /// Until the watcher is gone or the request is refused.
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let failed = match self.open().await {
                Ok(stream) => {
                    failures = 0;
                    if self
                        .heard
                        .send(Heard::Following(Arc::clone(&self.url)))
                        .await
                        .is_err()
                    {
                        return;
                    }
                    self.listen(stream).await
                }
                Err(error) => Some(error),
            };
            // A stream that ends without a word belongs to a node that stops: it may be back soon.
            if let Some(error) = failed {
                let is_final = matches!(error, Error::Refused { .. });
                let failed = Heard::Failed(Arc::clone(&self.url), error);
                if self.heard.send(failed).await.is_err() || is_final {
                    return;
                }
            }
            if self.position.is_empty() {
                self.is_late = true;
            }
            failures += 1;
            tokio::time::sleep(backoff(failures, rand::random())).await;
        }
    }

    async fn open(&mut self) -> Result<Streaming<proto::WatchResponse>, Error> {
        let line = self.membership.nodes.line(&self.url);
        let line = line.map_err(|error| Error::Unanswered {
            message: error.to_string(),
        })?;
        let asked = proto::WatchRequest {
            bucket: self.bucket.clone(),
            position: self.position.clone(),
        };
        let timeout = Duration::from_millis(CLIENT_RING_TIMEOUT_MS);
        let mut kv = line.kv();
        let opened = within(timeout, kv.watch(asked)).await;
        opened.map_err(|status| failure(&status))
    }

    /// Passes on what the node tells. None: the watcher is gone, or the node ended the stream.
    async fn listen(&mut self, mut stream: Streaming<proto::WatchResponse>) -> Option<Error> {
        loop {
            match stream.message().await {
                Ok(Some(response)) => {
                    self.position = response.position;
                    let Some(mut told) = response.event else {
                        continue;
                    };
                    if std::mem::take(&mut self.is_late) {
                        told = Told::Resync(proto::Resync {});
                    }
                    let told = Heard::Told(Arc::clone(&self.url), told);
                    self.heard.send(told).await.ok()?;
                }
                Ok(None) => return None,
                Err(status) => return Some(failure(&status)),
            }
        }
    }
}

fn failure(status: &Status) -> Error {
    judge_get(status).error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(dots: &[&str], standing: u32) -> proto::Changed {
        proto::Changed {
            dots: dots.iter().map(ToString::to_string).collect(),
            standing,
            ..proto::Changed::default()
        }
    }

    #[test]
    fn what_another_replica_told_is_not_news() {
        let mut told = Remembered::default();
        assert!(told.is_news(&changed(&["a:1"], 1)));
        assert!(!told.is_news(&changed(&["a:1"], 1)));
        assert!(told.is_news(&changed(&["a:1", "b:1"], 2)), "a sibling");
        assert!(!told.is_news(&changed(&["b:1"], 1)));
        assert!(told.is_news(&changed(&["a:1"], 65)), "it cannot name all");
    }

    #[test]
    fn dots_are_forgotten_in_the_order_in_which_they_came() {
        let mut told = Remembered::default();
        for number in 0..=CLIENT_DOTS_MAX {
            told.is_news(&changed(&[&format!("a:{number}")], 1));
        }
        assert_eq!(told.dots.len(), CLIENT_DOTS_MAX);
        assert!(told.is_news(&changed(&["a:0"], 1)));
        assert!(!told.is_news(&changed(&["a:100"], 1)));
    }
}
