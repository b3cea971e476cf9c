//! What a scrub of some items has found: reading them all while the copies elsewhere are still good.
//!
//! An item that nobody reads may rot for years. The engines walk, check each envelope, and look each key up
//! as a get does. Repairs nothing: a corrupt item is a missing one, and the other replicas have it.
//!
//! Invariant: a walk that goes on from `next` passes over no item that was there all the time.

use bytes::Bytes;

/// A part of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Items looked at, good and bad.
    pub items: usize,
    /// Keys of items that are not believed.
    pub corrupt: Vec<Bytes>,
    /// Where to go on; `None` at the end. Behind a full slice there may be nothing.
    pub next: Option<Bytes>,
}

impl Scrubbed {
    /// One more item; says whether that is enough.
    pub fn add(&mut self, key: Bytes, is_good: bool, items_max: usize) -> bool {
        self.items += 1;
        let is_last = self.items >= items_max;
        if is_last {
            self.next = Some([&key[..], &[0]].concat().into());
        }
        if !is_good {
            self.corrupt.push(key);
        }
        is_last
    }
}
