//! Plugins for the tests: written as text, translated here, never committed as bytes.
//!
//! Invariant: every plugin is `plugin.wat` with other instructions in a few places, so a test shows only
//! what is special about its plugin.

use bytes::Bytes;
use rejoin::dynamo::bucket::Binding;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::names::{BucketName, Digest, Key};
use rejoin::dynamo::reconcile::question::{Ask, Question};
use rejoin::limits::GUEST_WALL_MS_MAX;
use rejoin::wasm::guest::Report;
use rejoin::wasm::library::{Library, Settings};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

const CONTRACT: &str = include_str!("../../wit/v1/plugin.wit");
const TEXT: &str = include_str!("plugin.wat");

/// Instructions of the resolvers that the tests ask. `$siblings` and `$count` are in scope.
pub const PICK_FIRST: &str = "(call $answer (i32.const 2) (i32.const 0) (i32.const 0))";
pub const CONCATENATE: &str = "(call $concatenate (local.get $siblings) (local.get $count))";

/// A plugin that is being written.
#[derive(Clone)]
pub struct Text {
    places: Vec<(&'static str, String)>,
}

impl Text {
    /// A plugin that only says what it is.
    pub fn bare() -> Self {
        Self { places: Vec::new() }
    }

    /// A resolver with these instructions as its body.
    pub fn resolver(body: &str) -> Self {
        let resolver = format!(
            r#"(func (export "cm32p2|rejoin:plugin/resolver@1|resolve")
                 (param $key i32) (param $key-length i32) (param $siblings i32) (param $count i32)
                 (param $extras i32) (param $extras-count i32) (param $params i32) (param $params-length i32)
                 (result i32) {body})"#
        );
        Self::bare().with("resolver", &resolver)
    }

    /// A validator with these instructions as its body; its answer is a result.
    pub fn validator(body: &str) -> Self {
        let validator = format!(
            r#"(func (export "cm32p2|rejoin:plugin/validator@1|validate")
                 (param i32 i32) (param i32 i32 i32 i32 i32 i32 i64 i32 i32) (param i32 i32 i32 i32)
                 (result i32) {body})"#
        );
        Self::bare().with("validator", &validator)
    }

    pub fn with(mut self, place: &'static str, text: &str) -> Self {
        self.places.push((place, text.to_owned()));
        self
    }

    /// The text with everything in its place.
    pub fn wat(&self) -> String {
        let named = |place: &str| self.places.iter().find(|(name, _)| *name == place);
        let name = named("name").map_or("tester", |(_, text)| text);
        let samples = match named("sampled") {
            Some(_) => r"\80\01\00\00\01\00\00\00",
            None => r"\00\00\00\00\00\00\00\00",
        };
        let name_length = format!(r"\{:02x}\00\00\00", name.len());
        let plain = [
            ("memory", "2"),
            ("describe", "(i32.const 128)"),
            ("resolver", ""),
            ("validator", ""),
            ("more", ""),
            ("name", name),
            ("name-length", &name_length),
            ("samples", samples),
        ];
        plain.iter().fold(TEXT.to_owned(), |wat, (place, plain)| {
            let text = named(place).map_or(*plain, |(_, text)| text);
            wat.replace(&format!("{{{place}}}"), text)
        })
    }

    /// As a core module with canonical names.
    pub fn core(&self) -> Vec<u8> {
        wat::parse_str(self.wat()).expect("the test's WAT is well formed")
    }

    /// As a component.
    pub fn component(&self) -> Vec<u8> {
        let validator = self.places.iter().any(|(place, _)| *place == "validator");
        wrap(
            self.core(),
            if validator {
                "validator-plugin"
            } else {
                "resolver-plugin"
            },
            CONTRACT,
        )
    }

    /// As a component of a contract of another version, `plugin@X.Y.Z`, or of another world.
    pub fn component_for(&self, package: &str, world: &str) -> Vec<u8> {
        let only_about = "world about-plugin {\n    import log;\n    export about;\n}\n";
        let contract = format!("{CONTRACT}\n{only_about}").replace("plugin@1.0.0", package);
        let text = match world {
            "about-plugin" => Self::bare().wat(),
            _ => self.wat(),
        };
        let module = wat::parse_str(text).expect("the test's WAT is well formed");
        wrap(module, world, &contract)
    }

    /// As a component of a contract that was changed in one place.
    pub fn component_of_changed(&self, from: &str, to: &str) -> Vec<u8> {
        assert!(CONTRACT.contains(from), "{from}");
        wrap(self.core(), "resolver-plugin", &CONTRACT.replace(from, to))
    }
}

/// Wraps a core module for a world of a contract.
pub fn wrap(mut module: Vec<u8>, world: &str, contract: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_source("test.wit", contract)
        .expect("the contract parses");
    let world = resolve
        .select_world(&[package], Some(world))
        .expect("the world exists");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("it embeds");
    let encoder = ComponentEncoder::default()
        .module(&module)
        .expect("the module fits the world");
    encoder.validate(true).encode().expect("it encodes")
}

/// A library in a folder of its own.
pub struct Shelf {
    pub folder: TempDir,
    pub library: Arc<Library>,
}

impl Shelf {
    pub fn open() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = open(folder.path(), settings);
        Self { folder, library }
    }

    /// The same folder, as after a restart.
    pub fn reopen(self) -> Self {
        let Self { folder, library } = self;
        drop(library);
        let library = open(folder.path(), settings());
        Self { folder, library }
    }

    pub async fn admit(&self, bytes: Vec<u8>) -> Digest {
        let admitted = self.library.admit(bytes.into()).await;
        admitted.unwrap_or_else(|error| panic!("{error}")).digest
    }

    /// Admits a resolver and asks it about two siblings.
    pub async fn ask(&self, body: &str) -> Report {
        let digest = self.admit(Text::resolver(body).component()).await;
        self.library.answer(&question(digest, &["apple", "pear"]))
    }
}

pub fn open(folder: &Path, settings: Settings) -> Arc<Library> {
    Arc::new(Library::open(folder, settings).unwrap_or_else(|error| panic!("{error}")))
}

/// Enough wall clock for a machine that does other things too: fuel has to decide, not the clock.
pub fn settings() -> Settings {
    let mut settings = Settings::new(compiler(), 2, 1 << 20);
    settings.guest_wall_ms = 20_000;
    settings
}

pub fn compiler() -> PathBuf {
    env!("CARGO_BIN_EXE_rejoin").into()
}

pub fn question(digest: Digest, values: &[&str]) -> Question {
    let values = values
        .iter()
        .map(|value| Version::value(Bytes::copy_from_slice(value.as_bytes()), 7));
    asking(digest, Ask::Resolve(values.collect()))
}

pub fn asking(digest: Digest, ask: Ask) -> Question {
    let bucket = BucketName::new("carts").expect("a good name");
    let mut binding = Binding::new(digest);
    // As in `settings`: fuel has to decide.
    binding.limits.wall_ms = GUEST_WALL_MS_MAX;
    Question {
        key: Key::new(bucket, Bytes::from_static(b"mine")).expect("a good key"),
        binding,
        ask,
    }
}
