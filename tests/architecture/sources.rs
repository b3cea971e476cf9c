//! The sources as text: which files there are, and their code without comments, strings and tests.
//!
//! Not a parser: it knows just enough of Rust to tell code from prose.
//!
//! Invariant: what is blanked out keeps its line breaks, so line numbers are those of the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One file, and where it stands in the tree of modules.
pub struct Source {
    pub path: String,
    /// Empty for the roof, and for files outside `src`.
    pub module: Vec<String>,
    pub text: String,
}

/// The Rust files under the given places, in the order of their names.
pub fn sources(places: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = BTreeSet::new();
    for place in places {
        collect(root, &root.join(place), &mut paths);
    }
    let read = |path: String| Source {
        text: fs::read_to_string(root.join(&path)).unwrap_or_else(|e| panic!("{path}: {e}")),
        module: module_of(&path),
        path,
    };
    paths.into_iter().map(read).collect()
}

fn collect(root: &Path, place: &Path, paths: &mut BTreeSet<String>) {
    if place.is_dir() {
        for entry in fs::read_dir(place).expect("a readable folder") {
            collect(root, &entry.expect("a folder's entry").path(), paths);
        }
    } else if place.extension().is_some_and(|extension| extension == "rs") {
        let relative = place.strip_prefix(root).expect("a path under the root");
        paths.insert(relative.to_string_lossy().replace('\\', "/"));
    }
}

fn module_of(path: &str) -> Vec<String> {
    let Some(inside) = path.strip_prefix("src/") else {
        return Vec::new();
    };
    let inside = inside.trim_end_matches(".rs");
    let parts = inside.split('/').filter(|part| *part != "mod");
    match inside {
        "lib" | "main" => Vec::new(),
        _ => parts.map(str::to_owned).collect(),
    }
}

pub fn files_with(places: &[&str], holds: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let matching = |file: &Source| {
        // This file names what it forbids.
        file.path != "tests/architecture.rs" && holds(&code_of(&file.text))
    };
    sources(places)
        .into_iter()
        .filter(matching)
        .map(|file| file.path)
        .collect()
}

pub fn numbered(code: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(code.lines())
}

pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// The text with comments and the contents of strings blanked out, line by line as it was.
pub fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_blank(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// Where the comment, string or character that starts at `at` ends; `at` itself if none does.
fn end_of_blank(chars: &[char], at: usize) -> usize {
    let starts = |text: &str| {
        text.chars()
            .zip(&chars[at..])
            .filter(|(a, b)| a == *b)
            .count()
            == text.len()
    };
    match chars[at] {
        '/' if starts("//") => {
            let length = chars[at..].iter().position(|c| *c == '\n');
            length.map_or(chars.len(), |length| at + length)
        }
        '/' if starts("/*") => end_of_block_comment(chars, at),
        '"' => end_of_string(chars, at),
        'r' if !is_word_before(chars, at) => end_of_raw_string(chars, at),
        '\'' if chars.get(at + 1) == Some(&'\\') => {
            let length = chars[at + 3..].iter().position(|c| *c == '\'');
            length.map_or(chars.len(), |length| at + length + 4)
        }
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn is_word_before(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b'
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `r"..."` and `r#"..."#`; the `r` itself if it starts neither.
fn end_of_raw_string(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let closing: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let body = start + 2 + hashes;
    let found = chars[body..]
        .windows(closing.len())
        .position(|w| w == closing);
    found.map_or(chars.len(), |length| body + length + closing.len())
}

/// The code without what `#[cfg(test)]` stands before.
pub fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..start]);
        let item = &rest[start..];
        let end = end_of_item(item);
        kept.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    kept + rest
}

fn end_of_item(item: &str) -> usize {
    let mut depth = 0;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}
