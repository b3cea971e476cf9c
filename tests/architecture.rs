//! What is architecture and cheap to check as text: the order of the rooms, no cycles, a pure core, and
//! the rules that a reviewer would otherwise have to look for.
//!
//! Reads the sources and needs nothing but `std`, so `rustc --test` compiles it alone. Knows no macros: a
//! path that a macro puts together is not seen.
//!
//! Invariant: an exception stands in a list in this file, with its reason; one that is no longer needed
//! fails like a broken rule.

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/sources.rs"]
mod sources;

use imports::{Graph, circle, first_segments_of_uses, imports, longest_known};
use sources::{Source, code_of, files_with, numbered, sources, without_tests, words};
use std::collections::BTreeSet;

/// The rooms from the ground up. A room imports from lower floors only, never from its own floor.
const HOUSE: &[&[&str]] = &[
    &["limits"],
    &["dynamo"],
    &["security", "storage", "wasm", "wire"],
    &["config"],
    &["node"],
    // The client stands beside the server: nothing of the server imports it, nor it the server.
    &["api", "client"],
    &["cli"],
];

/// The core from the ground up. Membership changes catalogs, so it is above them; shards know nothing of it.
const CORE: &[&[&str]] = &[
    &["names"],
    &["codec"],
    &["causality"],
    &["ring"],
    &["bucket"],
    &["metadata", "reconcile"],
    &["membership", "replica"],
    &["repair"],
    &["coordinator"],
    &["machine"],
];

/// What the core may be built from besides the standard library.
const CORE_CRATES: &[&str] = &[
    "bytes",
    "hex",
    "md5",
    "proptest",
    "std",
    "thiserror",
    "xxhash_rust",
];

/// Words that have no place in the core: time, dice, threads, locks, input and output, unordered
/// collections, and the crates of the rooms above it.
const CORE_BANS: &[&str] = &[
    "Condvar",
    "HashMap",
    "HashSet",
    "Instant",
    "Mutex",
    "OnceLock",
    "RandomState",
    "RwLock",
    "SystemTime",
    "async",
    "await",
    "env",
    "fs",
    "mpsc",
    "net",
    "process",
    "prost",
    "rand",
    "sled",
    "thread",
    "thread_local",
    "tokio",
    "tonic",
    "tracing",
    "unsafe",
    "wasmtime",
];

/// Where errors are only told to people, or logged: the binary and the shell that starts a node.
const ANYHOW: &[(&str, &str)] = &[
    (
        "src/api/listen.rs",
        "a listener that ends, ends the process",
    ),
    ("src/cli/", "the only caller is a person"),
    (
        "src/node/dialing.rs",
        "every error means: log it and dial again",
    ),
    (
        "src/node/plugins.rs",
        "every error of a fetch means: try the next peer",
    ),
    (
        "src/node/foundation.rs",
        "whoever starts a node is a person",
    ),
    (
        "src/node/office.rs",
        "a catalog that cannot be read ends the start of the node, before a person",
    ),
    (
        "src/node/server.rs",
        "a node that does not start says why to its operator",
    ),
];

const UNSAFE: &[(&str, &str)] = &[(
    "src/wasm/artefact.rs",
    "native code can only be loaded so; the file seals and checks it",
)];

const IGNORED: &[(&str, &str)] = &[];

/// Imports that close a circle, and what they are for.
const CIRCLES: &[(&str, &str, &str)] = &[
    (
        "wasm::guest::failure",
        "wasm::guest",
        "`Budget` and `Phase` of the call that went wrong",
    ),
    (
        "wasm::inspection::contract",
        "wasm::inspection",
        "one translation of a parser's error for all checks",
    ),
    (
        "wasm::inspection::structure",
        "wasm::inspection",
        "one translation of a parser's error for all checks",
    ),
    (
        "wasm::inspection::wrapping",
        "wasm::inspection",
        "one translation of a parser's error for all checks",
    ),
    (
        "wasm::plugin",
        "wasm::guest",
        "a plugin counts as loaded once it has described itself, which is a call",
    ),
];

/// Files of more than `LINES_MAX` lines.
const LONG: &[(&str, &str)] = &[];

const LINES_MAX: usize = 400;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils",
];

// ---- The rules ----

#[test]
fn rooms_import_from_lower_floors_only() {
    let mut broken = Vec::new();
    for file in sources(&["src"]) {
        let Some(room) = file.module.first() else {
            continue; // The roof: `lib.rs` and `main.rs` see everything.
        };
        let (floor, own) = (floor_of(HOUSE, room), room.as_str());
        if floor.is_none() {
            broken.push(format!("{}: the room `{own}` has no floor", file.path));
        }
        for path in imports(&file) {
            let Some(other) = path.target.first().filter(|other| *other != own) else {
                continue;
            };
            match floor_of(HOUSE, other) {
                Some(below) if Some(below) < floor => {}
                Some(_) => broken.push(format!(
                    "{}:{}: `{own}` imports from `{other}`, which is not below it",
                    file.path, path.line
                )),
                None => broken.push(format!(
                    "{}:{}: `{own}` imports `{other}` through the roof, not from the room that defines it",
                    file.path, path.line
                )),
            }
        }
    }
    none(&broken, "floors of the house, from the ground up", HOUSE);
}

#[test]
fn rooms_of_the_core_import_from_lower_floors_only() {
    let mut broken = Vec::new();
    for file in sources(&["src/dynamo"]) {
        let Some(own) = file.module.get(1) else {
            continue;
        };
        let floor = floor_of(CORE, own);
        if floor.is_none() {
            broken.push(format!("{}: the room `{own}` has no floor", file.path));
        }
        for path in imports(&file) {
            let inside = path.target.first().is_some_and(|first| first == "dynamo");
            let Some(other) = path.target.get(1).filter(|other| inside && *other != own) else {
                continue;
            };
            if floor_of(CORE, other).is_none_or(|below| Some(below) >= floor) {
                broken.push(format!(
                    "{}:{}: `{own}` imports from `{other}`, which is not below it",
                    file.path, path.line
                ));
            }
        }
    }
    none(&broken, "floors of the core, from the ground up", CORE);
}

#[test]
fn the_client_knows_the_core_and_the_wire_only() {
    let mut broken = Vec::new();
    for file in sources(&["src/client"]) {
        for path in imports(&file) {
            let room = path.target.first().map(String::as_str).unwrap_or_default();
            if !["client", "dynamo", "limits", "wire"].contains(&room) {
                broken.push(format!("{}:{}: `{room}`", file.path, path.line));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "a program that uses the client must not carry a server with it:\n  {}",
        broken.join("\n  ")
    );
}

#[test]
fn modules_do_not_import_each_other_in_a_circle() {
    let files = sources(&["src"]);
    let modules: BTreeSet<&[String]> = files.iter().map(|file| file.module.as_slice()).collect();
    let mut graph = Graph::new();
    for file in files.iter().filter(|file| !file.module.is_empty()) {
        let edges = graph.entry(file.module.join("::")).or_default();
        for path in imports(file) {
            let module = longest_known(&path.target, &modules);
            if !module.is_empty() && module != file.module.as_slice() {
                let place = format!("{}:{}", file.path, path.line);
                edges.entry(module.join("::")).or_insert(place);
            }
        }
    }
    for (from, to, reason) in CIRCLES {
        let edges = graph.entry((*from).to_owned()).or_default();
        assert!(
            edges.remove(*to).is_some(),
            "{from} -> {to} is excused ({reason}) but no longer there; take it off the list"
        );
    }
    let mut told = String::new();
    while let Some(circle) = circle(&graph) {
        for pair in circle.windows(2) {
            let place = &graph[&pair[0]][&pair[1]];
            told += &format!("\n  {} -> {} at {place}", pair[0], pair[1]);
        }
        told += "\n";
        cut(&mut graph, &circle);
    }
    assert!(
        told.is_empty(),
        "modules import each other in a circle; move what they share below both:{told}"
    );
}

/// Takes a circle's last import out, so that the next circle is found.
fn cut(graph: &mut Graph, circle: &[String]) {
    if let [.., from, to] = circle {
        graph.entry(from.clone()).or_default().remove(to);
    }
}

#[test]
fn the_core_is_pure() {
    let mut broken = Vec::new();
    for file in sources(&["src/dynamo"]) {
        let code = code_of(&file.text);
        for (line, text) in numbered(&code) {
            for word in words(text).filter(|word| CORE_BANS.contains(word)) {
                broken.push(format!("{}:{line}: `{word}`", file.path));
            }
        }
        for (line, name) in first_segments_of_uses(&code) {
            let local = ["crate", "super", "self"].contains(&name.as_str());
            if !local && !CORE_CRATES.contains(&name.as_str()) {
                broken.push(format!("{}:{line}: the crate `{name}`", file.path));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "one seed has to replay a whole cluster, so the core takes time and dice as arguments, keeps its \
         collections in order and does no input or output; these have no place in it:\n  {}",
        broken.join("\n  ")
    );
}

#[test]
fn every_file_opens_with_what_it_is() {
    let files = sources(&["src", "tests", "examples", "benches", "build.rs"]);
    let broken: Vec<&str> = files
        .iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.as_str())
        .collect();
    assert!(
        broken.is_empty(),
        "files start with `//! ` and a sentence on what they are:\n  {}",
        broken.join("\n  ")
    );
}

#[test]
fn anyhow_is_used_at_the_edges_only() {
    let found = files_with(&["src"], |code| words(code).any(|word| word == "anyhow"));
    exactly(
        &found,
        ANYHOW,
        "rooms with callers that treat errors differently return an enum of their own, not `anyhow`",
    );
}

#[test]
fn unsafe_stands_in_one_listed_file() {
    let places = ["src", "tests", "examples", "benches", "build.rs"];
    let found = files_with(&places, |code| words(code).any(|word| word == "unsafe"));
    exactly(&found, UNSAFE, "`unsafe` has no place here");
}

#[test]
fn channels_are_bounded() {
    let found = files_with(&["src"], |code| {
        let squeezed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let unbounded = [
            "unbounded",
            "unbounded_channel",
            "UnboundedSender",
            "UnboundedReceiver",
        ];
        words(code).any(|word| unbounded.contains(&word))
            || squeezed.contains("mpsc::channel()")
            || squeezed.contains("std::sync::mpsc::{channel")
            || squeezed.contains("std::sync::mpsc::channel")
    });
    exactly(
        &found,
        &[],
        "a queue without a bound grows until the process dies; a full one is an error that a client sees",
    );
}

#[test]
fn nothing_is_left_undone() {
    let marks = ["todo!", "unimplemented!", "dbg!"];
    let found = files_with(
        &["src", "tests", "examples", "benches", "build.rs"],
        |code| marks.iter().any(|mark| code.contains(mark)),
    );
    exactly(
        &found,
        &[],
        "`todo!`, `unimplemented!` and `dbg!` are not merged",
    );
}

#[test]
fn tests_are_not_switched_off() {
    let found = files_with(&["src", "tests", "benches"], |code| {
        code.contains("#[ignore")
    });
    exactly(&found, IGNORED, "a test that does not run proves nothing");
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let mut broken = Vec::new();
    for file in sources(&["src"]) {
        for (line, text) in numbered(&without_tests(&code_of(&file.text))) {
            if text.contains(".unwrap()") {
                broken.push(format!("{}:{line}", file.path));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "bytes from outside give errors; a broken invariant of ours is an `expect` that names it:\n  {}",
        broken.join("\n  ")
    );
}

#[test]
fn files_fit_into_a_head() {
    let found: BTreeSet<String> = sources(&["src"])
        .into_iter()
        .filter(|file| file.text.lines().count() > LINES_MAX)
        .map(|file| file.path)
        .collect();
    exactly(
        &found,
        LONG,
        "split it, or list it here with the reason (more than 400 lines)",
    );
}

#[test]
fn modules_are_named_after_what_they_hold() {
    let broken: Vec<String> = sources(&["src", "tests", "examples", "benches"])
        .into_iter()
        .map(|file| file.path)
        .filter(|path| {
            path.split(['/', '.'])
                .any(|part| EMPTY_NAMES.contains(&part))
        })
        .collect();
    assert!(
        broken.is_empty(),
        "a function lives with the type that it serves, not in:\n  {}",
        broken.join("\n  ")
    );
}

#[test]
fn the_reader_of_sources_reads_sources() {
    let code =
        code_of("use a; // unsafe\n/* x /* y */ \" */ let s = \"fs \\\" b\"; r#\"net\"#; '\"'; 'a");
    assert_eq!(
        words(&code).collect::<Vec<_>>(),
        ["use", "a", "let", "s", "a"]
    );
    let tests = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { {} } }\nfn c() {}";
    assert!(!without_tests(tests).contains("fn b"));
    assert!(without_tests(tests).contains("fn c"));
    let file = Source {
        path: "src/a/b.rs".to_owned(),
        module: vec!["a".to_owned(), "b".to_owned()],
        text: "use crate::x::{self, y::{Z, W as V}, q::*};\nfn f() { super::c::d(); }".to_owned(),
    };
    let found: BTreeSet<String> = imports(&file).iter().map(|p| p.target.join("::")).collect();
    let expected = ["a::c::d", "x", "x::q", "x::y::W", "x::y::Z"];
    assert_eq!(found, expected.map(str::to_owned).into());
}

// ---- How failures are told ----

fn none(broken: &[String], what: &str, floors: &[&[&str]]) {
    let floors: Vec<String> = floors.iter().map(|floor| floor.join(" | ")).collect();
    assert!(
        broken.is_empty(),
        "{what}: {}\n  {}",
        floors.join(" < "),
        broken.join("\n  ")
    );
}

/// Every file found is excused, and every excuse is needed. An excuse that ends in `/` is for a folder.
fn exactly(found: &BTreeSet<String>, excused: &[(&str, &str)], rule: &str) {
    let covers = |excuse: &str, path: &str| match excuse.ends_with('/') {
        true => path.starts_with(excuse),
        false => path == excuse,
    };
    let broken: Vec<&str> = found
        .iter()
        .map(String::as_str)
        .filter(|path| !excused.iter().any(|(excuse, _)| covers(excuse, path)))
        .collect();
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
    for (excuse, reason) in excused {
        assert!(!reason.is_empty(), "{excuse} is excused without a reason");
        assert!(
            found.iter().any(|path| covers(excuse, path)),
            "{excuse} is excused ({reason}) but no longer needs to be; take it off the list"
        );
    }
}

fn floor_of(floors: &[&[&str]], room: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.contains(&room))
}
