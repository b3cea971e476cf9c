//! What authors of plugins type: `rejoin plugin new`, `build` and `test`.
//!
//! Invariant: none of them needs a server.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct NewPlugin {
    /// Name of the plugin, and of the folder: lower-case letters, digits and `-`.
    pub name: String,
    /// What it is written in.
    #[arg(long, value_enum)]
    pub lang: Language,
    /// Where the folder is made [default: here].
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = TOOLS)]
pub struct BuildPlugin {
    /// Folder with a rejoin-plugin.toml, or a core module that is to be made a component.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Where the component is written [default: build/NAME.wasm in the folder].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

const TOOLS: &str = "\
Tools, each replaced by a command of yours, split at spaces:
  REJOIN_WASM_CARGO      cargo build --target wasm32-unknown-unknown (yours chooses the target by itself)
  REJOIN_ZIG             zig, or python3 -m ziglang (C and Zig)
  REJOIN_ASC             asc (AssemblyScript)
  REJOIN_JCO             jco (JavaScript, TypeScript)
  REJOIN_TSC             tsc (TypeScript)
  REJOIN_COMPONENTIZE_PY componentize-py (Python)
  REJOIN_GO              go (Go)
  REJOIN_WASM_MERGE      wasm-merge (Go)
  REJOIN_WAT             wasm-tools parse, wat2wasm, or jco parse (WAT); called as COMMAND IN -o OUT
CARGO_TARGET_DIR is honoured. A [build] table in rejoin-plugin.toml replaces the whole build.";

/// A language that `rejoin plugin new` writes a project in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    C,
    Zig,
    #[value(alias = "as")]
    Assemblyscript,
    #[value(name = "js", alias = "javascript")]
    JavaScript,
    #[value(name = "ts", alias = "typescript")]
    TypeScript,
    #[value(alias = "py")]
    Python,
    /// WebAssembly text.
    Wat,
    Go,
}

impl Language {
    /// The word after `--lang`, which is also what `rejoin-plugin.toml` says.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Zig => "zig",
            Self::Assemblyscript => "assemblyscript",
            Self::JavaScript => "js",
            Self::TypeScript => "ts",
            Self::Python => "python",
            Self::Wat => "wat",
            Self::Go => "go",
        }
    }

    /// The language of such a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::from_str(word, false).ok()
    }
}

/// What `rejoin plugin test` is asked.
#[derive(Debug, Args)]
pub struct TestPlugin {
    /// A .wasm file, or a folder with `rejoin-plugin.toml`.
    pub path: PathBuf,
    /// Folder of fixtures [default: `fixtures` beside the file].
    #[arg(long, value_name = "FOLDER")]
    pub fixtures: Option<PathBuf>,
    /// File that a bucket would hand to the plugin with every call.
    #[arg(long, value_name = "FILE")]
    pub params_file: Option<PathBuf>,
    /// Fuel that a bucket would grant for one call [default: 50 million].
    #[arg(long, value_name = "UNITS")]
    pub fuel: Option<u64>,
    /// Where counterexamples are written to, one file for each law that is broken.
    #[arg(long, value_name = "FOLDER")]
    pub evidence: Option<PathBuf>,
    /// The nodes' limit of an upload [default: 1048576].
    #[arg(long, value_name = "BYTES")]
    pub plugin_bytes_max: Option<usize>,
}
