//! From the source of a plugin to a core module or component, language by language.
//!
//! Calls the language's own tools and nothing else; what they leave is judged by `build`. The flags are
//! those that leave no import but the contract's.
//!
//! Invariant: what is written lies in the folder `build`, or in cargo's target folder.

use super::super::author_arguments::Language;
use super::manifest::Manifest;
use super::tool::{ASC, COMPONENTIZE_PY, Found, GO, JCO, TSC, WASM_CARGO, WASM_MERGE, WAT, ZIG};
use anyhow::{Context as _, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds a project and says where its module or component is.
pub fn follow(folder: &Path, manifest: &Manifest) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder.join("build")).context("making the folder build")?;
    if let Some(own) = &manifest.build {
        Found::named(&own.command).run(folder, &[])?;
        return Ok(folder.join(&own.output));
    }
    let core = format!("build/{}.core.wasm", manifest.name);
    let built = match manifest.language()? {
        Language::Rust => return rust(folder, manifest),
        Language::C => c(folder, &core)?,
        Language::Zig => zig(folder, &core)?,
        Language::Assemblyscript => assemblyscript(folder, &core)?,
        Language::JavaScript => javascript(folder, manifest, "resolver.js")?,
        Language::TypeScript => typescript(folder, manifest)?,
        Language::Python => python(folder, manifest)?,
        Language::Wat => wat(folder, &core)?,
        Language::Go => go(folder, &core)?,
    };
    Ok(folder.join(built))
}

fn rust(folder: &Path, manifest: &Manifest) -> anyhow::Result<PathBuf> {
    let cargo = WASM_CARGO.find(folder)?;
    if WASM_CARGO.replaced().is_none() {
        check_rust_target(folder)?;
    }
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => std::path::absolute(target).context("CARGO_TARGET_DIR")?,
        None => folder.join("target"),
    };
    let shown = target.display().to_string();
    cargo.run(folder, &["--release", "--target-dir", &shown])?;
    let crate_name = manifest.name.replace('-', "_");
    let built = target.join(format!("wasm32-unknown-unknown/release/{crate_name}.wasm"));
    ensure!(
        built.is_file(),
        "cargo left no {}; the package in Cargo.toml must be called {:?} like the plugin, with crate-type cdylib",
        built.display(),
        manifest.name
    );
    Ok(built)
}

/// Without the target cargo fails with a hundred lines about `core`.
fn check_rust_target(folder: &Path) -> anyhow::Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args([
        "--print",
        "target-libdir",
        "--target",
        "wasm32-unknown-unknown",
    ]);
    let answer = rustc.current_dir(folder).stdin(Stdio::null()).output();
    let answer = answer.context("starting `rustc`; get it from https://rustup.rs")?;
    let libraries = String::from_utf8_lossy(&answer.stdout);
    ensure!(
        Path::new(libraries.trim()).is_dir(),
        "the Rust target wasm32-unknown-unknown is missing; get it with rustup target add wasm32-unknown-unknown, or name a command of yours in {}",
        WASM_CARGO.variable
    );
    Ok(())
}

/// The stack lies below the data, so that running over its end traps instead of overwriting.
const LINK: &str = "wasm-ld --no-entry --strip-all --stack-first -z stack-size=65536 --export-memory=cm32p2_memory build/resolver.o";
const C: &str = "cc -target wasm32-freestanding -std=c11 -Os -nostdlib -ffreestanding -Wall -Wextra -c -o build/resolver.o resolver.c";
const ZIG_OBJECT: &str = "build-obj resolver.zig -target wasm32-freestanding -O ReleaseSmall -fstrip -femit-bin=build/resolver.o";
/// The stub runtime never frees, which is right for an instance that lives for one call.
const ASSEMBLYSCRIPT: &str =
    "exports.ts -O3 --runtime stub --use abort= --noAssert --transform ./names.js";
/// QuickJS, with all of WASI replaced by functions that trap.
const JAVASCRIPT: &str =
    "--wit wit --backend qjs --backend-qjs-stub-wasi --backend-qjs-disable-async";
const GO_MODULE: &str = "build -buildmode=c-shared -trimpath -ldflags=-s -o build/go.wasm .";
/// `wasi.wat` answers with constants what Go's runtime asks; after the merge nothing is imported.
const GO_MERGE: &str = "--enable-bulk-memory --enable-bulk-memory-opt --enable-sign-ext --enable-nontrapping-float-to-int --enable-mutable-globals build/go.wasm go wasi.wat wasi_snapshot_preview1";

/// The words of a command, and those that may hold spaces.
fn words<'a>(fixed: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    fixed.split(' ').chain(more.iter().copied()).collect()
}

fn c(folder: &Path, core: &str) -> anyhow::Result<String> {
    let zig = ZIG.find(folder)?;
    zig.run(folder, &words(C, &[]))?;
    zig.run(folder, &words(LINK, &["-o", core]))?;
    Ok(core.to_owned())
}

fn zig(folder: &Path, core: &str) -> anyhow::Result<String> {
    let zig = ZIG.find(folder)?;
    zig.run(folder, &words(ZIG_OBJECT, &[]))?;
    zig.run(folder, &words(LINK, &["--export-dynamic", "-o", core]))?;
    Ok(core.to_owned())
}

fn assemblyscript(folder: &Path, core: &str) -> anyhow::Result<String> {
    ASC.find(folder)?
        .run(folder, &words(ASSEMBLYSCRIPT, &["-o", core]))?;
    Ok(core.to_owned())
}

fn javascript(folder: &Path, manifest: &Manifest, source: &str) -> anyhow::Result<String> {
    let component = format!("build/{}.jco.wasm", manifest.name);
    // A source in a folder is only found by its whole path.
    let source = folder.join(source).display().to_string();
    let own = ["-n", &manifest.world, "-o", &component];
    let arguments = [&["componentize", &source], &words(JAVASCRIPT, &own)[..]].concat();
    JCO.find(folder)?.run(folder, &arguments)?;
    Ok(component)
}

fn typescript(folder: &Path, manifest: &Manifest) -> anyhow::Result<String> {
    TSC.find(folder)?.run(folder, &["-p", "."])?;
    javascript(folder, manifest, "build/resolver.js")
}

fn python(folder: &Path, manifest: &Manifest) -> anyhow::Result<String> {
    let component = format!("build/{}.py.wasm", manifest.name);
    let fixed = "componentize --stub-wasi resolver -o";
    let arguments = [
        &["-d", "wit", "-w", &manifest.world],
        &words(fixed, &[&component])[..],
    ]
    .concat();
    COMPONENTIZE_PY.find(folder)?.run(folder, &arguments)?;
    Ok(component)
}

fn go(folder: &Path, core: &str) -> anyhow::Result<String> {
    let (go, merge) = (GO.find(folder)?, WASM_MERGE.find(folder)?);
    go.run_with(
        folder,
        &words(GO_MODULE, &[]),
        &[("GOOS", "wasip1"), ("GOARCH", "wasm")],
    )?;
    merge.run(folder, &words(GO_MERGE, &["-o", core]))?;
    Ok(core.to_owned())
}

fn wat(folder: &Path, core: &str) -> anyhow::Result<String> {
    WAT.find(folder)?
        .run(folder, &["resolver.wat", "-o", core])?;
    Ok(core.to_owned())
}
