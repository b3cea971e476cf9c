//! The plugins that come with Rejoin, as committed, run as a node runs them.
//!
//! Their sources have tests of their own in `plugins/`; here are the binaries.

use bytes::Bytes;
use rejoin::dynamo::bucket::Binding;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::names::{BucketName, Digest, Key};
use rejoin::dynamo::reconcile::answer::{Answer, Judgement, Resolution};
use rejoin::dynamo::reconcile::question::{Ask, Question, canonical};
use rejoin::limits::GUEST_WALL_MS_MAX;
use rejoin::wasm::library::{Admitted, Library, Settings, digest_of};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A node's library in a folder of its own.
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

    async fn admit(&self, name: &str) -> Admitted {
        let admitted = self.library.admit(binary(name)).await;
        admitted.unwrap_or_else(|error| panic!("{name} is refused: {error}"))
    }

    fn ask(&self, digest: Digest, params: &str, ask: Ask) -> Answer {
        let bucket = BucketName::new("bucket").expect("a good name");
        let mut binding = Binding::new(digest);
        binding.limits.wall_ms = GUEST_WALL_MS_MAX; // Fuel has to decide, not the clock of a busy machine.
        binding.params = Bytes::copy_from_slice(params.as_bytes());
        let question = Question {
            key: Key::new(bucket, Bytes::from_static(b"key")).expect("a good key"),
            binding,
            ask,
        };
        self.library.answer(&question).answer
    }

    fn resolve(&self, digest: Digest, siblings: &[(&str, u64)]) -> Resolution {
        let siblings = siblings
            .iter()
            .map(|(value, at)| Version::value(value.to_string(), *at));
        match self.ask(digest, "", Ask::Resolve(canonical(siblings.collect()))) {
            Answer::Resolved { resolution, .. } => resolution,
            other => panic!("no resolution: {other:?}"),
        }
    }

    fn judge(&self, digest: Digest, params: &str, value: &str) -> Judgement {
        match self.ask(
            digest,
            params,
            Ask::Validate(Version::value(value.to_owned(), 0)),
        ) {
            Answer::Judged { judgement, .. } => judgement,
            other => panic!("no judgement: {other:?}"),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/bin")
}

fn binary(name: &str) -> Bytes {
    let file = folder().join(name);
    let bytes = std::fs::read(&file);
    bytes
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .into()
}

fn merged(value: &str) -> Resolution {
    Resolution::Merged(Bytes::copy_from_slice(value.as_bytes()))
}

#[test]
fn the_committed_binaries_are_those_of_the_checksums() {
    let sums = std::fs::read_to_string(folder().join("SHA256SUMS")).expect("the checksums");
    let mut checked = 0;
    for line in sums.lines() {
        let (digest, name) = line.split_once("  ").expect("a digest and a name");
        assert_eq!(digest_of(&binary(name)).to_string(), digest, "{name}");
        checked += 1;
    }
    assert_eq!(checked, 5);
}

#[tokio::test]
async fn the_cart_loses_no_item_of_any_sibling() {
    let node = Node::open();
    let cart = node.admit("shopping-cart.wasm").await;
    assert!(cart.roles.resolver && !cart.roles.validator);
    let siblings = [
        (r#"{"items":{"milk":1}}"#, 1),
        (r#"{"items":{"bread":2}}"#, 2),
        (r#"{"items":{"eggs":12,"milk":3}}"#, 3),
    ];
    let all = r#"{"items":{"bread":2,"eggs":12,"milk":3}}"#;
    assert_eq!(node.resolve(cart.digest, &siblings), merged(all));
    let pair = node.resolve(cart.digest, &siblings[..2]);
    assert_eq!(pair, merged(r#"{"items":{"bread":2,"milk":1}}"#));
    let in_groups = [(r#"{"items":{"bread":2,"milk":1}}"#, 9), siblings[2]];
    assert_eq!(node.resolve(cart.digest, &in_groups), merged(all));
}

#[tokio::test]
async fn the_cart_keeps_siblings_that_are_no_carts() {
    let node = Node::open();
    let cart = node.admit("shopping-cart.wasm").await;
    let kept = node.resolve(cart.digest, &[("not a cart", 1), (r#"{"items":{}}"#, 2)]);
    assert!(matches!(kept, Resolution::KeepSiblings(_)), "{kept:?}");
}

#[tokio::test]
async fn the_last_writer_is_picked_from_component_and_core_module_alike() {
    let node = Node::open();
    for name in ["last-writer.wasm", "last-writer.core.wasm"] {
        let plugin = node.admit(name).await;
        let picked = node.resolve(plugin.digest, &[("a", 7), ("b", 9), ("c", 8)]);
        assert_eq!(picked, Resolution::Pick(1), "{name}");
        let tie = node.resolve(plugin.digest, &[("a", 9), ("b", 9)]);
        assert_eq!(tie, Resolution::Pick(1), "{name}");
    }
}

#[tokio::test]
async fn the_greatest_number_is_picked_whatever_its_length() {
    let node = Node::open();
    let max = node.admit("max.wasm").await;
    // In canonical order: "-5", "1000", "999".
    let picked = node.resolve(max.digest, &[("999", 1), ("1000", 2), ("-5", 3)]);
    assert_eq!(picked, Resolution::Pick(1));
    let kept = node.resolve(max.digest, &[("999", 1), ("many", 2)]);
    assert!(matches!(kept, Resolution::KeepSiblings(_)), "{kept:?}");
}

#[tokio::test]
async fn the_validator_names_what_is_wrong_with_a_cart() {
    let node = Node::open();
    let validator = node.admit("cart-validator.wasm").await;
    assert!(validator.roles.validator && !validator.roles.resolver);
    let judge = |value| node.judge(validator.digest, "", value);
    assert_eq!(judge(r#"{"items":{"milk":1}}"#), Judgement::Accepted);
    let refusals = [
        ("milk", "not-json"),
        ("{}", "required"),
        (r#"{"items":{"milk":0}}"#, "minimum"),
        (r#"{"items":{"milk":1000}}"#, "maximum"),
        (r#"{"items":{"milk":"one"}}"#, "type"),
        (r#"{"items":{},"owner":"anna"}"#, "additional-property"),
    ];
    for (value, expected) in refusals {
        match judge(value) {
            Judgement::Refused { code, .. } => assert_eq!(code, expected, "{value}"),
            Judgement::Accepted => panic!("{value} is accepted"),
        }
    }
}

#[tokio::test]
async fn params_that_a_plugin_does_not_know_are_refused_by_it() {
    let node = Node::open();
    let cart = node.admit("shopping-cart.wasm").await;
    assert!(node.library.check_params(cart.digest, b"").is_ok());
    assert!(node.library.check_params(cart.digest, b"fast").is_err());
    let validator = node.admit("cart-validator.wasm").await;
    assert!(
        node.library
            .check_params(validator.digest, br#"{"type":"object"}"#)
            .is_ok()
    );
    let unknown = node
        .library
        .check_params(validator.digest, br#"{"pattern":"x"}"#);
    assert!(unknown.unwrap_err().to_string().contains("pattern"));
}

#[tokio::test]
async fn the_same_question_costs_the_same_fuel_on_every_node() {
    let (one, other) = (Node::open(), Node::open());
    let digest = one.admit("shopping-cart.wasm").await.digest;
    other.admit("shopping-cart.wasm").await;
    let siblings = [r#"{"items":{"milk":1}}"#, r#"{"items":{"bread":2}}"#];
    let siblings: Vec<_> = siblings
        .iter()
        .map(|v| Version::value(v.to_string(), 5))
        .collect();
    let first = one.ask(digest, "", Ask::Resolve(siblings.clone()));
    for _ in 0..50 {
        assert_eq!(one.ask(digest, "", Ask::Resolve(siblings.clone())), first);
        assert_eq!(other.ask(digest, "", Ask::Resolve(siblings.clone())), first);
    }
}
