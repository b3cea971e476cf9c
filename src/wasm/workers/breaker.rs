//! Stops asking a plugin that keeps failing, for a while, so that it costs its bucket no time.
//!
//! Is told what time it is. Counts only what is the plugin's own fault.
//!
//! Invariant: while it is open nobody is let through but, after the rest, one at a time.

use crate::limits::{BREAKER_FAILURES, BREAKER_REST_MS};

/// The breaker of one plugin in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Everybody is let through; so many failed in a row.
    Closed { failures: u32 },
    /// Nobody is, until then.
    Open { until_ms: u64 },
    /// One is on its way since then, and decides.
    Trial { since_ms: u64 },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Lets a question through, or says for how many milliseconds there is none.
    pub fn admit(&mut self, now_ms: u64) -> Result<(), u64> {
        match *self {
            Self::Closed { .. } => Ok(()),
            Self::Open { until_ms } if now_ms < until_ms => Err(until_ms - now_ms),
            // A trial of which nothing was heard for so long was lost.
            Self::Trial { since_ms } if now_ms < since_ms + BREAKER_REST_MS => {
                Err(since_ms + BREAKER_REST_MS - now_ms)
            }
            Self::Open { .. } | Self::Trial { .. } => {
                *self = Self::Trial { since_ms: now_ms };
                Ok(())
            }
        }
    }

    pub fn on_success(&mut self) {
        *self = Self::default();
    }

    pub fn on_failure(&mut self, now_ms: u64) {
        let until_ms = now_ms + BREAKER_REST_MS;
        *self = match *self {
            Self::Closed { failures } if failures + 1 < BREAKER_FAILURES => Self::Closed {
                failures: failures + 1,
            },
            // Those that were let through before it opened do not make the rest longer.
            Self::Open { until_ms } => Self::Open { until_ms },
            Self::Closed { .. } | Self::Trial { .. } => Self::Open { until_ms },
        };
    }

    /// The question was not put after all, or its failure is this node's: the next one may try.
    pub fn on_nothing(&mut self, now_ms: u64) {
        if let Self::Trial { .. } = self {
            *self = Self::Open { until_ms: now_ms };
        }
    }

    /// In a word, for people and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::Trial { .. } => "half-open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened_at(now_ms: u64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..BREAKER_FAILURES {
            assert_eq!(breaker.admit(now_ms), Ok(()));
            breaker.on_failure(now_ms);
        }
        breaker
    }

    #[test]
    fn a_breaker_opens_after_five_failures_in_a_row_for_thirty_seconds() {
        let mut breaker = opened_at(1_000);
        assert_eq!(breaker.admit(1_001), Err(BREAKER_REST_MS - 1));
        assert_eq!(breaker.admit(1_000 + BREAKER_REST_MS - 1), Err(1));
        assert_eq!(breaker.admit(1_000 + BREAKER_REST_MS), Ok(()));
    }

    #[test]
    fn a_success_in_between_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..BREAKER_FAILURES {
                breaker.on_failure(0);
            }
            breaker.on_success();
        }
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn after_the_rest_one_trial_decides() {
        let later = BREAKER_REST_MS;
        let mut breaker = opened_at(0);
        assert_eq!(breaker.admit(later), Ok(()));
        assert!(breaker.admit(later).is_err(), "one at a time");
        breaker.on_failure(later + 5);
        assert_eq!(breaker.admit(later + 6), Err(BREAKER_REST_MS - 1));
        assert_eq!(breaker.admit(later + 5 + BREAKER_REST_MS), Ok(()));
        breaker.on_success();
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_trial_that_came_to_nothing_leaves_the_next_one_to_try() {
        let mut breaker = opened_at(0);
        assert_eq!(breaker.admit(BREAKER_REST_MS), Ok(()));
        breaker.on_nothing(BREAKER_REST_MS + 1);
        assert_eq!(breaker.admit(BREAKER_REST_MS + 1), Ok(()));
        // And one that was lost altogether is not waited for.
        assert_eq!(breaker.admit(2 * BREAKER_REST_MS + 1), Ok(()));
    }
}
