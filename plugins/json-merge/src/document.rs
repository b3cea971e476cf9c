//! A JSON object whose fields merge each by its own rule.
//!
//! A product of lawful merges is lawful: the joined document has in each field the join of that field, and a field
//! that is missing is the least value of its rule. The write times of `lww` fields lie inside the document, since the
//! time of a sibling is one for all fields, and after a merge would claim for each what was true of one.
//!
//! Invariant: each field is held in the shape of its rule, so two documents of one schema always fit each other.

use std::borrow::Cow;

use mergeable::dots::COUNT_MAX;
use mergeable::grow_only_set::GrowOnlySet;
use mergeable::json::{Json, Members, join_members};
use mergeable::observed_remove_set::ObservedRemoveSet;
use mergeable::pn_counter::PnCounter;
use mergeable::siblings::{self, Unfit};

use crate::rule::{Rule, Schema};

/// The field that holds, by name, when the `lww` fields beside it were written. It is no field of the user's.
pub const STAMPS: &str = "$at";

/// Merges the values by the rules.
pub fn merge(schema: &Schema, values: &[&[u8]]) -> Result<Vec<u8>, Unfit> {
    let rule = siblings::Rule {
        kind: "a document of this schema",
        read: |json| Document::read(schema, json),
        join: Document::join,
        give: Document::into_json,
    };
    siblings::merge(values, rule)
}

/// In ascending order of the names.
#[derive(Debug)]
struct Document<'a>(Vec<(Cow<'a, str>, Field<'a>)>);

#[derive(Debug)]
enum Field<'a> {
    /// The write time first, so that it decides. Without a value the field was deleted then.
    LastWrite(u64, Option<Json<'a>>),
    Max(Json<'a>),
    Min(Json<'a>),
    Union(GrowOnlySet<'a>),
    Counter(PnCounter<'a>),
    ObservedRemoveSet(ObservedRemoveSet<'a>),
    Document(Document<'a>),
}

impl<'a> Document<'a> {
    fn read(schema: &Schema, json: Json<'a>) -> Result<Self, String> {
        let mut members = json.into_members()?;
        let mut stamps = take_stamps(&mut members)?;
        let mut fields = Vec::with_capacity(members.len());
        for (name, value) in members {
            let rule = schema.rule(&name);
            let field = match rule {
                Rule::LastWriteWins => {
                    Field::LastWrite(take_stamp(&mut stamps, &name), Some(value))
                }
                _ => Field::read(rule, value).map_err(|why| format!("field {name:?}: {why}"))?,
            };
            fields.push((name, field));
        }
        for (name, stamp) in stamps {
            if *schema.rule(&name) != Rule::LastWriteWins {
                return Err(format!(
                    "`{STAMPS}` has a time for {name:?}, whose rule knows no times"
                ));
            }
            // A field that was deleted, unless nothing was ever said of it.
            if stamp > 0 {
                fields.push((name, Field::LastWrite(stamp, None)));
            }
        }
        fields.sort_by(|(name, _), (other, _)| name.cmp(other));
        Ok(Document(fields))
    }

    fn join(self, other: Self) -> Self {
        Document(join_members(self.0, other.0, Field::join))
    }

    fn into_json(self) -> Json<'a> {
        let (mut members, mut stamps) = (Members::new(), Members::new());
        for (name, field) in self.0 {
            match field {
                Field::LastWrite(stamp, _) if stamp > 0 => {
                    stamps.push((name.clone(), Json::integer(stamp)));
                }
                _ => {}
            }
            members.extend(field.into_json().map(|value| (name, value)));
        }
        if !stamps.is_empty() {
            let place = members.partition_point(|(name, _)| name.as_ref() < STAMPS);
            members.insert(place, (STAMPS.into(), Json::Object(stamps)));
        }
        Json::Object(members)
    }
}

impl<'a> Field<'a> {
    fn read(rule: &Rule, value: Json<'a>) -> Result<Self, String> {
        Ok(match rule {
            Rule::LastWriteWins => Field::LastWrite(0, Some(value)),
            Rule::Max => Field::Max(comparable(value)?),
            Rule::Min => Field::Min(comparable(value)?),
            Rule::Union => Field::Union(GrowOnlySet::read(value)?),
            Rule::Counter => Field::Counter(PnCounter::read(value)?),
            Rule::ObservedRemoveSet => Field::ObservedRemoveSet(ObservedRemoveSet::read(value)?),
            Rule::Document(schema) => Field::Document(Document::read(schema, value)?),
        })
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Field::LastWrite(at, value), Field::LastWrite(other_at, other)) => {
                let (at, value) = (at, value).max((other_at, other));
                Field::LastWrite(at, value)
            }
            (Field::Max(one), Field::Max(other)) => Field::Max(one.max(other)),
            (Field::Min(one), Field::Min(other)) => Field::Min(one.min(other)),
            (Field::Union(one), Field::Union(other)) => Field::Union(one.join(other)),
            (Field::Counter(one), Field::Counter(other)) => Field::Counter(one.join(other)),
            (Field::ObservedRemoveSet(one), Field::ObservedRemoveSet(other)) => {
                Field::ObservedRemoveSet(one.join(other))
            }
            (Field::Document(one), Field::Document(other)) => Field::Document(one.join(other)),
            (one, other) => unreachable!("one schema gave {one:?} and {other:?} to one field"),
        }
    }

    /// Nothing for a field that was deleted.
    fn into_json(self) -> Option<Json<'a>> {
        match self {
            Field::LastWrite(_, value) => value,
            Field::Max(value) | Field::Min(value) => Some(value),
            Field::Union(set) => Some(set.into_json()),
            Field::Counter(counter) => Some(counter.into_json()),
            Field::ObservedRemoveSet(set) => Some(set.into_json()),
            Field::Document(document) => Some(document.into_json()),
        }
    }
}

fn comparable(value: Json) -> Result<Json, String> {
    match value {
        Json::Number(_) | Json::String(_) => Ok(value),
        other => Err(format!("{}, expected a number or a string", other.kind())),
    }
}

type Stamps<'a> = Vec<(Cow<'a, str>, u64)>;

fn take_stamps<'a>(members: &mut Members<'a>) -> Result<Stamps<'a>, String> {
    let Ok(place) = members.binary_search_by(|(name, _)| name.as_ref().cmp(STAMPS)) else {
        return Ok(Vec::new());
    };
    let (_, stamps) = members.remove(place);
    let stamps = stamps
        .into_members()
        .map_err(|why| format!("`{STAMPS}` is {why}"))?;
    let read = |(name, stamp): (Cow<'a, str>, Json)| match stamp.as_integer(COUNT_MAX) {
        Some(stamp) => Ok((name, stamp)),
        None => Err(format!(
            "`{STAMPS}` of {name:?} needs an integer from 0 to 2^53-1, the write time in milliseconds"
        )),
    };
    stamps.into_iter().map(read).collect()
}

/// Zero if there is none: any stamped write wins over it.
fn take_stamp(stamps: &mut Stamps, name: &str) -> u64 {
    match stamps.binary_search_by(|(stamped, _)| stamped.as_ref().cmp(name)) {
        Ok(place) => stamps.remove(place).1,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests;
