//! The latest changes of this node's copies, held for those who watch.
//!
//! Not in the paper. One `tail` for each shard, each of bounded length; a `watcher` reads at its own pace and
//! is never waited for.
//!
//! Invariant: whoever watches is told every change of its bucket that follows its position, or `Resync` in
//! place of those that are no longer held.

pub mod tail;
pub mod watcher;

use crate::dynamo::names::BucketName;
use crate::limits::WATCHERS_MAX;
use crate::wire::watch::Position;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tail::{Tail, Tide};
use tokio::sync::{Semaphore, watch};
use watcher::Watcher;

/// The changes of one node.
pub struct Feed {
    /// Guards the list, which is complete once the shards are started; never held over an await.
    tails: Mutex<Vec<Arc<Tail>>>,
    tide: Arc<watch::Sender<Tide>>,
    places: Arc<Semaphore>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            tails: Mutex::default(),
            tide: Arc::new(watch::Sender::new(Tide::default())),
            places: Arc::new(Semaphore::new(WATCHERS_MAX)),
        }
    }
}

impl Feed {
    /// The tail of a shard that is being started.
    pub fn open(&self, life: u64) -> Arc<Tail> {
        let tail = Arc::new(Tail::new(life, Arc::clone(&self.tide)));
        self.tails().push(Arc::clone(&tail));
        tail
    }

    fn tails(&self) -> MutexGuard<'_, Vec<Arc<Tail>>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watcher of `bucket` from `position` on, or from now. None: there are `WATCHERS_MAX` already.
    pub fn watch(&self, bucket: BucketName, position: Option<&Position>) -> Option<Watcher> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let tide = self.tide.subscribe();
        Some(Watcher::new(bucket, position, &self.tails(), tide, place))
    }

    /// Ends all watchers: the node is going down, and nothing waits for them.
    pub fn close(&self) {
        self.tide.send_modify(|tide| tide.is_closed = true);
    }
}

#[cfg(test)]
mod tests {
    use super::tail::TAKEN_MAX;
    use super::watcher::PASSED_MAX;
    use super::*;
    use crate::dynamo::names::Key;
    use crate::dynamo::replica::change::Change;
    use crate::limits::{WATCH_BYTES_MAX, WATCH_EVENTS_MAX};
    use crate::wire::watch::Told;

    fn change(bucket: &str, key: String) -> Change {
        let bucket = BucketName::new(bucket).expect("a name");
        Change {
            key: Key::new(bucket, key.into()).expect("a key"),
            dots: Vec::new(),
            standing: 0,
            live_until_ms: 0,
        }
    }

    fn watcher(feed: &Feed, position: Option<&Position>) -> Watcher {
        let bucket = BucketName::new("notes").expect("a name");
        feed.watch(bucket, position).expect("a place")
    }

    /// All that is to be told now, as words, and the last position.
    async fn told(watcher: &mut Watcher) -> (Vec<String>, Position) {
        let mut words = Vec::new();
        while let Some(told) = watcher.look() {
            words.push(match told {
                Told::Reached => "reached".to_owned(),
                Told::Resync => "resync".to_owned(),
                Told::Changed(change) => change.key.to_string(),
            });
        }
        (words, watcher.position())
    }

    #[tokio::test]
    async fn a_watcher_goes_on_where_it_was() {
        let feed = Feed::default();
        let tails = [feed.open(1), feed.open(2)];
        tails[0].push(change("notes", "before".to_owned()));
        let (words, position) = told(&mut watcher(&feed, None)).await;
        assert_eq!(words, ["reached"], "it watches from now on");
        tails[0].push(change("notes", "a".to_owned()));
        tails[1].push(change("others", "b".to_owned()));
        tails[1].push(change("notes", "c".to_owned()));
        let (words, position) = told(&mut watcher(&feed, Some(&position))).await;
        assert_eq!(words, ["reached", "notes/a", "notes/c"]);
        let (words, _) = told(&mut watcher(&feed, Some(&position))).await;
        assert_eq!(words, ["reached"], "nothing is told twice");
    }

    #[tokio::test]
    async fn what_is_no_longer_held_is_a_resync() {
        let feed = Feed::default();
        let tail = feed.open(1);
        let mut slow = watcher(&feed, None);
        told(&mut slow).await;
        for number in 0..=WATCH_EVENTS_MAX {
            tail.push(change("notes", number.to_string()));
        }
        assert_eq!(tail.length(), WATCH_EVENTS_MAX);
        tail.push(change("notes", "last".to_owned()));
        assert_eq!(slow.look(), Some(Told::Resync));
        tail.push(change("notes", "new".to_owned()));
        assert_eq!(told(&mut slow).await.0, ["notes/new"]);
    }

    #[tokio::test]
    async fn a_busy_shard_does_not_keep_a_quiet_one_waiting() {
        let feed = Feed::default();
        let (busy, quiet) = (feed.open(1), feed.open(2));
        let mut watcher = watcher(&feed, None);
        for number in 0..10 * TAKEN_MAX {
            busy.push(change("notes", format!("busy-{number}")));
        }
        quiet.push(change("notes", "quiet".to_owned()));
        let (words, _) = told(&mut watcher).await;
        assert_eq!(words.len(), 1 + 10 * TAKEN_MAX + 1, "all is told");
        let place = words.iter().position(|word| word == "notes/quiet");
        assert!(place.expect("it is told") <= TAKEN_MAX + 1);
    }

    #[tokio::test]
    async fn what_concerns_other_buckets_is_passed_over_to_the_end() {
        let feed = Feed::default();
        let tail = feed.open(1);
        let mut watcher = watcher(&feed, None);
        for number in 0..3 * TAKEN_MAX {
            tail.push(change("others", number.to_string()));
        }
        tail.push(change("notes", "last".to_owned()));
        let (words, _) = told(&mut watcher).await;
        assert_eq!(words, ["reached", "notes/last"]);
    }

    #[tokio::test]
    async fn long_keys_are_held_in_few() {
        let tail = Feed::default().open(1);
        for _ in 0..2 * WATCH_BYTES_MAX / 4096 {
            tail.push(change("notes", "k".repeat(4096)));
        }
        assert!(tail.length() <= WATCH_BYTES_MAX / 4096);
        assert!(tail.length() > WATCH_BYTES_MAX / 4096 / 2);
    }

    #[tokio::test]
    async fn a_position_of_another_life_or_of_the_future_is_a_resync() {
        let feed = Feed::default();
        feed.open(1).push(change("notes", "a".to_owned()));
        for position in [
            Position(vec![(2, 1)]),
            Position(vec![(1, 2)]),
            Position(vec![]),
        ] {
            let (words, reached) = told(&mut watcher(&feed, Some(&position))).await;
            assert_eq!(words, ["resync"], "{position:?}");
            assert_eq!(reached, Position(vec![(1, 1)]));
        }
    }

    #[tokio::test]
    async fn other_buckets_move_the_position() {
        let feed = Feed::default();
        let tail = feed.open(1);
        let mut idle = watcher(&feed, None);
        told(&mut idle).await;
        for number in 0..PASSED_MAX {
            tail.push(change("others", number.to_string()));
        }
        let (told, position) = idle.next().await.expect("it is told");
        assert_eq!(told, Told::Reached);
        assert_eq!(position, Position(vec![(1, PASSED_MAX as u64)]));
    }

    #[tokio::test]
    async fn watchers_are_bounded_and_end_with_the_node() {
        let feed = Feed::default();
        let bucket = BucketName::new("notes").expect("a name");
        let mut watchers: Vec<Watcher> = (0..WATCHERS_MAX).map(|_| watcher(&feed, None)).collect();
        assert!(feed.watch(bucket, None).is_none());
        feed.close();
        for watcher in &mut watchers {
            assert!(watcher.next().await.is_none());
        }
    }
}
