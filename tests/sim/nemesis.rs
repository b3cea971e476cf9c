//! The faults: what goes wrong, drawn from the dice at intervals until the heal.
//!
//! Only what the plan has switched on. Loss and duplicates are the network's, slow and failing syncs the
//! world's.
//!
//! Invariant: whatever may cost a node something that it had acknowledged is noted in its `Harm`.

use super::disk::Health;
use super::mutant::Mutant;
use super::plan::Fault;
use super::world::{Happening, World};
use rand::RngExt;
use rand::seq::IteratorRandom;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::replica::room::Room;

impl World {
    /// One fault, or the end of some, and the time of the next.
    pub fn strike(&mut self) {
        let faults = self.stage.plan.faults.iter().copied();
        let node = self.dice.random_range(0..self.nodes.len());
        match faults.choose(&mut self.dice) {
            Some(Fault::Partition) => self.split(),
            Some(Fault::OneWay) => self.cut_one_way(node),
            Some(Fault::Crash) if self.dice.random_bool(0.5) => self.crash(node),
            Some(Fault::Wipe) if self.dice.random_bool(0.15) => self.wipe(node),
            Some(Fault::Forget) => self.forget(node),
            Some(Fault::FailedApply) if self.dice.random_bool(0.3) => self.fail_next_writes(node),
            Some(Fault::ReadOnly) => self.set_health(node, Health::ReadOnly),
            Some(Fault::Rollback) => self.roll_back(node),
            Some(Fault::Full) => self.fill(node),
            Some(Fault::SlowLink) => self.slow_down(node),
            _ => self.relent(),
        }
        let pause_ms = self.dice.random_range(20..600);
        self.queue.push(self.now_ms + pause_ms, Happening::Strike);
    }

    /// The links are whole again and full disks have room.
    fn relent(&mut self) {
        self.network.heal();
        for node in &self.nodes {
            let mut disk = node.disk.borrow_mut();
            if disk.health == Health::ReadOnly {
                disk.health = Health::Good;
            }
        }
    }

    fn split(&mut self) {
        self.network.heal();
        let side: Vec<bool> = self.nodes.iter().map(|_| self.dice.random()).collect();
        for from in 0..side.len() {
            for to in (0..side.len()).filter(|to| side[*to] != side[from]) {
                self.network.cut(from, to);
            }
        }
    }

    fn cut_one_way(&mut self, node: usize) {
        let outward: bool = self.dice.random();
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            match outward {
                true => self.network.cut(node, other),
                false => self.network.cut(other, node),
            }
        }
    }

    /// The process of a node dies, with a part of what it had not synced.
    pub fn crash(&mut self, node: usize) {
        if !self.nodes[node].is_up() {
            return;
        }
        let unsynced = self.nodes[node].disk.borrow().unsynced();
        let kept = match self.mutant {
            Mutant::ReusesIncarnation => 0,
            _ => self.dice.random_range(0..=unsynced),
        };
        let synced = self.nodes[node].disk.borrow().batches() - (unsynced - kept) as u64;
        self.trace.note(self.now_ms, &[b'c', node as u8], || {
            format!("n{node} crashes, keeping {kept} of {unsynced} unsynced batches")
        });
        let process = self.nodes[node].crash(kept);
        for (number, key, object) in process.unsynced {
            if number <= synced {
                self.history.on_synced(node, key, &object);
            }
        }
        self.break_connections(node);
        self.tell_of(node, false);
        let down_ms = self.dice.random_range(0..1_500);
        self.queue
            .push(self.now_ms + down_ms, Happening::Start { node });
    }

    fn wipe(&mut self, node: usize) {
        self.crash(node);
        self.trace.note(self.now_ms, &[b'w', node as u8], || {
            format!("n{node} loses its disk")
        });
        self.nodes[node].disk.borrow_mut().wipe();
        self.nodes[node].harm.wiped = true;
    }

    /// One record is gone, or fails its checksum, under a running process.
    fn forget(&mut self, node: usize) {
        let key = self.dice.random_range(0..self.stage.plan.keys.len());
        let found = self
            .stage
            .stored_at
            .iter()
            .find(|(_, place)| **place == key);
        let (stored_at, _) = found.expect("every key has a place");
        let node_hit = &mut self.nodes[node];
        match self.dice.random::<bool>() {
            true => node_hit.disk.borrow_mut().forget(stored_at),
            false => node_hit.disk.borrow_mut().corrupt(stored_at),
        }
        node_hit.harm.keys.insert(key);
        self.trace
            .note(self.now_ms, &[b'f', node as u8, key as u8], || {
                format!("n{node} forgets key {key}")
            });
    }

    /// A copy of the disk is made, or takes the place of the disk.
    fn roll_back(&mut self, node: usize) {
        let Some(image) = self.nodes[node].backup.take() else {
            let image = self.nodes[node].disk.borrow().image();
            self.nodes[node].backup = Some(image);
            return;
        };
        self.crash(node);
        let differing = self.nodes[node].disk.borrow_mut().restore(image);
        self.trace.note(self.now_ms, &[b'r', node as u8], || {
            format!("n{node}'s disk is an older one, {differing:?} differ")
        });
        for place in differing {
            let home = self.stage.stored_at.get(&place).copied();
            let key = home.or_else(|| self.hinted_key(&place));
            self.nodes[node].harm.keys.extend(key);
        }
    }

    /// There is little room for some seconds, also for the processes that start meanwhile: the disk refuses writes before
    /// anybody has noticed, or the node has noticed in time and takes no values, or nothing at all.
    fn fill(&mut self, node: usize) {
        let full_ms = self.dice.random_range(500..5_000);
        let room = match full_ms % 3 {
            0 => Room::Ample,
            1 => Room::Scarce,
            _ => Room::Spent,
        };
        self.nodes[node].disk.borrow_mut().is_full = room == Room::Ample;
        self.nodes[node].room = room;
        self.trace.note(self.now_ms, &[b'F', node as u8], || {
            format!(
                "n{node}'s disk is full for {full_ms} ms, and the node thinks that room is {room:?}"
            )
        });
        if self.mutant != Mutant::OverlooksDisks {
            self.step(node, Event::Room(room), None);
        }
        let end = Happening::Emptied { node };
        self.queue.push(self.now_ms + full_ms, end);
    }

    /// There is room again.
    pub fn empty(&mut self, node: usize) {
        self.nodes[node].disk.borrow_mut().is_full = false;
        self.nodes[node].room = Room::Ample;
        self.step(node, Event::Room(Room::Ample), None);
    }

    fn slow_down(&mut self, node: usize) {
        let other = self.dice.random_range(0..self.nodes.len());
        self.network.slow_down(node, other);
    }

    /// The engine fails; its process notices and exits a little later, as it must.
    fn fail_next_writes(&mut self, node: usize) {
        let health = match self.dice.random_range(0..3) {
            0 => Health::FailsAndLoses,
            1 => Health::FailsAndApplies,
            _ => Health::FailsAndHides,
        };
        self.set_health(node, health);
        let life = self.nodes[node].life;
        let exit_ms = self.now_ms + self.dice.random_range(0..300);
        self.queue.push(exit_ms, Happening::Crash { node, life });
    }

    fn set_health(&mut self, node: usize, health: Health) {
        self.nodes[node].disk.borrow_mut().health = health;
        self.trace
            .note(self.now_ms, &[b'h', node as u8, health as u8], || {
                format!("n{node}'s disk is {health:?}")
            });
    }

    /// The end of all faults: links up, disks good, everyone started.
    pub fn make_peace(&mut self) {
        self.queue.is_at_peace = true;
        self.network.heal();
        self.network.loss = 0.0;
        self.network.duplication = 0.0;
        self.network.delay_ms_max = self.network.delay_ms_max.min(20);
        for node in 0..self.nodes.len() {
            let health = self.nodes[node].disk.borrow().health;
            if !matches!(health, Health::Good | Health::ReadOnly) {
                self.crash(node);
            }
            let mut disk = self.nodes[node].disk.borrow_mut();
            disk.health = Health::Good;
            drop(disk);
            self.empty(node);
            self.start(node);
            if self.stage.plan.rebinds {
                self.hear(node);
            }
        }
    }
}
