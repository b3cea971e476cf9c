//! `rejoin plugin replay`: tries a counterexample again, on the plugin that gave it or on a mended one.
//!
//! Invariant: exit status 0 means that the law holds; a plugin that still breaks it ends with 1.

use super::offline::{Bench, read};
use crate::cli::output::print_json;
use crate::dynamo::names::Digest;
use crate::limits::PLUGIN_BYTES_MAX;
use crate::wasm::laws::evidence::{Evidence, Replayed};
use crate::wasm::library::digest_of;
use anyhow::Context as _;
use serde_json::json;
use std::path::{Path, PathBuf};

pub async fn run(
    file: &Path,
    plugin: Option<PathBuf>,
    validator: Option<PathBuf>,
    json: bool,
) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let evidence = Evidence::from_json(&text)?;
    let wanted = evidence.digest()?;
    let plugin = match plugin {
        Some(plugin) => plugin,
        None => find(wanted, file)?,
    };
    let bench = Bench::open(PLUGIN_BYTES_MAX)?;
    let admitted = bench.admit(&plugin).await?;
    if let Some(validator) = validator {
        bench.admit(&validator).await?;
    }
    let replayed = evidence.replay(&*bench.library, admitted.digest)?;
    let replayed =
        replayed.map_err(|halt| anyhow::anyhow!("it cannot be replayed here: {halt:?}"))?;
    let law = evidence.law()?;
    if json {
        print_json(&json!({
            "law": law.name(),
            "plugin": admitted.digest.to_string(),
            "is_the_same_plugin": admitted.digest == wanted,
            "holds": replayed == Replayed::Holds,
            "outcome": replayed.to_string(),
        }));
    } else {
        println!("{} ({}): {replayed}", law.name(), plugin.display());
    }
    anyhow::ensure!(
        replayed == Replayed::Holds,
        "the plugin is not {}: {}; {}",
        law.name(),
        law.broken(),
        law.fix()
    );
    Ok(())
}

/// The plugin of the evidence beside its file, in `build`, or here.
fn find(wanted: Digest, file: &Path) -> anyhow::Result<PathBuf> {
    let beside = file.parent().unwrap_or(Path::new("")).to_owned();
    let folders = [
        beside.clone(),
        beside.join("../build"),
        ".".into(),
        "build".into(),
    ];
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_wasm = path
                .extension()
                .is_some_and(|extension| extension == "wasm");
            if is_wasm && read(&path).is_ok_and(|bytes| digest_of(&bytes) == wanted) {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("the plugin {wanted} is not beside the evidence; name its file with --plugin")
}
