//! The law check on resolvers that are known to be good or bad, and on what comes with Rejoin.
//!
//! Uses the committed binaries, a real library and the compiling child. The sources of the corpus are in
//! `plugins/corpus`; what each does wrong is said there.
//!
//! Invariant: a verdict is the same in every library, and every counterexample replays.

use bytes::Bytes;
use rejoin::dynamo::bucket::Binding;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::metadata::grade::Grade;
use rejoin::limits::VALUE_BYTES_MAX;
use rejoin::wasm::laws::evidence::{Evidence, Replayed};
use rejoin::wasm::laws::gate::{Terms, examine_binding, examine_upload, refused};
use rejoin::wasm::laws::law::Law;
use rejoin::wasm::laws::report::LawReport;
use rejoin::wasm::library::{Admitted, Library, Settings, digest_of};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files, their grade, and the law that decides it; no grade: refused.
const BAD: [(&str, Option<Grade>, Law); 19] = [
    ("tie-by-place", Some(Grade::Deterministic), Law::Commutative),
    ("first-wins", Some(Grade::Deterministic), Law::Commutative),
    (
        "latest-by-place",
        Some(Grade::Deterministic),
        Law::Commutative,
    ),
    ("hash-order", Some(Grade::Deterministic), Law::Commutative),
    ("nan-maximum", Some(Grade::Deterministic), Law::Commutative),
    ("fuel-by-order", Some(Grade::Deterministic), Law::Total),
    ("trap-on-empty", Some(Grade::Deterministic), Law::Total),
    ("loop-on-equal", Some(Grade::Deterministic), Law::Total),
    ("memory-growth", Some(Grade::Deterministic), Law::Total),
    ("mutual-rejection", Some(Grade::Commutative), Law::Absorbing),
    ("counter-sum", Some(Grade::Commutative), Law::Absorbing),
    ("concatenation", Some(Grade::Commutative), Law::Absorbing),
    ("average", Some(Grade::Commutative), Law::Absorbing),
    ("drop-longest", Some(Grade::Commutative), Law::Absorbing),
    ("sibling-count", Some(Grade::Commutative), Law::Absorbing),
    (
        "earliest-merged",
        Some(Grade::Commutative),
        Law::Associative,
    ),
    (
        "delete-on-difference",
        Some(Grade::Commutative),
        Law::Associative,
    ),
    ("trap-on-sample", None, Law::Total),
    ("pick-beyond", None, Law::Total),
];

const GOOD: [(&str, Grade); 8] = [
    ("greatest-value", Grade::Lawful),
    ("least-value", Grade::Lawful),
    ("longest-value", Grade::Lawful),
    ("least-number", Grade::Lawful),
    ("union-of-lines", Grade::Lawful),
    ("grow-only-counter", Grade::Lawful),
    ("float-maximum", Grade::Lawful),
    // Merges nothing, so nothing speaks for the second grade, and it needs none.
    ("keep-always", Grade::Commutative),
];

struct Node {
    library: Arc<Library>,
    _folder: tempfile::TempDir,
}

impl Node {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let compiler = PathBuf::from(env!("CARGO_BIN_EXE_rejoin"));
        let settings = Settings::new(compiler, 2, 1024 * 1024);
        let library = Library::open(folder.path(), settings).expect("an empty library opens");
        Self {
            library: Arc::new(library),
            _folder: folder,
        }
    }

    async fn admit(&self, file: &str) -> Admitted {
        let admitted = self.library.admit(binary(file)).await;
        admitted.unwrap_or_else(|error| panic!("{file} is refused: {error}"))
    }

    async fn examine(&self, file: &str) -> LawReport {
        let admitted = self.admit(file).await;
        let report = examine_upload(&self.library, &admitted);
        report.unwrap_or_else(|error| panic!("{file}: {error}"))
    }
}

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins")
}

fn binary(file: &str) -> Bytes {
    let path = plugins().join(file);
    let bytes = std::fs::read(&path);
    bytes
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}

fn of_corpus(name: &str) -> String {
    format!("corpus/bin/{name}.wasm")
}

#[test]
fn the_corpus_is_that_of_the_checksums_and_none_of_it_is_left_out() {
    let sums = std::fs::read_to_string(plugins().join("corpus/bin/SHA256SUMS"));
    let sums = sums.expect("the checksums");
    let tested = BAD.iter().map(|(name, ..)| *name);
    let mut tested: Vec<&str> = tested.chain(GOOD.iter().map(|(name, _)| *name)).collect();
    tested.sort_unstable();
    let mut listed = Vec::new();
    for line in sums.lines() {
        let (digest, file) = line.split_once("  ").expect("a digest and a name");
        let name = file.trim_end_matches(".wasm");
        assert_eq!(
            digest_of(&binary(&of_corpus(name))).to_string(),
            digest,
            "{name}"
        );
        listed.push(name);
    }
    assert_eq!(listed, tested);
}

#[tokio::test]
async fn every_bad_resolver_is_graded_down_with_a_case_that_replays() {
    let node = Node::open();
    for (name, grade, law) in BAD {
        let report = node.examine(&of_corpus(name)).await;
        let found = report
            .decisive()
            .unwrap_or_else(|| panic!("{name}: nothing found"));
        println!("{name}: {:?}, {found}", report.grade());
        assert_eq!(report.grade(), grade, "{name}: {found}");
        assert_eq!(found.law, law, "{name}: {found}");
        assert_eq!(refused(&report).is_some(), grade.is_none(), "{name}");
        let file = Evidence::of(found).to_json();
        let evidence = Evidence::from_json(&file).expect("what we wrote");
        let replayed = evidence
            .replay(&*node.library, report.digest)
            .expect("it reads");
        assert_eq!(replayed, Ok(Replayed::Same), "{name}: {file}");
    }
}

#[tokio::test]
async fn no_good_resolver_is_graded_down() {
    let node = Node::open();
    let ours = [
        "automerge-document",
        "grow-only-set",
        "json-merge",
        "last-writer",
        "last-writer.core",
        "max",
        "observed-remove-set",
        "pn-counter",
        "shopping-cart",
    ];
    let ours = ours.map(|name| (format!("bin/{name}.wasm"), Grade::Lawful));
    let corpus = GOOD.map(|(name, grade)| (of_corpus(name), grade));
    for (file, grade) in ours.into_iter().chain(corpus) {
        let report = node.examine(&file).await;
        println!(
            "{file}: {:?} {} cases, fuel {} / {}",
            report.grade(),
            report.cases_run,
            report.fuel_median(),
            report.fuel_most()
        );
        assert_eq!(report.failures, [], "{file}");
        assert_eq!(report.grade(), Some(grade), "{file}");
        assert_eq!(report.cases_run, report.cases_total, "{file}");
    }
}

#[tokio::test]
async fn a_validator_is_tried_too_and_has_no_grade() {
    let node = Node::open();
    let report = node.examine("bin/cart-validator.wasm").await;
    assert_eq!(report.failures, []);
    assert!(report.checked[&Law::Judging] > 0);
    assert_eq!((report.graded(), refused(&report)), (None, None));
}

#[tokio::test]
async fn two_nodes_and_two_runs_come_to_the_same_report() {
    let (one, other) = (Node::open(), Node::open());
    for file in [
        "bin/max.wasm",
        "corpus/bin/average.wasm",
        "corpus/bin/nan-maximum.wasm",
    ] {
        let first = one.examine(file).await;
        assert_eq!(one.examine(file).await, first, "{file}");
        assert_eq!(other.examine(file).await, first, "{file}");
    }
}

#[tokio::test]
async fn a_counterexample_is_small() {
    let node = Node::open();
    for name in ["nan-maximum", "average", "tie-by-place", "memory-growth"] {
        let report = node.examine(&of_corpus(name)).await;
        let found = report.decisive().expect("a failure");
        assert_eq!(found.siblings.len(), 2, "{name}: {found}");
        let bytes = found.siblings.iter().filter_map(Version::bytes);
        let bytes: usize = bytes.map(Bytes::len).sum();
        let most = if name == "memory-growth" { 1_200 } else { 16 };
        assert!(bytes <= most, "{name}: {found}");
    }
}

#[tokio::test]
async fn a_counterexample_does_not_fail_with_the_mended_plugin() {
    let node = Node::open();
    let report = node.examine(&of_corpus("nan-maximum")).await;
    let mended = node.admit(&of_corpus("float-maximum")).await;
    let evidence = Evidence::of(report.decisive().expect("a failure"));
    let replayed = evidence.replay(&*node.library, mended.digest);
    assert_eq!(replayed, Ok(Ok(Replayed::Holds)));
}

fn terms(resolver: Binding, validator: Option<Binding>) -> Terms {
    Terms {
        resolver,
        validator,
        value_bytes_max: VALUE_BYTES_MAX,
    }
}

#[tokio::test]
async fn the_fuel_of_a_binding_is_what_it_is_checked_with() {
    let node = Node::open();
    let cart = node.admit("bin/shopping-cart.wasm").await;
    let mut binding = Binding::new(cart.digest);
    let report = examine_binding(&node.library, &terms(binding.clone(), None), Vec::new());
    assert_eq!(report.expect("a report").grade(), Some(Grade::Lawful));
    binding.fuel = 1_000;
    let report = examine_binding(&node.library, &terms(binding, None), Vec::new());
    let report = report.expect("a report");
    assert_eq!(report.decisive().map(|found| found.law), Some(Law::Total));
    assert!(refused(&report).is_some());
}

#[tokio::test]
async fn siblings_of_the_bucket_can_show_what_no_sample_does() {
    let node = Node::open();
    let plugin = node.admit(&of_corpus("trap-on-empty")).await;
    let live = ["", "a"].map(|value| Version::value(value, 7)).to_vec();
    let set = (Bytes::from_static(b"anna"), live);
    let terms = terms(Binding::new(plugin.digest), None);
    let report = examine_binding(&node.library, &terms, vec![set]).expect("a report");
    let found = report.decisive().expect("a failure");
    assert_eq!(found.origin.to_string(), "siblings of the bucket");
    assert_eq!(report.cases_run, 2, "the author's sample, and this one");
    assert_eq!(report.grade(), Some(Grade::Deterministic));
}

#[tokio::test]
async fn what_the_buckets_validator_refuses_may_not_be_merged_on_put() {
    let node = Node::open();
    let resolver = node.admit("bin/shopping-cart.wasm").await;
    let validator = node.admit("bin/cart-validator.wasm").await;
    let mut strict = Binding::new(validator.digest);
    strict.params = Bytes::from_static(
        br#"{"type":"object","properties":{"items":{"type":"object","maxProperties":2}}}"#,
    );
    assert_eq!(
        node.library.check_params(strict.digest, &strict.params),
        Ok(())
    );
    let terms = terms(Binding::new(resolver.digest), Some(strict));
    let report = examine_binding(&node.library, &terms, Vec::new()).expect("a report");
    let found = report.decisive().expect("a failure");
    assert_eq!(found.law, Law::Acceptable, "{found}");
    assert_eq!(report.grade(), Some(Grade::Commutative));
}
