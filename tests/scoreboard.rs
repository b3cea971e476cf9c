//! Keeps `docs/scoreboard.md` honest: every row is there once, and what is called done names its tests.
//!
//! Reads text and needs nothing but `std`. Whether a named test passes is for the run of that test to say.
//!
//! Invariant: a row cannot be done without a test that exists.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

const PAGE: &str = "docs/scoreboard.md";

/// The numbers of the rows F; the gaps between them were left for rows to come.
const FEATURES: &[RangeInclusive<u32>] = &[1..=19, 20..=26, 30..=42, 50..=66, 70..=88];
/// The numbers of the rows U.
const UNIQUE: RangeInclusive<u32> = 1..=27;

/// The mechanisms of the paper that are built, by the numbers of the project's reading of it.
const MECHANISMS: &[RangeInclusive<u32>] = &[10..=31, 36..=39, 42..=42, 44..=44, 46..=46];

const TIERS: &[&str] = &["M", "S", "L", "X", "P0", "P1", "P2"];
const STATUSES: &[&str] = &["done", "partly", "open", "declined"];

/// One row of the tables.
struct Row {
    id: String,
    what: String,
    tier: String,
    status: String,
    /// Each as `file::test`.
    proofs: Vec<String>,
    remarks: String,
}

#[test]
fn every_row_is_there_once() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows() {
        *found.entry(row.id).or_default() += 1;
    }
    for id in expected() {
        match found.remove(&id) {
            Some(1) => {}
            Some(times) => panic!("{PAGE} has the row {id} {times} times"),
            None => panic!("{PAGE} lacks the row {id}"),
        }
    }
    assert!(
        found.is_empty(),
        "{PAGE} has rows that nobody asked for: {found:?}"
    );
}

#[test]
fn every_row_says_what_it_is_and_how_it_stands() {
    for Row {
        id,
        what,
        tier,
        status,
        ..
    } in rows()
    {
        assert!(!what.is_empty(), "{id} does not say what it is");
        assert!(
            TIERS.contains(&tier.as_str()),
            "{id} has the tier {tier:?}, not one of {TIERS:?}"
        );
        assert!(
            STATUSES.contains(&status.as_str()),
            "{id} has the status {status:?}, not one of {STATUSES:?}"
        );
        assert_eq!(
            tier == "X",
            status == "declined",
            "{id}: tier X and `declined` go together"
        );
    }
}

#[test]
fn no_row_is_done_without_a_test() {
    for row in rows().into_iter().filter(|row| row.status == "done") {
        assert!(
            !row.proofs.is_empty(),
            "{} is marked done and names no test",
            row.id
        );
    }
}

#[test]
fn what_is_declined_has_a_reason() {
    for row in rows().into_iter().filter(|row| row.status == "declined") {
        assert!(
            !row.remarks.is_empty(),
            "{} is declined without a reason",
            row.id
        );
    }
}

#[test]
fn every_named_test_exists() {
    for row in rows() {
        for proof in &row.proofs {
            let (file, name) = proof
                .split_once("::")
                .unwrap_or_else(|| panic!("{}: `{proof}` is not of the form `file::test`", row.id));
            let path = root().join(file);
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {}: {error}", row.id, path.display()));
            assert!(
                is_test(&text, name),
                "{}: {file} has no test called {name}",
                row.id
            );
        }
    }
}

#[test]
fn a_function_counts_as_a_test_by_its_attribute_alone() {
    let text =
        "#[test]\n/// Why.\nfn a() {}\nfn b() {}\n#[tokio::test]\nasync fn c() {}\n// fn d()\n";
    assert!(is_test(text, "a") && is_test(text, "c"));
    assert!(!is_test(text, "b") && !is_test(text, "d") && !is_test(text, "e"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn expected() -> impl Iterator<Item = String> {
    let features = FEATURES.iter().cloned().flatten();
    let mechanisms = MECHANISMS.iter().cloned().flatten();
    features
        .map(|number| format!("F{number}"))
        .chain(UNIQUE.map(|number| format!("U{number}")))
        .chain(mechanisms.map(|number| format!("D{number}")))
}

fn rows() -> Vec<Row> {
    let page = root().join(PAGE);
    let text = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
    text.lines().filter_map(row).collect()
}

/// A line of a table whose first cell is a letter and a number.
fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line
        .trim()
        .trim_matches('|')
        .split('|')
        .map(str::trim)
        .collect();
    let id = cells[0];
    if !id.starts_with(['F', 'U', 'D']) || id[1..].parse::<u32>().is_err() {
        return None;
    }
    assert_eq!(
        cells.len(),
        6,
        "{PAGE}: the row {id} has {} cells, not 6",
        cells.len()
    );
    // Every other part between backticks is code.
    let proofs = cells[4].split('`').skip(1).step_by(2).map(str::to_owned);
    Some(Row {
        id: id.to_owned(),
        what: cells[1].to_owned(),
        tier: cells[2].to_owned(),
        status: cells[3].to_owned(),
        proofs: proofs.collect(),
        remarks: cells[5].to_owned(),
    })
}

/// Whether a function of this name stands under an attribute that makes it a test.
fn is_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declares = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line
            .strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with('('))
    };
    (0..lines.len()).any(|at| {
        let above = lines[..at].iter().rev();
        declares(lines[at])
            && above
                .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
                .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}
