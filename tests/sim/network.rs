//! The network: delays, reordering, loss, duplicates, and links that are cut in one direction or in both.
//!
//! A cut link refuses some messages at once, as a closed connection does, and swallows the others. What
//! is lost on a good link is lost silently. Knows nothing of what messages say.
//!
//! Invariant: a message that was refused is never delivered.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// What a slow link adds to the delay, and how often it loses a message.
const SLOW_MS: u64 = 1_000;
const SLOW_LOSS: f64 = 0.1;

#[derive(Debug)]
pub struct Network {
    /// From, to.
    cuts: BTreeSet<(usize, usize)>,
    /// Late, and lossy.
    slow: BTreeSet<(usize, usize)>,
    pub loss: f64,
    pub duplication: f64,
    pub delay_ms_max: u64,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The sender is told.
    Refused,
    Swallowed,
    /// After so many milliseconds, and perhaps a second time.
    Arrives {
        first: u64,
        again: Option<u64>,
    },
}

impl Network {
    /// With probabilities per message.
    pub fn new(loss: f64, duplication: f64, delay_ms_max: u64) -> Self {
        Self {
            cuts: BTreeSet::new(),
            slow: BTreeSet::new(),
            loss,
            duplication,
            delay_ms_max,
        }
    }

    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// One direction of a link becomes slow.
    pub fn slow_down(&mut self, from: usize, to: usize) {
        self.slow.insert((from, to));
    }

    pub fn heal(&mut self) {
        self.cuts.clear();
        self.slow.clear();
    }

    /// `is_up`: whether the receiver's process runs.
    pub fn route(&self, from: usize, to: usize, is_up: bool, dice: &mut ChaCha8Rng) -> Route {
        if !is_up || self.cuts.contains(&(from, to)) {
            return match dice.random_bool(0.5) {
                true => Route::Refused,
                false => Route::Swallowed,
            };
        }
        if dice.random_bool(self.loss) {
            return Route::Swallowed;
        }
        let delay = |dice: &mut ChaCha8Rng| dice.random_range(0..=self.delay_ms_max);
        let is_slow = self.slow.contains(&(from, to));
        if is_slow && dice.random_bool(SLOW_LOSS) {
            return Route::Swallowed;
        }
        let first = delay(dice) + if is_slow { SLOW_MS } else { 0 };
        let again = match dice.random_bool(self.duplication) {
            true => Some(first + 4 * delay(dice)),
            false => None,
        };
        Route::Arrives { first, again }
    }
}
