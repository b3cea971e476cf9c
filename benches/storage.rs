//! How much of a raw append log's rate of durable puts the engines reach, in the same run.
//!
//! One writer, then 64, put 1 KiB each and wait; one committer syncs for all who wait, as a node does. Prints
//! the rates, the CPU per put, and their ratios, which are the figures to compare: the rates are the disk's.
//! Then the bytes on disk of each engine after the same keys were overwritten some times, over the live ones.

use anyhow::{Context, Result};
use bytes::Bytes;
use rejoin::dynamo::replica::storage::{Batch, Storage};
use rejoin::storage::durability;
use rejoin::storage::opening::Options;
use rejoin::storage::redb_engine::RedbStorage;
use rejoin::storage::sled_engine::SledStorage;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

const MANY: u64 = 64;
const PUTS: u64 = 200;
const ROUNDS: u64 = 3;
const CHURN_KEYS: u64 = 10_000;
const CHURN_ROUNDS: u64 = 7;
const VALUE: [u8; 1024] = [7; 1024];

/// Puts that asked for a sync, and puts that have it. Held only to count.
#[derive(Default)]
struct Committer {
    counts: Mutex<(u64, u64)>,
    changed: Condvar,
}

impl Committer {
    fn wait_for_sync(&self) {
        let mut counts = self.counts.lock().expect("no writer panics");
        counts.0 += 1;
        let mine = counts.0;
        self.changed.notify_all();
        let done = self.changed.wait_while(counts, |counts| counts.1 < mine);
        drop(done.expect("no writer panics"));
    }

    fn sync_until(&self, last: u64, mut sync: impl FnMut()) {
        for done in 0.. {
            let counts = self.counts.lock().expect("no writer panics");
            let asked = self
                .changed
                .wait_while(counts, |(asked, done)| asked == done);
            let asked = asked.expect("no writer panics").0;
            sync();
            self.counts.lock().expect("no writer panics").1 = asked;
            self.changed.notify_all();
            if asked == last {
                println!("  {:.1} puts a sync", last as f64 / f64::from(done + 1));
                return;
            }
        }
    }
}

/// Puts a second.
fn measure(name: &str, writers: u64, put: impl Fn(u64) + Sync, sync: impl FnMut() + Send) -> f64 {
    let committer = Committer::default();
    let (start, cpu) = (Instant::now(), cpu_us());
    std::thread::scope(|scope| {
        let (put, committer) = (&put, &committer);
        for writer in 0..writers {
            scope.spawn(move || {
                for n in 0..PUTS {
                    put(writer * PUTS + n);
                    committer.wait_for_sync();
                }
            });
        }
        scope.spawn(move || committer.sync_until(writers * PUTS, sync));
    });
    let puts = (writers * PUTS) as f64;
    let rate = puts / start.elapsed().as_secs_f64();
    println!(
        "{name}: {rate:.0} puts/s, {:.1} us CPU each",
        (cpu_us() - cpu) / puts
    );
    rate
}

/// CPU time of this process; zero where there is no /proc.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() * 10_000.0
}

fn batch(round: u64, n: u64) -> Batch {
    let mut batch = Batch::default();
    let key = (round * MANY * PUTS + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    batch.put(
        Bytes::from(format!("{key:032x}")),
        Bytes::from_static(&VALUE),
    );
    batch
}

/// Puts a second of an engine.
fn rate<S>(name: &str, writers: u64, round: u64, storage: &S) -> f64
where
    S: Storage + Clone + Send + Sync,
{
    let mut committer = storage.clone();
    measure(
        name,
        writers,
        |n| storage.clone().apply(batch(round, n)).expect("applies"),
        move || committer.sync().expect("syncs"),
    )
}

/// Overwrites the same keys, with a sync for every 64.
fn churn(storage: &mut impl Storage) -> Result<()> {
    for round in 0..CHURN_ROUNDS {
        for n in 0..CHURN_KEYS {
            let mut batch = Batch::default();
            let key = format!("{:032x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            batch.put(Bytes::from(key), Bytes::from(vec![round as u8; 1024]));
            storage.apply(batch)?;
            if n % 64 == 0 {
                storage.sync()?;
            }
        }
    }
    Ok(storage.sync()?)
}

/// Bytes that the files of a folder take on the disk.
fn taken(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        bytes += match path.is_dir() {
            true => taken(&path)?,
            false => std::os::unix::fs::MetadataExt::blocks(&path.metadata()?) * 512,
        };
    }
    Ok(bytes)
}

fn main() -> Result<()> {
    durability::install().context("a durable engine needs the filter")?;
    let folder = tempfile::tempdir_in(".").context("the working folder must be on a disk")?;
    let path = |name: &str| folder.path().join(name);
    let sled = SledStorage::open(&path("sled"), Options::default())?.storage;
    let redb = RedbStorage::open(&path("redb"), Options::default())?.storage;
    for writers in [1, MANY] {
        println!("{writers} writers");
        for round in 0..ROUNDS {
            let log = File::create(path("log"))?;
            let append = |_| {
                let record = [&[0; 44][..], &VALUE].concat();
                (&log).write_all(&record).expect("appends");
            };
            let raw = measure("raw log", writers, append, || {
                log.sync_data().expect("syncs")
            });
            let sled = rate("sled", writers, round, &sled);
            let redb = rate("redb", writers, round, &redb);
            let of_raw = |rate: f64| 100.0 * rate / raw;
            println!(
                "of the raw log: sled {:.0} %, redb {:.0} %; sled over redb {:.2}",
                of_raw(sled),
                of_raw(redb),
                sled / redb
            );
        }
    }
    let live = (CHURN_KEYS * (1024 + 32)) as f64;
    let mut churned = SledStorage::open(&path("sled-churn"), Options::default())?.storage;
    churn(&mut churned)?;
    println!(
        "sled takes {:.1} times the live bytes",
        taken(&path("sled-churn"))? as f64 / live
    );
    let mut churned = RedbStorage::open(&path("redb-churn"), Options::default())?.storage;
    churn(&mut churned)?;
    println!(
        "redb takes {:.1} times the live bytes",
        taken(&path("redb-churn"))? as f64 / live
    );
    Ok(())
}
