//! How much background work there may be, told by how long clients wait (Dynamo 6.5).
//!
//! As in the paper: the 99th percentile of the last 60 seconds against a threshold. Beside it stands the last full
//! second, since a closed loop of slow requests weighs little in a minute of fast ones. Above the threshold the
//! rate is halved each second, below it grows by a sixteenth of its ceiling. A second in which nobody asks counts
//! as a good one.
//!
//! Invariant: the rate stays between its floor and its ceiling, so work goes on, however bad things are.

use super::super::names::Millis;
use crate::limits::{
    BACKGROUND_RATE_MAX, BACKGROUND_RATE_MIN, FOREGROUND_P99_MS_DEFAULT, FOREGROUND_WINDOW_S,
};
use std::collections::VecDeque;

/// Requests of one second: all, and those above the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Second {
    requests: u64,
    slow: u64,
}

/// The rate of background work, and what is left of it right now.
#[derive(Debug)]
pub struct Admission {
    threshold_ms: u64,
    rate: u64,
    /// In thousandths of an item; below zero after one that weighs more than was there.
    saved: i64,
    counted_at: Millis,
    second: u64,
    current: Second,
    /// The seconds before, oldest first, and their sum.
    window: VecDeque<Second>,
    sum: Second,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            threshold_ms: FOREGROUND_P99_MS_DEFAULT,
            rate: BACKGROUND_RATE_MAX,
            saved: 1_000,
            counted_at: Millis(0),
            second: 0,
            current: Second::default(),
            window: VecDeque::new(),
            sum: Second::default(),
        }
    }
}

impl Second {
    /// Whether more than one in a hundred was slow.
    fn is_bad(self) -> bool {
        self.slow * 100 > self.requests
    }
}

impl Admission {
    /// Clients whose wait exceeds this are hurt.
    pub fn set_threshold_ms(&mut self, threshold_ms: u64) {
        self.threshold_ms = threshold_ms;
    }

    /// A client was answered after so long.
    pub fn on_latency(&mut self, now: Millis, latency_ms: u64) {
        self.advance(now);
        self.current.requests += 1;
        self.current.slow += u64::from(latency_ms > self.threshold_ms);
    }

    /// Asks for one item: a key, a hint, a slice of a partition. False: not before `next_permit_at`.
    pub fn permit(&mut self, now: Millis) -> bool {
        self.permit_heavy(now, 1)
    }

    /// The same for one thing that costs as much as so many items: what comes after it waits the longer, but never for
    /// more than a sixteenth of a second's work, or at the floor the light would wait for the heavy.
    pub fn permit_heavy(&mut self, now: Millis, items: i64) -> bool {
        self.advance(now);
        let is_permitted = self.saved >= 1_000;
        if is_permitted {
            self.saved -= (1_000 * items).min(self.burst());
        }
        is_permitted
    }

    /// Thousandths of items that are saved up at most.
    fn burst(&self) -> i64 {
        i64::try_from((self.rate * 1_000 / 16).max(1_000)).unwrap_or(i64::MAX)
    }

    /// When an item will be permitted, if nothing changes.
    pub fn next_permit_at(&mut self, now: Millis) -> Millis {
        self.advance(now);
        let missing = u64::try_from(1_000 - self.saved).unwrap_or(0);
        now.after(missing.div_ceil(self.rate))
    }

    /// Items a second, as of now.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    fn advance(&mut self, now: Millis) {
        let passed_ms = now.since(self.counted_at);
        self.counted_at = self.counted_at.max(now);
        let burst = self.burst();
        let earned = i64::try_from(self.rate.saturating_mul(passed_ms)).unwrap_or(i64::MAX);
        self.saved = self.saved.saturating_add(earned).min(burst);
        let second = self.counted_at.0 / 1_000;
        let passed_s = second - self.second;
        self.second = second;
        let remembered_s = FOREGROUND_WINDOW_S as u64 + 1;
        for _ in 0..passed_s.min(remembered_s) {
            self.end_second();
        }
        let grown = passed_s.saturating_sub(remembered_s) * (BACKGROUND_RATE_MAX / 16);
        self.rate = (self.rate + grown).min(BACKGROUND_RATE_MAX);
    }

    fn end_second(&mut self) {
        let ended = std::mem::take(&mut self.current);
        self.window.push_back(ended);
        self.sum.requests += ended.requests;
        self.sum.slow += ended.slow;
        if self.window.len() > FOREGROUND_WINDOW_S
            && let Some(oldest) = self.window.pop_front()
        {
            self.sum.requests -= oldest.requests;
            self.sum.slow -= oldest.slow;
        }
        self.rate = match ended.is_bad() || self.sum.is_bad() {
            true => (self.rate / 2).max(BACKGROUND_RATE_MIN),
            false => (self.rate + BACKGROUND_RATE_MAX / 16).min(BACKGROUND_RATE_MAX),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Milliseconds that the next item is waited for, at most.
    fn wait_ms(admission: &mut Admission, now: Millis) -> u64 {
        admission.next_permit_at(now).since(now)
    }

    /// `seconds` with `requests` of `latency_ms` in each.
    fn live(
        admission: &mut Admission,
        now: &mut Millis,
        seconds: u64,
        requests: u64,
        latency_ms: u64,
    ) {
        for _ in 0..seconds {
            for _ in 0..requests {
                admission.on_latency(*now, latency_ms);
            }
            *now = now.after(1_000);
        }
    }

    proptest! {
        #[test]
        fn background_work_never_starves(waits in proptest::collection::vec((0..5_000u64, 0..9_000u64), 0..300)) {
            let mut admission = Admission::default();
            let mut now = Millis(7);
            for (pause_ms, latency_ms) in waits {
                now = now.after(pause_ms);
                admission.on_latency(now, latency_ms);
                let at = admission.next_permit_at(now);
                prop_assert!(at.since(now) <= 1_000 / BACKGROUND_RATE_MIN);
                prop_assert!(admission.permit(at));
                now = at;
            }
        }

        #[test]
        fn it_backs_off_within_two_seconds_whatever_was_before(
            good_s in 0..200u64, good in 0..2_000u64, bad in 1..50u64,
        ) {
            let mut admission = Admission::default();
            let mut now = Millis(0);
            live(&mut admission, &mut now, good_s, good, 3);
            let before = { admission.permit(now); admission.rate() };
            live(&mut admission, &mut now, 2, bad, 400);
            admission.permit(now);
            prop_assert!(admission.rate() <= before / 2, "{} of {before}", admission.rate());
        }

        #[test]
        fn it_recovers_when_clients_do(bad_s in 1..100u64, bad in 1..500u64, good in 0..500u64) {
            let mut admission = Admission::default();
            let mut now = Millis(0);
            live(&mut admission, &mut now, bad_s, bad, 400);
            live(&mut admission, &mut now, FOREGROUND_WINDOW_S as u64 + 20, good, 3);
            admission.permit(now);
            prop_assert_eq!(admission.rate(), BACKGROUND_RATE_MAX);
        }
    }

    #[test]
    fn long_pain_brings_the_rate_to_its_floor_and_no_further() {
        let mut admission = Admission::default();
        let mut now = Millis(0);
        live(&mut admission, &mut now, 100, 10, 51);
        admission.permit(now);
        assert_eq!(admission.rate(), BACKGROUND_RATE_MIN);
        let mut taken = 0;
        let end = now.after(10_000);
        while now < end {
            taken += u64::from(admission.permit(now));
            now = now.after(1);
        }
        assert!((70..=90).contains(&taken), "{taken} in ten seconds");
    }

    #[test]
    fn what_comes_after_something_heavy_waits_longer_and_at_the_floor_no_longer_than_after_another()
    {
        let wait_after = |admission: &mut Admission, now: Millis| {
            while admission.permit(now) {}
            let next = admission.next_permit_at(now);
            assert!(admission.permit_heavy(next, 64));
            admission.next_permit_at(next).since(next)
        };
        let mut admission = Admission::default();
        let mut now = Millis(1_000_000);
        let waits = wait_after(&mut admission, now);
        assert!(waits >= 64_000 / BACKGROUND_RATE_MAX, "{waits}");
        live(&mut admission, &mut now, 100, 10, 400);
        let waits = wait_after(&mut admission, now.after(1_000));
        assert_eq!(waits, 1_000_u64.div_ceil(BACKGROUND_RATE_MIN));
    }

    #[test]
    fn one_slow_request_in_a_hundred_is_not_pain() {
        let mut admission = Admission::default();
        let mut now = Millis(0);
        for _ in 0..90 {
            admission.on_latency(now, 400);
            live(&mut admission, &mut now, 1, 99, 3);
        }
        admission.permit(now);
        assert_eq!(admission.rate(), BACKGROUND_RATE_MAX);
        assert_eq!(wait_ms(&mut admission, now), 0);
    }
}
