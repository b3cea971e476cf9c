//! Who refers to whom: paths and `use` trees as full paths from the root of the crate, and circles among them.
//!
//! Reads text, expands no macro and follows no re-export.
//!
//! Invariant: a path that begins with `crate`, `super`, `self` or a module declared in the same file is found.

use super::sources::{Source, code_of, numbered, without_tests, words};
use std::collections::{BTreeMap, BTreeSet};

/// Per module, the modules that it refers to, each with a place where it does.
pub type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// Something that a file refers to, from the root of the crate.
pub struct Import {
    pub line: usize,
    pub target: Vec<String>,
}

/// The first name of every `use`, with its line.
pub fn first_segments_of_uses(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, text) in numbered(code) {
        let text = text.trim_start().trim_start_matches("pub ");
        if let Some(path) = text.strip_prefix("use ")
            && let Some(name) = words(path).next()
        {
            found.push((line, name.to_owned()));
        }
    }
    found
}

/// What a file refers to outside its tests: paths from `crate`, `super` and `self`, and, in the file of a
/// folder, paths that start with one of its modules.
pub fn imports(file: &Source) -> Vec<Import> {
    let code = without_tests(&code_of(&file.text));
    let children = declared_modules(&code);
    let mut found = Vec::new();
    for start in path_starts(&code) {
        let line = 1 + code[..start].matches('\n').count();
        let rest = &code[start..];
        let head = words(rest).next().unwrap_or_default();
        let base = match head {
            "crate" => Vec::new(),
            "super" | "self" => file.module.clone(),
            child if children.contains(child) => file.module.clone(),
            _ => continue,
        };
        let skipped = if ["crate", "super", "self"].contains(&head) {
            head.len()
        } else {
            0
        };
        let mut base = base;
        if head == "super" {
            base.pop();
        }
        let tree = match skipped {
            0 => rest,
            _ => rest[skipped..].trim_start().trim_start_matches("::"),
        };
        for target in targets(&base, tree) {
            found.push(Import { line, target });
        }
    }
    found
}

/// The modules that a file declares: `mod name;`.
fn declared_modules(code: &str) -> BTreeSet<&str> {
    let declares =
        |line: &'_ str| line.trim_end().ends_with(';') && words(line).any(|w| w == "mod");
    code.lines()
        .filter(|line| declares(line))
        .filter_map(|line| words(line).skip_while(|word| *word != "mod").nth(1))
        .collect()
}

/// Where paths of at least two segments begin.
fn path_starts(code: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut starts = Vec::new();
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let start = before.rfind(|c| !is_word(c)).map_or(0, |place| place + 1);
        let is_first = !before[..start].trim_end().ends_with("::");
        if start < at && is_first {
            starts.push(start);
        }
    }
    starts
}

/// The full paths of a use tree, or of a plain path, that starts at the beginning of `tree`.
fn targets(base: &[String], tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim_start();
    if let Some(group) = tree.strip_prefix('{') {
        let parts = split_group(group);
        return parts
            .into_iter()
            .flat_map(|part| targets(base, part))
            .collect();
    }
    let Some(name) = words(tree).next().filter(|name| tree.starts_with(name)) else {
        return vec![base.to_vec()]; // A `*`.
    };
    let mut path = base.to_vec();
    match name {
        "super" => drop(path.pop()),
        "self" => {}
        _ => path.push(name.to_owned()),
    }
    match tree[name.len()..].trim_start().strip_prefix("::") {
        Some(rest) if !rest.trim_start().starts_with('<') => targets(&path, rest),
        _ => vec![path],
    }
}

/// The parts of a group, up to its closing brace.
fn split_group(group: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// The module that a path leads into: its longest beginning that is one.
pub fn longest_known<'a>(path: &'a [String], modules: &BTreeSet<&[String]>) -> &'a [String] {
    let lengths = (0..=path.len()).rev();
    let known = lengths
        .map(|length| &path[..length])
        .find(|part| modules.contains(part));
    known.unwrap_or_default()
}

/// A circle in the graph, its first module repeated at the end.
pub fn circle(graph: &Graph) -> Option<Vec<String>> {
    let mut finished = BTreeSet::new();
    let mut way = Vec::new();
    graph
        .keys()
        .find_map(|start| walk(graph, start, &mut way, &mut finished))
}

fn walk(
    graph: &Graph,
    module: &str,
    way: &mut Vec<String>,
    finished: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(place) = way.iter().position(|passed| passed == module) {
        let mut circle = way[place..].to_vec();
        circle.push(module.to_owned());
        return Some(circle);
    }
    if !finished.contains(module) {
        way.push(module.to_owned());
        for next in graph.get(module).into_iter().flat_map(BTreeMap::keys) {
            if let Some(circle) = walk(graph, next, way, finished) {
                return Some(circle);
            }
        }
        way.pop();
        finished.insert(module.to_owned());
    }
    None
}
