//! A set from which elements can be taken out, and where an addition beats a removal that did not see it.
//!
//! The optimised OR-set of Bieniusa, Zawirski, Preguica, Shapiro, Baquero, Balegas, Duarte: "An optimized
//! conflict-free replicated set" (2012), with the seen dots as a set that may have holes. Hands out no dots.
//!
//! Why it is lawful: for each pair of element and dot a value says *never seen*, *there* or *taken out*, and the
//! merge takes the later of the two, so it is a maximum, pair by pair.
//!
//! Invariant: every dot of an element is a seen one, and no element is without dots.

use std::borrow::Cow;

use crate::dots::Dots;
use crate::json::{Json, Members};
use crate::siblings::{Rule, Unfit};

/// In JSON `{"items": {"milk": {"anna-1": [2]}}, "seen": {"anna-1": [[1, 2]]}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRemoveSet<'a> {
    items: Vec<(Cow<'a, str>, Dots<'a>)>,
    seen: Dots<'a>,
}

/// What is there in one value and was not taken out in another.
pub fn merge(values: &[&[u8]]) -> Result<Vec<u8>, Unfit> {
    let rule = Rule {
        kind: "an observed-remove set",
        read: ObservedRemoveSet::read,
        join: ObservedRemoveSet::join,
        give: ObservedRemoveSet::into_json,
    };
    crate::siblings::merge(values, rule)
}

impl<'a> ObservedRemoveSet<'a> {
    /// Both fields are needed: without what was seen, a removal could not be told from ignorance.
    pub fn read(json: Json<'a>) -> Result<Self, String> {
        let (mut items, mut seen) = (None, None);
        for (name, value) in json.into_members()? {
            let within = |why: String| format!("`{name}` is {why}");
            match name.as_ref() {
                "items" => items = Some(value.into_members().map_err(within)?),
                "seen" => seen = Some(Dots::read(value).map_err(within)?),
                // Ignoring it would lose its data in the merge.
                _ => return Err(format!("unknown field {name:?}; known are items and seen")),
            }
        }
        let items = items.ok_or("the field `items` is missing")?;
        let seen = seen.ok_or("the field `seen` is missing")?;
        let items = read_items(items, &seen)?;
        Ok(ObservedRemoveSet { items, seen })
    }

    /// Of each element the dots that both have, and those that the other has never seen.
    pub fn join(self, other: Self) -> Self {
        let none = Dots::default();
        let mut items = Vec::with_capacity(self.items.len().max(other.items.len()));
        let mut keep = |name, one: &Dots<'a>, two: &Dots<'a>| {
            let common = one.intersection(two);
            let left = common
                .union(one.without(&other.seen))
                .union(two.without(&self.seen));
            if !left.is_empty() {
                items.push((name, left));
            }
        };
        let mut others = other.items.into_iter().peekable();
        for (name, dots) in self.items {
            while let Some((smaller, dots)) = others.next_if(|(other, _)| *other < name) {
                keep(smaller, &none, &dots);
            }
            match others.next_if(|(other, _)| *other == name) {
                Some((_, theirs)) => keep(name, &dots, &theirs),
                None => keep(name, &dots, &none),
            }
        }
        for (name, dots) in others {
            keep(name, &none, &dots);
        }
        let seen = self.seen.union(other.seen);
        ObservedRemoveSet { items, seen }
    }

    /// With both fields, also when they are empty.
    pub fn into_json(self) -> Json<'a> {
        let item = |(name, dots): (_, Dots<'a>)| (name, dots.into_json());
        let items = Json::Object(self.items.into_iter().map(item).collect());
        Json::Object(vec![
            ("items".into(), items),
            ("seen".into(), self.seen.into_json()),
        ])
    }
}

fn read_items<'a>(
    items: Members<'a>,
    seen: &Dots<'a>,
) -> Result<Vec<(Cow<'a, str>, Dots<'a>)>, String> {
    let mut read = Vec::with_capacity(items.len());
    for (name, dots) in items {
        let dots = Dots::read(dots).map_err(|why| format!("item {name:?} is {why}"))?;
        if !dots.without(seen).is_empty() {
            return Err(format!(
                "item {name:?} has a dot that is not in `seen`; add it to both"
            ));
        }
        // Written by a client that took out the dots and left the name.
        if !dots.is_empty() {
            read.push((name, dots));
        }
    }
    Ok(read)
}
