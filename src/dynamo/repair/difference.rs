//! Two lists of keys and fingerprints, and what has to move between them (Dynamo 4.7).
//!
//! Invariant: a key that both sides hold alike is not named.

use super::super::names::Key;
use super::super::replica::layout::order;
use std::collections::BTreeMap;

/// Which way records move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Both sides end with all that either has.
    Both,
    /// The peer ends with all that this node has.
    Give,
    /// This node ends with all that the peer has.
    Take,
}

/// What has to happen to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The peer is sent this node's copy.
    Give,
    /// This node asks for the peer's copy.
    Take,
    /// This node asks for the peer's copy, and sends back what that lacks.
    Both,
}

/// The keys in which two lists differ, and what each of them needs.
pub fn differences(mine: &[(Key, u128)], theirs: &[(Key, u128)], mode: Mode) -> Vec<(Key, Need)> {
    let mut sides: BTreeMap<&Key, (u128, u128)> = BTreeMap::new();
    for (key, fingerprint) in mine {
        sides.entry(key).or_default().0 = *fingerprint;
    }
    for (key, fingerprint) in theirs {
        sides.entry(key).or_default().1 = *fingerprint;
    }
    let needs = sides
        .into_iter()
        .filter(|(_, (mine, theirs))| mine != theirs);
    let needs = needs.filter_map(|(key, (mine, theirs))| {
        let need = match (mode, mine, theirs) {
            (Mode::Give, 0, _) | (Mode::Take, _, 0) => return None,
            (Mode::Give, ..) | (Mode::Both, _, 0) => Need::Give,
            (Mode::Take, ..) | (Mode::Both, 0, _) => Need::Take,
            (Mode::Both, ..) => Need::Both,
        };
        Some((key.clone(), need))
    });
    needs.collect()
}

/// The part of a list up to a key; all of it if there is none.
pub fn up_to(mut list: Vec<(Key, u128)>, covered: Option<&Key>) -> Vec<(Key, u128)> {
    if let Some(covered) = covered {
        list.retain(|(key, _)| order(key) <= order(covered));
    }
    list
}
