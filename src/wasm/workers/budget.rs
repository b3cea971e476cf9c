//! Fuel that the calls of one plugin may burn in a second for one bucket.
//!
//! Is told what time it is. A call is paid for afterwards, so the last one may overdraw.
//!
//! Invariant: over any time a plugin burns no more than its rate, a second's worth, and its last calls.

/// What is left right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    fuel: i128,
    counted_ms: u64,
}

impl Budget {
    /// A full second's worth.
    pub fn full(fuel_per_second: u64, now_ms: u64) -> Self {
        Self {
            fuel: i128::from(fuel_per_second),
            counted_ms: now_ms,
        }
    }

    /// Whether there is fuel for a call.
    pub fn admit(&mut self, fuel_per_second: u64, now_ms: u64) -> bool {
        let passed_ms = now_ms.saturating_sub(self.counted_ms);
        self.counted_ms = self.counted_ms.max(now_ms);
        let earned = i128::from(fuel_per_second) * i128::from(passed_ms) / 1_000;
        self.fuel = (self.fuel + earned).min(i128::from(fuel_per_second));
        self.fuel > 0
    }

    pub fn spend(&mut self, fuel: u64) {
        self.fuel -= i128::from(fuel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overdrawn_is_waited_for() {
        let mut budget = Budget::full(1_000, 0);
        assert!(budget.admit(1_000, 0));
        budget.spend(3_000);
        assert!(!budget.admit(1_000, 1_999));
        assert!(!budget.admit(1_000, 2_000));
        assert!(budget.admit(1_000, 2_002));
    }

    #[test]
    fn an_idle_plugin_saves_up_one_second_and_no_more() {
        let mut budget = Budget::full(1_000, 0);
        assert!(budget.admit(1_000, 3_600_000));
        budget.spend(1_001);
        assert!(!budget.admit(1_000, 3_600_000));
    }
}
