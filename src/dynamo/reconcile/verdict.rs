//! What is believed of a resolver's answer, and the built-in policy.
//!
//! Dynamo 4.4 and 6 (semantic reconciliation, timestamp-based reconciliation). Pure: runs no guest.
//!
//! Invariant: a verdict other than `Siblings` comes from a usable answer or from the explicitly chosen
//! last-write-wins policy.

use super::super::bucket::Binding;
use super::super::causality::version::{Content, Version};
use super::answer::{Answer, GuestFailure, Resolution, shown};
use crate::limits::{CLOCK_SKEW_MS_MAX, RESOLVED_SLACK_BYTES};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What a reader is shown, or a merge on put stores, for a list of siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// One version stands for all.
    One { version: Version, fuel: u64 },
    /// The siblings stay, for this reason.
    Siblings { reason: String },
}

/// The latest write time wins; equal times go to the greatest in canonical order.
///
/// A time that lies more than `CLOCK_SKEW_MS_MAX` ahead of `wall_ms` is not believed: it loses to every time
/// that is, so that one node's wrong clock does not decide for hours (law 3).
pub fn last_write_wins(siblings: &[Version], wall_ms: u64) -> Option<Version> {
    let rank = |version: &Version| {
        let is_believed = version.written_at_ms <= wall_ms.saturating_add(CLOCK_SKEW_MS_MAX);
        (is_believed, version.written_at_ms)
    };
    let latest = siblings
        .iter()
        .max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    latest.cloned()
}

/// Turns a resolver's answer over `siblings` into a verdict.
///
/// `value_bytes_max` is the bucket's limit of a value.
pub fn believe(
    answer: Answer,
    binding: &Binding,
    siblings: &[Version],
    value_bytes_max: usize,
) -> Verdict {
    let bad = |message: String| Verdict::Siblings {
        reason: GuestFailure::BadAnswer {
            digest: binding.digest,
            message,
        }
        .to_string(),
    };
    let (resolution, fuel) = match answer {
        Answer::Resolved { resolution, fuel } => (resolution, fuel),
        Answer::Judged { .. } => return bad("it judged instead of resolving".to_owned()),
        Answer::Failed(failure) => {
            let reason = failure.to_string();
            return Verdict::Siblings { reason };
        }
    };
    let version = match resolution {
        Resolution::Merged(bytes) => {
            let limit = output_bytes_max(siblings, value_bytes_max);
            if bytes.len() > limit {
                return bad(format!("{} bytes, the limit here is {limit}", bytes.len()));
            }
            merged(Content::Value(bytes), binding, siblings)
        }
        Resolution::Deleted => merged(Content::Tombstone, binding, siblings),
        Resolution::Pick(place) => match siblings.get(place as usize) {
            Some(picked) => merged(
                picked.content.clone(),
                binding,
                std::slice::from_ref(picked),
            ),
            None => return bad(format!("it picked {place} of {} siblings", siblings.len())),
        },
        Resolution::KeepSiblings(reason) => {
            let reason = shown(&reason);
            return Verdict::Siblings { reason };
        }
    };
    Verdict::One { version, fuel }
}

/// What a resolver may answer with: the bucket's limit, and not much more than it was given.
pub fn output_bytes_max(siblings: &[Version], value_bytes_max: usize) -> usize {
    let given: usize = siblings
        .iter()
        .filter_map(Version::bytes)
        .map(Bytes::len)
        .sum();
    value_bytes_max.min(4 * given + RESOLVED_SLACK_BYTES)
}

/// A resolver gives bytes only. The content type and the metadata on which all siblings agree stay;
/// the write time is that of the latest sibling and the expiry that of the longest-lived one, so the result is
/// the same on every node.
fn merged(content: Content, binding: &Binding, siblings: &[Version]) -> Version {
    let first = &siblings[0];
    let agreed = |name: &String, value: &String| {
        siblings
            .iter()
            .all(|sibling| sibling.metadata.get(name) == Some(value))
    };
    let metadata: BTreeMap<String, String> = first
        .metadata
        .iter()
        .filter(|(name, value)| agreed(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let expires_at_ms = merged_expiry(&content, siblings);
    let same_type = siblings
        .iter()
        .all(|s| s.content_type == first.content_type);
    Version {
        content,
        content_type: if same_type {
            first.content_type.clone()
        } else {
            String::new()
        },
        metadata,
        written_at_ms: siblings.iter().map(|s| s.written_at_ms).max().unwrap_or(0),
        merged_by: Some(binding.digest),
        expires_at_ms,
    }
}

/// A merged value lasts as long as the sibling that lasts longest; a tombstone does not expire.
fn merged_expiry(content: &Content, siblings: &[Version]) -> Option<u64> {
    let times = siblings.iter().map(|sibling| sibling.expires_at_ms);
    let last = times
        .reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)))
        .flatten();
    last.filter(|_| *content != Content::Tombstone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn winner(times: &[u64], wall_ms: u64) -> Option<u64> {
        let version = |at: &u64| Version::value(at.to_string(), *at);
        let siblings: Vec<Version> = times.iter().map(version).collect();
        last_write_wins(&siblings, wall_ms).map(|version| version.written_at_ms)
    }

    #[test]
    fn the_latest_write_time_wins() {
        assert_eq!(winner(&[5, 9, 7], 100), Some(9));
        assert_eq!(winner(&[], 100), None);
    }

    #[test]
    fn a_clock_that_runs_ahead_wins_by_no_more_than_the_bound() {
        let hour_ahead = 1_000 + 3_600_000;
        assert_eq!(winner(&[900, hour_ahead], 1_000), Some(900));
        assert_eq!(
            winner(&[900, 1_000 + CLOCK_SKEW_MS_MAX], 1_000),
            Some(1_000 + CLOCK_SKEW_MS_MAX)
        );
        assert_eq!(winner(&[hour_ahead], 1_000), Some(hour_ahead));
    }

    #[test]
    fn a_merged_value_lasts_as_long_as_its_longest_lived_sibling() {
        let sibling = |expires_at_ms| Version {
            expires_at_ms,
            ..Version::value("milk", 7)
        };
        let value = Content::Value(Bytes::new());
        let all_expire = [sibling(Some(5)), sibling(Some(9)), sibling(Some(7))];
        assert_eq!(merged_expiry(&value, &all_expire), Some(9));
        assert_eq!(merged_expiry(&Content::Tombstone, &all_expire), None);
        let one_stays = [sibling(Some(5)), sibling(None)];
        assert_eq!(merged_expiry(&value, &one_stays), None);
    }

    #[test]
    fn equal_times_go_to_the_greatest_in_canonical_order() {
        let siblings = ["b", "c", "a"].map(|value| Version::value(value, 7));
        let latest = last_write_wins(&siblings, 7);
        assert_eq!(latest, Some(Version::value("c", 7)));
    }
}
