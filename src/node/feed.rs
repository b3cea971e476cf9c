//! The latest changes of this node's copies, held for those who watch.
//!
//! Not in the paper. One tail for each shard, each of bounded length; watchers read at their own pace and are
//! never waited for.
//!
//! Invariant: a watcher is told every change of its bucket that follows its position, or `Resync` in place of
//! those that are no longer held.

use crate::dynamo::names::BucketName;
use crate::dynamo::replica::change::Change;
use crate::limits::{WATCH_BYTES_MAX, WATCH_EVENTS_MAX, WATCHERS_MAX};
use crate::wire::watch::{Position, Told};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Changes that a watcher takes at a time from one tail.
const TAKEN_MAX: usize = 64;
/// Changes of other buckets after which a watcher is told how far it is.
const PASSED_MAX: usize = 1024;

/// The changes of one node.
pub struct Feed {
    /// Guards the list, which is complete once the shards are started; never held over an await.
    tails: Mutex<Vec<Arc<Tail>>>,
    tide: Arc<watch::Sender<Tide>>,
    places: Arc<Semaphore>,
}

/// What wakes watchers.
#[derive(Clone, Copy, Default)]
struct Tide {
    changes: u64,
    is_closed: bool,
}

/// The latest changes of one life of one shard.
pub struct Tail {
    life: u64,
    /// Guards the changes, for the moment that it takes to append one or to copy a few pointers.
    held: Mutex<Held>,
    tide: Arc<watch::Sender<Tide>>,
}

#[derive(Default)]
struct Held {
    /// Changes since the shard started.
    count: u64,
    latest: VecDeque<Arc<Change>>,
    bytes: usize,
}

/// Somebody who watches one bucket.
pub struct Watcher {
    bucket: BucketName,
    cursors: Vec<Cursor>,
    /// The cursor that is looked at next.
    turn: usize,
    tide: watch::Receiver<Tide>,
    /// The watcher has not been told yet where it stands.
    is_new: bool,
    must_resync: bool,
    /// Changes of other buckets since it was last told anything.
    passed: usize,
    _place: OwnedSemaphorePermit,
}

struct Cursor {
    tail: Arc<Tail>,
    /// Changes of the tail that lie behind.
    count: u64,
    taken: VecDeque<Arc<Change>>,
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
        let tail = Arc::new(Tail {
            life,
            held: Mutex::default(),
            tide: Arc::clone(&self.tide),
        });
        self.tails().push(Arc::clone(&tail));
        tail
    }

    fn tails(&self) -> MutexGuard<'_, Vec<Arc<Tail>>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watcher of `bucket` from `position` on, or from now. None: there are `WATCHERS_MAX` already.
    pub fn watch(&self, bucket: BucketName, position: Option<&Position>) -> Option<Watcher> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut must_resync = false;
        let mut cursors = Vec::new();
        for tail in self.tails().iter() {
            let known = position.and_then(|position| position.of(tail.life));
            let count = known.filter(|count| *count <= tail.count());
            must_resync |= position.is_some() && count.is_none();
            cursors.push(Cursor {
                count: count.unwrap_or_else(|| tail.count()),
                tail: Arc::clone(tail),
                taken: VecDeque::new(),
            });
        }
        Some(Watcher {
            bucket,
            cursors,
            turn: 0,
            tide: self.tide.subscribe(),
            is_new: true,
            must_resync,
            passed: 0,
            _place: place,
        })
    }

    /// Ends all watchers: the node is going down, and nothing waits for them.
    pub fn close(&self) {
        self.tide.send_modify(|tide| tide.is_closed = true);
    }
}

impl Position {
    fn of(&self, life: u64) -> Option<u64> {
        let mut counts = self.0.iter().filter(|(named, _)| *named == life);
        counts.next().map(|(_, count)| *count)
    }
}

impl Tail {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> u64 {
        self.held().count
    }

    /// Appends a change, forgets the oldest beyond the bounds, and wakes who watches.
    pub fn push(&self, change: Change) {
        self.held().push(change);
        self.tide.send_modify(|tide| tide.changes += 1);
    }
}

impl Held {
    fn push(&mut self, change: Change) {
        self.count += 1;
        self.bytes += change.size_bytes();
        self.latest.push_back(Arc::new(change));
        while self.latest.len() > WATCH_EVENTS_MAX || self.bytes > WATCH_BYTES_MAX {
            let Some(oldest) = self.latest.pop_front() else {
                return;
            };
            self.bytes -= oldest.size_bytes();
        }
    }

    /// What follows the first `count` changes, a few of them. None: some of it is no longer held.
    fn after(&self, count: u64) -> Option<impl Iterator<Item = &Arc<Change>>> {
        let behind = (self.count - count) as usize;
        let skipped = self.latest.len().checked_sub(behind)?;
        Some(self.latest.iter().skip(skipped).take(TAKEN_MAX))
    }
}

impl Cursor {
    /// False: what follows is no longer held, and the cursor stands at the end now.
    fn fill(&mut self) -> bool {
        let held = self.tail.held();
        match held.after(self.count) {
            Some(changes) => {
                self.taken.extend(changes.cloned());
                true
            }
            None => {
                self.count = held.count;
                false
            }
        }
    }
}

impl Watcher {
    /// The next thing to tell, and where the watcher stands once it knows. None: the node is going down.
    pub async fn next(&mut self) -> Option<(Told, Position)> {
        loop {
            if self.tide.borrow_and_update().is_closed {
                return None;
            }
            if let Some(told) = self.look() {
                self.passed = 0;
                return Some((told, self.position()));
            }
            self.tide.changed().await.ok()?;
        }
    }

    fn position(&self) -> Position {
        let counts = self.cursors.iter();
        Position(
            counts
                .map(|cursor| (cursor.tail.life, cursor.count))
                .collect(),
        )
    }

    fn look(&mut self) -> Option<Told> {
        if std::mem::take(&mut self.must_resync) {
            self.is_new = false;
            return Some(Told::Resync);
        }
        if std::mem::take(&mut self.is_new) {
            return Some(Told::Reached);
        }
        for _ in 0..self.cursors.len() {
            let told = self.look_at_shard();
            if told.is_some() {
                return told;
            }
            self.next_shard();
        }
        None
    }

    /// A busy shard must not keep a quiet one waiting until its changes are gone.
    fn next_shard(&mut self) {
        self.turn = (self.turn + 1) % self.cursors.len();
    }

    fn look_at_shard(&mut self) -> Option<Told> {
        let cursor = &mut self.cursors[self.turn];
        loop {
            if cursor.taken.is_empty() && !cursor.fill() {
                return Some(Told::Resync);
            }
            // None: it has caught up with this shard.
            let change = cursor.taken.pop_front()?;
            cursor.count += 1;
            if *change.key.bucket() == self.bucket {
                if cursor.taken.is_empty() {
                    self.next_shard();
                }
                return Some(Told::Changed(Change::clone(&change)));
            }
            self.passed += 1;
            if self.passed >= PASSED_MAX {
                self.next_shard();
                return Some(Told::Reached);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::names::Key;

    fn change(bucket: &str, key: String) -> Change {
        let bucket = BucketName::new(bucket).expect("a name");
        Change {
            key: Key::new(bucket, key.into()).expect("a key"),
            dots: Vec::new(),
            standing: 0,
            is_live: false,
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
        assert_eq!(tail.held().latest.len(), WATCH_EVENTS_MAX);
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
        let held = tail.held();
        assert!(held.bytes <= WATCH_BYTES_MAX && held.latest.len() < WATCH_EVENTS_MAX);
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
