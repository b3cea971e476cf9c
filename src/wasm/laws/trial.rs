//! Tries one law on one list of siblings.
//!
//! Each law is a statement about a list, so that the same words serve checking, shrinking and replaying. What is merged
//! goes back in as the node would hand it: among the others, in canonical order; a delete is not handed over.
//!
//! Invariant: a law is broken only if every node would see the same two outcomes.

use super::convergence;
use super::examiner::{Examiner, Frame, Halt};
use super::law::Law;
use super::outcome::{Finding, Outcome};
use crate::dynamo::causality::version::Version;
use crate::dynamo::reconcile::question::canonical;

/// Tries a law. Short lists leave it unchecked.
pub(super) fn try_law(
    examiner: &mut Examiner<'_>,
    law: Law,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    if siblings.len() < law.siblings_min() {
        return Ok(Finding::Unchecked);
    }
    match law {
        Law::Deterministic => deterministic(examiner, frame, siblings),
        Law::Total => total(examiner, frame, siblings),
        Law::Commutative => commutative(examiner, frame, siblings),
        Law::Idempotent => idempotent(examiner, frame, siblings),
        Law::Absorbing => absorbing(examiner, frame, siblings),
        Law::Associative => associative(examiner, frame, siblings),
        Law::Acceptable => acceptable(examiner, frame, siblings),
        Law::Convergent => convergent(examiner, frame, siblings),
        Law::Judging => judging(examiner, frame, siblings),
    }
}

fn deterministic(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    let expected = examiner.resolve_anew(frame, siblings)?;
    let got = examiner.resolve_anew(frame, siblings)?;
    Ok(match expected == got {
        true => Finding::Holds,
        false => Finding::Broken { expected, got },
    })
}

/// Keeping siblings is an answer.
fn total(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    Ok(match examiner.resolve_as_given(frame, siblings)? {
        got @ Outcome::Failed(_) => Finding::Broken {
            expected: Outcome::Kept,
            got,
        },
        _ => Finding::Holds,
    })
}

/// Keeping siblings in every order is fine; the reason may name places.
fn commutative(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    let expected = examiner.resolve_as_given(frame, &canonical(siblings.to_vec()))?;
    let got = examiner.resolve_as_given(frame, siblings)?;
    Ok(match expected == got {
        true => Finding::Holds,
        false => Finding::Broken { expected, got },
    })
}

fn idempotent(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    let twice = vec![siblings[0].clone(); 2];
    let merged = examiner.merge(frame, twice)?;
    again(examiner, frame, merged, None)
}

fn absorbing(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    let merged = examiner.merge(frame, siblings.to_vec())?;
    again(examiner, frame, merged, Some(&siblings[0]))
}

/// What was merged, with something that is in it: a sibling, or itself.
fn again(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    merged: Outcome,
    with: Option<&Version>,
) -> Result<Finding, Halt> {
    let Outcome::One(version) = &merged else {
        return Ok(Finding::Unchecked);
    };
    if version.is_tombstone() {
        // The sibling that it took in would come back: a delete is not handed to resolvers. `Associative` says so.
        return Ok(Finding::Unchecked);
    }
    let both = vec![version.clone(), with.unwrap_or(version).clone()];
    let got = examiner.merge(frame, both)?;
    Ok(Finding::of(merged, got))
}

/// The first two in a group; other groups are other orders of the list.
fn associative(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    let expected = examiner.merge(frame, siblings.to_vec())?;
    let Outcome::One(pair) = examiner.merge(frame, siblings[..2].to_vec())? else {
        return Ok(Finding::Unchecked);
    };
    let mut rest = siblings[2..].to_vec();
    rest.push(pair);
    let got = examiner.merge(frame, rest)?;
    Ok(Finding::of(expected, got))
}

fn acceptable(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    let Some(validator) = examiner.charge.validator.clone() else {
        return Ok(Finding::Unchecked);
    };
    for sibling in siblings {
        match examiner.judge(frame, validator.clone(), sibling)? {
            Outcome::Priced(outcome, _) if *outcome == Outcome::Accepted => {}
            _ => return Ok(Finding::Unchecked),
        }
    }
    let Outcome::One(merged) = examiner.merge(frame, siblings.to_vec())? else {
        return Ok(Finding::Unchecked);
    };
    if merged.is_tombstone() {
        return Ok(Finding::Holds); // Deletes are not judged.
    }
    let expected = Outcome::Accepted;
    Ok(match examiner.judge(frame, validator, &merged)? {
        Outcome::Priced(outcome, _) if *outcome == expected => Finding::Holds,
        Outcome::Priced(got, _) => Finding::Broken {
            expected,
            got: *got,
        },
        got => Finding::Broken { expected, got },
    })
}

fn convergent(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    let expected = examiner.merge(frame, siblings.to_vec())?;
    if !matches!(expected, Outcome::One(_)) {
        return Ok(Finding::Unchecked);
    }
    convergence::histories(examiner, frame, siblings, &expected)
}

fn judging(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
) -> Result<Finding, Halt> {
    let validator = examiner.binding(frame);
    for sibling in siblings {
        let expected = examiner.judge(frame, validator.clone(), sibling)?;
        let got = match &expected {
            Outcome::Failed(_) => expected.clone(),
            _ => examiner.judge(frame, validator.clone(), sibling)?,
        };
        if expected != got {
            return Ok(Finding::Broken { expected, got });
        }
        if matches!(got, Outcome::Failed(_)) {
            let expected = Outcome::Refused("a code and a message".to_owned());
            return Ok(Finding::Broken { expected, got });
        }
    }
    Ok(Finding::Holds)
}
