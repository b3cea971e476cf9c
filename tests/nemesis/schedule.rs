//! Which faults strike when: a pure function of a seed.
//!
//! Carries nothing out: `faults` does. A schedule is a row of windows; in each, one to three faults strike together
//! and are healed together, and the cluster settles before the next. All kinds are dealt once before any comes again.
//!
//! Invariant: at most one fault of a window takes copies from a disk (`wipe`, `restore`, `flip`, `replace`), and it takes
//! them from one node. A store with W = 2 promises to survive the loss of one disk, not of two before the first is
//! refilled; so the run settles, with a whole round of anti-entropy, between any two windows.
//!
//! Invariant: a folder is restored within the horizon of tombstones. No delete that is younger than the copy can have been
//! reaped by then, so no delete may come back by a restore, and one that does is an honest finding. What is restored
//! later may resurrect, and is documented so.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Members at rest; the spare comes after them.
pub const NODES: usize = 5;
/// The one node whose disk is small enough to be filled.
pub const SMALL_DISK: usize = 4;
/// Longest time from the copying of a folder to its restoration.
pub const WINDOW_MAX: Duration = Duration::from_secs(12);
const WINDOW_MIN: Duration = Duration::from_secs(3);
/// Of a window with a long pause: longer than hints wait, connections are kept alive and nodes are trusted.
const LONG_PAUSE: Duration = Duration::from_secs(30);
const REST_MS: std::ops::Range<u64> = 500..2_500;

/// What can be done to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Kill,
    KillTwo,
    KillAll,
    Pause,
    LongPause,
    Clock,
    Cut,
    OneWay,
    Slow,
    Lossy,
    Wipe,
    Restore,
    Flip,
    Replace,
    Full,
    ReadOnly,
    Join,
    Plugin,
    Flood,
}

/// Faults of one class exclude each other in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Process,
    Network,
    Loss,
    Space,
    Change,
    Load,
}

impl Kind {
    pub const ALL: [Self; 19] = [
        Self::Kill,
        Self::KillTwo,
        Self::KillAll,
        Self::Pause,
        Self::LongPause,
        Self::Clock,
        Self::Cut,
        Self::OneWay,
        Self::Slow,
        Self::Lossy,
        Self::Wipe,
        Self::Restore,
        Self::Flip,
        Self::Replace,
        Self::Full,
        Self::ReadOnly,
        Self::Join,
        Self::Plugin,
        Self::Flood,
    ];

    /// As it is written in `REJOIN_NEMESIS_FAULTS` and in histories.
    pub fn name(self) -> String {
        let name = serde_json::to_value(self).expect("a unit variant");
        name.as_str().expect("a text").to_owned()
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn class(self) -> Class {
        match self {
            Self::Kill
            | Self::KillTwo
            | Self::KillAll
            | Self::Pause
            | Self::LongPause
            | Self::Clock => Class::Process,
            Self::Cut | Self::OneWay | Self::Slow | Self::Lossy => Class::Network,
            Self::Wipe | Self::Restore | Self::Flip | Self::Replace => Class::Loss,
            Self::Full | Self::ReadOnly => Class::Space,
            Self::Join | Self::Plugin => Class::Change,
            Self::Flood => Class::Load,
        }
    }

    /// Whether a node loses what it had on its disk.
    pub fn takes_copies(self) -> bool {
        self.class() == Class::Loss
    }

    fn excludes(self, other: Self) -> bool {
        let both = |a, b| (self == a && other == b) || (self == b && other == a);
        self.class() == other.class()
            || both(Self::Replace, Self::Join) // There is one spare.
            || both(Self::LongPause, Self::Restore) // It would come after the horizon of tombstones.
            || (self == Self::KillAll || other == Self::KillAll)
                && (self.has_victims() && other.has_victims())
    }

    /// Whether it strikes nodes, and not links or the whole.
    fn has_victims(self) -> bool {
        ![Class::Network, Class::Change].contains(&self.class())
    }
}

/// One fault of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// Places of nodes; of a `cut`, one of its sides.
    pub victims: Vec<usize>,
    /// For what is left to choose: a delay, a direction, a sign.
    pub dice: u64,
}

impl Fault {
    /// Whether clients of the victims cannot expect an answer: the node is out of order, or so alone that it reaches no
    /// second copy.
    pub fn silences_victims(kind: Kind, victims: &[usize]) -> bool {
        match kind.class() {
            Class::Change => false,
            Class::Network => match kind {
                Kind::Cut => victims.len() == 1,
                _ => kind == Kind::OneWay,
            },
            _ => true,
        }
    }
}

/// Faults that strike together and are healed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Since the last window was healed and the cluster had settled.
    pub rest: Duration,
    pub lasts: Duration,
    pub faults: Vec<Fault>,
}

/// So many windows of these kinds. The same seed gives the same windows, whatever their number.
pub fn drawn(seed: u64, windows: usize, kinds: &[Kind]) -> Vec<Window> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut deck = Vec::new();
    (0..windows)
        .map(|_| window(&mut dice, &mut deck, kinds))
        .collect()
}

fn window(dice: &mut StdRng, deck: &mut Vec<Kind>, kinds: &[Kind]) -> Window {
    if deck.is_empty() {
        deck.extend_from_slice(kinds);
        deck.shuffle(dice);
    }
    let mut chosen: Vec<Kind> = deck.pop().into_iter().collect();
    for _ in 0..2 {
        // Half of the windows have company, some two of them.
        let Some(other) = kinds.choose(dice).filter(|_| dice.random_bool(0.35)) else {
            continue;
        };
        if !chosen.iter().any(|kind| kind.excludes(*other)) {
            chosen.push(*other);
        }
    }
    let mut free: Vec<usize> = (0..NODES).collect();
    free.shuffle(dice);
    // Whoever can have only one victim comes first.
    chosen.sort_by_key(|kind| kind.class() != Class::Space);
    let faults = chosen.iter().map(|kind| fault(*kind, &mut free, dice));
    let faults = faults.collect();
    let lasts = dice.random_range(WINDOW_MIN.as_millis() as u64..WINDOW_MAX.as_millis() as u64);
    let lasts = match chosen.contains(&Kind::LongPause) {
        true => LONG_PAUSE,
        false => Duration::from_millis(lasts),
    };
    Window {
        rest: Duration::from_millis(dice.random_range(REST_MS)),
        lasts,
        faults,
    }
}

fn fault(kind: Kind, free: &mut Vec<usize>, dice: &mut StdRng) -> Fault {
    let mut take = |count: usize| free.split_off(free.len() - count);
    let mut victims = match kind {
        Kind::Join | Kind::Plugin => Vec::new(),
        Kind::KillAll => (0..NODES).collect(),
        Kind::KillTwo => take(2),
        Kind::Cut => {
            let mut all: Vec<usize> = (0..NODES).collect();
            all.shuffle(dice);
            all.truncate(dice.random_range(1..=2));
            all
        }
        Kind::Slow | Kind::OneWay | Kind::Lossy => vec![dice.random_range(0..NODES)],
        Kind::Full | Kind::ReadOnly => {
            free.retain(|place| *place != SMALL_DISK);
            vec![SMALL_DISK]
        }
        _ => take(1),
    };
    victims.sort_unstable();
    Fault {
        kind,
        victims,
        dice: dice.random(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin::limits::TOMBSTONE_HORIZON_MS_MIN;
    use std::collections::BTreeSet;

    fn schedules() -> impl Iterator<Item = Vec<Window>> {
        (0..200).map(|seed| drawn(seed, 40, &Kind::ALL))
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_a_longer_run_only_goes_on() {
        for seed in 0..20 {
            let long = drawn(seed, 40, &Kind::ALL);
            assert_eq!(drawn(seed, 40, &Kind::ALL), long);
            assert_eq!(drawn(seed, 7, &Kind::ALL), long[..7]);
        }
        assert_ne!(drawn(1, 7, &Kind::ALL), drawn(2, 7, &Kind::ALL));
    }

    #[test]
    fn no_two_disks_lose_their_copies_in_one_window() {
        for window in schedules().flatten() {
            let losses = window.faults.iter().filter(|f| f.kind.takes_copies());
            let losses: Vec<_> = losses.collect();
            assert!(losses.len() <= 1, "{window:?}");
            assert!(losses.iter().all(|f| f.victims.len() == 1), "{window:?}");
        }
    }

    #[test]
    fn no_node_is_struck_twice_in_one_window() {
        for window in schedules().flatten() {
            let struck = window.faults.iter().filter(|f| f.kind.has_victims());
            let struck: Vec<usize> = struck.flat_map(|f| f.victims.clone()).collect();
            let distinct: BTreeSet<&usize> = struck.iter().collect();
            assert_eq!(distinct.len(), struck.len(), "{window:?}");
        }
    }

    #[test]
    fn every_kind_comes_in_its_turn_alone_and_with_others() {
        let (mut alone, mut combined) = (BTreeSet::new(), BTreeSet::new());
        for schedule in schedules() {
            let first: BTreeSet<Kind> = schedule[..Kind::ALL.len()]
                .iter()
                .flat_map(|window| window.faults.iter().map(|fault| fault.kind))
                .collect();
            assert_eq!(first.len(), Kind::ALL.len());
            for window in schedule {
                let seen = match window.faults.len() {
                    1 => &mut alone,
                    _ => &mut combined,
                };
                seen.extend(window.faults.iter().map(|fault| fault.kind));
            }
        }
        let all = Kind::ALL.len();
        assert_eq!((alone.len(), combined.len()), (all, all));
    }

    #[test]
    fn only_the_chosen_kinds_come() {
        for window in drawn(3, 60, &[Kind::Kill, Kind::Slow]) {
            let mut kinds = window.faults.iter().map(|fault| fault.kind);
            assert!(kinds.all(|kind| [Kind::Kill, Kind::Slow].contains(&kind)));
        }
    }

    #[test]
    fn a_folder_is_restored_before_any_delete_since_its_copy_can_be_reaped() {
        let horizon = Duration::from_millis(TOMBSTONE_HORIZON_MS_MIN);
        assert!(WINDOW_MAX < horizon);
        for window in schedules().flatten() {
            let has = |kind| window.faults.iter().any(|fault| fault.kind == kind);
            assert!(window.lasts >= WINDOW_MIN);
            assert!(window.lasts <= WINDOW_MAX || !has(Kind::Restore));
            assert_eq!(window.lasts == LONG_PAUSE, has(Kind::LongPause));
        }
    }

    #[test]
    fn a_kind_has_one_name_for_people() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(&kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("earthquake"), None);
    }
}
