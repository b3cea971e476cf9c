//! A data folder as one small file: engines leave files that are mostly zeros.
//!
//! For each file a line `file LENGTH PATH`, and for each piece of it that is not zeros a line `at OFFSET LENGTH` and so
//! many bytes. What a node makes again by itself is left out: its lock, and native code.

use std::fs;
use std::io::{BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Fewer zeros cost more as an end of a piece than they take.
const ZEROS: usize = 32;

/// The folder and all below it.
pub fn pack(folder: &Path) -> Vec<u8> {
    let mut packed = Vec::new();
    pack_below(folder, folder, &mut packed);
    packed
}

fn pack_below(root: &Path, folder: &Path, packed: &mut Vec<u8>) {
    let read = fs::read_dir(folder).expect("a folder").flatten();
    let mut paths: Vec<_> = read.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.strip_prefix(root).expect("below it").to_str();
        let name = name.expect("a name in UTF-8");
        if name == "lock" || name == "plugins/native" {
            continue;
        }
        if path.is_dir() {
            pack_below(root, &path, packed);
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        writeln!(packed, "file {} {name}", bytes.len()).expect("memory takes it");
        for (offset, piece) in pieces(&bytes) {
            writeln!(packed, "at {offset} {}", piece.len()).expect("memory takes it");
            packed.extend_from_slice(piece);
        }
    }
}

/// What is not zeros, and where.
fn pieces(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(|byte| *byte != 0) {
        let start = at + start;
        let rest = &bytes[start..];
        let run = rest
            .windows(ZEROS)
            .position(|run| run.iter().all(|b| *b == 0));
        let length = run.unwrap_or(rest.len());
        pieces.push((start, &rest[..length]));
        at = start + length;
    }
    pieces
}

/// Makes the folder again.
pub fn unpack(mut packed: &[u8], folder: &Path) {
    let mut open: Option<fs::File> = None;
    let mut line = String::new();
    while packed.read_line(&mut line).expect("a line of text") > 0 {
        let words: Vec<&str> = line.trim_end().splitn(3, ' ').collect();
        let number = |word: &str| word.parse::<u64>().expect("a number");
        match words[..] {
            ["file", length, name] => {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                let file = fs::File::create(path).expect("made");
                file.set_len(number(length)).expect("as long as it was");
                open = Some(file);
            }
            ["at", offset, length] => {
                let mut piece = vec![0; number(length) as usize];
                packed.read_exact(&mut piece).expect("a whole piece");
                let file = open.as_mut().expect("a file");
                file.seek(SeekFrom::Start(number(offset))).expect("a place");
                file.write_all(&piece).expect("written");
            }
            _ => panic!("{line:?} is no line of a packed folder"),
        }
        line.clear();
    }
}
