//! What the recorded process does: batches that follow from a seed, and lines that tell how far it is.
//!
//! A writer tells `try W N` before it applies its batch N, and `ack W N` once a sync has returned that began
//! after that. Each writer has keys of its own, so that what it left can be judged by itself.
//!
//! Invariant: the batches of a writer are a function of workload and seed; the judge makes them again.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rejoin::dynamo::replica::storage::{Batch, Change, Storage, StorageError};
use rejoin::limits::VALUE_BYTES_MAX;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Condvar, Mutex};
use xxhash_rust::xxh3::xxh3_64;

/// What kind of work is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Small values over few keys, each synced.
    Overwrites,
    /// Some 24 MiB between two syncs: three segments of sled.
    Bursts,
    /// Values up to the limit of a client, each synced.
    Large,
    /// Batches that put and delete many keys.
    Deletes,
    /// Four writers, one sync for all who wait.
    Groups,
}

impl Workload {
    pub const ALL: [Self; 5] = [
        Self::Overwrites,
        Self::Bursts,
        Self::Large,
        Self::Deletes,
        Self::Groups,
    ];

    pub fn writers(self) -> u8 {
        match self {
            Self::Groups => 4,
            _ => 1,
        }
    }

    /// Batches of each writer.
    pub fn batches(self) -> usize {
        match self {
            Self::Overwrites => 80,
            Self::Bursts => 60,
            Self::Large => 12,
            Self::Deletes => 40,
            Self::Groups => 25,
        }
    }

    /// Whether the writer waits for a sync after this batch.
    fn syncs_after(self, number: usize) -> bool {
        match self {
            Self::Bursts => number.is_multiple_of(30),
            _ => true,
        }
    }

    /// Batch `number`, counted from 1, of a writer.
    pub fn batch(self, seed: u64, writer: u8, number: usize) -> Batch {
        let place = u64::from(writer) << 32 | number as u64;
        let mut dice = StdRng::seed_from_u64(xxh3_64(&place.to_be_bytes()) ^ seed);
        let mut batch = Batch::default();
        let (keys, changes, deletes) = match self {
            Self::Overwrites | Self::Groups => (12, 1, 0.1),
            Self::Bursts => (40, 1, 0.0),
            Self::Large => (5, 1, 0.1),
            Self::Deletes => (60, 12, 0.5),
        };
        for _ in 0..changes {
            let key = key(writer, dice.random_range(0..keys));
            match dice.random_bool(deletes) {
                true => batch.delete(key),
                false => batch.put(key, self.value(&mut dice)),
            }
        }
        batch
    }

    fn value(self, dice: &mut StdRng) -> Bytes {
        let length = match self {
            Self::Overwrites | Self::Groups => dice.random_range(0..200),
            Self::Bursts => 800 * 1024,
            Self::Large => dice.random_range(VALUE_BYTES_MAX / 8..=VALUE_BYTES_MAX),
            Self::Deletes => match dice.random_range(0..8) {
                0 => dice.random_range(8_000..30_000),
                _ => dice.random_range(0..500),
            },
        };
        let mut value = vec![0; length];
        dice.fill_bytes(&mut value);
        value.into()
    }

    /// What stands under a writer's keys after each of its batches, as sums; first, before any.
    pub fn states(self, seed: u64, writer: u8) -> Vec<State> {
        let mut states = vec![State::new()];
        for number in 1..=self.batches() {
            let mut state = states[number - 1].clone();
            for change in self.batch(seed, writer, number).changes {
                match change {
                    Change::Put { key, value } => state.insert(key, xxh3_64(&value)),
                    Change::Delete { key } => state.remove(&key),
                };
            }
            states.push(state);
        }
        states
    }
}

/// Sums of values by key.
pub type State = BTreeMap<Bytes, u64>;

/// Hints, hash trees and records are all items to an engine; keys of several lengths stand for them.
fn key(writer: u8, number: u32) -> Bytes {
    let filler = vec![b'k'; number as usize * 7 % 90];
    [&[writer][..], &filler, &number.to_be_bytes()]
        .concat()
        .into()
}

/// Tells lines, each in one system call.
pub struct Teller(pub File);

impl Teller {
    fn tell(&self, word: &str, writer: u8, number: usize) {
        let line = format!("{word} {writer} {number}\n");
        (&self.0)
            .write_all(line.as_bytes())
            .expect("a line can be told");
    }
}

/// Does all of the work.
pub fn run<S>(
    workload: Workload,
    seed: u64,
    storage: &S,
    teller: &Teller,
) -> Result<(), StorageError>
where
    S: Storage + Clone + Send + Sync,
{
    match workload.writers() {
        1 => alone(workload, seed, storage.clone(), teller),
        writers => together(workload, seed, writers, storage, teller),
    }
}

fn alone(
    workload: Workload,
    seed: u64,
    mut storage: impl Storage,
    teller: &Teller,
) -> Result<(), StorageError> {
    for number in 1..=workload.batches() {
        teller.tell("try", 0, number);
        storage.apply(workload.batch(seed, 0, number))?;
        if workload.syncs_after(number) {
            storage.sync()?;
            teller.tell("ack", 0, number);
        }
    }
    Ok(())
}

/// Batches that wait for a sync, batches that have it, and writers that are done.
#[derive(Default)]
struct Waiting {
    asked: u64,
    synced: u64,
    done: u8,
}

#[derive(Default)]
struct Committer {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Committer {
    fn wait_for_sync(&self) {
        let mut waiting = self.waiting.lock().expect("no writer panics");
        waiting.asked += 1;
        let mine = waiting.asked;
        self.changed.notify_all();
        let synced = self
            .changed
            .wait_while(waiting, |waiting| waiting.synced < mine);
        drop(synced.expect("no writer panics"));
    }

    fn is_done(&self) {
        self.waiting.lock().expect("no writer panics").done += 1;
        self.changed.notify_all();
    }

    fn sync_for(&self, writers: u8, mut storage: impl Storage) -> Result<(), StorageError> {
        loop {
            let waiting = self.waiting.lock().expect("no writer panics");
            let waiting = self.changed.wait_while(waiting, |waiting| {
                waiting.asked == waiting.synced && waiting.done < writers
            });
            let waiting = waiting.expect("no writer panics");
            let asked = waiting.asked;
            if asked == waiting.synced {
                return Ok(());
            }
            drop(waiting);
            storage.sync()?;
            self.waiting.lock().expect("no writer panics").synced = asked;
            self.changed.notify_all();
        }
    }
}

fn together<S>(
    workload: Workload,
    seed: u64,
    writers: u8,
    storage: &S,
    teller: &Teller,
) -> Result<(), StorageError>
where
    S: Storage + Clone + Send + Sync,
{
    let committer = Committer::default();
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (mut storage, committer) = (storage.clone(), &committer);
            scope.spawn(move || {
                for number in 1..=workload.batches() {
                    teller.tell("try", writer, number);
                    let batch = workload.batch(seed, writer, number);
                    storage
                        .apply(batch)
                        .expect("the disk of a recording is sound");
                    committer.wait_for_sync();
                    teller.tell("ack", writer, number);
                }
                committer.is_done();
            });
        }
        committer.sync_for(writers, storage.clone())
    })
}
