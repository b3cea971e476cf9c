//! Why an upload was refused: the messages that authors of plugins see.
//!
//! Every message starts with its code, says whose fault it is and names the fix. Codes are stable:
//! clients and documentation refer to them.
//!
//! Invariant: a refused upload leaves nothing behind, so it may be sent again after the fix.

use crate::dynamo::names::Digest;
use crate::dynamo::reconcile::answer::GuestFailure;

/// Why a plugin was not admitted. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    #[error("P001 the upload is empty; send the bytes of a .wasm file")]
    Empty,
    #[error(
        "P002 the plugin has {found} bytes or more, this node takes {limit}; its author can strip it (wasm-opt -Oz, strip = true), its operator can raise plugin_bytes_max, as JavaScript, Go and Python need it"
    )]
    TooLarge { found: usize, limit: usize },
    #[error(
        "P003 the wrong file was sent: this is text, not WebAssembly; if it is WAT, translate it first (wasm-tools parse), if it is source code, build it"
    )]
    Text,
    #[error(
        "P004 this is a native program ({format}), not WebAssembly; build it for the target wasm32-unknown-unknown"
    )]
    Native { format: &'static str },
    #[error(
        "P005 this is native code that Wasmtime compiled ahead of time; nodes accept none, send the .wasm file that it was made from"
    )]
    Precompiled,
    #[error(
        "P006 this is an archive or compressed ({format}); unpack it and send the .wasm file itself"
    )]
    Archive { format: &'static str },
    #[error(
        "P007 this does not start like WebAssembly (\\0asm); send the .wasm file that your build wrote"
    )]
    NotWasm,
    #[error(
        "P008 the WebAssembly is not valid: {message}; check that the whole file was sent, and build it again with current tools"
    )]
    Malformed { message: String },
    #[error(
        "P010 the plugin has {found} {what}, the limit of this node is {limit}; its author can simplify the code or build it with optimisation, its operator can raise plugin_bytes_max, which raises this limit too"
    )]
    Structure {
        what: &'static str,
        found: u64,
        limit: u64,
    },
    #[error(
        "P011 the plugin uses a part of WebAssembly that is off here: {message}; build without threads, memory64, relaxed SIMD, exceptions, GC, tail calls and async (Rust: plain wasm32-unknown-unknown)"
    )]
    Feature { message: String },
    #[error(
        "P020 the plugin asks for {import}{functions}. Plugins must be pure: only rejoin:plugin/log is given. Its author has to build it without (Rust: --target wasm32-unknown-unknown; C: no libc; JavaScript: jco with --backend-qjs-stub-wasi; Python: --stub-wasi)"
    )]
    ForeignImport { import: String, functions: String },
    #[error(
        "P021 the plugin uses {what}, which a pure function needs not and which is off here; build it against the plain contract in wit/"
    )]
    ForeignType { what: &'static str },
    #[error(
        "P022 the plugin was built against {found}, this node speaks rejoin:plugin@{ours}; its author has to build it against wit/v1, or the operator to upgrade the cluster"
    )]
    ContractVersion { found: String, ours: &'static str },
    #[error(
        "P023 the plugin does not export rejoin:plugin/about@1.0.0; its author has to implement `describe` and `check-params` and build for a world of wit/v1"
    )]
    NoAbout,
    #[error(
        "P024 the plugin exports neither rejoin:plugin/resolver nor rejoin:plugin/validator at 1.0.0; its author has to implement at least one and build for a world of wit/v1"
    )]
    NoRole,
    #[error(
        "P025 the plugin's {function} is not the one of wit/v1: {message}; its author has to build against the unchanged contract"
    )]
    WrongShape {
        function: &'static str,
        message: String,
    },
    #[error(
        "P030 this is a core module without the contract's exports; its author has to build a library for wasm32-unknown-unknown, not a program or for WASI, and to send a component (wit-bindgen, jco, componentize-py) or export the canonical-ABI names (cm32p2|rejoin:plugin/about@1|describe, cm32p2_memory, ...)"
    )]
    PlainCore,
    #[error(
        "P031 this core module cannot be wrapped into a component: {message}; its author has to mend the exports that it names"
    )]
    Wrapping { message: String },
    #[error(
        "P040 compiling the plugin took more than {budget}; its author can split large functions or build with optimisation, its operator can raise plugin_bytes_max, which raises this budget too"
    )]
    CompileBudget { budget: String },
    #[error(
        "P041 the plugin cannot be compiled for this node: {message}; its author has to simplify it, or to report this if the file is plain"
    )]
    CompileRefused { message: String },
    #[error(
        "P042 this node cannot compile plugins: {message}; not the plugin's fault, its operator should look at the log, a retry is safe"
    )]
    CompilerBroken { message: String },
    #[error("P050 the plugin was asked to describe itself and failed: {failure}")]
    Describe { failure: GuestFailure },
    #[error("P051 the plugin describes itself badly: {message}; its author has to mend `describe`")]
    Description { message: String },
    #[error("P052 the plugin fails on a sample of its own: {message}")]
    Sample { message: String },
    #[error("P060 the cluster has {limit} plugins, its limit; remove one that no bucket uses")]
    LibraryFull { limit: usize },
    #[error(
        "P061 this node cannot keep the plugin: {message}; not the plugin's fault, its operator should look at the disk, a retry is safe"
    )]
    Disk { message: String },
    #[error("P062 this node does not have the plugin {digest}; upload it, or fetch it from a peer")]
    Missing { digest: Digest },
    #[error("P070 the plugin is {message}")]
    Unlawful { message: String },
    #[error(
        "P071 the laws of the plugin could not be checked on this node: {message}; not the plugin's fault, a retry is safe"
    )]
    LawsUnchecked { message: String },
}

impl UploadError {
    /// The stable code that the message starts with.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "P001",
            Self::TooLarge { .. } => "P002",
            Self::Text => "P003",
            Self::Native { .. } => "P004",
            Self::Precompiled => "P005",
            Self::Archive { .. } => "P006",
            Self::NotWasm => "P007",
            Self::Malformed { .. } => "P008",
            Self::Structure { .. } => "P010",
            Self::Feature { .. } => "P011",
            Self::ForeignImport { .. } => "P020",
            Self::ForeignType { .. } => "P021",
            Self::ContractVersion { .. } => "P022",
            Self::NoAbout => "P023",
            Self::NoRole => "P024",
            Self::WrongShape { .. } => "P025",
            Self::PlainCore => "P030",
            Self::Wrapping { .. } => "P031",
            Self::CompileBudget { .. } => "P040",
            Self::CompileRefused { .. } => "P041",
            Self::CompilerBroken { .. } => "P042",
            Self::Describe { .. } => "P050",
            Self::Description { .. } => "P051",
            Self::Sample { .. } => "P052",
            Self::LibraryFull { .. } => "P060",
            Self::Disk { .. } => "P061",
            Self::Missing { .. } => "P062",
            Self::Unlawful { .. } => "P070",
            Self::LawsUnchecked { .. } => "P071",
        }
    }

    /// Whether this node is at fault, so that the same bytes may pass later or elsewhere.
    pub fn is_hosts_fault(&self) -> bool {
        match self {
            Self::CompilerBroken { .. } | Self::Disk { .. } | Self::Missing { .. } => true,
            Self::LibraryFull { .. } | Self::LawsUnchecked { .. } => true,
            Self::Describe { failure } => !failure.is_deterministic(),
            _ => false,
        }
    }
}
