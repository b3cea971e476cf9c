//! The plugin `automerge-document`: what the contract asks for, answered with [`document`].
//!
//! For buckets whose values are documents of the Automerge library, which clients edit and save on their own. Reads no
//! field of a document.
//!
//! Invariant: the answer depends on the bytes of the siblings alone, never on their order, their metadata or their
//! write times, and nothing in it is random.

// Native linkers refuse the names that the contract exports, so off Wasm only the tests exist.
#![cfg(any(test, target_family = "wasm"))]

mod document;
#[cfg(test)]
mod samples;

use contract::{Merge, Plugin, Sample};

struct AutomergeDocument;

impl Merge for AutomergeDocument {
    const NAME: &'static str = "automerge-document";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONTENT_TYPE: &'static str = "application/octet-stream";

    fn samples() -> Vec<Sample> {
        let of_documents = |documents: &&[&[u8]]| {
            let mut values: Vec<Vec<u8>> =
                documents.iter().map(|document| document.to_vec()).collect();
            values.sort();
            Sample {
                params: String::new(),
                values,
            }
        };
        SAMPLES.iter().map(of_documents).collect()
    }

    fn check_params(params: &[u8]) -> Result<(), String> {
        contract::without_params(Self::NAME, params)
    }

    fn merge(values: &[&[u8]], _params: &[u8]) -> Result<Vec<u8>, String> {
        document::merge(values).map_err(|unfit| unfit.to_string())
    }
}

type Exported = Plugin<AutomergeDocument>;
contract::export!(Exported with_types_in contract);

const START: &[u8] = include_bytes!("../samples/start.automerge");
const BREAD: &[u8] = include_bytes!("../samples/bread.automerge");
const TITLE: &[u8] = include_bytes!("../samples/title.automerge");
const EMPTIED: &[u8] = include_bytes!("../samples/emptied.automerge");
const LATER: &[u8] = include_bytes!("../samples/later.automerge");
const ALONE: &[u8] = include_bytes!("../samples/alone.automerge");

/// Edits of a list, a text and a counter at once, an edit and its past, and documents with no past in common.
const SAMPLES: [&[&[u8]]; 3] = [
    &[BREAD, TITLE, EMPTIED],
    &[START, LATER, EMPTIED],
    &[TITLE, ALONE],
];

/// The library draws a random name for each document's author, though this plugin never writes as one. There is no
/// source of random numbers here, and there must be none: the bytes have to be the same on every node.
#[cfg(target_family = "wasm")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    bytes: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: the caller hands over `length` bytes that it owns.
    unsafe { bytes.write_bytes(0, length) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_the_documents_that_the_library_writes() {
        let files = [START, BREAD, TITLE, EMPTIED, LATER, ALONE];
        for ((name, bytes), file) in samples::all().iter().zip(files) {
            assert_eq!(
                bytes, file,
                "{name}; cargo run --example write_samples writes it anew"
            );
        }
    }

    #[test]
    fn the_samples_merge_in_every_order() {
        for documents in SAMPLES {
            let merged = AutomergeDocument::merge(documents, b"").unwrap();
            let backwards: Vec<&[u8]> = documents.iter().rev().copied().collect();
            assert_eq!(AutomergeDocument::merge(&backwards, b"").unwrap(), merged);
        }
    }
}
