//! Keeps sled's file small without sled's flusher thread.
//!
//! sled moves what is still alive out of mostly dead segments one page at a time, whenever it writes some
//! page anew; the flusher would do more of it, but it hides failed syncs (see `database`). Writing a page
//! anew is what an eleventh small change to one page brings about, so each change of ours is followed by
//! two small ones to a page that exists for this. Measured with 350,000 puts of 1 KiB over 50,000 keys:
//! the file was 6.4 times the live data without this, 2.7 times with it.
//!
//! Invariant: nobody waits here; a writer that finds another one tidying goes on.

use std::sync::Mutex;

/// Small changes for each change of a batch.
const TURNS_PER_CHANGE: u64 = 2;

/// The page that is changed so that others are moved.
#[derive(Debug)]
pub struct Tidy {
    tree: sled::Tree,
    /// Makes each content differ from the one before; sled passes over a change that changes nothing.
    turn: Mutex<u64>,
}

impl Tidy {
    pub fn new(tree: sled::Tree) -> Self {
        Self {
            tree,
            turn: Mutex::new(0),
        }
    }

    /// Pays for as many changes.
    pub fn after(&self, changes: usize) -> sled::Result<()> {
        let Ok(mut turn) = self.turn.try_lock() else {
            return Ok(());
        };
        for _ in 0..changes as u64 * TURNS_PER_CHANGE {
            *turn = turn.wrapping_add(1);
            self.tree.insert(b"turn", &turn.to_be_bytes())?;
        }
        Ok(())
    }
}
