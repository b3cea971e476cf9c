//! The clocks that the shell tells the core of.

use crate::dynamo::names::{Millis, Now};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts milliseconds from when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// Added to the wall clock.
    offset_ms: i64,
}

impl Clock {
    /// `offset_ms` makes the wall clock wrong; the monotonic half is not touched.
    pub fn start(offset_ms: i64) -> Self {
        Self {
            start: Instant::now(),
            offset_ms,
        }
    }

    pub fn now(&self) -> Now {
        Now {
            monotonic: Millis(self.uptime_ms()),
            wall_ms: system_ms().saturating_add_signed(self.offset_ms),
        }
    }

    pub fn uptime_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// The first instant at which `now` tells `at` or later.
    pub fn instant(&self, at: Millis) -> Instant {
        self.start + Duration::from_millis(at.0)
    }
}

/// Milliseconds since 1970, 0 before.
fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |duration| duration.as_millis() as u64)
}
