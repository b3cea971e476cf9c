//! Automerge documents, and how several become one.
//!
//! An Automerge document is a set of changes, each named by the SHA-256 of its bytes and holding the names of those it
//! follows. The merge is the union of the sets, so it is lawful by nature; what it takes is to write equal sets as
//! equal bytes. The library writes the changes in the order in which a replica happened to receive them, so the union is
//! built anew in an order that only the changes decide. Knows nothing of plugins, and makes no change of its own.
//!
//! Invariant: the bytes depend on the set of changes alone, and every change of every sibling is in it.

use automerge::{Automerge, Change, ReadDoc};
use std::fmt;

/// The reason is shown to clients, and the library's errors may quote what they found.
const REASON_CHARS_MAX: usize = 200;

/// A value that is no whole Automerge document. The siblings stay as they are.
#[derive(Debug)]
pub struct NotADocument {
    /// Place in the list, counted from one because people read it.
    place: usize,
    siblings: usize,
    why: String,
}

/// Merges the documents. A value may be what `save` wrote, with any number of incremental saves behind it.
///
/// Siblings that are the same byte for byte are answered with those bytes, in whatever order their changes lie.
pub fn merge(values: &[&[u8]]) -> Result<Vec<u8>, NotADocument> {
    let mut changes = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let of_sibling = changes_of(value).map_err(|why| NotADocument {
            place: index + 1,
            siblings: values.len(),
            why,
        })?;
        changes.extend(of_sibling);
    }
    match values {
        [first, rest @ ..] if rest.iter().all(|value| value == first) => Ok(first.to_vec()),
        _ => save(changes).map_err(|why| NotADocument {
            place: values.len(),
            siblings: values.len(),
            why,
        }),
    }
}

/// All changes of a document, which must be there with all that they follow.
fn changes_of(value: &[u8]) -> Result<Vec<Change>, String> {
    if value.is_empty() {
        return Err("it is empty; save a new document to start with".into());
    }
    let document = Automerge::load(value).map_err(|error| error.to_string())?;
    match document.get_missing_deps(&[]).len() {
        0 => Ok(document.get_changes(&[])),
        missing => Err(format!(
            "{missing} changes are missing that others follow; put the whole document"
        )),
    }
}

/// A change numbers its operations from above all that it follows, so this order has each behind its causes; an empty
/// one may come too early, and waits inside the library. Where two are concurrent, the hash of the bytes decides.
fn save(mut changes: Vec<Change>) -> Result<Vec<u8>, String> {
    changes.sort_by_cached_key(|change| (change.start_op(), change.hash()));
    changes.dedup_by_key(|change| change.hash());
    let mut document = Automerge::new();
    document
        .apply_changes(changes)
        .map_err(|error| error.to_string())?;
    let saved = document.save();
    // This release writes some documents with empty changes so that it cannot read them again.
    match Automerge::load(&saved) {
        Ok(_) => Ok(saved),
        Err(error) => Err(format!(
            "merged, the library could not read it back: {error}"
        )),
    }
}

impl fmt::Display for NotADocument {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let why: String = self.why.chars().take(REASON_CHARS_MAX).collect();
        write!(
            f,
            "sibling {} of {} is not an Automerge document: {why}",
            self.place, self.siblings
        )
    }
}

#[cfg(test)]
mod tests;
