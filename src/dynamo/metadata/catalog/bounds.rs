//! How much a catalog takes: by an edit, and by merging with another one.
//!
//! Bounds hold for edits. Two sides that could not talk may each have filled theirs, and neither may be lost.
//!
//! Invariant: whatever an edit or a merge makes of a catalog can be read again.

use super::super::row::{Fact, Row, Subject};
use super::{Catalog, EditError, ROWS_READ_MAX};
use crate::limits::operations::UNKNOWN_ROWS_MAX;
use crate::limits::{
    BUCKETS_MAX, CATALOG_BYTES_MAX, CATALOG_MERGED_TIMES, NODES_KNOWN_MAX, PLUGINS_MAX,
};

/// Why the rows of another node were not taken over. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "together with what is known here they would be {rows} rows of {bytes} bytes, more than this node could read again ({ROWS_READ_MAX} rows of {BYTES_READ_MAX} bytes); remove buckets with large params on one side"
)]
pub struct MergeError {
    rows: usize,
    bytes: usize,
}

const BYTES_READ_MAX: usize = CATALOG_MERGED_TIMES * CATALOG_BYTES_MAX;

impl Catalog {
    /// An edit that adds nothing is taken where two sides that were merged exceed the bounds: otherwise nobody could
    /// remove anything, and no change of the members would ever end.
    pub(super) fn check(&self, before: &Catalog, is_large: bool) -> Result<(), EditError> {
        let is_over = |limit: usize, of_kind: fn(&Subject) -> bool| {
            let count = |catalog: &Catalog| catalog.rows.keys().filter(|s| of_kind(s)).count();
            let found = count(self);
            found > limit && found > count(before)
        };
        if is_over(BUCKETS_MAX, |subject| matches!(subject, Subject::Bucket(_))) {
            return Err(EditError::Buckets);
        }
        if is_over(PLUGINS_MAX, |subject| matches!(subject, Subject::Plugin(_))) {
            return Err(EditError::Plugins);
        }
        if is_over(NODES_KNOWN_MAX, |subject| {
            matches!(subject, Subject::Node(_))
        }) {
            return Err(EditError::Nodes);
        }
        if !is_large {
            return Ok(());
        }
        match self.encode().len() {
            found if found > CATALOG_BYTES_MAX && found > before.encode().len() => {
                Err(EditError::Bytes { found })
            }
            _ => Ok(()),
        }
    }

    /// Takes over the rows of another node that win. Says whether anything changed.
    pub fn merge(&mut self, other: Catalog) -> Result<bool, MergeError> {
        let wins = |(subject, row): &(Subject, Row)| {
            let mine = self.rows.get(subject);
            mine.is_none_or(|mine| row.wins_over(mine))
        };
        let winners: Vec<(Subject, Row)> = other.rows.into_iter().filter(wins).collect();
        let mut merged = self.clone();
        let mut is_changed = false;
        for (subject, row) in winners {
            // Of what a later release says only so much is kept.
            let is_too_many = matches!(row.fact, Fact::Unknown(_))
                && !merged.rows.contains_key(&subject)
                && merged.unknown_rows() >= UNKNOWN_ROWS_MAX;
            if !is_too_many {
                merged.rows.insert(subject, row);
                is_changed = true;
            }
        }
        if !is_changed {
            return Ok(false);
        }
        let (rows, bytes) = (merged.rows.len(), merged.encode().len());
        if rows > ROWS_READ_MAX || bytes > BYTES_READ_MAX {
            return Err(MergeError { rows, bytes });
        }
        *self = merged;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::bucket::Properties;
    use super::super::super::super::names::{BucketName, NodeId};
    use super::super::super::row::Edit;
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    /// A side that has as many buckets as it may, all of its own.
    fn full(of: &str) -> Catalog {
        let mut catalog = Catalog::default();
        for number in 0..BUCKETS_MAX {
            let name = BucketName::new(&format!("{of}-{number}")).expect("a good name");
            let (edit, fact) = (
                Edit {
                    count: 1,
                    by: node(of),
                },
                Fact::Bucket(Properties::default()),
            );
            catalog
                .rows
                .insert(Subject::Bucket(name), Row::new(edit, fact));
        }
        catalog
    }

    fn named(name: &str) -> Subject {
        Subject::Bucket(BucketName::new(name).expect("a good name"))
    }

    #[test]
    fn two_full_sides_merge_to_what_is_read_again_and_can_still_be_edited() {
        let (mut both, right) = (full("a"), full("b"));
        let added = both.edit(
            named("one-more"),
            Fact::Bucket(Properties::default()),
            node("a"),
        );
        assert_eq!(added, Err(EditError::Buckets));
        assert_eq!(both.merge(right), Ok(true));
        assert_eq!(Catalog::decode(both.encode()).as_ref(), Ok(&both));
        let added = both.edit(
            named("one-more"),
            Fact::Bucket(Properties::default()),
            node("a"),
        );
        assert_eq!(added, Err(EditError::Buckets));
        let removed = Fact::Removed { generation: 0 };
        assert_eq!(both.edit(named("b-7"), removed, node("a")), Ok(()));
        assert_eq!(
            both.edit(Subject::Policy, Fact::Policy(both.policy()), node("a")),
            Ok(())
        );
    }

    #[test]
    fn what_could_not_be_read_again_is_not_merged() {
        let mut most = full("a");
        assert_eq!(most.merge(full("b")), Ok(true));
        while most.rows.len() < ROWS_READ_MAX {
            let name = format!("c-{}", most.rows.len());
            let row = most.rows[&named("a-1")].clone();
            most.rows.insert(named(&name), row);
        }
        assert!(Catalog::decode(most.encode()).is_ok());
        let before = most.hash();
        assert!(most.merge(full("d")).is_err());
        assert_eq!(most.hash(), before);
    }
}
