//! Bytes from outside are an answer and never a panic: what fuzzing has found, today's encodings, and mutations of both.
//!
//! The targets are those of `fuzz/run`, which searches; this replays, everywhere, in seconds. `REJOIN_FUZZ_ROUNDS` raises
//! the mutations of each input, `REJOIN_SEED` repeats a run.
//!
//! Invariant: a failure names its target and the bytes.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use targets::{TARGETS, Target};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");
/// The corpus is committed: it stays small.
const FILES_MAX: usize = 300;
const BYTES_MAX: u64 = 1024 * 1024;
const ROUNDS: usize = 20;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(CORPUS).join(target.name);
    let mut files: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(files) => files.flatten().map(|file| file.path()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort();
    let read = |file: &PathBuf| std::fs::read(file).expect("a committed file");
    let mut inputs: Vec<Vec<u8>> = files.iter().map(read).collect();
    inputs.extend((target.seeds)());
    inputs
}

fn run(target: &Target, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_err() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("the target {} breaks on {hex}", target.name);
    }
}

#[test]
fn what_was_found_before_and_what_is_encoded_today_breaks_nothing() {
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{} has no input", target.name);
        inputs.iter().for_each(|bytes| run(target, bytes));
    }
}

#[test]
fn mutations_of_real_bytes_break_nothing() {
    let seed = number("REJOIN_SEED").unwrap_or(0x5eed);
    let rounds = number("REJOIN_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds as usize);
    println!("REJOIN_SEED={seed} REJOIN_FUZZ_ROUNDS={rounds}");
    let mut dice = StdRng::seed_from_u64(seed);
    for target in TARGETS {
        let inputs = inputs(target);
        for input in &inputs {
            for _ in 0..rounds {
                let mut bytes = input.clone();
                for _ in 0..dice.random_range(1..4) {
                    mutate(&mut bytes, &inputs, &mut dice);
                }
                run(target, &bytes);
            }
        }
    }
}

/// Numbers that lie where something ends.
const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, b'0', b'-'];

fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut StdRng) {
    let place = |bytes: &[u8], dice: &mut StdRng| dice.random_range(0..=bytes.len());
    let (at, to) = (place(bytes, dice), place(bytes, dice));
    let (from, to) = (at.min(to), at.max(to));
    match dice.random_range(0..7) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(from..to.min(from + 16))),
        2 => bytes.insert(at, dice.next_u32() as u8),
        3 => {
            let again = bytes[from..to.min(from + 64)].to_vec();
            bytes.splice(at..at, again);
        }
        4 => {
            let other = &others[dice.random_range(0..others.len())];
            let piece = place(other, dice);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[piece..]);
        }
        kind if at < bytes.len() => match kind {
            5 => bytes[at] = EDGES[dice.random_range(0..EDGES.len())],
            _ => bytes[at] ^= 1 << dice.random_range(0..8),
        },
        _ => bytes.push(0xff),
    }
}

#[test]
fn native_code_of_wasmtime_is_told_apart() {
    use rejoin::wasm::inspection::{StructureLimits, inspect};
    // The header alone of an ELF file with Wasmtime's own kind of system, and a module.
    let mut header = b"\x7fELF\x02\x01\x01\xc8\0".to_vec();
    header.resize(64, 0);
    header[16] = 1;
    header[20] = 1;
    header[48] = 1;
    header[52] = 64;
    for (kind, code) in [(0, "P004"), (0xc8, "P005")] {
        header[7] = kind;
        let refused = inspect(&header, &StructureLimits::default());
        let refused = refused.expect_err("native code").to_string();
        assert!(refused.starts_with(code), "{refused}");
    }
}

#[test]
fn the_corpus_is_small_and_has_no_folder_without_a_target() {
    let (mut files, mut bytes) = (0, 0);
    for folder in std::fs::read_dir(CORPUS).expect("the corpus").flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let is_known = TARGETS.iter().any(|target| target.name == name);
        assert!(is_known, "no target reads fuzz/corpus/{name}");
        for file in std::fs::read_dir(folder.path())
            .expect("a folder")
            .flatten()
        {
            files += 1;
            bytes += file.metadata().expect("a file").len();
        }
    }
    assert!(files <= FILES_MAX, "{files} files; keep the smallest set");
    assert!(bytes <= BYTES_MAX, "{bytes} bytes; keep the smallest set");
}
