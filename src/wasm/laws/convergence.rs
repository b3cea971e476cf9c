//! Three replicas in one process: puts that merge, and copies that meet in any order (Dynamo 4.4, 4.7).
//!
//! The objects are the node's own dotted version vector sets; only the network is left out. Nothing fails here: what
//! faults do to replicas is the simulator's affair, what an order of merges does to values is the plugin's.
//!
//! Invariant: the histories depend on the siblings only, so a counterexample replays.

use super::bounds::HISTORIES;
use super::dice::Dice;
use super::examiner::{Examiner, Frame, Halt};
use super::outcome::{Finding, Outcome};
use crate::dynamo::causality::dot::{Actor, ActorSource, Incarnation};
use crate::dynamo::causality::object::Object;
use crate::dynamo::causality::version::Version;

const REPLICAS: usize = 3;

/// One copy, and the name under which it writes.
struct Replica {
    object: Object,
    actor: Actor,
}

/// Puts every sibling at some replica, lets the replicas meet in between and at the end, and compares what each shows.
pub(super) fn histories(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
    expected: &Outcome,
) -> Result<Finding, Halt> {
    for seed in 0..HISTORIES {
        let got = history(examiner, frame, siblings, seed)?;
        let finding = Finding::of(expected.clone(), got);
        if finding != Finding::Holds {
            return Ok(finding);
        }
    }
    Ok(Finding::Holds)
}

fn history(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    siblings: &[Version],
    seed: u64,
) -> Result<Outcome, Halt> {
    let mut dice = Dice::new(seed);
    let mut replicas: Vec<Replica> = (0..REPLICAS).map(replica).collect();
    let mut order: Vec<&Version> = siblings.iter().collect();
    dice.shuffle(&mut order);
    for version in order {
        let place = dice.below(REPLICAS);
        if !put(examiner, frame, &mut replicas[place], version.clone())? {
            return Ok(Outcome::Kept);
        }
        let (from, to) = (dice.below(REPLICAS), dice.below(REPLICAS));
        let object = replicas[from].object.clone();
        replicas[to].object.sync(object);
    }
    let mut all = Object::default();
    for replica in replicas {
        all.sync(replica.object);
    }
    examiner.merge(frame, all.values().cloned().collect())
}

fn replica(place: usize) -> Replica {
    let actor = ActorSource::new(Incarnation(place as u64)).fresh();
    let object = Object::default();
    Replica { object, actor }
}

/// A merge on put; whether the plugin merged.
fn put(
    examiner: &mut Examiner<'_>,
    frame: &Frame,
    replica: &mut Replica,
    version: Version,
) -> Result<bool, Halt> {
    let mut siblings: Vec<Version> = replica.object.values().cloned().collect();
    siblings.push(version);
    let Outcome::One(merged) = examiner.merge(frame, siblings)? else {
        return Ok(false);
    };
    let covered = replica.object.context();
    replica.object.discard(&covered);
    replica.object.event(replica.actor, merged);
    Ok(true)
}
