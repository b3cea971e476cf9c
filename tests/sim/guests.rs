//! User code as the simulator plays it: lawful, lawless, lying, trapping and absent plugins.
//!
//! A guest is named by its digest, like a real one; its answer comes back after a delay, or never.
//!
//! Invariant: only `Union` and its next version claim to be lawful; the oracle holds them to that.

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::bucket::Binding;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::names::Digest;
use rejoin::dynamo::reconcile::answer::{Answer, GuestFailure, Judgement, Resolution};
use rejoin::dynamo::reconcile::question::{Ask, Question};
use rejoin::limits::GUEST_WALL_MS_MAX;
use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Guest {
    /// Lawful: the union of comma-separated words.
    Union,
    /// Neither commutative nor associative, and it drops what it likes.
    Lawless,
    Trapping,
    Slow,
    Missing,
    PicksNobody,
    PicksFirst,
    Deletes,
    KeepsSiblings,
    Bloats,
    /// Validators.
    Accepts,
    RefusesSome,
    FailsToJudge,
    AcceptsSlowly,
    /// The next version of `Union`: the same, by another digest.
    NextUnion,
}

pub const RESOLVERS: [Guest; 10] = [
    Guest::Union,
    Guest::Lawless,
    Guest::Trapping,
    Guest::Slow,
    Guest::Missing,
    Guest::PicksNobody,
    Guest::PicksFirst,
    Guest::Deletes,
    Guest::KeepsSiblings,
    Guest::Bloats,
];

pub const VALIDATORS: [Guest; 4] = [
    Guest::Accepts,
    Guest::RefusesSome,
    Guest::FailsToJudge,
    Guest::AcceptsSlowly,
];

impl Guest {
    pub fn binding(self) -> Binding {
        let mut binding = Binding::new(Digest([self as u8; 32]));
        binding.limits.wall_ms = match self {
            Guest::Slow => GUEST_WALL_MS_MAX,
            _ => binding.limits.wall_ms,
        };
        binding
    }

    fn of(digest: Digest) -> Self {
        let known = RESOLVERS.iter().chain(&VALIDATORS);
        let known = known.chain(&[Self::NextUnion]);
        let found = known.copied().find(|guest| *guest as u8 == digest.0[0]);
        found.expect("only our digests are bound")
    }
}

/// What comes back, and after how many milliseconds; nothing if the worker is lost.
pub fn answer(
    question: &Question,
    timeout_ms: u64,
    dice: &mut ChaCha8Rng,
) -> Option<(u64, Answer)> {
    let digest = question.binding.digest;
    let guest = Guest::of(digest);
    let delay_ms = match guest {
        Guest::Slow | Guest::AcceptsSlowly => dice.random_range(0..3_000),
        _ => dice.random_range(0..40),
    };
    if guest == Guest::Slow && dice.random_bool(0.1) {
        return None;
    }
    if delay_ms > timeout_ms {
        let limit_ms = timeout_ms;
        let late = GuestFailure::OutOfTime { digest, limit_ms };
        return Some((timeout_ms, Answer::Failed(late)));
    }
    let answer = match &question.ask {
        Ask::Resolve(siblings) => resolve(guest, digest, siblings),
        Ask::Validate(version) => judge(guest, digest, version),
    };
    Some((delay_ms, answer))
}

fn resolve(guest: Guest, digest: Digest, siblings: &[Version]) -> Answer {
    let resolution = match guest {
        Guest::Union | Guest::NextUnion | Guest::Slow => Resolution::Merged(union(siblings)),
        Guest::Lawless => Resolution::Merged(lawless(siblings)),
        Guest::Trapping => return Answer::Failed(trap(digest)),
        Guest::Missing => return Answer::Failed(GuestFailure::Missing { digest }),
        Guest::PicksNobody => Resolution::Pick(siblings.len() as u32),
        Guest::PicksFirst => Resolution::Pick(0),
        Guest::Deletes => Resolution::Deleted,
        Guest::KeepsSiblings => Resolution::KeepSiblings("I cannot choose".to_owned()),
        Guest::Bloats => Resolution::Merged(Bytes::from(vec![b'x'; 70_000])),
        _ => return Answer::Failed(wrong_role(digest, "resolver")),
    };
    let fuel = 1;
    Answer::Resolved { resolution, fuel }
}

fn judge(guest: Guest, digest: Digest, version: &Version) -> Answer {
    let refuses = |version: &Version| {
        let words = version.bytes().map(words).unwrap_or_default();
        words.iter().any(|word| word.ends_with('3'))
    };
    let judgement = match guest {
        Guest::Accepts | Guest::AcceptsSlowly => Judgement::Accepted,
        Guest::RefusesSome if refuses(version) => Judgement::Refused {
            code: "three".to_owned(),
            message: "no threes".to_owned(),
        },
        Guest::RefusesSome => Judgement::Accepted,
        Guest::FailsToJudge => return Answer::Failed(trap(digest)),
        _ => return Answer::Failed(wrong_role(digest, "validator")),
    };
    let fuel = 1;
    Answer::Judged { judgement, fuel }
}

fn trap(digest: Digest) -> GuestFailure {
    GuestFailure::Trap {
        digest,
        message: "unreachable".to_owned(),
    }
}

fn wrong_role(digest: Digest, role: &'static str) -> GuestFailure {
    GuestFailure::WrongRole { digest, role }
}

/// The words of a value.
pub fn words(bytes: &Bytes) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// The words of all these versions, in order, comma-separated.
pub fn union<'a>(siblings: impl IntoIterator<Item = &'a Version>) -> Bytes {
    let values = siblings.into_iter().filter_map(Version::bytes);
    let all: BTreeSet<String> = values.flat_map(words).collect();
    Bytes::from(all.into_iter().collect::<Vec<_>>().join(","))
}

fn lawless(siblings: &[Version]) -> Bytes {
    let mut bytes = b"lawless-".to_vec();
    for sibling in siblings {
        let value = sibling.bytes().map_or(&[][..], |bytes| bytes);
        bytes.extend(value.iter().rev().take(3));
    }
    bytes.into()
}
