//! The plugins that come with Rejoin, as committed, run as a node runs them.
//!
//! Their sources have tests of their own in `plugins/`; here are the binaries.

use bytes::Bytes;
use rejoin::dynamo::bucket::Binding;
use rejoin::dynamo::causality::version::{Content, Version};
use rejoin::dynamo::names::{BucketName, Digest, Key};
use rejoin::dynamo::reconcile::answer::{Answer, Judgement, Resolution};
use rejoin::dynamo::reconcile::question::{Ask, Question, canonical};
use rejoin::limits::{FUEL_DEFAULT, GUEST_WALL_MS_MAX};
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
        self.resolve_by(digest, "", siblings)
    }

    fn resolve_by(&self, digest: Digest, params: &str, siblings: &[(&str, u64)]) -> Resolution {
        let siblings = siblings
            .iter()
            .map(|(value, at)| Version::value(value.to_string(), *at));
        self.resolve_versions(digest, params, canonical(siblings.collect()))
            .0
    }

    /// The resolution, and what it cost.
    fn resolve_versions(
        &self,
        digest: Digest,
        params: &str,
        siblings: Vec<Version>,
    ) -> (Resolution, u64) {
        match self.ask(digest, params, Ask::Resolve(siblings)) {
            Answer::Resolved { resolution, fuel } => (resolution, fuel),
            other => panic!("no resolution: {other:?}"),
        }
    }

    /// The value that stands for all, handed over in just this order.
    fn value_of(&self, digest: Digest, params: &str, siblings: &[Version]) -> Version {
        let bytes = match self.resolve_versions(digest, params, siblings.to_vec()).0 {
            Resolution::Merged(bytes) => bytes,
            Resolution::Pick(place) => return siblings[place as usize].clone(),
            other => panic!("no value: {other:?}"),
        };
        Version {
            content: Content::Value(bytes),
            ..siblings[0].clone()
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
    assert_eq!(checked, 10);
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

#[tokio::test]
async fn f18_every_committed_resolver_is_lawful_on_its_own_samples() {
    let node = Node::open();
    for name in RESOLVERS {
        let plugin = node.admit(name).await;
        let (laws, samples) = (plugin.description.laws, plugin.description.samples);
        assert!(laws.commutative && laws.associative && laws.idempotent);
        assert!((2..=4).contains(&samples.len()), "{name}");
        for sample in samples {
            let params = String::from_utf8(sample.params).expect("text");
            let checked = node.library.check_params(plugin.digest, params.as_bytes());
            assert!(checked.is_ok(), "{name}: {checked:?}");
            check_laws(&sample.siblings, |siblings| {
                node.value_of(plugin.digest, &params, siblings)
            });
        }
    }
}

const RESOLVERS: [&str; 9] = [
    "automerge-document.wasm",
    "grow-only-set.wasm",
    "json-merge.wasm",
    "last-writer.core.wasm",
    "last-writer.wasm",
    "max.wasm",
    "observed-remove-set.wasm",
    "pn-counter.wasm",
    "shopping-cart.wasm",
];

/// On two or more siblings, which need not be in the server's order.
fn check_laws(siblings: &[Version], merge: impl Fn(&[Version]) -> Version) {
    let all = merge(siblings);
    let bytes = |version: &Version| version.bytes().cloned();
    let (first, rest) = siblings.split_first().expect("siblings");
    let (last, front) = siblings.split_last().expect("siblings");
    let backwards: Vec<Version> = siblings.iter().rev().cloned().collect();
    let turned = [rest, std::slice::from_ref(first)].concat();
    for order in [backwards, turned] {
        assert_eq!(bytes(&merge(&order)), bytes(&all), "commutative");
    }
    let grouped = |group: &[Version], other: &Version| match group {
        [single] => merge(&[single.clone(), other.clone()]),
        several => merge(&[merge(several), other.clone()]),
    };
    assert_eq!(bytes(&grouped(front, last)), bytes(&all), "associative");
    assert_eq!(bytes(&grouped(rest, first)), bytes(&all), "associative");
    for one in siblings.iter().chain([&all]) {
        let twice = merge(&[one.clone(), one.clone()]);
        assert_eq!(bytes(&twice), bytes(one), "idempotent");
        assert_eq!(bytes(&merge(&[all.clone(), one.clone()])), bytes(&all));
    }
}

#[tokio::test]
async fn f18_sets_counters_and_documents_merge_in_the_sandbox() {
    let node = Node::open();
    let cases = [
        (
            "grow-only-set.wasm",
            "",
            [r#"["milk","bread"]"#, r#"["milk",1.0]"#],
            r#"[1,"bread","milk"]"#,
        ),
        (
            "observed-remove-set.wasm",
            "",
            [
                r#"{"items":{"milk":{"a":[1]},"tea":{"a":[2]}},"seen":{"a":[1,2]}}"#,
                r#"{"items":{"milk":{"b":[1]}},"seen":{"a":[1,2],"b":[1]}}"#,
            ],
            r#"{"items":{"milk":{"b":[1]}},"seen":{"a":[[1,2]],"b":[1]}}"#,
        ),
        (
            "pn-counter.wasm",
            "",
            [r#"{"a":[5,2],"b":[1,0]}"#, r#"{"a":[4,3]}"#],
            r#"{"a":[5,3],"b":[1,0]}"#,
        ),
        (
            "json-merge.wasm",
            r#"{"fields":{"tags":"union","views":"max"}}"#,
            [
                r#"{"$at":{"title":1},"tags":["b"],"title":"old","views":9}"#,
                r#"{"$at":{"title":2},"tags":["a"],"title":"new","views":10}"#,
            ],
            r#"{"$at":{"title":2},"tags":["a","b"],"title":"new","views":10}"#,
        ),
    ];
    for (name, params, [one, other], expected) in cases {
        let plugin = node.admit(name).await;
        let resolution = node.resolve_by(plugin.digest, params, &[(one, 2), (other, 1)]);
        assert_eq!(resolution, merged(expected), "{name}");
        let kept = node.resolve_by(plugin.digest, params, &[(one, 1), ("milk", 2)]);
        assert!(
            matches!(&kept, Resolution::KeepSiblings(reason) if reason.starts_with("sibling ")),
            "{name}: {kept:?}"
        );
        let refused = node.library.check_params(plugin.digest, b"no params");
        assert!(refused.is_err(), "{name}");
    }
}

#[tokio::test]
async fn the_least_and_the_order_of_bytes_are_a_matter_of_params() {
    let node = Node::open();
    let max = node.admit("max.wasm").await;
    let picked = |params: &str, values: [&str; 3]| {
        let siblings = values.map(|value| (value, 1));
        match node.resolve_by(max.digest, params, &siblings) {
            Resolution::Pick(place) => {
                let mut values = values;
                values.sort();
                values[place as usize].to_owned()
            }
            other => panic!("nothing picked: {other:?}"),
        }
    };
    assert_eq!(picked("", ["9.5", "1e1", "-70"]), "1e1");
    assert_eq!(picked(r#"{"keep":"min"}"#, ["9.5", "1e1", "-70"]), "-70");
    assert_eq!(picked(r#"{"order":"bytes"}"#, ["pear", "fig", "9"]), "pear");
    let refused = node.library.check_params(max.digest, br#"{"keep":"most"}"#);
    assert!(refused.unwrap_err().to_string().contains("keep"));
}

#[tokio::test]
async fn an_automerge_document_holds_the_edits_of_all_its_siblings() {
    let node = Node::open();
    let plugin = node.admit("automerge-document.wasm").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/automerge-document/samples");
    let document = |name: &str| {
        let bytes = std::fs::read(folder.join(name).with_extension("automerge"));
        Version::value(bytes.expect("a sample"), 1)
    };
    let names = ["start", "bread", "title", "emptied", "later", "alone"];
    let all = node.value_of(plugin.digest, "", &names.map(document));
    // Whoever holds less adds nothing, so the merged document has the changes of each.
    for name in names {
        let again = node.value_of(plugin.digest, "", &[document(name), all.clone()]);
        assert_eq!(again.bytes(), all.bytes(), "{name}");
    }
    let cut = Version::value(document("bread").bytes().expect("a value").slice(..200), 1);
    let kept = node
        .resolve_versions(plugin.digest, "", vec![document("start"), cut])
        .0;
    assert!(matches!(kept, Resolution::KeepSiblings(_)), "{kept:?}");
}

/// A cart of 108 KB, its skus in ascending or descending order.
fn large_cart(quantity: u32, is_ascending: bool) -> Version {
    let mut skus: Vec<u32> = (0..6_000).collect();
    if !is_ascending {
        skus.reverse();
    }
    let items: Vec<String> = skus
        .iter()
        .map(|sku| format!("\"sku-{sku:09}\":{quantity}"))
        .collect();
    Version::value(format!("{{\"items\":{{{}}}}}", items.join(",")), 1)
}

#[tokio::test]
async fn large_carts_are_merged_and_judged_with_the_default_fuel() {
    let node = Node::open();
    let cart = node.admit("shopping-cart.wasm").await;
    let validator = node.admit("cart-validator.wasm").await;
    let siblings = [large_cart(1, true), large_cart(2, false)];
    for sibling in &siblings {
        let bytes = sibling.bytes().expect("a value");
        assert!(bytes.len() > 100 * 1024, "{} bytes", bytes.len());
    }
    let (resolution, fuel) = node.resolve_versions(cart.digest, "", siblings.to_vec());
    let expected = large_cart(2, true);
    assert_eq!(
        resolution,
        Resolution::Merged(expected.bytes().expect("a value").clone())
    );
    assert!(fuel < FUEL_DEFAULT, "{fuel}");
    let schema = r#"{"properties":{"items":{"additionalProperties":{"type":"integer"}}}}"#;
    match node.ask(validator.digest, schema, Ask::Validate(siblings[1].clone())) {
        Answer::Judged { judgement, fuel } => {
            assert_eq!(judgement, Judgement::Accepted);
            assert!(fuel < FUEL_DEFAULT / 3, "{fuel}");
        }
        other => panic!("no judgement: {other:?}"),
    }
}

#[tokio::test]
async fn cart_and_validator_agree_on_what_an_integer_is() {
    let node = Node::open();
    let cart = node.admit("shopping-cart.wasm").await;
    let validator = node.admit("cart-validator.wasm").await;
    for (quantity, is_integer) in [("2", true), ("2.0", true), ("2e0", true), ("2.5", false)] {
        let value = format!(r#"{{"items":{{"milk":{quantity}}}}}"#);
        let accepted = node.judge(validator.digest, "", &value) == Judgement::Accepted;
        assert_eq!(accepted, is_integer, "{quantity}");
        let resolution = node.resolve(cart.digest, &[(&value, 1), (r#"{"items":{}}"#, 1)]);
        let expected = merged(r#"{"items":{"milk":2}}"#);
        assert_eq!(resolution == expected, is_integer, "{resolution:?}");
    }
}

/// Two siblings of 1 KiB for each plugin, as its README's format has them.
fn kilobyte_siblings(name: &str) -> [Version; 2] {
    let list = |form: &dyn Fn(u32) -> String, from: u32| {
        let mut text = form(from);
        for next in (from + 1..).map(form) {
            if text.len() + next.len() > 1000 {
                break;
            }
            text = format!("{text},{next}");
        }
        text
    };
    let object = |from| {
        format!(
            "{{{}}}",
            list(&|n| format!("\"item-{n:05}\":{}", n % 7), from)
        )
    };
    let texts = [100, 130].map(|from| match name {
        "shopping-cart.wasm" => format!("{{\"items\":{}}}", object(from)),
        "grow-only-set.wasm" => format!("[{}]", list(&|n| format!("\"item-{n:05}\""), from)),
        "pn-counter.wasm" => format!(
            "{{{}}}",
            list(&|n| format!("\"actor-{n:05}\":[{n},2]"), from)
        ),
        "observed-remove-set.wasm" => {
            let items = list(
                &|n| format!("\"item-{n:05}\":{{\"anna-81f2\":[{n}]}}"),
                from,
            );
            format!("{{\"items\":{{{items}}},\"seen\":{{\"anna-81f2\":[[1,210]]}}}}")
        }
        "max.wasm" => format!("{from}{}", "7".repeat(1021)),
        _ => object(from),
    });
    texts.map(|text| Version::value(text, 1))
}

#[tokio::test]
async fn two_siblings_of_a_kilobyte_cost_a_small_part_of_the_default_fuel() {
    let node = Node::open();
    for name in RESOLVERS {
        let plugin = node.admit(name).await;
        let siblings = match name {
            "automerge-document.wasm" => plugin.description.samples[0].siblings[..2].to_vec(),
            _ => kilobyte_siblings(name).to_vec(),
        };
        let (resolution, fuel) = node.resolve_versions(plugin.digest, "", siblings.clone());
        assert!(!matches!(resolution, Resolution::KeepSiblings(_)), "{name}");
        println!("{name}: {fuel} units of fuel, {} bytes", plugin.size_bytes);
        // A document is loaded, merged, saved and loaded again, with its whole history.
        let part = if name.starts_with("automerge") { 5 } else { 20 };
        assert!(fuel < FUEL_DEFAULT / part, "{name}: {fuel}");
    }
}
