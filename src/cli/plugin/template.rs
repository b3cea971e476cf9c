//! The projects that `rejoin plugin new` writes: one resolver, `line-union`, in each language.
//!
//! The files are in `plugins/templates`, the contract in `wit`, the C headers in `plugins/abi`; the binary
//! carries them. Writes nothing.
//!
//! Invariant: all projects answer the same fixtures with the same bytes.

use super::super::author_arguments::Language;

/// The name in the templates, replaced by the author's.
pub const NAME: &str = "line-union";

/// One file of a project: its path in the folder, and its text.
pub type File = (&'static str, &'static str);

/// A project in one language.
pub struct Template {
    /// How the language is called in prose.
    pub language: &'static str,
    /// Where the rule is.
    pub source: &'static str,
    /// What has to be installed, for the README and for messages.
    pub needs: &'static str,
    files: &'static [File],
}

macro_rules! text {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path))
    };
}

const SHARED: &[File] = &[
    ("README.md", text!("plugins/templates/shared/README.md")),
    (".gitignore", text!("plugins/templates/shared/gitignore")),
    (
        "rejoin-plugin.toml",
        text!("plugins/templates/shared/rejoin-plugin.toml"),
    ),
    ("wit/plugin.wit", text!("wit/v1/plugin.wit")),
    (
        "fixtures/two-lists.json",
        text!("plugins/templates/shared/fixtures/two-lists.json"),
    ),
    (
        "fixtures/empty-list.json",
        text!("plugins/templates/shared/fixtures/empty-list.json"),
    ),
    (
        "fixtures/any-bytes.json",
        text!("plugins/templates/shared/fixtures/any-bytes.json"),
    ),
];

const RUST: Template = Template {
    language: "Rust",
    source: "src/lib.rs",
    needs: "cargo, its target (`rustup target add wasm32-unknown-unknown`), and once a crates.io registry for wit-bindgen",
    files: &[
        ("Cargo.toml", text!("plugins/templates/rust/Cargo.toml")),
        ("Cargo.lock", text!("plugins/templates/rust/Cargo.lock")),
        ("src/lib.rs", text!("plugins/templates/rust/src/lib.rs")),
    ],
};

const C: Template = Template {
    language: "C",
    source: "resolver.c",
    needs: "Zig, as C compiler and linker (`python3 -m pip install ziglang`, or https://ziglang.org)",
    files: &[
        ("resolver.c", text!("plugins/templates/c/resolver.c")),
        ("rejoin_plugin.h", text!("plugins/abi/rejoin_plugin.h")),
        ("rejoin_resolver.h", text!("plugins/abi/rejoin_resolver.h")),
    ],
};

const ZIG: Template = Template {
    language: "Zig",
    source: "resolver.zig",
    needs: "Zig 0.17 (`python3 -m pip install ziglang`, or https://ziglang.org)",
    files: &[
        ("resolver.zig", text!("plugins/templates/zig/resolver.zig")),
        ("rejoin.zig", text!("plugins/templates/zig/rejoin.zig")),
    ],
};

const ASSEMBLYSCRIPT: Template = Template {
    language: "AssemblyScript",
    source: "resolver.ts",
    needs: "AssemblyScript (`npm install -g assemblyscript`)",
    files: &[
        (
            "resolver.ts",
            text!("plugins/templates/assemblyscript/resolver.ts"),
        ),
        (
            "rejoin.ts",
            text!("plugins/templates/assemblyscript/rejoin.ts"),
        ),
        (
            "exports.ts",
            text!("plugins/templates/assemblyscript/exports.ts"),
        ),
        (
            "names.js",
            text!("plugins/templates/assemblyscript/names.js"),
        ),
    ],
};

const JAVASCRIPT: Template = Template {
    language: "JavaScript",
    source: "resolver.js",
    needs: "jco (`npm install -g @bytecodealliance/jco`), which puts the engine QuickJS into the plugin; nodes need `plugin_bytes_max` raised to 8 MiB",
    files: &[(
        "resolver.js",
        text!("plugins/templates/javascript/resolver.js"),
    )],
};

const TYPESCRIPT: Template = Template {
    language: "TypeScript",
    source: "resolver.ts",
    needs: "tsc and jco (`npm install -g typescript @bytecodealliance/jco`), which puts the engine QuickJS into the plugin; nodes need `plugin_bytes_max` raised to 8 MiB",
    files: &[
        (
            "resolver.ts",
            text!("plugins/templates/typescript/resolver.ts"),
        ),
        (
            "rejoin.d.ts",
            text!("plugins/templates/typescript/rejoin.d.ts"),
        ),
        (
            "tsconfig.json",
            text!("plugins/templates/typescript/tsconfig.json"),
        ),
    ],
};

const PYTHON: Template = Template {
    language: "Python",
    source: "resolver.py",
    needs: "componentize-py (`python3 -m pip install componentize-py`), which puts CPython into the plugin; nodes need `plugin_bytes_max` raised to 32 MiB",
    files: &[("resolver.py", text!("plugins/templates/python/resolver.py"))],
};

const WAT: Template = Template {
    language: "WebAssembly text",
    source: "resolver.wat",
    needs: "one of wasm-tools (`cargo install wasm-tools`), wat2wasm (the package wabt) and jco (`npm install -g @bytecodealliance/jco`)",
    files: &[("resolver.wat", text!("plugins/templates/wat/resolver.wat"))],
};

const GO: Template = Template {
    language: "Go",
    source: "resolver.go",
    needs: "Go 1.24 (https://go.dev/dl) and wasm-merge (the package binaryen, or `npm install -g binaryen`), which answers Go's questions to an operating system; nodes need `plugin_bytes_max` raised to 32 MiB",
    files: &[
        ("resolver.go", text!("plugins/templates/go/resolver.go")),
        ("rejoin.go", text!("plugins/templates/go/rejoin.go")),
        ("go.mod", text!("plugins/templates/go/go.mod")),
        ("wasi.wat", text!("plugins/templates/go/wasi.wat")),
    ],
};

impl Template {
    /// The project in a language.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::Rust => &RUST,
            Language::C => &C,
            Language::Zig => &ZIG,
            Language::Assemblyscript => &ASSEMBLYSCRIPT,
            Language::JavaScript => &JAVASCRIPT,
            Language::TypeScript => &TYPESCRIPT,
            Language::Python => &PYTHON,
            Language::Wat => &WAT,
            Language::Go => &GO,
        }
    }

    /// The project's files under the author's name.
    pub fn files(&self, lang: Language, name: &str) -> Vec<(&'static str, String)> {
        let fill = |text: &str| {
            text.replace("{{lang}}", lang.word())
                .replace("{{language}}", self.language)
                .replace("{{source}}", self.source)
                .replace("{{needs}}", self.needs)
                .replace(NAME, name)
        };
        let all = SHARED.iter().chain(self.files);
        all.map(|(path, text)| (*path, fill(text))).collect()
    }
}
