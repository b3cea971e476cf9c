//! Where the code that we did not write comes from, and how old it may be.
//!
//! Reads the lock files as text and needs nothing but `std`, so it runs where cargo-deny is not installed.
//! Knows no advisories: those are `deny.toml`'s, which needs the network.
//!
//! Invariant: what is pinned here is pinned in `deny.toml` as well.

use std::fs;
use std::path::Path;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Releases before these have holes that a stranger can reach.
const MINIMA: &[(&str, [u64; 3], &str)] = &[
    (
        "h2",
        [0, 4, 16],
        "RUSTSEC-2026-0258: empty frames without end",
    ),
    (
        "tonic",
        [0, 12, 3],
        "RUSTSEC-2024-0376: a failed accept ends the server",
    ),
    (
        "wasmtime",
        [48, 0, 8],
        "the oldest release of this line that the sandbox was tested on",
    ),
];

/// What must not come in, not even through somebody else.
const BANNED: &[(&str, &str)] = &[
    (
        "bincode",
        "unmaintained, RUSTSEC-2025-0141; the formats on disk and wire are our own",
    ),
    (
        "openssl-sys",
        "links a library of the system, which a fresh machine does not have",
    ),
    ("rustls-pemfile", "unmaintained, RUSTSEC-2025-0134"),
    ("wasmtime-wasi", "a guest is given nothing but a log"),
];

/// One `[[package]]` of a lock file.
struct Package {
    name: String,
    version: String,
    /// None: it lies in this repository.
    source: Option<String>,
    has_checksum: bool,
}

#[test]
fn every_dependency_comes_from_crates_io() {
    for file in ["Cargo.lock", "fuzz/Cargo.lock", "plugins/Cargo.lock"] {
        for package in packages(file) {
            let Package { name, version, .. } = &package;
            match &package.source {
                Some(source) => {
                    assert_eq!(
                        source, CRATES_IO,
                        "{file}: {name} {version} is from elsewhere"
                    );
                    assert!(
                        package.has_checksum,
                        "{file}: {name} {version} has no checksum"
                    );
                }
                None => assert!(
                    is_ours(name),
                    "{file}: {name} {version} has no source and is not ours"
                ),
            }
        }
    }
}

#[test]
fn releases_with_known_holes_are_not_used() {
    let packages = packages("Cargo.lock");
    for (name, minimum, hole) in MINIMA {
        let used: Vec<&Package> = packages.iter().filter(|p| p.name == *name).collect();
        assert!(
            !used.is_empty(),
            "{name} is not used any more; take it off the list"
        );
        for package in used {
            let version = numbers(&package.version);
            assert!(
                version >= *minimum,
                "{name} {} is older than {minimum:?}: {hole}; run `cargo update -p {name}`",
                package.version
            );
        }
    }
}

#[test]
fn banned_crates_stay_out() {
    for package in packages("Cargo.lock") {
        if let Some((name, reason)) = BANNED.iter().find(|(name, _)| *name == package.name) {
            panic!("{name} came in: {reason}; `cargo tree -i {name}` says through whom");
        }
    }
}

/// `gc` stays compiled in while its proposals are off (RUSTSEC-2026-0570); one compiler, because two could
/// give a guest different fuel.
#[test]
fn wasmtime_is_built_with_gc_and_without_a_second_compiler_or_text() {
    let manifest = read("Cargo.toml");
    let line = manifest
        .lines()
        .find(|line| line.starts_with("wasmtime = "));
    let line = line.expect("a line that starts with `wasmtime = ` in Cargo.toml");
    assert!(line.contains("default-features = false"), "{line}");
    assert!(
        line.contains("\"gc\""),
        "the feature `gc` is missing: {line}"
    );
    for feature in ["winch", "wat", "async", "component-model-async"] {
        assert!(
            !line.contains(&format!("\"{feature}\"")),
            "the feature `{feature}`: {line}"
        );
    }
}

#[test]
fn cargo_deny_is_told_the_same() {
    let deny = read("deny.toml");
    for (name, [major, minor, patch], _) in MINIMA {
        let entry = format!("\"{name}:<{major}.{minor}.{patch}\"");
        assert!(deny.contains(&entry), "deny.toml lacks {entry}");
    }
    for (name, _) in BANNED {
        let entry = format!("crate = \"{name}\"");
        assert!(deny.contains(&entry), "deny.toml lacks {entry}");
    }
}

fn is_ours(name: &str) -> bool {
    const OURS: [&str; 12] = [
        "rejoin",
        "rejoin-fuzz",
        "automerge-document",
        "cart-validator",
        "contract",
        "grow-only-set",
        "json-merge",
        "mergeable",
        "observed-remove-set",
        "pn-counter",
        "shopping-cart",
        "wrap",
    ];
    OURS.contains(&name)
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn packages(file: &str) -> Vec<Package> {
    let text = read(file);
    let found: Vec<Package> = text.split("[[package]]").skip(1).map(package).collect();
    assert!(!found.is_empty(), "{file} lists no packages");
    found
}

fn package(block: &str) -> Package {
    let field = |name: &str| {
        let start = format!("{name} = \"");
        let line = block.lines().find_map(|line| line.strip_prefix(&start))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    Package {
        name: field("name").expect("a package has a name"),
        version: field("version").expect("a package has a version"),
        source: field("source"),
        has_checksum: field("checksum").is_some(),
    }
}

/// Major, minor and patch; what follows a `-` or `+` is left aside.
fn numbers(version: &str) -> [u64; 3] {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = plain.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}
