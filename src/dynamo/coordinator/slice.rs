//! The slice of a request's deadline that a guest may take (Dynamo 2.2: what counts is the 99.9th percentile).
//!
//! Knows nothing of what is asked. The time in a queue counts like the time of the call.
//!
//! Invariant: after the slice there is time left for what the request has still to do.

use super::super::bucket::Binding;
use super::super::names::Millis;
use super::super::reconcile::answer::GuestFailure;
use crate::limits::GUEST_DEADLINE_PARTS;

/// Until when a resolver is waited for: its own limit, and never more than its part of what is left.
pub fn resolve_by(now: Millis, deadline: Millis, binding: &Binding) -> Millis {
    let part_ms = deadline.since(now) / GUEST_DEADLINE_PARTS;
    now.after(part_ms.min(binding.limits.wall_ms))
}

/// Until when a validator is waited for: it may queue for longer, since without its word nothing is stored.
pub fn judge_by(now: Millis, deadline: Millis) -> Millis {
    now.after(deadline.since(now) / GUEST_DEADLINE_PARTS)
}

/// What is said of a guest that had no answer when its slice was over: the slice itself, not how late that was noticed.
pub fn out_of_time(binding: &Binding, (asked_at, until): (Millis, Millis)) -> GuestFailure {
    GuestFailure::OutOfTime {
        digest: binding.digest,
        limit_ms: until.since(asked_at),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::names::Digest;
    use super::*;
    use crate::limits::GUEST_WALL_MS;

    #[test]
    fn a_short_deadline_is_shared_and_a_long_one_is_not_used_up() {
        let binding = Binding::new(Digest([1; 32]));
        let by = |deadline| resolve_by(Millis(1_000), Millis(deadline), &binding);
        assert_eq!(by(1_100), Millis(1_050));
        assert_eq!(by(6_000), Millis(1_000 + GUEST_WALL_MS));
        assert_eq!(by(1_000), Millis(1_000));
        assert_eq!(judge_by(Millis(1_000), Millis(6_000)), Millis(3_500));
    }
}
