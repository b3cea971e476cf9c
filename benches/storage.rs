//! How much of a raw append log's rate of durable puts the sled engine reaches, in the same run.
//!
//! 64 writers put 1 KiB each and wait; one committer syncs for all who wait, as a node does. Prints both
//! rates, the CPU per put, and their ratio, which is the figure to compare: the rates are the disk's.

use anyhow::{Context, Result};
use bytes::Bytes;
use rejoin::dynamo::replica::storage::{Batch, Storage};
use rejoin::storage::durability;
use rejoin::storage::sled_engine::{Options, SledStorage};
use std::fs::File;
use std::io::Write;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

const WRITERS: u64 = 64;
const PUTS: u64 = 300;
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
fn measure(name: &str, put: impl Fn(u64) + Sync, sync: impl FnMut() + Send) -> f64 {
    let committer = Committer::default();
    let (start, cpu) = (Instant::now(), cpu_us());
    std::thread::scope(|scope| {
        let (put, committer) = (&put, &committer);
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for n in 0..PUTS {
                    put(writer * PUTS + n);
                    committer.wait_for_sync();
                }
            });
        }
        scope.spawn(move || committer.sync_until(WRITERS * PUTS, sync));
    });
    let puts = (WRITERS * PUTS) as f64;
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
    let key = (round * WRITERS * PUTS + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    batch.put(
        Bytes::from(format!("{key:032x}")),
        Bytes::from_static(&VALUE),
    );
    batch
}

fn main() -> Result<()> {
    durability::install().context("a durable engine needs the filter")?;
    let folder = tempfile::tempdir_in(".").context("the working folder must be on a disk")?;
    let storage = SledStorage::open(folder.path(), Options::default())?.storage;
    for round in 0..3 {
        let log = File::create(folder.path().join("log"))?;
        let raw = measure(
            "raw log",
            |_| {
                (&log)
                    .write_all(&[&[0; 44][..], &VALUE].concat())
                    .expect("appends")
            },
            || log.sync_data().expect("syncs"),
        );
        let mut committer = storage.clone();
        let sled = measure(
            "sled",
            |n| storage.clone().apply(batch(round, n)).expect("applies"),
            move || committer.sync().expect("syncs"),
        );
        println!("sled reaches {:.0} % of the raw log", 100.0 * sled / raw);
    }
    Ok(())
}
