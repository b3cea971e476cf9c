//! Golden transcripts: what the nodes of a scripted cluster say to each other, line by line (Dynamo 4.5, 5).
//!
//! `tests/transcripts/*.txt` are the scripts and what they have to lead to. `REJOIN_BLESS=1` rewrites them
//! with what really happens; read the difference before you commit it.
//!
//! Invariant: a file that is not played fails the test, as does one that plays differently.

mod stage;

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
}

/// The first line that differs, with its number.
fn difference(wanted: &str, played: &str) -> String {
    let both = wanted.lines().zip(played.lines()).zip(1..);
    let first = both
        .into_iter()
        .find(|((wanted, played), _)| wanted != played);
    match first {
        Some(((wanted, played), line)) => format!("line {line}:\n  - {wanted}\n  + {played}"),
        None => "one ends before the other".to_owned(),
    }
}

#[test]
fn every_transcript_plays_as_it_is_written() {
    let blesses = std::env::var_os("REJOIN_BLESS").is_some();
    let mut failures = Vec::new();
    for path in scripts() {
        let wanted = std::fs::read_to_string(&path).expect("readable");
        let played = stage::play(&wanted);
        if blesses {
            std::fs::write(&path, &played).expect("writable");
        } else if played != wanted {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            failures.push(format!("{name}, {}", difference(&wanted, &played)));
        }
    }
    assert!(
        failures.is_empty(),
        "{}\nREJOIN_BLESS=1 cargo test --test transcripts writes down what happens now",
        failures.join("\n")
    );
}

#[test]
fn a_transcript_that_differs_is_noticed() {
    let script = "cluster nodes=a n=1 r=1 w=1\n\nget via=a key=k\n----\nanswer milk\n";
    assert!(difference(script, &stage::play(script)).contains("line 5"));
}
