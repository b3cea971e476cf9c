//! Turns a list of siblings into one value, or says which of them cannot be merged and why.
//!
//! Knows no type of its own. Never skips a sibling that it does not understand: dropping it would lose data.
//!
//! Invariant: the answer depends on the set of values, not on their order or grouping, if `join` is lawful.

use std::fmt;

use crate::json::Json;

/// The reason is shown to clients and the server bounds it, so a huge stray value is quoted only in part.
const REASON_BYTES_MAX: usize = 240;

/// How a type is read from JSON, joined, and given back.
pub struct Rule<Read, Join, Give> {
    /// With its article, for the reason, e.g. `a cart`.
    pub kind: &'static str,
    pub read: Read,
    pub join: Join,
    pub give: Give,
}

/// A sibling that is not of the bucket's type. All siblings stay as they are.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Place in the list, counted from one because people read it.
    place: usize,
    siblings: usize,
    kind: &'static str,
    why: String,
}

/// Merges the values into canonical JSON.
///
/// Siblings that are the same byte for byte are answered with those bytes, even when they are not canonical:
/// otherwise merging a value with itself would rewrite it.
pub fn merge<'a, T>(
    values: &[&'a [u8]],
    rule: Rule<impl Fn(Json<'a>) -> Result<T, String>, impl Fn(T, T) -> T, impl Fn(T) -> Json<'a>>,
) -> Result<Vec<u8>, Unfit> {
    let mut read = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let parsed = Json::parse(value).map_err(|fault| fault.to_string());
        let value = parsed.and_then(&rule.read).map_err(|why| Unfit {
            place: index + 1,
            siblings: values.len(),
            kind: rule.kind,
            why: shorten(why),
        })?;
        read.push(value);
    }
    if values.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(values
            .first()
            .map(|value| value.to_vec())
            .unwrap_or_default());
    }
    Ok(join_all(read, &rule.join)
        .map(rule.give)
        .unwrap_or(Json::Null)
        .to_bytes())
}

/// Neighbours first, then neighbours of the results: each value is copied only as often as the list can be halved.
fn join_all<T>(mut values: Vec<T>, join: &impl Fn(T, T) -> T) -> Option<T> {
    while values.len() > 1 {
        let mut joined = Vec::with_capacity(values.len().div_ceil(2));
        let mut rest = values.into_iter();
        while let Some(one) = rest.next() {
            joined.push(match rest.next() {
                Some(other) => join(one, other),
                None => one,
            });
        }
        values = joined;
    }
    values.pop()
}

fn shorten(mut why: String) -> String {
    if why.len() > REASON_BYTES_MAX {
        let mut ends = (0..=REASON_BYTES_MAX).rev();
        let end = ends.find(|&at| why.is_char_boundary(at));
        why.truncate(end.unwrap_or(0));
        why.push_str("...");
    }
    why
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Unfit {
            place,
            siblings,
            kind,
            why,
        } = self;
        write!(f, "sibling {place} of {siblings} is not {kind}: {why}")
    }
}
