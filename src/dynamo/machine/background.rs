//! What a shard does when nobody asks: its trees, its exchanges, and when to go on with them (Dynamo 4.7, 4.9, 6.5).
//!
//! A turn does a bounded piece of work and says when the next is due; clients are served in between. `exchanges`
//! carries out the steps of one exchange, `inquiries` answers those of others.
//!
//! Invariant: work on records is admitted first, a key or a slice at a time, so that it gives way to clients.

use super::super::bucket::BucketTable;
use super::super::names::{ClientId, Millis, NodeId, Ticket};
use super::super::repair::admission::Admission;
use super::super::repair::difference::Need;
use super::super::repair::exchange::{Exchange, Job};
use super::super::repair::forest::Forest;
use super::super::repair::reaping::Reaper;
use super::super::repair::schedule::{Rounds, Share};
use super::super::repair::settings::Settings;
use super::super::repair::strays::Strays;
use super::super::repair::transfer::{Outlook, Transfers};
use super::super::ring::change::ChangeId;
use super::super::ring::placement::Placement;
use super::desk::View;
use super::effect::Effect;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Who is told how an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Round,
    Transfer,
    Stray,
}

/// What came of the sweep of stray copies in this turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swept {
    Nothing,
    Some,
    /// It waits for background work to be admitted.
    Held,
}

/// One exchange on its way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) exchange: Exchange,
    pub(super) purpose: Purpose,
    /// It waits for background work to be admitted.
    pub(super) is_held: bool,
}

/// What an answer is to.
#[derive(Debug)]
pub(super) enum Errand {
    /// The question of a stage.
    Stage,
    /// The own disk.
    Sync,
    Fetch(super::super::names::Key, Need),
    /// So many bytes were given, after the own copy had changed or not.
    Give {
        bytes: usize,
        is_changed: bool,
    },
}

/// The background of one shard.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) forest: Forest,
    pub(super) admission: Admission,
    pub(super) rounds: Rounds,
    pub(super) transfers: Transfers,
    pub(super) strays: Strays,
    pub(super) reaper: Reaper,
    /// How far this shard is with taking away what removed buckets have left; none: nothing is left.
    pub(super) clearing: Option<Bytes>,
    pub(super) work: Work,
    pub(super) cluster: Cluster,
}

/// What of the cluster is this shard's to care for.
#[derive(Debug)]
pub(super) struct Cluster {
    share: Share,
    /// The numbers of copies that buckets keep.
    counts: BTreeSet<u8>,
    /// Whether anybody has said what buckets there are. Before that nothing can be known to have been moved.
    is_told: bool,
    /// Which change the strays were last looked for in, and how many partitions were unsettled.
    settled: Option<(ChangeId, usize)>,
}

/// The exchanges under way, and what was asked for them.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) running: BTreeMap<u64, Running>,
    pub(super) errands: BTreeMap<Ticket, (u64, Errand)>,
    begun: u64,
    /// When the next turn is due.
    pub(super) wakes_at: Option<Millis>,
    /// Clients that wait, since when.
    asked_at: BTreeMap<ClientId, Millis>,
}

impl Background {
    /// `seed` sets shards apart in time.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            forest: Forest::default(),
            admission: Admission::default(),
            rounds: Rounds::new(seed),
            transfers: Transfers::default(),
            strays: Strays::default(),
            reaper: Reaper::new(seed),
            clearing: None,
            work: Work::default(),
            cluster: Cluster {
                share: Share::ALL,
                counts: BTreeSet::new(),
                is_told: false,
                settled: None,
            },
        }
    }

    pub(super) fn share(&self) -> Share {
        self.cluster.share
    }

    pub(super) fn set(&mut self, now: Millis, settings: &Settings) {
        self.cluster.share = settings.share;
        self.cluster.settled = None;
        self.admission.set_threshold_ms(settings.foreground_p99_ms);
        self.rounds
            .set_interval(now, settings.anti_entropy_interval_ms);
        let (interval_ms, horizon_ms) = (settings.reap_interval_ms, settings.tombstone_horizon_ms);
        self.reaper.set(now, interval_ms, horizon_ms);
    }

    /// Begins a round of anti-entropy: a full one by command, or this node's part of the regular one.
    pub(super) fn begin_round(&mut self, me: &NodeId, placement: &Placement, is_full: bool) {
        let (counts, share) = (&self.cluster.counts, self.cluster.share);
        match is_full {
            true => self.rounds.begin_all(me, placement, counts, share),
            false => self.rounds.begin(me, placement, counts, share),
        }
    }

    /// The buckets are others: trees that were counted differently go, and other copies may be strays.
    pub(super) fn on_buckets(&mut self, before: &BucketTable, after: &BucketTable) {
        self.forest.on_buckets(before, after);
        self.cluster.is_told = true;
        let counts: BTreeSet<u8> = after.values().map(|properties| properties.n).collect();
        if counts != self.cluster.counts {
            self.cluster.counts = counts;
            self.cluster.settled = None;
        }
    }

    /// Takes up transfers and sweeps as the partitions are now.
    pub(super) fn on_placement(&mut self, me: &NodeId, view: &View) {
        if !self.cluster.is_told {
            return;
        }
        let placement = &view.placement;
        let outlook = self.cluster.outlook(me, placement);
        if self.transfers.on_placement(outlook) {
            self.work.cancel(Purpose::Transfer);
        }
        let pending = placement.unsettled().count();
        let settled = Some((placement.change(), pending));
        if settled != self.cluster.settled {
            self.rounds.on_placement();
            self.work.cancel(Purpose::Stray);
            self.strays.restart(outlook);
            self.cluster.settled = settled;
        }
    }

    /// When the next turn is due.
    pub(super) fn wakes_at(&self) -> Option<Millis> {
        let planned = self.work.wakes_at;
        let walk = self.reaper.next_walk_at();
        let rounds = self.rounds.wakes_at();
        planned.into_iter().chain(rounds).chain(walk).min()
    }

    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.wakes_at().is_some_and(|at| at <= now)
    }

    /// How long clients wait decides how much there is done beside them.
    pub(super) fn on_effect(&mut self, effect: &Effect, now: Millis) {
        if let Some(latency_ms) = self.work.on_effect(effect, now) {
            self.admission.on_latency(now, latency_ms);
        }
    }

    /// The operator's stop button for everything that moves to other owners.
    pub(super) fn pause(&mut self, now: Millis, is_paused: bool) {
        self.transfers.pause(is_paused);
        if is_paused {
            for job in self.work.cancel(Purpose::Transfer) {
                self.transfers.on_cancelled(job);
            }
            if !self.work.cancel(Purpose::Stray).is_empty() {
                self.strays.give_up(now);
            }
        }
    }
}

impl Cluster {
    pub(super) fn outlook<'a>(&'a self, me: &'a NodeId, placement: &'a Placement) -> Outlook<'a> {
        Outlook {
            me,
            placement,
            counts: &self.counts,
            share: self.share,
        }
    }
}

impl Work {
    pub(super) fn begin(&mut self, job: Job, purpose: Purpose, now: Millis) {
        self.begun += 1;
        let running = Running {
            exchange: Exchange::start(job, now),
            purpose,
            is_held: false,
        };
        self.running.insert(self.begun, running);
    }

    pub(super) fn count(&self, purpose: Purpose) -> usize {
        let running = self.running.values();
        running.filter(|running| running.purpose == purpose).count()
    }

    /// The exchange is over; answers to it find nobody.
    pub(super) fn remove(&mut self, id: u64) -> Option<Running> {
        self.errands.retain(|_, (of, _)| *of != id);
        self.running.remove(&id)
    }

    /// Breaks off exchanges. What they were about.
    fn cancel(&mut self, purpose: Purpose) -> Vec<Job> {
        let running = self.running.iter();
        let running = running.filter(|(_, running)| running.purpose == purpose);
        let ids: Vec<u64> = running.map(|(id, _)| *id).collect();
        let removed = ids.into_iter().filter_map(|id| self.remove(id));
        removed.map(|running| running.exchange.job).collect()
    }

    /// When an exchange has to be looked at again; those that are held wait for a permit.
    pub(super) fn deadline(&self, now: Millis) -> Option<Millis> {
        let running = self.running.values();
        running.map(|running| running.exchange.wakes_at(now)).min()
    }

    pub(super) fn is_held(&self) -> bool {
        self.running.values().any(|running| running.is_held)
    }

    /// A client waits from now on.
    pub(super) fn on_asked(&mut self, client: ClientId, now: Millis) {
        self.asked_at.insert(client, now);
    }

    /// How long the client of an effect has waited, if it is a reply.
    pub(super) fn on_effect(&mut self, effect: &Effect, now: Millis) -> Option<u64> {
        let client = match effect {
            Effect::ReplyGet { client, .. } | Effect::ReplyPut { client, .. } => client,
            _ => return None,
        };
        let asked_at = self.asked_at.remove(client)?;
        Some(now.since(asked_at))
    }
}
