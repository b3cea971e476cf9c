//! Makes a counterexample small, so that its author sees the point at once.
//!
//! Greedy: the first smaller list that still breaks the law is taken, until none is left or the budget is spent.
//!
//! Invariant: what comes out breaks the same law, and is no larger than what went in.

use super::bounds::{SHRINK_CALLS_MAX, SHRINK_FUEL_MAX};
use super::examiner::{Examiner, Frame, Halt};
use super::law::Law;
use super::outcome::{Finding, Outcome};
use super::trial::try_law;
use crate::dynamo::causality::version::{Content, Version};
use bytes::Bytes;
use serde_json::Value;

/// A list that breaks a law, and the two outcomes.
pub(super) struct Broken {
    pub(super) siblings: Vec<Version>,
    pub(super) expected: Outcome,
    pub(super) got: Outcome,
}

/// The smallest list found that breaks the law. What it costs is not taken from the check.
pub(super) fn shrink(
    examiner: &mut Examiner<'_>,
    law: Law,
    frame: &Frame,
    mut found: Broken,
) -> Result<Broken, Halt> {
    let (calls, fuel) = examiner.left();
    examiner.grant(SHRINK_CALLS_MAX, SHRINK_FUEL_MAX);
    let shrunk = loop {
        match smaller(examiner, law, frame, &found.siblings) {
            Ok(Some(broken)) => found = broken,
            Ok(None) | Err(Halt::Spent) => break Ok(found),
            Err(halt) => break Err(halt),
        }
    };
    examiner.grant(calls, fuel);
    shrunk
}

fn smaller(
    examiner: &mut Examiner<'_>,
    law: Law,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Option<Broken>, Halt> {
    let size = weight(siblings);
    for candidate in candidates(siblings, law.siblings_min()) {
        if weight(&candidate) >= size {
            continue;
        }
        if let Finding::Broken { expected, got } = try_law(examiner, law, frame, &candidate)? {
            return Ok(Some(Broken {
                siblings: candidate,
                expected,
                got,
            }));
        }
    }
    Ok(None)
}

/// What a reader has to take in: siblings, bytes, and digits of times.
fn weight(siblings: &[Version]) -> u64 {
    let one = |sibling: &Version| {
        let metadata = sibling.metadata.iter();
        let metadata: usize = metadata.map(|(n, v)| 4 + n.len() + v.len()).sum();
        let bytes = sibling.bytes().map_or(0, Bytes::len) + sibling.content_type.len() + metadata;
        let digits = u64::from(u64::BITS - sibling.written_at_ms.leading_zeros());
        64 + bytes as u64 * 64 + digits
    };
    siblings.iter().map(one).sum()
}

fn candidates(siblings: &[Version], least: usize) -> impl Iterator<Item = Vec<Version>> {
    let count = siblings.len();
    let fewer = (0..count)
        .filter(move |_| count > least)
        .map(|place| without(siblings, place));
    let plain = std::iter::once_with(|| siblings.iter().map(plain).collect());
    let ranked = std::iter::once_with(|| ranked(siblings));
    let changed = (0..count).flat_map(move |place| {
        let variants = variants(&siblings[place]);
        variants.into_iter().map(move |variant| {
            let mut changed = siblings.to_vec();
            changed[place] = variant;
            changed
        })
    });
    fewer.chain(plain).chain(ranked).chain(changed)
}

fn without(siblings: &[Version], place: usize) -> Vec<Version> {
    let mut fewer = siblings.to_vec();
    fewer.remove(place);
    fewer
}

/// Only the value and the time.
fn plain(sibling: &Version) -> Version {
    Version::value(
        sibling.bytes().cloned().unwrap_or_default(),
        sibling.written_at_ms,
    )
}

/// Times in the same order, as small as they can be.
fn ranked(siblings: &[Version]) -> Vec<Version> {
    let mut times: Vec<u64> = siblings.iter().map(|s| s.written_at_ms).collect();
    times.sort_unstable();
    times.dedup();
    let rank = |at: u64| times.partition_point(|time| *time < at) as u64;
    let ranked = siblings.iter().map(|sibling| Version {
        written_at_ms: rank(sibling.written_at_ms),
        ..sibling.clone()
    });
    ranked.collect()
}

/// Smaller forms of one sibling, the boldest first.
fn variants(sibling: &Version) -> Vec<Version> {
    let bytes = sibling.bytes().cloned().unwrap_or_default();
    let half = bytes.len() / 2;
    let quarter = bytes.len() / 4;
    let mut values = vec![
        Bytes::new(),
        bytes.slice(..half),
        bytes.slice(half..),
        bytes.slice(quarter..),
    ];
    values.extend(smaller_json(&bytes));
    if bytes.len() <= 32 {
        values.extend((0..bytes.len()).map(|place| {
            let mut fewer = bytes.to_vec();
            fewer.remove(place);
            Bytes::from(fewer)
        }));
    }
    let of_value = |value: Bytes| Version {
        content: Content::Value(value),
        ..sibling.clone()
    };
    let mut variants: Vec<Version> = values.into_iter().map(of_value).collect();
    variants.push(plain(sibling));
    variants.push(Version {
        written_at_ms: 0,
        ..sibling.clone()
    });
    variants
}

/// The value without one of its fields or elements, if it is JSON.
fn smaller_json(bytes: &Bytes) -> Vec<Bytes> {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return Vec::new();
    };
    let smaller = drops(&value, 0);
    smaller
        .iter()
        .map(|value| value.to_string().into())
        .collect()
}

const JSON_DEPTH_MAX: usize = 4;

fn drops(value: &Value, depth: usize) -> Vec<Value> {
    if depth == JSON_DEPTH_MAX {
        return Vec::new();
    }
    match value {
        Value::Object(fields) => {
            let names = fields.iter();
            names
                .flat_map(|(name, inner)| {
                    let mut fewer = fields.clone();
                    fewer.remove(name);
                    let within = drops(inner, depth + 1).into_iter().map(|changed| {
                        let mut fields = fields.clone();
                        fields.insert(name.clone(), changed);
                        Value::Object(fields)
                    });
                    std::iter::once(Value::Object(fewer)).chain(within)
                })
                .collect()
        }
        Value::Array(elements) => {
            let fewer = |place: usize| {
                let mut fewer = elements.clone();
                fewer.remove(place);
                Value::Array(fewer)
            };
            (0..elements.len()).map(fewer).collect()
        }
        _ => Vec::new(),
    }
}
