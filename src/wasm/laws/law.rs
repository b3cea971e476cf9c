//! The laws, and what breaking one costs.
//!
//! Names and consequences only; `check` tries them.
//!
//! Invariant: every law but determinism caps the grade; without determinism there is none.

use crate::dynamo::metadata::grade::Grade;

/// What is asked of a resolver. `f` is the plugin, seen through the node: siblings in, one version out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// The same question twice, in fresh instances: the same bytes and the same fuel.
    Deterministic,
    /// An answer that can be used: no trap, no end of fuel, no place that does not exist.
    Total,
    /// `f` of the siblings in this order is `f` of them in canonical order.
    Commutative,
    /// With `y = f(x, x)`: `f(y, y) = y`.
    Idempotent,
    /// With `m = f(A, B)`: `f(m, A) = m`. What was taken in already adds nothing.
    Absorbing,
    /// `f(f(A, B), C) = f(A, B, C)`, and so for every group.
    Associative,
    /// The validator that accepts what goes in accepts what comes out.
    Acceptable,
    /// Three replicas that merge on put in any order end with `f` of all that was put.
    Convergent,
    /// A validator judges the same value the same way twice, and without a failure.
    Judging,
}

/// All of them.
pub const LAWS: [Law; 9] = [
    Law::Total,
    Law::Deterministic,
    Law::Commutative,
    Law::Idempotent,
    Law::Absorbing,
    Law::Associative,
    Law::Acceptable,
    Law::Convergent,
    Law::Judging,
];

impl Law {
    /// The highest grade of a resolver that breaks it; none: it is refused.
    pub fn cap(self) -> Option<Grade> {
        match self {
            Self::Deterministic => None,
            Self::Total | Self::Commutative => Some(Grade::Deterministic),
            Self::Idempotent | Self::Absorbing | Self::Associative => Some(Grade::Commutative),
            Self::Acceptable | Self::Convergent => Some(Grade::Commutative),
            Self::Judging => Some(Grade::Lawful),
        }
    }

    /// Its name in files and for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deterministic => "deterministic",
            Self::Total => "total",
            Self::Commutative => "commutative",
            Self::Idempotent => "idempotent",
            Self::Absorbing => "absorbing",
            Self::Associative => "associative",
            Self::Acceptable => "acceptable",
            Self::Convergent => "convergent",
            Self::Judging => "judging",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        LAWS.into_iter().find(|law| law.name() == name)
    }

    /// What went wrong, for people; the case and both answers follow.
    pub fn broken(self) -> &'static str {
        match self {
            Self::Deterministic => "it answers the same question differently",
            Self::Total => "it fails where it has to answer",
            Self::Commutative => "its answer depends on the order of the siblings",
            Self::Idempotent => "merging a merged value with itself changes it",
            Self::Absorbing => "merging a result again with a sibling that is in it changes it",
            Self::Associative => "merging in groups gives other bytes than merging all at once",
            Self::Acceptable => "the validator refuses what it makes of accepted siblings",
            Self::Convergent => "replicas that merge in another order end with other bytes",
            Self::Judging => "its validator fails, or judges the same value differently",
        }
    }

    /// How its author mends it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Deterministic => "use nothing but the arguments",
            Self::Total => "answer keep-siblings where there is no rule",
            Self::Commutative => {
                "break ties by the content of the siblings, not by their place, and sort what you write"
            }
            Self::Idempotent => {
                "do not add up or append what is there already; take a union or a maximum"
            }
            Self::Absorbing => "do not count a value twice; take a union or a maximum",
            Self::Associative => {
                "let the answer depend on the contents only, not on how many siblings there are or when they were merged"
            }
            Self::Acceptable => "keep what is merged within the validator's rules",
            Self::Convergent => "make it associative and idempotent for these values",
            Self::Judging => "judge by the arguments only, and refuse instead of trapping",
        }
    }

    /// Siblings below which there is nothing to try.
    pub fn siblings_min(self) -> usize {
        match self {
            Self::Idempotent | Self::Judging => 1,
            Self::Associative => 3,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_law_is_found_by_its_name() {
        for law in LAWS {
            assert_eq!(Law::parse(law.name()), Some(law));
        }
        assert_eq!(Law::parse("murphy"), None);
    }
}
