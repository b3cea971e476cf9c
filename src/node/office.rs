//! The node's steward at work: one task that owns it, its disk, and its letters to the other stewards.
//!
//! What the cluster is, and when it changes, the core decides (`dynamo::membership`).
//!
//! Invariant: what the shards work by was on this node's disk before.

use super::clock::Clock;
use super::failure::Failure;
use super::inbox::{Input, Progress};
use super::peers::Peers;
use super::registry::{Agreement, Desk, Order, Registry, RegistryError, connected};
use super::store::Store;
use super::switchboard::Switchboard;
use crate::dynamo::membership::snapshot::{Effect, Identity, Stage};
use crate::dynamo::membership::steward::Steward;
use crate::dynamo::metadata::catalog::Catalog;
use crate::dynamo::metadata::row::{Fact, Subject};
use crate::dynamo::repair::transfer;
use crate::dynamo::replica::storage::{Batch, Storage, StorageError};
use anyhow::Context as _;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Where the catalog is stored.
const STORAGE_KEY: &[u8] = b"m/catalog";

/// The steward, and all that it needs to act.
pub struct Office {
    steward: Steward,
    clock: Clock,
    store: Store,
    peers: Arc<Peers>,
    switchboard: Switchboard,
    desk: Desk,
    /// How far the shards are with their part of a change.
    progressed: mpsc::Receiver<Progress>,
}

/// What the steward turns to.
enum Next {
    Order(Order),
    Progress(Progress),
    Tick,
    Stop,
}

/// The catalog that the disk holds; none if there is none, or it cannot be believed.
pub fn stored_catalog(store: &Store) -> anyhow::Result<Option<Catalog>> {
    match store.get(STORAGE_KEY) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => Ok(Some(Catalog::decode(bytes).context("the stored metadata")?)),
        Err(StorageError::Corrupt(why)) => {
            tracing::error!(
                why,
                "the stored metadata is not believed; peers will send theirs"
            );
            Ok(None)
        }
        Err(error) => Err(error).context("reading the metadata"),
    }
}

impl Office {
    /// Takes up the work where the catalog left it.
    pub fn open(
        identity: Identity,
        catalog: Catalog,
        clock: Clock,
        store: Store,
        peers: Arc<Peers>,
        switchboard: Switchboard,
        progressed: mpsc::Receiver<Progress>,
    ) -> (Self, Registry) {
        let steward = Steward::new(identity, catalog, rand::random(), clock.now());
        let (registry, desk) = connected(Arc::clone(steward.snapshot()), Arc::clone(&peers));
        let office = Self {
            steward,
            clock,
            store,
            peers,
            switchboard,
            desk,
            progressed,
        };
        (office, registry)
    }

    /// Works until told to stop. An error means that the disk failed, and with it the node.
    pub async fn run(
        mut self,
        failing: watch::Sender<Option<Failure>>,
        mut stopping: watch::Receiver<bool>,
    ) {
        self.tell_shards().await;
        let mut effects = Vec::new();
        let introduced = self.steward.introduce(self.clock.now(), &mut effects);
        if let Err(error) = introduced {
            tracing::error!(%error, "this node cannot make itself known");
        }
        loop {
            if let Err(error) = self.carry_out(std::mem::take(&mut effects)).await {
                tracing::error!(%error, "the metadata cannot be stored");
                Failure::of(error).tell(&failing);
                return;
            }
            match self.next(&mut stopping).await {
                Next::Order(order) => self.obey(order, &mut effects).await,
                Next::Progress(progress) => self.on_progress(progress),
                Next::Tick => self.steward.tick(self.clock.now(), &mut effects),
                Next::Stop => return,
            }
        }
    }

    async fn next(&mut self, stopping: &mut watch::Receiver<bool>) -> Next {
        let due = self.clock.instant(self.steward.next_deadline());
        tokio::select! {
            order = self.desk.orders.recv() => order.map_or(Next::Stop, Next::Order),
            Some(progress) = self.progressed.recv() => Next::Progress(progress),
            () = tokio::time::sleep_until(due.into()) => Next::Tick,
            _ = stopping.wait_for(|stop| *stop) => Next::Stop,
        }
    }

    /// A shard tells a stage once; the others learn it with the catalog.
    fn on_progress(&mut self, progress: Progress) {
        let stage = match progress.stage {
            transfer::Stage::Copied => Stage::Copied,
            transfer::Stage::Released => Stage::Released,
            transfer::Stage::Copying | transfer::Stage::Releasing => return,
        };
        let now = self.clock.now();
        let Progress {
            change, partition, ..
        } = progress;
        self.steward.on_moved(now, change, partition, stage);
    }

    /// What an order asks; whoever asked and has gone misses nothing.
    async fn obey(&mut self, order: Order, effects: &mut Vec<Effect>) {
        let now = self.clock.now();
        match order {
            Order::Gossip(from, gossip) => self.steward.on_gossip(now, from, gossip, effects),
            Order::Seed(node) => self.steward.on_seed(now, node, effects),
            Order::Suspects(suspects) => self.steward.on_suspects(now, suspects),
            Order::Edit {
                subject,
                fact,
                may_replace,
                answer,
            } => {
                let edited = self.edit(subject, *fact, may_replace, effects);
                let edited = self.after_effects(edited, effects).await;
                drop(answer.send(edited));
            }
            Order::Plan {
                wish,
                asked,
                answer,
            } => {
                let plan = self.steward.plan(&wish, asked);
                drop(answer.send(plan.map(Box::new).map_err(RegistryError::from)));
            }
            Order::Commit {
                wish,
                expected,
                force,
                answer,
            } => {
                let committed = self.steward.commit(now, &wish, expected, force, effects);
                let committed = committed.map(Box::new).map_err(RegistryError::from);
                let committed = self.after_effects(committed, effects).await;
                drop(answer.send(committed));
            }
        }
    }

    fn edit(
        &mut self,
        subject: Subject,
        fact: Fact,
        may_replace: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), RegistryError> {
        if let Subject::Bucket(name) = &subject {
            let is_known = self.steward.snapshot().catalog.bucket(name).is_some();
            let name = name.clone();
            match fact {
                Fact::Removed { .. } if !is_known => return Err(RegistryError::NoSuchBucket(name)),
                _ if is_known && !may_replace => return Err(RegistryError::Exists(name)),
                _ => {}
            }
        }
        let rows = vec![(subject, fact)];
        Ok(self.steward.edit(self.clock.now(), rows, effects)?)
    }

    /// An answer is given when what it says is on the disk; effects that failed are seen again by `run`.
    async fn after_effects<T>(
        &mut self,
        answer: Result<T, RegistryError>,
        effects: &mut Vec<Effect>,
    ) -> Result<T, RegistryError> {
        let answer = answer?;
        if let Err(error) = self.carry_out(effects.clone()).await {
            return Err(error.into());
        }
        effects.clear();
        Ok(answer)
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), StorageError> {
        for effect in effects {
            match effect {
                Effect::Store(bytes) => self.store(bytes).await?,
                Effect::Publish(snapshot) => {
                    self.desk.publish.send_replace(snapshot);
                    self.tell_shards().await;
                }
                Effect::Send { to, gossip } => self.peers.send_gossip(&to, gossip),
                Effect::Tell(what) => tracing::info!("{what}"),
            }
        }
        let agreeing = self.steward.agreeing();
        let note = |noted: &mut Agreement| noted.note(agreeing);
        self.desk.agreeing.send_modify(note);
        let suspected = self.steward.suspected(self.clock.now());
        self.desk.suspected.send_replace(suspected);
        Ok(())
    }

    async fn store(&self, bytes: Bytes) -> Result<(), StorageError> {
        let mut batch = Batch::default();
        batch.put(Bytes::from_static(STORAGE_KEY), bytes);
        let mut store = self.store.clone();
        let stored = tokio::task::spawn_blocking(move || {
            store.apply(batch)?;
            store.sync()
        });
        match stored.await {
            Ok(stored) => stored,
            Err(error) => Err(StorageError::Failed(error.to_string())),
        }
    }

    async fn tell_shards(&self) {
        let snapshot = self.steward.snapshot();
        let table = Arc::new(snapshot.catalog.bucket_table());
        let removed = Arc::new(snapshot.catalog.removed_buckets());
        let is_paused = snapshot.catalog.policy().paused;
        for inbox in self.switchboard.all() {
            let placement = Arc::clone(&snapshot.placement);
            // A shard that has stopped serves nothing.
            drop(inbox.send(Input::Removed(Arc::clone(&removed))).await);
            drop(inbox.send(Input::Placement(placement)).await);
            drop(inbox.send(Input::Buckets(Arc::clone(&table))).await);
            drop(inbox.send(Input::Pause(is_paused)).await);
        }
    }
}
