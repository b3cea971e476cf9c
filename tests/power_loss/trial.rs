//! One engine under one workload: recorded once, then cut off at many moments, opened, and judged.
//!
//! Invariant: a recording whose replay is not the folder that the process left is no evidence, and fails.

use super::disk::{Disk, Naming, Survival, replay, same};
use super::log::{Log, Syncing};
use super::recording::{Event, Recording};
use super::tracer::{End, follow};
use super::workload::{State, Teller, Workload, run};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rejoin::dynamo::replica::storage::Storage;
use rejoin::storage::durability;
use rejoin::storage::opening::{Durability, History, OpenError, Options};
use rejoin::storage::redb_engine::RedbStorage;
use rejoin::storage::sled_engine::SledStorage;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// What keeps the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sled,
    /// A control: without the filter it believes `sync_file_range`.
    SledUnfiltered,
    Redb,
    SyncedLog,
    UnsyncedLog,
}

const ENGINES: [Engine; 5] = [
    Engine::Sled,
    Engine::SledUnfiltered,
    Engine::Redb,
    Engine::SyncedLog,
    Engine::UnsyncedLog,
];

/// What came of some images.
#[derive(Debug, Default)]
pub struct Tally {
    pub images: usize,
    /// Acknowledged batches were missing, or batches were torn, without a word.
    pub lost: Vec<String>,
    /// Acknowledged batches were missing, and the engine said so.
    pub told: Vec<String>,
    /// The engine did not open.
    pub refused: Vec<String>,
    /// A loss was told before anything had been acknowledged: a node that died while it was created.
    pub early: usize,
}

impl Tally {
    pub fn faults(&self) -> usize {
        self.lost.len() + self.told.len() + self.refused.len()
    }

    fn add(&mut self, other: Self) {
        self.images += other.images;
        self.lost.extend(other.lost);
        self.told.extend(other.told);
        self.refused.extend(other.refused);
        self.early += other.early;
    }
}

/// What the writers had told by some moment: the last acknowledged and the last tried batch.
type Progress = BTreeMap<u8, (usize, usize)>;

/// A workload on an engine, recorded.
pub struct Trial {
    engine: Engine,
    seed: u64,
    recording: Recording,
    states: Vec<Vec<State>>,
    room: TempDir,
    /// What had been acknowledged when the recording began.
    before: Option<Progress>,
}

/// The part of a test that runs in the recorded process. False: this is not that process.
pub fn is_recorded_process() -> Result<bool> {
    let Ok(role) = std::env::var("REJOIN_POWER_ROLE") else {
        return Ok(false);
    };
    let fields: Vec<&str> = role.split(' ').collect();
    let [engine, workload, seed, room] = fields[..] else {
        anyhow::bail!("{role:?} is no role");
    };
    let engine = ENGINES[engine.parse::<usize>()?];
    let workload = match workload {
        "open" => None,
        number => Some(Workload::ALL[number.parse::<usize>()?]),
    };
    std::io::stdin().read_line(&mut String::new())?; // The recorder is there.
    work(engine, workload, seed.parse()?, Path::new(room))?;
    Ok(true)
}

fn work(engine: Engine, workload: Option<Workload>, seed: u64, room: &Path) -> Result<()> {
    let folder = room.join("root");
    let teller = Teller(File::create(room.join("told"))?);
    match engine {
        Engine::Sled | Engine::SledUnfiltered => {
            let durability = match engine {
                Engine::Sled => Durability::Required,
                _ => Durability::Forgone,
            };
            if durability == Durability::Required {
                durability::install()?;
            }
            let storage = SledStorage::open(&folder, options(durability))?.storage;
            perform(workload, seed, storage, &teller)
        }
        Engine::Redb => {
            let storage = RedbStorage::open(&folder, options(Durability::Required))?.storage;
            perform(workload, seed, storage, &teller)
        }
        Engine::SyncedLog => perform(
            workload,
            seed,
            Log::open(&folder, Syncing::Honest)?,
            &teller,
        ),
        Engine::UnsyncedLog => perform(
            workload,
            seed,
            Log::open(&folder, Syncing::Pretended)?,
            &teller,
        ),
    }
}

fn perform<S>(workload: Option<Workload>, seed: u64, storage: S, teller: &Teller) -> Result<()>
where
    S: Storage + Clone + Send + Sync,
{
    match workload {
        Some(workload) => Ok(run(workload, seed, &storage, teller)?),
        None => Ok(()),
    }
}

fn options(durability: Durability) -> Options {
    Options {
        durability,
        ..Options::default()
    }
}

/// A folder in memory, where there is one: a disk adds nothing here but time.
fn room() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => Ok(tempfile::tempdir_in(memory)?),
        false => Ok(tempfile::tempdir()?),
    }
}

/// Starts this test once more, as the process that is recorded.
fn record(test: &str, engine: Engine, workload: &str, seed: u64, room: &Path) -> Result<Recording> {
    let place = ENGINES.iter().position(|other| *other == engine);
    let place = place.context("every engine is listed")?;
    let room = room.canonicalize()?;
    let mut recording = Recording::of(&room.join("root"), &room.join("told"))?;
    let role = format!("{place} {workload} {seed} {}", room.display());
    let mut command = Command::new(std::env::current_exe()?);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("REJOIN_POWER_ROLE", role).stdout(Stdio::null());
    let end = follow(&mut command, &mut recording)?;
    ensure!(
        end == End::Exited(0),
        "the recorded process ended with {end:?}"
    );
    Ok(recording)
}

impl Trial {
    /// Records the workload. `test` is the name of the test that asks.
    pub fn record(test: &str, engine: Engine, workload: Workload, seed: u64) -> Result<Self> {
        let room = room()?;
        std::fs::create_dir(room.path().join("root"))?;
        let number = Workload::ALL.iter().position(|other| *other == workload);
        let number = number.context("every workload is listed")?.to_string();
        let recording = record(test, engine, &number, seed, room.path())?;
        let states = (0..workload.writers()).map(|writer| workload.states(seed, writer));
        let trial = Self {
            engine,
            seed,
            recording,
            states: states.collect(),
            room,
            before: None,
        };
        trial.check_recording()?;
        Ok(trial)
    }

    /// All of it, replayed, is what the process left.
    fn check_recording(&self) -> Result<()> {
        let copy = self.room.path().join("copy");
        let mut dice = StdRng::seed_from_u64(0);
        replay(&self.recording).fail(Survival::All, Naming::Strict, &mut dice, &copy)?;
        let is_same = same(&copy, &self.room.path().join("root"))?;
        ensure!(
            is_same,
            "the recording lacks something: {}",
            self.room.path().display()
        );
        std::fs::remove_dir_all(copy)?;
        Ok(())
    }

    /// Cuts the power at so many moments, opens what is left, and judges it.
    pub fn cut(&self, images: usize) -> Result<Tally> {
        let mut tally = Tally::default();
        self.at_moments(images, |image| {
            tally.add(self.judge(image.folder, &image.progress, &image.name)?);
            Ok(())
        })?;
        Ok(tally)
    }

    /// As `cut`, but the power fails a second time while the first images are opened.
    pub fn cut_twice(&self, test: &str, firsts: usize, seconds: usize) -> Result<Tally> {
        let mut tally = Tally::default();
        self.at_moments(firsts, |image| {
            let room = room()?;
            let root = room.path().join("root");
            std::fs::rename(image.folder, &root).or_else(|_| move_folder(image.folder, &root))?;
            let recording = record(test, self.engine, "open", self.seed, room.path())?;
            let again = Self {
                recording,
                states: self.states.clone(),
                room,
                before: Some(image.progress.clone()),
                ..*self
            };
            again.check_recording()?;
            let second = again.cut(seconds)?;
            let named = |faults: Vec<String>| {
                let named = faults
                    .into_iter()
                    .map(|fault| format!("{}, then {fault}", image.name));
                named.collect()
            };
            tally.add(Tally {
                lost: named(second.lost),
                told: named(second.told),
                refused: named(second.refused),
                ..second
            });
            Ok(())
        })?;
        Ok(tally)
    }

    fn at_moments(
        &self,
        images: usize,
        mut each: impl FnMut(Image<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut dice = StdRng::seed_from_u64(self.seed);
        let events = &self.recording.events;
        let mut moments: Vec<usize> = (0..images)
            .map(|_| dice.random_range(0..=events.len()))
            .collect();
        moments.sort_unstable();
        let mut disk = Disk::at(&self.recording.start);
        let mut progress = self.before.clone().unwrap_or_default();
        let mut done = 0;
        for (number, moment) in moments.into_iter().enumerate() {
            while done < moment {
                disk.apply(done, &events[done]);
                if let Event::Told(line) = &events[done] {
                    note(&mut progress, line)?;
                }
                done += 1;
            }
            let kinds = [
                Survival::Nothing,
                Survival::Parts(4096),
                Survival::Parts(512),
                Survival::Parts(4096),
                Survival::All,
                Survival::Parts(512),
            ];
            let survival = kinds[number % kinds.len()];
            let naming = [Naming::Strict, Naming::Journal][number / kinds.len() % 2];
            let folder = self.room.path().join("image");
            disk.fail(survival, naming, &mut dice, &folder)?;
            each(Image {
                folder: &folder,
                progress: progress.clone(),
                name: format!(
                    "event {moment} of {}, {survival:?}, {naming:?}",
                    events.len()
                ),
            })?;
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
        }
        Ok(())
    }

    fn judge(&self, folder: &Path, progress: &Progress, name: &str) -> Result<Tally> {
        let mut tally = Tally {
            images: 1,
            ..Tally::default()
        };
        let acknowledged = progress.values().any(|(acknowledged, _)| *acknowledged > 0);
        match self.open(folder) {
            Err(error) => tally.refused.push(format!("{name}: {error}")),
            Ok((_, Some(_))) if !acknowledged => tally.early += 1,
            Ok((_, Some(reason))) => tally.told.push(format!("{name}: {reason}")),
            Ok((storage, None)) => {
                for (writer, states) in self.states.iter().enumerate() {
                    let writer = writer as u8;
                    let (acknowledged, tried) = progress.get(&writer).copied().unwrap_or_default();
                    let found = found(storage.as_ref(), writer)?;
                    if !states[acknowledged..=tried].contains(&found) {
                        let older = states[..acknowledged]
                            .iter()
                            .rposition(|state| *state == found);
                        tally.lost.push(format!(
                            "{name}: writer {writer} had {acknowledged} acknowledged of {tried}, found \
                             {older:?}"
                        ));
                    }
                }
            }
        }
        Ok(tally)
    }

    /// The engine on an image, and what it says of a loss.
    fn open(&self, folder: &Path) -> Result<(Box<dyn Storage>, Option<String>), OpenError> {
        let told = |history| match history {
            History::Lost { reason, .. } => Some(reason),
            History::Fresh | History::Continued => None,
        };
        let options = options(Durability::Forgone); // A probe for each image would tell nothing new.
        Ok(match self.engine {
            Engine::Sled | Engine::SledUnfiltered => {
                let opened = SledStorage::open(folder, options)?;
                (Box::new(opened.storage), told(opened.history))
            }
            Engine::Redb => {
                let opened = RedbStorage::open(folder, options)?;
                (Box::new(opened.storage), told(opened.history))
            }
            Engine::SyncedLog | Engine::UnsyncedLog => {
                let log = Log::open(folder, Syncing::Pretended);
                let log = log.map_err(|error| OpenError::Engine {
                    folder: folder.to_owned(),
                    reason: error.to_string(),
                })?;
                (Box::new(log), None)
            }
        })
    }
}

/// What one power failure left.
struct Image<'a> {
    folder: &'a Path,
    progress: Progress,
    name: String,
}

fn note(progress: &mut Progress, line: &str) -> Result<()> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [word, writer, number] = fields[..] else {
        anyhow::bail!("{line:?} was not to be told");
    };
    let entry = progress.entry(writer.parse()?).or_default();
    match word {
        "ack" => entry.0 = number.parse()?,
        _ => entry.1 = number.parse()?,
    }
    Ok(())
}

fn found(storage: &dyn Storage, writer: u8) -> Result<State> {
    let range = Bytes::from(vec![writer])..Bytes::from(vec![writer + 1]);
    let items = storage.scan(range, usize::MAX)?;
    let sums = items.into_iter().map(|(key, value)| (key, xxh3_64(&value)));
    Ok(sums.collect())
}

/// Where a rename does not reach.
fn move_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path: PathBuf = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        match path.is_dir() {
            true => move_folder(&path, &target)?,
            false => std::fs::copy(&path, &target).map(drop)?,
        }
    }
    std::fs::remove_dir_all(from)
}

/// Records, cuts, prints the figures, and gives the tally back.
pub fn measure(test: &str, engine: Engine, workload: Workload, images: usize) -> Result<Tally> {
    let seed = seed();
    let started = Instant::now();
    let trial = Trial::record(test, engine, workload, seed)?;
    let recorded = started.elapsed();
    let tally = trial.cut(images)?;
    report(&format!("{engine:?} {workload:?}"), &tally, seed);
    println!(
        "  recorded {} events in {recorded:.1?}, all in {:.1?}",
        trial.recording.events.len(),
        started.elapsed()
    );
    Ok(tally)
}

/// One line of figures, and the first faults.
pub fn report(what: &str, tally: &Tally, seed: u64) {
    println!(
        "{what}: {} images, {} lost, {} told, {} refused, {} told early (REJOIN_SEED={seed})",
        tally.images,
        tally.lost.len(),
        tally.told.len(),
        tally.refused.len(),
        tally.early
    );
    let faults = tally.lost.iter().chain(&tally.told).chain(&tally.refused);
    faults.take(6).for_each(|fault| println!("  {fault}"));
}

/// `REJOIN_SEED`, or any.
pub fn seed() -> u64 {
    let given = std::env::var("REJOIN_SEED").ok();
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random)
}

/// `REJOIN_POWER_IMAGES`, or so many.
pub fn images(default: usize) -> usize {
    let given = std::env::var("REJOIN_POWER_IMAGES").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}
