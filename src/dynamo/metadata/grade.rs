//! How far a resolver was found to keep the laws of merging, and what that allows.
//!
//! The check itself runs guests and lives in `wasm::laws`; here is its outcome, as rows of the catalog carry it. A
//! plugin that is not even deterministic has no grade: it is refused.
//!
//! Invariant: only a resolver of the highest grade may decide what is stored (law 6).

use super::super::codec::{DecodeError, Reader, Writer};

/// What was found of a resolver, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// 0: the same question gets the same answer.
    Deterministic,
    /// 1: it answers every question, and the order of the siblings does not matter.
    Commutative,
    /// 2: merging in groups, and merging again, give the bytes of merging once.
    Lawful,
}

/// What a resolver may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A get shows what it makes of the siblings; nothing is stored.
    View,
    /// A put stores what it makes of the siblings.
    MergeOnPut,
    /// Siblings are merged although nobody writes.
    MergeInBackground,
}

impl Grade {
    /// Whether a resolver of this grade may be used so.
    pub fn allows(self, action: Action) -> bool {
        match action {
            Action::View => true,
            Action::MergeOnPut | Action::MergeInBackground => self == Self::Lawful,
        }
    }

    pub fn number(self) -> u8 {
        match self {
            Self::Deterministic => 0,
            Self::Commutative => 1,
            Self::Lawful => 2,
        }
    }

    pub fn from_number(number: u8) -> Option<Self> {
        let all = [Self::Deterministic, Self::Commutative, Self::Lawful];
        all.into_iter().find(|grade| grade.number() == number)
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deterministic => "deterministic",
            Self::Commutative => "commutative",
            Self::Lawful => "lawful",
        }
    }
}

/// The outcome of the law check of one resolver, at its upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graded {
    pub grade: Grade,
    /// Lists of siblings that it was tried on.
    pub cases: u64,
    /// Units of fuel of the call in the middle, and of the dearest.
    pub fuel_median: u64,
    pub fuel_most: u64,
    /// Why the grade is not higher, with the smallest counterexample; empty for the highest.
    pub finding: String,
}

/// Of a finding, so much is kept in the catalog; the whole of it is in the evidence.
pub const FINDING_BYTES_MAX: usize = 1024;

impl Graded {
    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.byte(self.grade.number());
        writer.number(self.cases);
        writer.number(self.fuel_median);
        writer.number(self.fuel_most);
        let end = self.finding.floor_char_boundary(FINDING_BYTES_MAX);
        writer.bytes(&self.finding.as_bytes()[..end]);
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let grade = Grade::from_number(reader.byte()?);
        Ok(Self {
            grade: grade.ok_or(DecodeError::Malformed("a plugin's grade"))?,
            cases: reader.number()?,
            fuel_median: reader.number()?,
            fuel_most: reader.number()?,
            finding: reader.text("a finding", FINDING_BYTES_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_highest_grade_may_store_what_it_merges() {
        let table = [
            (Grade::Deterministic, [true, false, false]),
            (Grade::Commutative, [true, false, false]),
            (Grade::Lawful, [true, true, true]),
        ];
        let actions = [Action::View, Action::MergeOnPut, Action::MergeInBackground];
        for (grade, allowed) in table {
            assert_eq!(
                actions.map(|action| grade.allows(action)),
                allowed,
                "{grade:?}"
            );
            assert_eq!(Grade::from_number(grade.number()), Some(grade));
        }
        assert_eq!(Grade::from_number(3), None);
    }
}
