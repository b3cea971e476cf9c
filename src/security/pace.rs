//! So many lines a second, and a count of those that were left out.
//!
//! Whoever is turned away does not choose how much is written about it.
//!
//! Invariant: each line that was asked for is either allowed or counted in the next one that is.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// How fast lines may come.
#[derive(Debug)]
pub struct Pace {
    most: u32,
    /// Guards three numbers; never held over an await.
    second: Mutex<Second>,
}

/// The second that passes.
#[derive(Debug)]
struct Second {
    began: Instant,
    allowed: u32,
    left_out: u64,
}

impl Pace {
    /// At most so many lines in any one second.
    pub fn of(most: u32) -> Self {
        Self {
            most,
            second: Mutex::new(Second {
                began: Instant::now(),
                allowed: 0,
                left_out: 0,
            }),
        }
    }

    /// Whether there may be a line now, and how many were left out before it.
    pub fn take(&self) -> Option<u64> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(second.began) >= SECOND {
            second.began = now;
            second.allowed = 0;
        }
        if second.allowed == self.most {
            second.left_out += 1;
            return None;
        }
        second.allowed += 1;
        Some(std::mem::take(&mut second.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_fast_is_left_out_and_counted_in_the_next_line() {
        let pace = Pace::of(2);
        let now = Instant::now();
        let taken: Vec<Option<u64>> = (0..5).map(|_| pace.take_at(now)).collect();
        assert_eq!(taken, [Some(0), Some(0), None, None, None]);
        let later = now + SECOND;
        assert_eq!(pace.take_at(later), Some(3));
        assert_eq!(pace.take_at(later), Some(0));
        assert_eq!(pace.take_at(later), None);
    }
}
