//! One run: a cluster, its clients, the windows of a schedule one after the other, and a verdict.
//!
//! `REJOIN_SEED` repeats the choices of a run, `REJOIN_NEMESIS_SECONDS` says how long windows go on to be opened, and
//! `REJOIN_NEMESIS_FAULTS` which kinds there are, as a list with commas, and `REJOIN_NEMESIS_TEAMS` how many teams of clients
//! there are. `REJOIN_NEMESIS_HISTORY` names a kept history, which is judged again in place of a run. With `REJOIN_NEMESIS_KEEP` the history of a run that passes is kept, too.
//!
//! Invariant: what is judged is the file, and the file of a run that fails is kept.

use super::checker::{BLIND, DELETES, FLOOD, Finding, LAST_WRITE, SIBLINGS, UNION, Verdict, judge};
use super::disk::{self, SmallDisk};
use super::faults::Faults;
use super::history::{self, History, Record};
use super::report;
use super::schedule::{Fault, Kind, NODES, SMALL_DISK, Window, drawn};
use super::stage::{Stage, bound, plugin_bytes, until};
use super::workloads::{self, Crowd};
use rejoin::config::StorageEngine;
use rejoin::wire::proto::v1 as proto;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For a run that nobody has set a time.
const SECONDS_DEFAULT: u64 = 30;
/// More windows than any run has time for.
const WINDOWS_MAX: usize = 2_000;
/// Before the first fault, so that the checker sees the cluster as it should be.
const WARM_UP: Duration = Duration::from_secs(2);
/// Keys that are looked at together in the end.
const LOOKS_AT_A_TIME: usize = 8;
/// Times that a key is looked at before its copies count as diverged.
const LOOKS_MAX: usize = 20;

const SETTINGS: [(&str, &str); 9] = [
    ("REJOIN_SHARDS", "1"),
    ("REJOIN_PARTITIONS", "64"),
    ("REJOIN_CACHE_BYTES", "8388608"),
    ("REJOIN_SUSPECT_MS", "1000"),
    ("REJOIN_ANTI_ENTROPY_INTERVAL_MS", "1000"),
    ("REJOIN_REAP_INTERVAL_MS", "2000"),
    ("REJOIN_TOMBSTONE_HORIZON_MS", "30000"),
    ("REJOIN_CONVERGE_QUIET_MS", "2000"),
    ("REJOIN_HINT_RETRY_MS", "500"),
];

/// Two clusters at a time would be too busy to be judged.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A folder that stays if its run fails, or if that is asked for.
struct Kept(Option<TempDir>);

impl Kept {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("rejoin-nemesis-").tempdir();
        Self(Some(folder.expect("a temporary folder")))
    }

    fn file(&self) -> PathBuf {
        let folder = self.0.as_ref().expect("it is there until it is dropped");
        folder.path().join("history.jsonl")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take()
            && (std::thread::panicking() || std::env::var_os("REJOIN_NEMESIS_KEEP").is_some())
        {
            println!("the history is kept in {}", folder.keep().display());
        }
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number")))
}

fn chosen_kinds() -> Vec<Kind> {
    let Ok(list) = std::env::var("REJOIN_NEMESIS_FAULTS") else {
        return Kind::ALL.to_vec();
    };
    let kind = |name: &str| {
        let known = || Kind::ALL.map(Kind::name).join(", ");
        Kind::named(name.trim()).unwrap_or_else(|| panic!("{name:?} is none of {}", known()))
    };
    list.split(',').map(kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_fault_of_a_schedule() {
    if let Ok(path) = std::env::var("REJOIN_NEMESIS_HISTORY") {
        return conclude(Path::new(&path));
    }
    let _alone = ONE_AT_A_TIME.lock().await;
    let seed = number_from("REJOIN_SEED").unwrap_or_else(rand::random);
    let seconds = number_from("REJOIN_NEMESIS_SECONDS").unwrap_or(SECONDS_DEFAULT);
    let teams = number_from("REJOIN_NEMESIS_TEAMS").unwrap_or(1);
    println!("REJOIN_SEED={seed} REJOIN_NEMESIS_SECONDS={seconds} REJOIN_NEMESIS_TEAMS={teams}");
    let kept = Kept::new();
    let history = Arc::new(History::create(kept.file()));
    let mut kinds = chosen_kinds();
    let mut faults = set_up(&history, &mut kinds).await;
    let windows = drawn(seed, WINDOWS_MAX, &kinds);
    let clients = Clients { seed, teams };
    run(&mut faults, &windows, clients, Duration::from_secs(seconds)).await;
    println!("{}", reaped(&faults).await);
    conclude(&kept.file());
    drop(faults.small.take());
    faults.stage.end().await;
}

/// The control: what no schedule does, the loss of more disks than one before they are refilled, must be noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_disks_wiped_at_once_are_found_to_have_lost_what_was_acknowledged() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let kept = Kept::new();
    let history = Arc::new(History::create(kept.file()));
    let mut faults = set_up(&history, &mut Vec::new()).await;
    let wiped = Window {
        rest: WARM_UP,
        lasts: WARM_UP,
        faults: vec![Fault {
            kind: Kind::Wipe,
            victims: vec![0, 1, 2, 3],
            dice: 0,
        }],
    };
    let clients = Clients { seed: 1, teams: 1 };
    run(&mut faults, &[wiped], clients, Duration::from_secs(1)).await;
    let verdict = judge(&history::read(history.path()));
    let is_loss = |finding: &Finding| matches!(finding, Finding::Lost { .. });
    let losses = verdict.findings.iter().filter(|finding| is_loss(finding));
    let losses = losses.count();
    println!("{losses} losses among {} findings", verdict.findings.len());
    assert!(losses > 0, "{:#?}", verdict.findings);
    faults.stage.end().await;
}

/// Who writes meanwhile.
#[derive(Clone, Copy)]
struct Clients {
    seed: u64,
    teams: u64,
}

/// Clients and windows, and a last look at every key.
async fn run(faults: &mut Faults, windows: &[Window], clients: Clients, time: Duration) {
    let (doors, history) = (Arc::clone(&faults.doors), Arc::clone(&faults.history));
    let crowd = Arc::new(Crowd::new(doors, history, clients.teams));
    let clients = workloads::start(&crowd, clients.seed);
    let outcome = play(faults, windows, time).await;
    crowd.stopping.store(true, Ordering::Relaxed);
    clients.join_all().await;
    match outcome {
        Ok(()) => look_back(faults).await,
        Err(why) => faults.history.write(Record::Unsettled { why }),
    }
}

/// Prints what a history comes to, and fails if there is anything in it.
fn conclude(file: &Path) {
    let lines = history::read(file);
    let verdict: Verdict = judge(&lines);
    report::print(&lines, &verdict);
    assert!(verdict.findings.is_empty(), "{:#?}", verdict.findings);
    assert!(
        verdict.keys_compared > 0,
        "a run without keys proves nothing"
    );
}

/// Five nodes with their buckets and plugins, and a small disk if it is wanted and can be had.
async fn set_up(history: &Arc<History>, kinds: &mut Vec<Kind>) -> Faults {
    let stage = Stage::with_settings(StorageEngine::Sled, NODES, 1, &SETTINGS).await;
    let mut faults = Faults::new(stage, Arc::clone(history)).await;
    let takes_room = |kind: &Kind| matches!(kind, Kind::Full | Kind::ReadOnly);
    if kinds.iter().any(takes_room) {
        faults.kill(SMALL_DISK).await;
        let folder = faults.stage.cluster.folder(SMALL_DISK);
        disk::wipe(&folder);
        match SmallDisk::over(&folder) {
            Ok(small) => faults.small = Some(small),
            Err(why) => {
                for kind in kinds.iter().copied().filter(takes_room) {
                    println!("skipped: {}: {why}", kind.name());
                    let why = why.clone();
                    history.write(Record::Skipped { kind, why });
                }
                kinds.retain(|kind| !takes_room(kind));
            }
        }
        faults.start(SMALL_DISK).await;
        faults.stage.all_connected().await;
    }
    create_buckets(&mut faults).await;
    faults.stage.all_agree().await;
    faults
}

async fn create_buckets(faults: &mut Faults) {
    let node = faults.stage.node(0).await;
    node.set_policy(proto::SetPolicyRequest {
        auto_join: Some(false),
        ..proto::SetPolicyRequest::default()
    })
    .await;
    let first = node.push_file("grow-only-set.wasm").await;
    let next = node.push(next_version()).await;
    faults.plugin = next.plugin.expect("a description").digest;
    let properties = proto::Properties {
        resolver: Some(bound(&first)),
        merge_on_put: Some(true),
        ..proto::Properties::default()
    };
    node.create(UNION, properties).await;
    for bucket in [SIBLINGS, DELETES] {
        node.create(bucket, proto::Properties::default()).await;
    }
    for bucket in [LAST_WRITE, BLIND, FLOOD] {
        let properties = proto::Properties {
            policy: proto::Policy::LastWriteWins.into(),
            ..proto::Properties::default()
        };
        node.create(bucket, properties).await;
    }
    until("all nodes have the plugins", async || {
        for node in faults.stage.nodes().await {
            let plugins = node.plugins().await;
            if plugins.len() != 2 || plugins.iter().any(|plugin| !plugin.is_ready) {
                return false;
            }
        }
        true
    })
    .await;
}

/// The same set, which says that it is the version after.
fn next_version() -> bytes::Bytes {
    let mut bytes = plugin_bytes("grow-only-set.wasm").to_vec();
    let (found, said) = (b"1.0.0[\"bread\"", b"1.0.1");
    let at = bytes
        .windows(found.len())
        .position(|window| window == found);
    let at = at.expect("its version stands before its first sample");
    bytes[at..at + said.len()].copy_from_slice(said);
    bytes.into()
}

/// Opens one window after the other until the time is over. The error says why the cluster did not settle.
async fn play(faults: &mut Faults, windows: &[Window], time: Duration) -> Result<(), String> {
    faults.settle().await?;
    faults.history.write(Record::Calm { after_ms: 0 });
    faults.wait(WARM_UP).await;
    let began = Instant::now();
    for (number, window) in windows.iter().enumerate() {
        if began.elapsed() > time {
            break;
        }
        faults.wait(window.rest).await;
        let kinds = window.faults.iter();
        let said: Vec<String> = kinds
            .map(|one| format!("{}{:?}", one.kind.name(), one.victims))
            .collect();
        let at = began.elapsed().as_secs_f64();
        println!(
            "{at:6.1} s  {number}: {} for {:.1?}",
            said.join(" + "),
            window.lasts
        );
        faults.strike(number, window).await;
        faults.wait(window.lasts).await;
        faults.heal(number, window).await?;
        let settled = faults
            .settle()
            .await
            .map_err(|why| format!("window {number}: {why}"))?;
        let after_ms = settled.as_millis() as u64;
        faults.history.write(Record::Calm { after_ms });
    }
    faults.wait(WARM_UP).await;
    Ok(())
}

/// Looks at every key that was ever named, when nothing moves any more.
async fn look_back(faults: &mut Faults) {
    match faults.come_to_rest().await {
        Ok(time) => println!("at rest {time:.1?} after the last client"),
        Err(why) => return faults.history.write(Record::Unsettled { why }),
    }
    let lines = history::read(faults.history.path());
    let keys = lines.iter().filter_map(|line| match &line.record {
        Record::Began { bucket, key, .. } => Some((bucket.clone(), key.clone())),
        _ => None,
    });
    let keys: BTreeSet<(String, String)> = keys.collect();
    let keys: Vec<(String, String)> = keys.into_iter().collect();
    for some in keys.chunks(LOOKS_AT_A_TIME) {
        let looks = some.iter().map(|(bucket, key)| look(faults, bucket, key));
        let looks = futures_util::future::join_all(looks).await;
        for record in looks.into_iter().flatten() {
            faults.history.write(record);
        }
    }
}

/// Again while copies differ: the background merges conflicts, and must come to an end with it.
async fn look(faults: &Faults, bucket: &str, key: &str) -> Vec<Record> {
    let mut last = Vec::new();
    for _ in 0..LOOKS_MAX {
        let looked = workloads::last_look(&faults.doors, &faults.names, (bucket, key)).await;
        last = looked.unwrap_or(last);
        let hashes = last.iter().filter_map(|record| match record {
            Record::Copy { hash, .. } => Some(*hash),
            _ => None,
        });
        if hashes.collect::<BTreeSet<u64>>().len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    last
}

/// How much of the deletes was tried to the end.
async fn reaped(faults: &Faults) -> String {
    let mut reaped = 0;
    for (_, node) in faults.doors.all() {
        let status = super::settling::status(&node).await;
        let counted = status.and_then(|s| s.counters.get("tombstones_reaped").copied());
        reaped += counted.unwrap_or(0);
    }
    format!("tombstones reaped, by the nodes' processes of the end: {reaped}")
}
