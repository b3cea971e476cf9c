//! A counter that goes up and down: for each actor what it added and what it took away, in all.
//!
//! Shapiro, Preguica, Baquero, Zawirski (2011), section 3.1.3 (PN-Counter). Adds nothing itself, and cannot tell two
//! increments apart that an actor writes as the same totals: an actor's totals must grow with each write.
//!
//! Invariant: no total ever shrinks, so a merge counts each increment of each actor once.

use std::borrow::Cow;

use crate::dots::COUNT_MAX;
use crate::json::{Json, join_members};
use crate::siblings::{Rule, Unfit};

/// Added and taken away.
type Totals = (u64, u64);

/// In JSON `{"anna-1": [5, 2], "bert-1": [1, 0]}`, which counts 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PnCounter<'a>(Vec<(Cow<'a, str>, Totals)>);

/// Of each actor the larger totals.
pub fn merge(values: &[&[u8]]) -> Result<Vec<u8>, Unfit> {
    let rule = Rule {
        kind: "a counter",
        read: PnCounter::read,
        join: PnCounter::join,
        give: PnCounter::into_json,
    };
    crate::siblings::merge(values, rule)
}

impl<'a> PnCounter<'a> {
    /// Takes an object from actor to its two totals.
    pub fn read(json: Json<'a>) -> Result<Self, String> {
        let mut actors = Vec::new();
        for (actor, totals) in json.into_members()? {
            let read = read_totals(&totals);
            let totals = read.ok_or_else(|| {
                format!("actor {actor:?} needs two integers from 0 to 2^53-1, added and taken away, such as [5,2]")
            })?;
            actors.push((actor, totals));
        }
        Ok(PnCounter(actors))
    }

    /// An actor counts for itself, so its larger total is its later one.
    pub fn join(self, other: Self) -> Self {
        let larger = |one: Totals, other: Totals| (one.0.max(other.0), one.1.max(other.1));
        PnCounter(join_members(self.0, other.0, larger))
    }

    /// What it counts: all that was added without all that was taken away.
    pub fn count(&self) -> i128 {
        let count = |(_, totals): &(_, Totals)| i128::from(totals.0) - i128::from(totals.1);
        self.0.iter().map(count).sum()
    }

    /// Each actor, also one whose totals are zero: it has written.
    pub fn into_json(self) -> Json<'a> {
        let totals =
            |totals: Totals| Json::Array(vec![Json::integer(totals.0), Json::integer(totals.1)]);
        let actor = |(actor, of): (_, Totals)| (actor, totals(of));
        Json::Object(self.0.into_iter().map(actor).collect())
    }
}

fn read_totals(json: &Json) -> Option<Totals> {
    match json {
        Json::Array(totals) => match totals.as_slice() {
            [added, taken] => Some((added.as_integer(COUNT_MAX)?, taken.as_integer(COUNT_MAX)?)),
            _ => None,
        },
        _ => None,
    }
}
