//! Undoing a bad resolver's merge of one key: back to what went in, and through the resolver of now (Dynamo 4.4).
//!
//! Decides what is put back. The put that stores it is a put like any other: one new dot that covers the bad one.
//!
//! Invariant: what is put back covers exactly what stands here, and holds all of it or what it was merged of, so
//! nothing is lost that the bad resolver had not lost (law 1); where its inputs are not retained, a version stays.

use super::super::bucket::activation::Blame;
use super::super::causality::dot::Dot;
use super::super::causality::object::Object;
use super::super::causality::version::Version;
use super::super::names::Key;
use super::super::replica::record::Replaced;
use super::merge::Merge;
use super::request::PutError;
use std::collections::BTreeSet;

/// A key in which bad merges are to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmergeRequest {
    pub key: Key,
    pub blame: Blame,
    pub effort: Effort,
}

/// How far an unmerge goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Says what would be done.
    Look,
    /// Puts back only what is retained here down to the last input: another replica may have more.
    Whole,
    /// Puts back what is retained, and keeps bad versions whose inputs are not among what goes in.
    Best,
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmerged {
    /// Nothing that stands here was merged so.
    Unchanged,
    /// This node has nothing of the key.
    Absent,
    /// Its inputs stand under a new dot; some of them may be bad merges themselves, whose inputs are not retained.
    Rewritten { dot: Dot, is_whole: bool },
    /// `Look`: that is what would be done.
    WouldRewrite { is_whole: bool },
    /// Something bad stands here, and what went into it is not retained, or not all of it.
    NotRetained,
    /// This node does not keep the key.
    Elsewhere,
    /// Clients come first; ask again after so many milliseconds.
    Later { ms: u64 },
}

/// Why bad merges of a key were not undone; it is as it was, but for `PutError::Unknown`.
pub type UnmergeError = PutError;

/// What there is to put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    Unchanged,
    Absent,
    NotRetained,
    Rewrite { merge: Box<Merge>, is_whole: bool },
}

/// Walks from what stands back to what went in, through bad merges of bad merges.
struct Walk<'a> {
    retained: &'a [Replaced],
    blame: &'a Blame,
    seen: BTreeSet<Dot>,
    inputs: Vec<(Version, Option<Dot>)>,
    undone: usize,
    missing: usize,
}

impl Plan {
    /// For an object and what is retained beside it, at this wall-clock time.
    pub fn of(object: &Object, retained: &[Replaced], blame: &Blame, wall_ms: u64) -> Self {
        if object.is_empty() {
            return Self::Absent;
        }
        let mut walk = Walk {
            retained,
            blame,
            seen: BTreeSet::new(),
            inputs: Vec::new(),
            undone: 0,
            missing: 0,
        };
        for (dot, version) in object.versions() {
            walk.visit(Some(dot), version);
        }
        match (walk.undone, walk.missing) {
            (0, 0) => Self::Unchanged,
            (0, _) => Self::NotRetained,
            (_, missing) => Self::Rewrite {
                merge: Box::new(Merge::again(walk.inputs, object.context(), wall_ms)),
                is_whole: missing == 0,
            },
        }
    }
}

impl Walk<'_> {
    /// A version that two merges took in goes in once; one without a dot is in one merge only.
    fn visit(&mut self, dot: Option<Dot>, version: &Version) {
        if dot.is_some_and(|dot| !self.seen.insert(dot)) {
            return;
        }
        let merge = dot.and_then(|dot| self.retained.iter().find(|merge| merge.dot == dot));
        let noted = merge.and_then(|merge| merge.provenance.as_ref());
        let epoch = noted.map(|noted| noted.epoch);
        let is_bad = self.blame.covers(version.merged_by, epoch);
        match merge {
            Some(merge) if is_bad => {
                self.undone += 1;
                for (dot, input) in merge.named_inputs() {
                    self.visit(dot, input);
                }
            }
            _ => {
                self.missing += usize::from(is_bad);
                self.inputs.push((version.clone(), dot));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::causality::dot::{Actor, Incarnation};
    use super::super::super::names::{Digest, NodeId};
    use super::super::super::replica::record::Provenance;
    use super::*;

    const BAD: Digest = Digest([2; 32]);

    fn actor(name: u64) -> Actor {
        Actor {
            incarnation: Incarnation(name),
            epoch: 0,
        }
    }

    fn blame() -> Blame {
        Blame {
            digests: BTreeSet::from([BAD]),
            epochs: BTreeSet::from([5]),
        }
    }

    fn bad(text: &str) -> Version {
        Version {
            merged_by: Some(BAD),
            ..Version::value(text.to_owned(), 1)
        }
    }

    fn merge(dot: Dot, epoch: u64, inputs: Vec<(Option<Dot>, Version)>) -> Replaced {
        let (dots, inputs): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
        Replaced {
            dot,
            merged_by: Some(BAD),
            merged_at_ms: 1,
            provenance: Some(Provenance {
                shown: inputs.len(),
                dots,
                epoch,
                fuel: 1,
                node: NodeId::new("a").expect("a good name"),
                result: 0,
            }),
            inputs,
        }
    }

    fn inputs(plan: Plan) -> (Vec<String>, bool) {
        let Plan::Rewrite { merge, is_whole } = plan else {
            panic!("{plan:?}");
        };
        let binding = super::super::super::bucket::Binding::new(BAD);
        let key = Key::new(
            super::super::super::names::BucketName::new("b").expect("a good name"),
            "k".into(),
        );
        let question = merge.question(key.expect("a good key"), binding);
        let super::super::super::reconcile::question::Ask::Resolve(shown) = question.ask else {
            panic!("it resolves");
        };
        let text = |v: &Version| String::from_utf8_lossy(v.bytes().expect("a value")).into_owned();
        (shown.iter().map(text).collect(), is_whole)
    }

    #[test]
    fn a_merge_of_a_merge_is_undone_down_to_what_clients_wrote() {
        let (mut object, writer) = (Object::default(), actor(1));
        let milk = object.event(writer, Version::value("milk", 1));
        let first = object.event(writer, bad("bad"));
        object.discard(&object.context());
        let second = object.event(writer, bad("worse"));
        let retained = [
            merge(
                second,
                5,
                vec![(Some(first), bad("bad")), (None, Version::value("eggs", 1))],
            ),
            merge(
                first,
                5,
                vec![
                    (Some(milk), Version::value("milk", 1)),
                    (None, Version::value("jam", 1)),
                ],
            ),
        ];
        let whole = inputs(Plan::of(&object, &retained, &blame(), 1));
        assert_eq!(
            whole,
            (vec!["eggs".into(), "jam".into(), "milk".into()], true)
        );
        let part = inputs(Plan::of(&object, &retained[..1], &blame(), 1));
        assert_eq!(part, (vec!["bad".into(), "eggs".into()], false));
        assert_eq!(Plan::of(&object, &[], &blame(), 1), Plan::NotRetained);
    }

    #[test]
    fn what_two_merges_took_in_goes_in_once_and_equal_values_of_two_writes_twice() {
        let mut object = Object::default();
        let shared = Dot {
            actor: actor(9),
            counter: 1,
        };
        let left = object.event(actor(1), bad("left"));
        let right = object.event(actor(2), bad("right"));
        let one = || Version::value("one", 1);
        let retained = [
            merge(
                left,
                5,
                vec![(Some(shared), Version::value("shared", 1)), (None, one())],
            ),
            merge(
                right,
                5,
                vec![(Some(shared), Version::value("shared", 1)), (None, one())],
            ),
        ];
        let back = inputs(Plan::of(&object, &retained, &blame(), 1));
        assert_eq!(back.0, ["one", "one", "shared"]);
    }

    #[test]
    fn merges_of_another_epoch_and_what_clients_wrote_stay() {
        let mut object = Object::default();
        let dot = object.event(actor(1), bad("by other params"));
        let retained = [merge(dot, 4, vec![(None, Version::value("milk", 1))])];
        assert_eq!(Plan::of(&object, &retained, &blame(), 1), Plan::Unchanged);
        let mut written = Object::default();
        written.event(actor(1), Version::value("milk", 1));
        assert_eq!(Plan::of(&written, &[], &blame(), 1), Plan::Unchanged);
        assert_eq!(Plan::of(&Object::default(), &[], &blame(), 1), Plan::Absent);
    }
}
