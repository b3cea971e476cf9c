//! One node as the world keeps it: the machine while its process runs, and the disk that outlives it.
//!
//! Invariant: what was asked of a process that died is never answered to the next one.

use super::disk::{Defect, Disk, Handle, Image};
use super::members::Office;
use rejoin::dynamo::bucket::{Ack, BucketTable};
use rejoin::dynamo::causality::dot::Incarnation;
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::machine::effect::Effect;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::machine::router::Machine;
use rejoin::dynamo::names::{Millis, NodeId, Now, Ticket};
use rejoin::dynamo::repair::settings::Settings;
use rejoin::dynamo::replica::room::Room;
use rejoin::dynamo::ring::placement::Placement;
use std::cell::{Cell, RefCell};
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
    pub office: Office,
    /// What the machine is told of the room on the disk.
    pub room: Room,
    /// A copy of the disk from some earlier time.
    pub backup: Option<Image>,
    clocks: (i64, u64),
    /// When it wants to be woken, in the world's time; none: that is to be found out.
    alarm: Cell<Option<Option<u64>>>,
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
            office: Office::default(),
            room: Room::Ample,
            backup: None,
            clocks,
            alarm: Cell::new(None),
        }
    }

    pub fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// What the machine wants done at once.
    pub fn start(
        &mut self,
        incarnation: u64,
        (placement, buckets): (Arc<Placement>, Arc<BucketTable>),
        settings: Settings,
        world_ms: u64,
    ) -> Vec<Effect> {
        let storage = Handle(Rc::clone(&self.disk));
        let mut machine = Machine::new(
            self.id.clone(),
            Incarnation(incarnation),
            storage,
            placement,
        );
        let now = self.now(world_ms);
        let mut effects = Vec::new();
        machine.step(now, Event::Settings(settings), &mut effects);
        if self.room != Room::Ample {
            machine.step(now, Event::Room(self.room), &mut effects);
        }
        machine.step(now, Event::Buckets(buckets), &mut effects);
        self.machine = Some(machine);
        self.disturb();
        self.life += 1;
        effects
    }

    /// The process dies, and of the unsynced batches only the first `kept` are found again.
    pub fn crash(&mut self, kept: usize) -> Process {
        let mut disk = self.disk.borrow_mut();
        self.harm.tail |= kept < disk.unsynced();
        disk.crash(kept);
        self.machine = None;
        self.disturb();
        self.office.steward = None;
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

    /// Something happened to it that may have set another timer.
    pub fn disturb(&self) {
        self.alarm.set(None);
    }

    /// When this node wants to be woken, in the world's time.
    pub fn wakes_at(&self) -> Option<u64> {
        let alarm = self.alarm.get().unwrap_or_else(|| self.next_alarm());
        self.alarm.set(Some(alarm));
        alarm
    }

    fn next_alarm(&self) -> Option<u64> {
        let machine = self.machine.as_ref()?.next_deadline();
        let steward = self.office.steward.as_ref();
        let steward = steward.map(|steward| steward.next_deadline());
        let deadline = machine.into_iter().chain(steward).min()?;
        Some(deadline.0.saturating_sub(self.clocks.1))
    }

    /// Whether it is the steward who wants to be woken.
    pub fn wakes_steward(&self, world_ms: u64) -> bool {
        let steward = self.office.steward.as_ref();
        let now = self.now(world_ms).monotonic;
        steward.is_some_and(|steward| steward.next_deadline() <= now)
    }
}
