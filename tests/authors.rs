//! The author's way from nothing to a plugin: `rejoin plugin new` and `rejoin plugin build`.
//!
//! No toolchain is needed here: what a compiler would leave is committed or written as text. The way with
//! each language's own tools is `.ci/run languages`.
//!
//! Invariant: each test works in a temporary folder, and no variable of the caller's chooses a tool.

use bytes::Bytes;
use rejoin::dynamo::bucket::Binding;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::names::{BucketName, Digest, Key};
use rejoin::dynamo::reconcile::answer::{Answer, Resolution};
use rejoin::dynamo::reconcile::question::{Ask, Question, canonical};
use rejoin::wasm::inspection::Names;
use rejoin::wasm::library::{Library, Settings};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;

const LANGUAGES: [&str; 9] = [
    "rust",
    "c",
    "zig",
    "assemblyscript",
    "js",
    "ts",
    "python",
    "go",
    "wat",
];
/// Those whose components are small enough to be committed.
const COMMITTED: [&str; 5] = ["rust", "c", "zig", "assemblyscript", "wat"];
const WIT: &str = include_str!("../wit/v1/plugin.wit");
const TEXT: &str = include_str!("../plugins/templates/wat/resolver.wat");

/// A folder in which `rejoin` is called.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("a writable folder");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn rejoin(&self, arguments: &[&str]) -> Output {
        let mut rejoin = Command::new(env!("CARGO_BIN_EXE_rejoin"));
        rejoin.args(arguments).current_dir(self.folder.path());
        // Nothing but what every machine has: no compiler is found.
        rejoin.env_clear().env("PATH", "/usr/bin:/bin");
        rejoin.output().expect("it starts")
    }

    /// A command that succeeds, as JSON.
    fn done(&self, arguments: &[&str]) -> Value {
        let output = self.rejoin(&[arguments, &["--json"]].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).expect("one line of JSON")
    }

    /// What a command that fails says.
    fn error(&self, arguments: &[&str]) -> String {
        let output = self.rejoin(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A project in text that is built by copying what `wasm-tools parse` would make of it.
    fn project(&self, name: &str) {
        self.done(&["plugin", "new", name, "--lang", "wat"]);
        let text = self.read(&format!("{name}/resolver.wat"));
        self.write(
            &format!("{name}/translated.wasm"),
            wat::parse_bytes(&text).expect("the template is well formed"),
        );
        self.add(
            &format!("{name}/rejoin-plugin.toml"),
            "[build]\ncommand = [\"cp\", \"translated.wasm\", \"build/copied.wasm\"]\noutput = \"build/copied.wasm\"\n",
        );
    }

    fn add(&self, file: &str, text: &str) {
        let there = String::from_utf8(self.read(file)).expect("text");
        self.write(file, there + text);
    }
}

#[test]
fn a_new_project_carries_its_name_the_contract_and_fixtures_in_every_language() {
    let desk = Desk::new();
    for lang in LANGUAGES {
        let name = format!("my-{lang}");
        let made = desk.done(&["plugin", "new", &name, "--lang", lang]);
        let files = made["files"].as_array().expect("a list");
        for file in files {
            let text = desk.read(&format!("{name}/{}", file.as_str().expect("a path")));
            let text = String::from_utf8(text).expect("text");
            let left = ["line-union", "{{lang", "{{source}}", "{{needs}}"];
            let left: Vec<_> = left.iter().filter(|word| text.contains(**word)).collect();
            assert!(left.is_empty(), "{lang}: {file} still has {left:?}");
        }
        assert_eq!(desk.read(&format!("{name}/wit/plugin.wit")), WIT.as_bytes());
        let manifest = String::from_utf8(desk.read(&format!("{name}/rejoin-plugin.toml")));
        assert!(
            manifest
                .expect("text")
                .contains(&format!("name = \"{name}\""))
        );
        assert_eq!(
            fs::read_dir(desk.path(&name).join("fixtures"))
                .expect("it is there")
                .count(),
            3
        );
    }
}

#[test]
fn what_is_there_is_never_written_over_and_a_bad_name_makes_nothing() {
    let desk = Desk::new();
    desk.done(&["plugin", "new", "cart", "--lang", "c"]);
    desk.write("cart/resolver.c", "mine");
    let error = desk.error(&["plugin", "new", "cart", "--lang", "zig"]);
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(desk.read("cart/resolver.c"), b"mine");
    for bad in ["Cart", "../cart", "a b", "cart-"] {
        let error = desk.error(&["plugin", "new", bad, "--lang", "c"]);
        assert!(error.contains("is not a name for a plugin"), "{error}");
    }
    assert_eq!(
        fs::read_dir(desk.folder.path())
            .expect("it is there")
            .count(),
        1
    );
}

#[test]
fn a_missing_tool_is_named_with_the_way_to_get_it_and_its_variable() {
    let desk = Desk::new();
    let missing = [
        (
            "assemblyscript",
            "npm install -g assemblyscript",
            "REJOIN_ASC",
        ),
        ("js", "npm install -g @bytecodealliance/jco", "REJOIN_JCO"),
        ("ts", "npm install -g typescript", "REJOIN_TSC"),
        (
            "python",
            "python3 -m pip install componentize-py",
            "REJOIN_COMPONENTIZE_PY",
        ),
        ("go", "https://go.dev/dl", "REJOIN_GO"),
    ];
    for (lang, way, variable) in missing {
        desk.done(&["plugin", "new", lang, "--lang", lang]);
        let mut rejoin = Command::new(env!("CARGO_BIN_EXE_rejoin"));
        rejoin
            .args(["plugin", "build", lang])
            .current_dir(desk.folder.path());
        let output = rejoin
            .env_clear()
            .env("PATH", "/nowhere")
            .output()
            .expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(way) && error.contains(variable), "{error}");
        assert!(!desk.path(&format!("{lang}/build/{lang}.wasm")).exists());
    }
}

#[test]
fn a_build_leaves_a_component_and_says_everything_that_a_node_would() {
    let desk = Desk::new();
    desk.project("list");
    let said = desk.done(&["plugin", "build", "list"]);
    let component = desk.read("list/build/list.wasm");
    assert_eq!(said["size_bytes"], component.len());
    assert_eq!(said["name"], "list");
    assert_eq!(
        said["imports"],
        serde_json::json!(["rejoin:plugin/types@1.0.0"])
    );
    assert_eq!(
        said["exports"],
        serde_json::json!(["rejoin:plugin/about@1.0.0", "rejoin:plugin/resolver@1.0.0"])
    );
    assert_eq!(said["laws_claimed"].as_array().map(Vec::len), Some(3));
    assert_eq!(said["plugin_bytes_max"], 1 << 20);
    let again = desk.done(&["plugin", "build", "list", "--out", "elsewhere.wasm"]);
    assert_eq!(
        again["sha256"], said["sha256"],
        "the same source gives the same bytes"
    );
    assert_eq!(desk.read("elsewhere.wasm"), component);
}

#[test]
fn a_core_module_of_another_build_becomes_a_component() {
    let desk = Desk::new();
    desk.write(
        "core.wasm",
        wat::parse_str(TEXT).expect("the template is well formed"),
    );
    desk.done(&["plugin", "build", "core.wasm"]);
    let component = desk.read("core.component.wasm");
    assert!(wasmparser::Parser::is_component(&component));
}

#[test]
fn a_build_refuses_what_a_node_would_refuse_by_the_same_code() {
    let desk = Desk::new();
    let foreign =
        r#"(import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))"#;
    let cases = [
        (
            TEXT.replace("(module", &format!("(module {foreign}")),
            "P020",
        ),
        (
            TEXT.replace("resolver@1|resolve", "resolver@2|resolve"),
            "P022",
        ),
        (
            TEXT.replace("\"cm32p2|rejoin:plugin/resolver@1|resolve\"", "\"resolve\""),
            "P024",
        ),
        ("(module)".to_owned(), "P030"),
        (
            TEXT.replace(
                "(i32.const 1024))\n\n  (func (export \"cm32p2|rejoin:plugin/about@1|check",
                "unreachable)\n\n  (func (export \"cm32p2|rejoin:plugin/about@1|check",
            ),
            "P050",
        ),
    ];
    for (text, code) in cases {
        desk.write(
            "bad.wasm",
            wat::parse_str(&text).unwrap_or_else(|error| panic!("{code}: {error}")),
        );
        let error = desk.error(&["plugin", "build", "bad.wasm", "--out", "out.wasm"]);
        assert!(error.contains(code), "{code}: {error}");
        assert!(!desk.path("out.wasm").exists(), "{code}");
    }
    desk.write("text.wasm", TEXT);
    assert!(
        desk.error(&["plugin", "build", "text.wasm"])
            .contains("P003")
    );
}

#[test]
fn a_manifest_that_says_otherwise_than_the_plugin_is_refused() {
    let desk = Desk::new();
    desk.project("list");
    let manifest = String::from_utf8(desk.read("list/rejoin-plugin.toml")).expect("text");
    desk.write(
        "list/rejoin-plugin.toml",
        manifest.replace("0.1.0", "0.2.0"),
    );
    let error = desk.error(&["plugin", "build", "list"]);
    assert!(
        error.contains("list 0.2.0") && error.contains("list 0.1.0"),
        "{error}"
    );
    let error = desk.error(&["plugin", "build"]);
    assert!(error.contains("rejoin plugin new"), "{error}");
}

/// A node's library with its default limits.
struct Node {
    library: Arc<Library>,
    _folder: TempDir,
}

impl Node {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::new(env!("CARGO_BIN_EXE_rejoin").into(), 1, 1 << 20);
        // Fuel has to decide, not the clock of a busy machine.
        settings.guest_wall_ms = 20_000;
        let library = Library::open(folder.path(), settings).expect("an empty library opens");
        Self {
            library: Arc::new(library),
            _folder: folder,
        }
    }

    fn resolve(&self, digest: Digest, fixture: &Value) -> Resolution {
        let bucket = BucketName::new("bucket").expect("a good name");
        let key = fixture["key"].as_str().expect("a key").to_owned();
        let siblings = fixture["siblings"].as_array().expect("a list").iter();
        let question = Question {
            key: Key::new(bucket, Bytes::from(key)).expect("a good key"),
            binding: Binding::new(digest),
            ask: Ask::Resolve(canonical(siblings.map(version).collect())),
        };
        match self.library.answer(&question).answer {
            Answer::Resolved { resolution, .. } => resolution,
            other => panic!("no resolution: {other:?}"),
        }
    }
}

fn version(sibling: &Value) -> Version {
    let at = sibling["written_at_ms"].as_u64().unwrap_or(0);
    Version::value(bytes(&sibling["value"]), at)
}

/// A value of a fixture: text, or `{"base64": "..."}`.
fn bytes(value: &Value) -> Vec<u8> {
    match (value.as_str(), value["base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (_, Some(text)) => from_base64(text),
        _ => panic!("{value} is no value"),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut held, mut bits, mut bytes) = (0u32, 0, Vec::new());
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let place = ALPHABET.iter().position(|each| *each == letter);
        held = held << 6 | place.expect("a letter of the alphabet") as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

fn fixtures() -> Vec<Value> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/plugins/templates/shared/fixtures"
    );
    let files = fs::read_dir(folder).expect("the fixtures are there");
    let parse = |path: PathBuf| serde_json::from_slice(&fs::read(path).expect("a file"));
    let fixtures = files.map(|file| parse(file.expect("an entry").path()).expect("JSON"));
    fixtures.collect()
}

fn committed(lang: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/templates/bin");
    fs::read(folder.join(format!("{lang}.wasm"))).unwrap_or_else(|error| panic!("{lang}: {error}"))
}

#[tokio::test]
async fn the_template_is_the_same_resolver_in_every_language() {
    let node = Node::open();
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 3);
    for lang in COMMITTED {
        let component = committed(lang);
        let names = Names::read(&component).expect("a component");
        assert_eq!(names.imports, ["rejoin:plugin/types@1.0.0"], "{lang}");
        let admitted = node.library.admit(component.into()).await;
        let admitted = admitted.unwrap_or_else(|error| panic!("{lang}: {error}"));
        let said = &admitted.description;
        assert_eq!(
            (said.name.as_str(), said.version.as_str()),
            ("line-union", "0.1.0"),
            "{lang}"
        );
        assert!(
            said.laws.commutative && said.laws.associative && said.laws.idempotent,
            "{lang}"
        );
        assert_eq!(said.samples.len(), 2, "{lang}");
        assert!(
            node.library.check_params(admitted.digest, b"").is_ok(),
            "{lang}"
        );
        let refused = node
            .library
            .check_params(admitted.digest, b"x")
            .expect_err(lang);
        assert!(
            refused.to_string().contains("line-union takes no params"),
            "{lang}: {refused}"
        );
        for fixture in &fixtures {
            let merged = bytes(&fixture["expect"]["merged"]);
            let expected = Resolution::Merged(merged.into());
            assert_eq!(
                node.resolve(admitted.digest, fixture),
                expected,
                "{lang}: {fixture}"
            );
        }
    }
}
