//! One node as the world keeps it: the machine while its process runs, and the disk that outlives it.
//!
//! Invariant: what was asked of a process that died is never answered to the next one.

use super::disk::{Defect, Disk, Handle};
use rejoin::dynamo::bucket::{Ack, BucketTable};
use rejoin::dynamo::causality::dot::Incarnation;
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::machine::background::RepairSettings;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::machine::router::Machine;
use rejoin::dynamo::names::{Millis, NodeId, Now, Ticket};
use rejoin::dynamo::repair::schedule::Share;
use rejoin::dynamo::repair::settings::Settings;
use rejoin::dynamo::ring::placement::Placement;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// The wall clock at the start of every run, milliseconds since 1970.
const WALL_MS: i64 = 1_700_000_000_000;

/// What a node may have lost of what it had acknowledged.
#[derive(Debug, Default)]
pub struct Harm {
    pub wiped: bool,
    pub keys: BTreeSet<usize>,
    /// A crash took writes that were not synced.
    pub tail: bool,
}

impl Harm {
    pub fn touches(&self, key: usize, ack: Ack) -> bool {
        self.wiped || self.keys.contains(&key) || (ack == Ack::Buffered && self.tail)
    }
}

/// An acknowledgement that waits for the disk.
#[derive(Debug)]
pub struct Held {
    pub batches: u64,
    pub to: NodeId,
    pub message: Message,
}

pub struct Node {
    pub id: NodeId,
    pub disk: Rc<RefCell<Disk>>,
    pub machine: Option<Machine<Handle>>,
    /// Counts the starts.
    pub life: u64,
    pub process: Process,
    pub harm: Harm,
    clocks: (i64, u64),
}

/// What dies with the process.
#[derive(Debug, Default)]
pub struct Process {
    /// The put that a guest's answer, or the answer of whom it was passed on to, belongs to.
    pub asks: BTreeMap<Ticket, usize>,
    pub held: Vec<Held>,
    pub syncing: bool,
    /// Batches that the oracle has not been told to be durable.
    pub unsynced: Vec<(u64, usize, Object)>,
}

impl Node {
    pub fn new(id: NodeId, clocks: (i64, u64), defect: Defect) -> Self {
        Self {
            id,
            disk: Rc::new(RefCell::new(Disk::new(defect))),
            machine: None,
            life: 0,
            process: Process::default(),
            harm: Harm::default(),
            clocks,
        }
    }

    pub fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    pub fn start(
        &mut self,
        incarnation: u64,
        (placement, buckets): (Arc<Placement>, Arc<BucketTable>),
        settings: Settings,
        world_ms: u64,
        repair: RepairSettings,
    ) {
        let storage = Handle(Rc::clone(&self.disk));
        let mut machine = Machine::new(
            self.id.clone(),
            Incarnation(incarnation),
            storage,
            placement,
        );
        let now = self.now(world_ms);
        machine.set_up(now, Share::ALL, repair);
        machine.step(now, Event::Settings(settings), &mut Vec::new());
        machine.step(now, Event::Buckets(buckets), &mut Vec::new());
        self.machine = Some(machine);
        self.life += 1;
    }

    /// The process dies, and of the unsynced batches only the first `kept` are found again.
    pub fn crash(&mut self, kept: usize) -> Process {
        let mut disk = self.disk.borrow_mut();
        self.harm.tail |= kept < disk.unsynced();
        disk.crash(kept);
        self.machine = None;
        std::mem::take(&mut self.process)
    }

    /// The world's time as this node's clocks show it.
    pub fn now(&self, world_ms: u64) -> Now {
        let wall_ms = WALL_MS + self.clocks.0 + world_ms as i64;
        Now {
            monotonic: Millis(world_ms + self.clocks.1),
            wall_ms: wall_ms as u64,
        }
    }

    /// When this node wants to be woken, in the world's time.
    pub fn wakes_at(&self) -> Option<u64> {
        let deadline = self.machine.as_ref()?.next_deadline()?;
        Some(deadline.0.saturating_sub(self.clocks.1))
    }
}
