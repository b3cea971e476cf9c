//! Names of single writes: which of each actor's counts are meant.
//!
//! The dots of dotted version vectors (Preguica, Baquero, Almeida, Fonte, Goncalves, 2010), as a set that may have
//! holes. A plain version vector would claim that whoever saw the third write of an actor has seen the second.
//! Hands out no dots: the client does.
//!
//! Invariant: runs are ascending and do not touch, and no actor has an empty list, so equal sets are equal bytes.

use std::borrow::Cow;

use crate::json::{Json, join_members};

/// Beyond 2^53 many JSON readers round.
pub const COUNT_MAX: u64 = 9_007_199_254_740_991;

/// First and last count of a run.
type Run = (u64, u64);

/// In JSON `{"actor": [1, [3, 7]]}`: of this actor the counts 1 and 3 to 7.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dots<'a>(Vec<(Cow<'a, str>, Vec<Run>)>);

impl<'a> Dots<'a> {
    /// Takes counts and runs in any order, also overlapping ones: a client may just append its count.
    pub fn read(json: Json<'a>) -> Result<Self, String> {
        let mut dots = Vec::new();
        for (actor, counts) in json.into_members()? {
            let counts = counts
                .into_elements()
                .map_err(|why| format!("of actor {actor:?} {why}"))?;
            let runs: Option<Vec<Run>> = counts.iter().map(read_run).collect();
            let runs = runs.ok_or_else(|| {
                format!(
                    "actor {actor:?} has something other than counts and runs such as 3 or [3,7]"
                )
            })?;
            if !runs.is_empty() {
                dots.push((actor, tidy(runs)));
            }
        }
        Ok(Dots(dots))
    }

    /// A single count as a number, more of them as `[first, last]`.
    pub fn into_json(self) -> Json<'a> {
        let run = |(first, last): Run| match last - first {
            0 => Json::integer(first),
            _ => Json::Array(vec![Json::integer(first), Json::integer(last)]),
        };
        let actor = |(actor, runs): (_, Vec<Run>)| {
            (actor, Json::Array(runs.into_iter().map(run).collect()))
        };
        Json::Object(self.0.into_iter().map(actor).collect())
    }

    /// No dot at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in one or in both.
    pub fn union(self, other: Self) -> Self {
        let both = |mut one: Vec<Run>, other: Vec<Run>| {
            if one == other {
                return one;
            }
            one.extend(other);
            tidy(one)
        };
        Dots(join_members(self.0, other.0, both))
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.of_each_actor(other, |mine, theirs| {
            let mut common = Vec::new();
            for (first, last) in mine {
                let overlaps = theirs
                    .iter()
                    .map(|run| ((*first).max(run.0), (*last).min(run.1)));
                common.extend(overlaps.filter(|(first, last)| first <= last));
            }
            common
        })
    }

    /// What is in this and not in the other.
    pub fn without(&self, other: &Self) -> Self {
        self.of_each_actor(other, |mine, theirs| {
            let mut left = Vec::new();
            for (first, last) in mine {
                let mut next = *first;
                for run in theirs
                    .iter()
                    .filter(|run| run.0 <= *last && *first <= run.1)
                {
                    if next < run.0 {
                        left.push((next, run.0 - 1));
                    }
                    next = run.1 + 1;
                }
                if next <= *last {
                    left.push((next, *last));
                }
            }
            left
        })
    }

    fn of_each_actor(&self, other: &Self, runs: impl Fn(&[Run], &[Run]) -> Vec<Run>) -> Self {
        let of_other = |actor: &str| match other
            .0
            .binary_search_by(|(name, _)| name.as_ref().cmp(actor))
        {
            Ok(at) => other.0[at].1.as_slice(),
            Err(_) => &[],
        };
        let each =
            |(actor, mine): &(Cow<'a, str>, Vec<Run>)| (actor.clone(), runs(mine, of_other(actor)));
        Dots(
            self.0
                .iter()
                .map(each)
                .filter(|(_, runs)| !runs.is_empty())
                .collect(),
        )
    }
}

fn read_run(json: &Json) -> Option<Run> {
    let count = |json: &Json| json.as_integer(COUNT_MAX).filter(|count| *count > 0);
    match json {
        Json::Array(ends) => match ends.as_slice() {
            [first, last] => {
                Some((count(first)?, count(last)?)).filter(|(first, last)| first <= last)
            }
            _ => None,
        },
        single => count(single).map(|count| (count, count)),
    }
}

/// Ascending, and runs that touch or overlap made one.
fn tidy(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable();
    let mut tidy: Vec<Run> = Vec::with_capacity(runs.len());
    for (first, last) in runs {
        match tidy.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => tidy.push((first, last)),
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn read(text: &str) -> Dots<'_> {
        Dots::read(Json::parse(text.as_bytes()).unwrap()).unwrap()
    }

    fn text(dots: &Dots) -> String {
        String::from_utf8(dots.clone().into_json().to_bytes()).unwrap()
    }

    /// The same set as plain pairs, the slow and obvious way.
    fn pairs(dots: &Dots) -> BTreeSet<(String, u64)> {
        let of = |(actor, runs): &(Cow<str>, Vec<Run>)| {
            let counts = runs.iter().flat_map(|(first, last)| *first..=*last);
            counts
                .map(|count| (actor.to_string(), count))
                .collect::<Vec<_>>()
        };
        dots.0.iter().flat_map(of).collect()
    }

    fn any_dots() -> impl Strategy<Value = Dots<'static>> {
        let run = (1u64..12, 0u64..4).prop_map(|(first, more)| (first, first + more));
        let runs = proptest::collection::vec(run, 1..5).prop_map(tidy);
        let actors = proptest::collection::btree_map("[ab]", runs, 0..3);
        actors.prop_map(|actors| {
            Dots(
                actors
                    .into_iter()
                    .map(|(a, runs)| (a.into(), runs))
                    .collect(),
            )
        })
    }

    #[test]
    fn counts_are_joined_to_runs_whatever_their_order() {
        assert_eq!(
            text(&read(r#"{"a":[5,1,[2,3],3],"b":[]}"#)),
            r#"{"a":[[1,3],5]}"#
        );
    }

    #[test]
    fn what_is_no_count_is_refused() {
        for faulty in [
            "[]",
            r#"{"a":1}"#,
            r#"{"a":[0]}"#,
            r#"{"a":[[3,2]]}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":[1.5]}"#,
            r#"{"a":["1"]}"#,
            r#"{"a":[9007199254740992]}"#,
        ] {
            assert!(
                Dots::read(Json::parse(faulty.as_bytes()).unwrap()).is_err(),
                "{faulty}"
            );
        }
    }

    proptest! {
        #[test]
        fn sets_of_runs_behave_as_sets_of_pairs(one in any_dots(), other in any_dots()) {
            let (a, b) = (pairs(&one), pairs(&other));
            prop_assert_eq!(pairs(&one.intersection(&other)), a.intersection(&b).cloned().collect());
            prop_assert_eq!(pairs(&one.without(&other)), a.difference(&b).cloned().collect());
            let union = one.clone().union(other.clone());
            prop_assert_eq!(pairs(&union), a.union(&b).cloned().collect());
            for dots in [one.intersection(&other), one.without(&other), union] {
                let written = text(&dots);
                prop_assert_eq!(read(&written), dots);
            }
        }
    }
}
