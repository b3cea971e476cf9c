//! Carries out one fault after the other, and heals them.
//!
//! Also stands in for what restarts a service that ends: a node that ends by itself is noted and started again.
//!
//! Invariant: after `heal` every node runs, no link is cut, slow or stalled, clocks are right, disks have room, and the
//! members are those of the beginning; what could not be brought about is a record that says so.

use super::disk::{self, SmallDisk};
use super::doors::Doors;
use super::flood::Flood;
use super::history::{History, Record};
use super::membership::Changes;
use super::schedule::{Fault, Kind, NODES, Window};
use super::settling::{Rounds, unrest};
use super::stage::Stage;
use rejoin::cli::proxy::Flow;
use rejoin::wire::proto::v1 as proto;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// The place of the node that is no member at rest.
pub const SPARE: usize = NODES;
/// For a settling; what takes longer is a finding.
const SETTLES_WITHIN: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(150);
const STARTS_MAX: usize = 5;
/// Deaths in one window after which a node is taken to be in a crash loop.
const DEATHS_MAX: usize = 20;
const HOUR_MS: i64 = 3_600_000;
/// Packets that a lossy link loses.
const LOST_PERCENT: u32 = 10;

/// A cluster, and what is wrong with it at the moment.
pub struct Faults {
    // Unmounted before the stage removes its folders.
    pub small: Option<SmallDisk>,
    pub stage: Stage,
    pub names: Vec<String>,
    pub doors: Arc<Doors>,
    pub history: Arc<History>,
    /// The bucket's other resolver.
    pub plugin: String,
    up: BTreeSet<usize>,
    /// Those that end are left so until the heal.
    left_down: BTreeSet<usize>,
    activated: bool,
    replaced: bool,
    flood: Option<Flood>,
    window: Option<usize>,
    deaths: usize,
}

impl Faults {
    /// Of a stage whose first nodes run.
    pub async fn new(stage: Stage, history: Arc<History>) -> Self {
        let names: Vec<String> = stage.cluster.names().map(str::to_owned).collect();
        let doors = Arc::new(Doors::new(names.len()));
        for place in 0..NODES {
            assert!(doors.open(place, &stage.cluster.url(place)).await);
        }
        Self {
            small: None,
            stage,
            names,
            doors,
            history,
            plugin: String::new(),
            up: (0..NODES).collect(),
            left_down: BTreeSet::new(),
            activated: false,
            replaced: false,
            flood: None,
            window: None,
            deaths: 0,
        }
    }

    pub async fn strike(&mut self, number: usize, window: &Window) {
        (self.window, self.deaths) = (Some(number), 0);
        // What asks the cluster for something is there before the rest makes it hard.
        let mut faults: Vec<&Fault> = window.faults.iter().collect();
        faults.sort_by_key(|fault| !matches!(fault.kind, Kind::Join | Kind::Plugin));
        for fault in faults {
            self.history.write(Record::Strikes {
                window: number,
                kind: fault.kind,
                victims: fault.victims.clone(),
            });
            self.begin(fault).await;
        }
    }

    pub async fn heal(&mut self, number: usize, window: &Window) -> Result<(), String> {
        let last = |kind: Kind| match kind {
            Kind::Flip => 1,
            Kind::Restore | Kind::Wipe => 2,
            Kind::Replace | Kind::Join | Kind::Plugin => 3,
            _ => 0,
        };
        let mut faults: Vec<&Fault> = window.faults.iter().collect();
        faults.sort_by_key(|fault| last(fault.kind));
        for fault in faults {
            self.mend(fault).await?;
        }
        self.left_down.clear();
        self.tend().await;
        self.history.write(Record::Healed { window: number });
        self.window = None;
        Ok(())
    }

    /// Lets time pass, and starts again what ends.
    pub async fn wait(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.tend().await;
            sleep(POLL.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }

    async fn begin(&mut self, fault: &Fault) {
        match fault.kind {
            Kind::Kill | Kind::KillTwo | Kind::KillAll => {
                for place in &fault.victims {
                    self.kill(*place).await;
                }
            }
            Kind::Pause | Kind::LongPause => self.stage.cluster.pause(fault.victims[0]),
            Kind::Clock => {
                let sign = [1, -1][(fault.dice % 2) as usize];
                self.set_clock(fault.victims[0], sign * HOUR_MS).await;
            }
            Kind::Cut => self.cut(fault),
            Kind::OneWay => self.each_way(fault, Flow::Stalled),
            Kind::Slow => {
                let delay = Duration::from_millis(30 + fault.dice / 8 % 970);
                self.each_way(fault, Flow::Late(delay));
            }
            Kind::Lossy => self.each_way(fault, Flow::Lossy(LOST_PERCENT)),
            Kind::Wipe => {
                for place in &fault.victims {
                    self.kill(*place).await;
                    disk::wipe(&self.stage.cluster.folder(*place));
                }
                for place in &fault.victims {
                    self.start(*place).await;
                }
            }
            Kind::Restore => {
                self.kill(fault.victims[0]).await;
                let folder = self.stage.cluster.folder(fault.victims[0]);
                disk::copy(&folder, &self.backup(fault.victims[0]));
                self.start(fault.victims[0]).await;
            }
            Kind::Flip => {
                self.kill(fault.victims[0]).await;
                let folder = self.stage.cluster.folder(fault.victims[0]);
                let flipped = disk::flip(&folder, fault.dice);
                self.history.note(format!("flipped {flipped}"));
                self.start(fault.victims[0]).await;
            }
            Kind::Full => {
                self.left_down.insert(fault.victims[0]);
                // A disk without a byte, or one that is so full that a node leaves values to others.
                let left = (fault.dice % 2) * 24 * 1024 * 1024;
                let small = self.small.as_ref().expect("the kind was chosen");
                small.fill(left);
                self.history.note(format!("{left} bytes are left"));
            }
            Kind::ReadOnly => self.make_read_only(fault.victims[0]).await,
            Kind::Replace => self.replace(fault.victims[0]).await,
            Kind::Join => self.join().await,
            Kind::Plugin => self.activate().await,
            Kind::Flood => {
                let url = self.stage.cluster.url(fault.victims[0]);
                self.flood = Some(Flood::over(&url));
            }
        }
    }

    async fn mend(&mut self, fault: &Fault) -> Result<(), String> {
        match fault.kind {
            Kind::Kill | Kind::KillTwo | Kind::KillAll => {
                for place in &fault.victims {
                    self.start(*place).await;
                }
            }
            Kind::Pause | Kind::LongPause => self.stage.cluster.resume(fault.victims[0]),
            Kind::Clock => self.set_clock(fault.victims[0], 0).await,
            Kind::Cut => self.mend_cut(fault),
            Kind::OneWay | Kind::Slow | Kind::Lossy => self.each_way(fault, Flow::Free),
            Kind::Wipe => {}
            Kind::Restore => {
                let (place, backup) = (fault.victims[0], self.backup(fault.victims[0]));
                self.kill(place).await;
                disk::wipe(&self.stage.cluster.folder(place));
                disk::copy(&backup, &self.stage.cluster.folder(place));
                disk::wipe(&backup);
                self.start(place).await;
            }
            Kind::Flip => self.scrub(fault.victims[0]).await,
            Kind::Full => {
                let small = self.small.as_ref().expect("the kind was chosen");
                small.free();
                self.after_full(fault.victims[0]).await;
            }
            Kind::ReadOnly => {
                self.kill(fault.victims[0]).await;
                let small = self.small.as_ref().expect("the kind was chosen");
                small.read_only(false)?;
                self.start(fault.victims[0]).await;
            }
            Kind::Replace => self.replace_back(fault.victims[0]).await?,
            Kind::Join => self.retire_spare().await?,
            Kind::Plugin => self.roll_back().await?,
            Kind::Flood => {
                if let Some(flood) = self.flood.take() {
                    let text = flood.end().await;
                    self.history.note(text);
                }
            }
        }
        Ok(())
    }

    /// Until nothing is left to do under load; how long it took.
    pub async fn settle(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        let members: Vec<usize> = (0..NODES).collect();
        let mut rounds = None;
        loop {
            self.tend().await;
            let why = match (unrest(&self.doors, &self.names, &members).await, &rounds) {
                (Some(why), None) => why,
                (None, None) => {
                    rounds = Rounds::begin(&self.doors, &members).await;
                    "comparisons have only begun".to_owned()
                }
                (_, Some(begun)) => match begun.unfinished(&self.doors, &self.names).await {
                    Some(why) => why,
                    None => return Ok(began.elapsed()),
                },
            };
            self.patient(began, &why)?;
            sleep(POLL).await;
        }
    }

    /// Without load: until a whole round of comparisons repairs nothing.
    pub async fn come_to_rest(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        let members: Vec<usize> = (0..NODES).collect();
        loop {
            self.settle().await?;
            let rounds = Rounds::begin(&self.doors, &members).await;
            let rounds = rounds.ok_or("a node does not answer")?;
            while let Some(why) = rounds.unfinished(&self.doors, &self.names).await {
                self.tend().await;
                self.patient(began, &why)?;
                sleep(POLL).await;
            }
            let repaired = rounds.repaired(&self.doors).await;
            let unrest = unrest(&self.doors, &self.names, &members).await;
            if (repaired, &unrest) == (Some(0), &None) {
                return Ok(began.elapsed());
            }
            self.patient(began, &format!("{repaired:?} keys repaired, {unrest:?}"))?;
        }
    }

    pub fn patient(&self, since: Instant, why: &str) -> Result<(), String> {
        match since.elapsed() < SETTLES_WITHIN {
            true => Ok(()),
            false => Err(format!("after {SETTLES_WITHIN:?}: {why}")),
        }
    }

    pub async fn kill(&mut self, place: usize) {
        // Before the process ends, or `tend` would take it for a death.
        self.up.remove(&place);
        // It may have ended by itself.
        let _ = self.stage.cluster.kill(place).await;
        self.doors.close(place);
    }

    /// Starts a node, unless it runs.
    pub async fn start(&mut self, place: usize) {
        if self.up.contains(&place) {
            return;
        }
        for attempt in 1.. {
            let error = match self.stage.cluster.start_node(place).await {
                Ok(()) => break,
                Err(error) => format!("{} did not start: {error:#}", self.names[place]),
            };
            self.history.note(&error);
            assert!(attempt < STARTS_MAX, "{error}");
            sleep(POLL).await;
        }
        self.up.insert(place);
        let url = self.stage.cluster.url(place);
        self.doors.open(place, &url).await; // One that has ended since is found by `tend`.
    }

    /// Starts again what has ended by itself.
    pub async fn tend(&mut self) {
        // Asks the system who has ended, of all at once.
        let _ = timeout(Duration::from_millis(1), self.stage.cluster.ended()).await;
        for place in self.up.clone() {
            if self.stage.cluster.process(place).is_some() {
                continue;
            }
            self.up.remove(&place);
            self.doors.close(place);
            self.deaths += 1;
            self.history.write(Record::Died {
                node: place,
                window: self.window,
            });
            assert!(
                self.deaths < DEATHS_MAX,
                "{} crashes in a loop",
                self.names[place]
            );
            if !self.left_down.contains(&place) {
                self.start(place).await;
            }
        }
    }

    async fn set_clock(&mut self, place: usize, offset_ms: i64) {
        self.kill(place).await;
        let file = self.stage.cluster.config_file(place);
        let text = std::fs::read_to_string(&file).expect("the cluster wrote it");
        let lines = text
            .lines()
            .map(|line| match line.starts_with("clock_offset_ms = ") {
                true => format!("clock_offset_ms = {offset_ms}\n"),
                false => format!("{line}\n"),
            });
        let changed: String = lines.collect();
        assert!(changed.contains(&format!("clock_offset_ms = {offset_ms}\n")));
        std::fs::write(&file, changed).expect("it can be written");
        self.start(place).await;
    }

    /// Between the victims and all others, the spare among them: connections are closed, or fall silent.
    fn cut(&self, fault: &Fault) {
        for (inside, outside) in self.across(fault) {
            match fault.dice % 2 {
                0 => self.stage.cluster.links().cut(inside, outside),
                _ => {
                    let links = self.stage.cluster.links();
                    links.set_flow(inside, outside, Flow::Stalled);
                    links.set_flow(outside, inside, Flow::Stalled);
                }
            }
        }
    }

    fn mend_cut(&self, fault: &Fault) {
        let links = self.stage.cluster.links();
        for (inside, outside) in self.across(fault) {
            links.heal(inside, outside);
            links.set_flow(inside, outside, Flow::Free);
            links.set_flow(outside, inside, Flow::Free);
        }
    }

    fn across(&self, fault: &Fault) -> Vec<(usize, usize)> {
        let outside = (0..self.names.len()).filter(|place| !fault.victims.contains(place));
        let pairs = outside.flat_map(|outside| fault.victims.iter().map(move |v| (*v, outside)));
        pairs.collect()
    }

    /// From the victim, to it, or, if it is slow, both.
    fn each_way(&self, fault: &Fault, flow: Flow) {
        let links = self.stage.cluster.links();
        for (victim, other) in self.across(fault) {
            let choice = match fault.kind {
                Kind::OneWay => fault.dice % 2,
                _ => fault.dice % 3,
            };
            if choice != 1 {
                links.set_flow(victim, other, flow);
            }
            if choice != 0 {
                links.set_flow(other, victim, flow);
            }
        }
    }

    fn backup(&self, place: usize) -> PathBuf {
        let folder = self.stage.cluster.folder(place);
        folder.with_file_name(format!("backup-of-{}", self.names[place]))
    }

    /// Reads everything that a node stores, so that no damage waits for the next fault.
    async fn scrub(&mut self, place: usize) {
        let began = Instant::now();
        let (mut before, mut now) = (None, true);
        while self.patient(began, "").is_ok() {
            self.tend().await;
            if let Some(reply) = self.scrubbing(place, now).await {
                let before = *before.get_or_insert(reply.walks_finished);
                if reply.walks_finished != before {
                    let (corrupt, aside) = (reply.corrupt, self.put_aside(place));
                    let text = format!(
                        "scrubbed: {corrupt} corrupt items; {aside} databases were put aside {}",
                        reply.failed
                    );
                    return self.history.note(text);
                }
                now = !reply.is_walking; // A node that has started since knows nothing of it.
            }
            sleep(POLL).await;
        }
        self.history.note("the scrub did not end");
    }

    async fn scrubbing(&self, place: usize, now: bool) -> Option<proto::ScrubResponse> {
        let node = self.doors.node(place)?;
        let asked = node.connection.request(proto::ScrubRequest { now });
        let reply = node.connection.cluster().scrub(asked).await;
        Some(reply.ok()?.into_inner())
    }

    /// Databases that the node has given up since its folder was last wiped.
    fn put_aside(&self, place: usize) -> usize {
        let Ok(entries) = std::fs::read_dir(self.stage.cluster.folder(place)) else {
            return 0;
        };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        let is_aside = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("quarantine");
        names.filter(is_aside).count()
    }

    /// Whether the node has gone on without being started again.
    async fn after_full(&mut self, place: usize) {
        self.tend().await;
        let goes_on = self.up.contains(&place);
        let text = match goes_on {
            true => "the node with the full disk goes on without a restart",
            false => "the node with the full disk had ended, and is started again",
        };
        self.history.note(text);
        self.left_down.remove(&place);
        self.start(place).await;
    }

    async fn make_read_only(&mut self, place: usize) {
        self.left_down.insert(place);
        self.kill(place).await;
        let small = self.small.as_ref().expect("the kind was chosen");
        if let Err(why) = small.read_only(true) {
            return self.history.note(format!("the disk stays writable: {why}"));
        }
        match self.stage.cluster.start_node(place).await {
            Err(error) => {
                let log = std::fs::read_to_string(self.stage.cluster.log_file(place));
                let log = log.unwrap_or_default();
                let said = log.lines().last().unwrap_or_default();
                let text = format!("on a read-only disk: {}: {said}", error.root_cause());
                self.history.note(text);
            }
            Ok(()) => {
                self.history.note("a node has started on a read-only disk");
                self.up.insert(place);
                let url = self.stage.cluster.url(place);
                self.doors.open(place, &url).await;
            }
        }
    }

    fn changes(&self) -> Changes {
        Changes::new(Arc::clone(&self.doors), self.names.clone())
    }

    async fn join(&mut self) {
        self.bring_in_spare().await;
        let joined = self.changes().join(SPARE).await;
        if let Err(why) = joined {
            self.history.note(format!("no join: {why}"));
        }
    }

    /// On an empty disk.
    async fn bring_in_spare(&mut self) {
        disk::wipe(&self.stage.cluster.folder(SPARE));
        self.start(SPARE).await;
    }

    async fn replace(&mut self, gone: usize) {
        self.bring_in_spare().await;
        self.kill(gone).await;
        let replaced = self.changes().replace(gone, SPARE).await;
        self.replaced = replaced.is_ok();
        if let Err(why) = replaced {
            self.history.note(format!("no replacement: {why}"));
        }
    }

    /// The one that was replaced comes back as a new machine would, with its name and an empty disk.
    async fn replace_back(&mut self, gone: usize) -> Result<(), String> {
        if self.replaced {
            self.until_moved().await?;
        }
        disk::wipe(&self.stage.cluster.folder(gone));
        self.start(gone).await;
        self.retire_spare_for(gone).await
    }

    async fn retire_spare(&mut self) -> Result<(), String> {
        self.retire_spare_for(SPARE).await
    }

    /// Until the spare is no member, and the node at `back` is one unless it is the spare.
    async fn retire_spare_for(&mut self, back: usize) -> Result<(), String> {
        let began = Instant::now();
        loop {
            self.tend().await;
            let left = match self.changes().towards_rest(back, SPARE).await {
                None => break,
                Some(left) => left,
            };
            self.patient(began, &left)?;
            sleep(POLL).await;
        }
        self.kill(SPARE).await;
        Ok(())
    }

    async fn until_moved(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while let Some(moving) = self.changes().moving().await {
            self.tend().await;
            self.patient(began, &moving)?;
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn activate(&mut self) {
        let activated = self.changes().activate(&self.plugin).await;
        self.activated = activated.is_ok();
        self.history.note(match activated {
            Ok(epoch) => format!("activated in epoch {epoch}"),
            Err(why) => format!("not activated: {why}"),
        });
    }

    async fn roll_back(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while self.activated {
            self.tend().await;
            match self.changes().roll_back().await {
                Ok(()) => self.activated = false,
                Err(why) => self.patient(began, &why)?,
            }
            sleep(POLL).await;
        }
        Ok(())
    }
}
