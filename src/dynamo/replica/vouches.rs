//! What this node has vouched for: that all it knows of a key is one settled object, and since when (law 9).
//!
//! Not in the paper, which is silent on deletes. A removal needs more than two looks at a key, because something may have
//! come and gone between them; so whoever vouches watches the key from then on.
//!
//! Invariant: a vouch that stands has seen no write of its key, and no pause of this process, since it was given.

use super::super::names::{Key, Millis, Now};
use crate::limits::{VOUCH_LIFE_MS, VOUCH_PAUSE_MS_MAX, VOUCH_PULSE_MS, VOUCHES_MAX};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vouch {
    fingerprint: u128,
    since: Millis,
}

/// The vouches of one shard. They die with its process.
#[derive(Debug, Default)]
pub struct Vouches {
    standing: BTreeMap<Key, Vouch>,
    /// Of the placement by which they were given.
    version: u64,
    /// When time was last looked at, while anything stands.
    looked_at: Option<Now>,
    pulse_at: Millis,
}

impl Vouches {
    /// Time has passed. A process that stood still may have messages before it that are older than any bound on a
    /// message's life, so nothing that it vouched for holds any longer. The wall clock is asked as well, since the
    /// other one may have stood still with the machine; a clock that was set costs the vouches and nothing else.
    pub fn on_time(&mut self, now: Now) {
        if let Some(last) = self.looked_at {
            let passed_ms = now.monotonic.since(last.monotonic);
            let shown_ms = now.wall_ms.abs_diff(last.wall_ms);
            if passed_ms.max(shown_ms) > VOUCH_PAUSE_MS_MAX {
                self.standing.clear();
            }
        }
        if now.monotonic >= self.pulse_at {
            self.pulse_at = now.monotonic.after(VOUCH_PULSE_MS);
            let is_young = |vouch: &Vouch| now.monotonic.since(vouch.since) < VOUCH_LIFE_MS;
            self.standing.retain(|_, vouch| is_young(vouch));
        }
        self.looked_at = (!self.standing.is_empty()).then_some(now);
    }

    /// When time has to be looked at again.
    pub fn wakes_at(&self) -> Option<Millis> {
        self.looked_at.map(|_| self.pulse_at)
    }

    /// By which owners vouches are given from now on. Those given by others fall.
    pub fn set_version(&mut self, version: u64) {
        if self.version != version {
            self.version = version;
            self.standing.clear();
        }
    }

    /// Vouches for a key, or goes on doing so. For how long it has, in milliseconds; none if there are too many.
    pub fn give(&mut self, key: &Key, fingerprint: u128, now: Now) -> Option<u64> {
        let fresh = Vouch {
            fingerprint,
            since: now.monotonic,
        };
        let is_full = self.standing.len() >= VOUCHES_MAX;
        let vouch = match self.standing.get_mut(key) {
            Some(vouch) => vouch,
            None if is_full => return None,
            None => self.standing.entry(key.clone()).or_insert(fresh),
        };
        if vouch.fingerprint != fingerprint {
            *vouch = fresh;
        }
        if self.looked_at.is_none() {
            self.looked_at = Some(now);
            self.pulse_at = now.monotonic.after(VOUCH_PULSE_MS);
        }
        Some(now.monotonic.since(vouch.since))
    }

    /// Something of the key was written here, or is no longer what it has to be.
    pub fn strike(&mut self, key: &Key) {
        self.standing.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::names::BucketName;
    use super::*;

    fn key(name: &'static str) -> Key {
        let bucket = BucketName::new("b").expect("a good name");
        Key::new(bucket, name.into()).expect("a good key")
    }

    fn at(ms: u64) -> Now {
        Now {
            monotonic: Millis(ms),
            wall_ms: 1_000_000 + ms,
        }
    }

    /// Lets time pass as a shard does that wakes when it is told to.
    fn pass(vouches: &mut Vouches, from: u64, to: u64) {
        for ms in from..to {
            if vouches.wakes_at().is_some_and(|at| at.0 <= ms) {
                vouches.on_time(at(ms));
            }
        }
    }

    #[test]
    fn a_vouch_counts_from_the_first_time_it_was_given() {
        let mut vouches = Vouches::default();
        assert_eq!(vouches.give(&key("k"), 7, at(10)), Some(0));
        pass(&mut vouches, 10, 9_010);
        assert_eq!(vouches.give(&key("k"), 7, at(9_010)), Some(9_000));
        assert_eq!(
            vouches.give(&key("k"), 8, at(9_020)),
            Some(0),
            "another object"
        );
    }

    #[test]
    fn a_write_of_the_key_ends_it_even_if_everything_is_as_it_was_afterwards() {
        let mut vouches = Vouches::default();
        vouches.give(&key("k"), 7, at(0));
        vouches.give(&key("l"), 7, at(0));
        vouches.strike(&key("k"));
        pass(&mut vouches, 0, 3_000);
        assert_eq!(vouches.give(&key("k"), 7, at(3_000)), Some(0));
        assert_eq!(vouches.give(&key("l"), 7, at(3_000)), Some(3_000));
    }

    #[test]
    fn a_process_that_stood_still_starts_again() {
        let standstill = [
            at(2_000 + VOUCH_PAUSE_MS_MAX),
            Now {
                wall_ms: 9_000_000,
                ..at(2_000)
            },
        ];
        for woken in standstill {
            let mut vouches = Vouches::default();
            vouches.give(&key("k"), 7, at(0));
            pass(&mut vouches, 0, 1_500);
            vouches.on_time(woken);
            assert_eq!(vouches.give(&key("k"), 7, woken), Some(0));
        }
    }

    #[test]
    fn other_owners_start_again() {
        let mut vouches = Vouches::default();
        vouches.set_version(1);
        vouches.give(&key("k"), 7, at(0));
        vouches.set_version(1);
        assert_eq!(vouches.give(&key("k"), 7, at(5)), Some(5));
        vouches.set_version(2);
        assert_eq!(vouches.give(&key("k"), 7, at(6)), Some(0));
    }

    #[test]
    fn nobody_wakes_for_nothing_and_nothing_stands_for_ever() {
        let mut vouches = Vouches::default();
        assert_eq!(vouches.wakes_at(), None);
        vouches.give(&key("k"), 7, at(0));
        for second in 0..=VOUCH_LIFE_MS / 1_000 {
            vouches.on_time(at(second * 1_000));
        }
        assert_eq!(vouches.wakes_at(), None);
    }

    #[test]
    fn beyond_its_bound_nothing_more_is_vouched_for() {
        let mut vouches = Vouches::default();
        let bucket = BucketName::new("b").expect("a good name");
        for number in 0..=VOUCHES_MAX {
            let name = number.to_string().into();
            let key = Key::new(bucket.clone(), name).expect("a good key");
            assert_eq!(vouches.give(&key, 7, at(0)).is_some(), number < VOUCHES_MAX);
        }
    }
}
