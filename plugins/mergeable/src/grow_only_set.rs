//! A set that only grows: the merge is the union.
//!
//! Shapiro, Preguica, Baquero, Zawirski: "A comprehensive study of convergent and commutative replicated data
//! types" (2011), section 3.3.1 (G-Set). Forgets nothing, so an element that was taken out comes back.
//!
//! Invariant: elements are in strictly ascending order, so equal sets are written as equal bytes.

use crate::json::Json;
use crate::siblings::{Rule, Unfit};

/// A JSON array in which neither order nor repetition means anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrowOnlySet<'a>(Vec<Json<'a>>);

/// The union of the values, as a sorted array.
pub fn merge(values: &[&[u8]]) -> Result<Vec<u8>, Unfit> {
    let rule = Rule {
        kind: "a set",
        read: GrowOnlySet::read,
        join: GrowOnlySet::join,
        give: GrowOnlySet::into_json,
    };
    crate::siblings::merge(values, rule)
}

impl<'a> GrowOnlySet<'a> {
    /// Takes an array in any order and with repetitions.
    pub fn read(json: Json<'a>) -> Result<Self, String> {
        let mut elements = json.into_elements()?;
        if !elements.is_sorted_by(|one, next| one < next) {
            elements.sort();
            elements.dedup();
        }
        Ok(GrowOnlySet(elements))
    }

    /// The union.
    pub fn join(self, other: Self) -> Self {
        let mut joined = Vec::with_capacity(self.0.len().max(other.0.len()));
        let mut others = other.0.into_iter().peekable();
        for element in self.0 {
            while let Some(smaller) = others.next_if(|other| *other < element) {
                joined.push(smaller);
            }
            let _is_in_both = others.next_if(|other| *other == element);
            joined.push(element);
        }
        joined.extend(others);
        GrowOnlySet(joined)
    }

    /// The elements in ascending order.
    pub fn into_json(self) -> Json<'a> {
        Json::Array(self.0)
    }
}
