//! How much a catalog takes: by an edit, and by merging with another one.
//!
//! Bounds hold for edits. Two sides that could not talk may each have filled theirs, and neither may be lost.
//!
//! Invariant: whatever an edit or a merge makes of a catalog can be read again.

use super::super::row::{Row, Subject};
use super::{Catalog, EditError, ROWS_READ_MAX};
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
        if winners.is_empty() {
            return Ok(false);
        }
        let mut merged = self.clone();
        merged.rows.extend(winners);
        let (rows, bytes) = (merged.rows.len(), merged.encode().len());
        if rows > ROWS_READ_MAX || bytes > BYTES_READ_MAX {
            return Err(MergeError { rows, bytes });
        }
        *self = merged;
        Ok(true)
    }
}
