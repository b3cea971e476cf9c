//! Actors and dots: who wrote, and which of its writes it was (Dynamo 4.4, the pair of node and counter).
//!
//! Draws no randomness itself: the shell hands in an incarnation for every start of a shard.
//!
//! Invariant: `ActorSource` never gives out one actor twice.

use super::super::codec::{DecodeError, Reader, Writer};
use std::fmt;

/// 64 random bits, drawn each time a shard starts. Nothing that a crash loses can bring one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// One life of one record in one process: the `node` of the paper's vector clock entry.
///
/// A record that is created anew, by whatever path, gets a new epoch with its first coordinated
/// write, so a record that was lost and came back never counts under its old name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    pub incarnation: Incarnation,
    pub epoch: u64,
}

impl Actor {
    pub fn encode(self, writer: &mut Writer) {
        writer.fixed(self.incarnation.0);
        writer.number(self.epoch);
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            incarnation: Incarnation(reader.fixed()?),
            epoch: reader.number()?,
        })
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.incarnation.0, self.epoch)
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of one write: the `counter`-th of `actor`, counting from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    pub actor: Actor,
    pub counter: u64,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.actor, self.counter)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Gives out the actors of one shard of one process.
#[derive(Debug)]
pub struct ActorSource {
    incarnation: Incarnation,
    epochs_used: u64,
    epochs_retired: u64,
}

impl ActorSource {
    pub fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            epochs_used: 0,
            epochs_retired: 0,
        }
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// An actor that nobody has used.
    pub fn fresh(&mut self) -> Actor {
        self.epochs_used += 1;
        Actor {
            incarnation: self.incarnation,
            epoch: self.epochs_used,
        }
    }

    /// Nothing more is written under the actors given out so far.
    pub fn retire_all(&mut self) {
        self.epochs_retired = self.epochs_used;
    }

    /// Whether this process gave `actor` out and may still write under it; another process's name must
    /// never be written under.
    pub fn owns(&self, actor: Actor) -> bool {
        actor.incarnation == self.incarnation && actor.epoch > self.epochs_retired
    }
}
