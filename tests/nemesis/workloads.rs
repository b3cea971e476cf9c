//! The clients: each does one thing after the other, through whatever node it meets, and writes down what it was told.
//!
//! All values are JSON arrays of elements, and an element is brought in by one put only, which is never repeated. Judges
//! nothing.
//!
//! Invariant: a client that has no answer does not know; it never asks the same again, and reads anew.

use super::checker::{BLIND, COPIES, DELETES, LAST_WRITE, SIBLINGS, UNION};
use super::doors::Doors;
use super::history::{Action, History, Outcome, Record};
use super::stage::{getting, putting};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rejoin::wire::proto::v1 as proto;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tonic::Status;
use tonic_types::StatusExt as _;

/// Puts of a key that a team shares, before the workload goes on to the next; bounds its value.
const PUTS_PER_KEY: u64 = 40;
/// Keys of a workload that are written at a time; of last-write-wins it is one, so that its writers do meet.
const LANES: u64 = 3;
/// A node that did not answer well is left alone for so long.
const AVOID: Duration = Duration::from_secs(1);
/// Values that a key of `deletes` has had when it is left.
const LIVES: u64 = 3;

/// What a client does, in which bucket, how many of a team do it, and how long each rests in between.
pub struct Style {
    pub bucket: &'static str,
    pub clients: u32,
    /// Teams beyond the first write only what must not be lost.
    in_all_teams: bool,
    pause_ms: std::ops::Range<u64>,
}

/// Some 100 requests in a second, of one team.
pub const STYLES: [Style; 5] = [
    Style {
        bucket: UNION,
        clients: 3,
        in_all_teams: true,
        pause_ms: 120..280,
    },
    Style {
        bucket: SIBLINGS,
        clients: 3,
        in_all_teams: true,
        pause_ms: 120..280,
    },
    Style {
        bucket: LAST_WRITE,
        clients: 3,
        in_all_teams: false,
        pause_ms: 120..280,
    },
    Style {
        bucket: BLIND,
        clients: 2,
        in_all_teams: false,
        pause_ms: 250..350,
    },
    Style {
        bucket: DELETES,
        clients: 2,
        in_all_teams: true,
        pause_ms: 120..280,
    },
];

/// What all clients share.
pub struct Crowd {
    pub doors: Arc<Doors>,
    pub history: Arc<History>,
    pub stopping: AtomicBool,
    teams: u64,
    /// Elements so far, by team and bucket.
    elements: BTreeMap<(u64, &'static str), AtomicU64>,
}

impl Crowd {
    /// Each team has keys of its own.
    pub fn new(doors: Arc<Doors>, history: Arc<History>, teams: u64) -> Self {
        let places = |team| STYLES.map(|style| ((team, style.bucket), AtomicU64::new(0)));
        Self {
            doors,
            history,
            stopping: AtomicBool::new(false),
            teams,
            elements: (0..teams).flat_map(places).collect(),
        }
    }
}

/// Starts all clients; they end soon after `stopping`.
pub fn start(crowd: &Arc<Crowd>, seed: u64) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut number = 0;
    for team in 0..crowd.teams {
        let styles = STYLES.into_iter();
        for style in styles.filter(|style| team == 0 || style.in_all_teams) {
            for _ in 0..style.clients {
                number += 1;
                let client = Client {
                    number,
                    team,
                    bucket: style.bucket,
                    pause_ms: style.pause_ms.clone(),
                    dice: StdRng::seed_from_u64(seed.wrapping_add(u64::from(number))),
                    crowd: Arc::clone(crowd),
                    avoided: BTreeMap::new(),
                };
                tasks.spawn(client.work());
            }
        }
    }
    tasks
}

struct Client {
    number: u32,
    team: u64,
    bucket: &'static str,
    pause_ms: std::ops::Range<u64>,
    dice: StdRng,
    crowd: Arc<Crowd>,
    avoided: BTreeMap<usize, Instant>,
}

/// What a read showed.
#[derive(Default)]
struct Seen {
    elements: BTreeSet<String>,
    context: Bytes,
}

impl Client {
    async fn work(mut self) {
        let mut own = 0;
        while !self.crowd.stopping.load(Ordering::Relaxed) {
            let pause = self.dice.random_range(self.pause_ms.clone());
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match self.bucket {
                DELETES => {
                    let key = format!("c{}-{}", self.number, own / LIVES);
                    own += u64::from(self.live_and_die(&key).await);
                }
                BLIND => {
                    let (key, element) = self.next();
                    self.add(&key, element, Seen::default()).await;
                }
                // Half of these puts merge with what they have not seen.
                UNION if self.dice.random_bool(0.5) => {
                    let (key, element) = self.next();
                    self.add(&key, element, Seen::default()).await;
                }
                _ => {
                    let (key, element) = self.next();
                    if let Some(seen) = self.read(&key).await {
                        self.add(&key, element, seen).await;
                    }
                }
            }
        }
    }

    /// The key that it is now the turn of, and an element that nobody else has.
    fn next(&mut self) -> (String, String) {
        let team = self.team;
        let number = self.crowd.elements[&(team, self.bucket)].fetch_add(1, Ordering::Relaxed);
        let lanes = match self.bucket {
            LAST_WRITE => 1,
            _ => LANES,
        };
        let lane = self.dice.random_range(0..lanes);
        let key = format!("{team}-{}-{lane}", number / (PUTS_PER_KEY * lanes));
        (key, format!("{}-{number}", self.number))
    }

    /// Puts where nothing is, or deletes what is there. True: a delete went well.
    async fn live_and_die(&mut self, key: &str) -> bool {
        let Some(seen) = self.read(key).await else {
            return false;
        };
        if !seen.elements.is_empty() {
            return self.delete(key, seen).await;
        }
        let (_, element) = self.next();
        self.add(key, element, seen).await;
        false
    }

    /// A node that is up and was not silent lately.
    async fn door(&mut self) -> (usize, super::stage::Node) {
        loop {
            self.avoided.retain(|_, since| since.elapsed() < AVOID);
            let mut up = self.crowd.doors.all();
            up.retain(|(place, _)| !self.avoided.contains_key(place));
            if let Some((place, node)) = up.choose(&mut self.dice) {
                return (*place, node.clone());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn begin(&self, node: usize, key: &str, action: Action) -> u64 {
        let op = self.crowd.history.next_op();
        self.crowd.history.write(Record::Began {
            op,
            client: self.number,
            node,
            bucket: self.bucket.to_owned(),
            key: key.to_owned(),
            action,
        });
        op
    }

    async fn read(&mut self, key: &str) -> Option<Seen> {
        let (place, node) = self.door().await;
        let op = self.begin(place, key, Action::Read);
        let found = match node.try_get(getting(self.bucket, key)).await {
            Ok(found) => found,
            Err(status) => {
                self.failed(op, place, &status, true);
                return None;
            }
        };
        let elements: BTreeSet<String> = found.values.iter().flat_map(elements).collect();
        self.crowd.history.write(Record::Ended {
            op,
            outcome: Outcome::Ok,
            seen: elements.iter().cloned().collect(),
            siblings: found.values.len(),
            primaries: found.primaries_answered,
            why: String::new(),
        });
        Some(Seen {
            elements,
            context: found.context,
        })
    }

    /// What was seen, and one element more, in the place of what was seen.
    async fn add(&mut self, key: &str, element: String, seen: Seen) -> bool {
        let (place, node) = self.door().await;
        let mut elements = seen.elements;
        elements.insert(element.clone());
        let value = serde_json::to_string(&elements).expect("texts");
        let op = self.begin(place, key, Action::Add(element));
        let asked = proto::PutRequest {
            context: seen.context,
            ..putting(self.bucket, key, &value)
        };
        let stored = node.try_put(asked).await;
        self.stored(op, place, stored.map(|stored| stored.primaries_answered))
    }

    async fn delete(&mut self, key: &str, seen: Seen) -> bool {
        let (place, node) = self.door().await;
        let covered = seen.elements.into_iter().collect();
        let op = self.begin(place, key, Action::Delete(covered));
        let asked = proto::DeleteRequest {
            bucket: self.bucket.to_owned(),
            key: key.to_owned().into(),
            context: seen.context,
            ..proto::DeleteRequest::default()
        };
        let asked = node.connection.request(asked);
        let deleted = node.connection.kv().delete(asked).await;
        let deleted = deleted.map(|reply| reply.into_inner().primaries_answered);
        self.stored(op, place, deleted)
    }

    fn stored(&mut self, op: u64, place: usize, reply: Result<u32, Status>) -> bool {
        match reply {
            Ok(primaries) => {
                self.crowd.history.write(Record::Ended {
                    op,
                    outcome: Outcome::Ok,
                    seen: Vec::new(),
                    siblings: 0,
                    primaries,
                    why: String::new(),
                });
                true
            }
            Err(status) => {
                self.failed(op, place, &status, false);
                false
            }
        }
    }

    fn failed(&mut self, op: u64, place: usize, status: &Status, is_read: bool) {
        self.avoided.insert(place, Instant::now());
        let info = status.get_error_details().error_info().cloned();
        let outcome = info.and_then(|info| info.metadata.get("outcome").cloned());
        let is_certain = is_read || outcome.as_deref() == Some("not-stored");
        self.crowd.history.write(Record::Ended {
            op,
            outcome: match is_certain {
                true => Outcome::Refused,
                false => Outcome::Unknown,
            },
            seen: Vec::new(),
            siblings: 0,
            primaries: 0,
            why: status.message().to_owned(),
        });
    }
}

fn elements(value: &proto::Value) -> Vec<String> {
    let text = String::from_utf8_lossy(&value.value).into_owned();
    // What is no list of ours was invented, and the checker has to see it.
    serde_json::from_slice(&value.value).unwrap_or_else(|_| vec![text])
}

/// What the key shows in the end, and what its primaries hold. None: some node did not answer.
pub async fn last_look(
    doors: &Doors,
    names: &[String],
    (bucket, key): (&str, &str),
) -> Option<Vec<Record>> {
    let all = doors.all();
    let (_, node) = all.get(key.len() % all.len().max(1))?;
    let asked = proto::GetRequest {
        r: Some(COPIES),
        ..getting(bucket, key)
    };
    let found = node.try_get(asked).await.ok()?;
    let seen: BTreeSet<String> = found.values.iter().flat_map(elements).collect();
    let mut records = vec![Record::Final {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        seen: seen.into_iter().collect(),
        siblings: found.values.len(),
    }];
    let asked = proto::PreferenceListRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned().into(),
    };
    let asked = node.connection.request(asked);
    let list = node.connection.cluster().preference_list(asked).await;
    let list = list.ok()?.into_inner().nodes;
    for name in list.iter().take(COPIES as usize) {
        let place = names.iter().position(|known| known == name)?;
        let owner = doors.node(place)?;
        let asked = proto::LocalRecordRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned().into(),
        };
        let asked = owner.connection.request(asked);
        let record = owner.connection.cluster().local_record(asked).await;
        records.push(Record::Copy {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            node: name.clone(),
            hash: record.ok()?.into_inner().object_hash,
        });
    }
    Some(records)
}
