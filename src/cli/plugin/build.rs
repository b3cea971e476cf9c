//! `rejoin plugin build`: from a project to a component that a node takes.
//!
//! The tools are the language's own; what they leave is judged by the code that judges uploads, in the same
//! order: inspection, wrapping, compilation in a child process, description. Asks no server.
//!
//! Invariant: what is written would be taken in by a node with the limit that is printed.

use super::super::author_arguments::BuildPlugin;
use super::super::output::print_json;
use super::manifest::Manifest;
use super::recipe;
use crate::limits::{PLUGIN_BYTES_DEFAULT, PLUGIN_BYTES_MAX};
use crate::wasm::inspection::{Names, inspect};
use crate::wasm::library::{Admitted, Library, Settings};
use crate::wasm::upload_error::UploadError;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub async fn run(build: &BuildPlugin, json: bool) -> anyhow::Result<()> {
    let is_module = build.path.is_file();
    let (built, default, manifest) = match is_module {
        true => (
            build.path.clone(),
            build.path.with_extension("component.wasm"),
            None,
        ),
        false => {
            let shown = build.path.display();
            let folder = build.path.canonicalize();
            let folder = folder.with_context(|| format!("opening {shown}"))?;
            let manifest = Manifest::read(&folder)?;
            let built = recipe::follow(&folder, &manifest)?;
            let default = build.path.join(format!("build/{}.wasm", manifest.name));
            (built, default, Some(manifest))
        }
    };
    let bytes = std::fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    let judged = judge(bytes).await?;
    if let Some(manifest) = &manifest {
        compare(manifest, &judged.admitted)?;
    }
    let out = build.out.clone().unwrap_or(default);
    write(&out, &judged.component)?;
    match json {
        true => print_json(&judged.as_json(&out)),
        false => judged.print(&out),
    }
    Ok(())
}

fn write(out: &Path, component: &[u8]) -> anyhow::Result<()> {
    let write = || {
        out.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(out, component)
    };
    write().with_context(|| format!("writing {}", out.display()))
}

/// A component, and what a node would say of it.
struct Judged {
    component: Bytes,
    admitted: Admitted,
    names: Names,
    /// The least `plugin_bytes_max` with which a node takes it.
    plugin_bytes_max: usize,
    /// Inspection, compilation and description, here.
    admission_ms: u128,
}

/// Tries the default limit first, and then larger ones as long as a limit is what is wrong.
async fn judge(bytes: Vec<u8>) -> anyhow::Result<Judged> {
    let compiler = std::env::current_exe().context("finding this program")?;
    let mut limit = PLUGIN_BYTES_DEFAULT;
    loop {
        let settings = Settings::new(compiler.clone(), 1, limit);
        match try_with(&bytes, settings).await {
            Err(Refused::Upload(error)) if is_a_limit(&error) && limit < PLUGIN_BYTES_MAX => {
                limit = (2 * limit).min(PLUGIN_BYTES_MAX);
            }
            Err(Refused::Upload(error)) => return Err(error.into()),
            Err(Refused::Other(error)) => return Err(error),
            Ok(judged) => return Ok(judged),
        }
    }
}

fn is_a_limit(error: &UploadError) -> bool {
    matches!(
        error,
        UploadError::TooLarge { .. }
            | UploadError::Structure { .. }
            | UploadError::CompileBudget { .. }
    )
}

enum Refused {
    Upload(UploadError),
    Other(anyhow::Error),
}

impl From<UploadError> for Refused {
    fn from(error: UploadError) -> Self {
        Self::Upload(error)
    }
}

async fn try_with(bytes: &[u8], settings: Settings) -> Result<Judged, Refused> {
    let plugin_bytes_max = settings.structure.plugin_bytes;
    let component: Bytes = inspect(bytes, &settings.structure)?.into_owned().into();
    let names = Names::read(&component)?;
    let folder = tempfile::tempdir().context("making a temporary folder");
    let folder = folder.map_err(Refused::Other)?;
    let library = Library::open(folder.path(), settings);
    let library = Arc::new(library.map_err(|error| Refused::Other(error.into()))?);
    let begun = Instant::now();
    let admitted = library.admit(component.clone()).await?;
    Ok(Judged {
        component,
        admitted,
        names,
        plugin_bytes_max,
        admission_ms: begun.elapsed().as_millis(),
    })
}

/// Two places say who the plugin is; one that was forgotten would show on every node.
fn compare(manifest: &Manifest, admitted: &Admitted) -> anyhow::Result<()> {
    let said = &admitted.description;
    ensure!(
        said.name == manifest.name && said.version == manifest.version,
        "rejoin-plugin.toml says {} {}, the plugin's `describe` says {} {}; make them the same",
        manifest.name,
        manifest.version,
        said.name,
        said.version
    );
    Ok(())
}

impl Judged {
    fn as_json(&self, out: &Path) -> serde_json::Value {
        let said = &self.admitted.description;
        json!({
            "file": out,
            "name": said.name,
            "version": said.version,
            "roles": self.roles(),
            "laws_claimed": said.laws.names(),
            "size_bytes": self.component.len(),
            "sha256": self.admitted.digest.to_string(),
            "imports": self.names.imports,
            "exports": self.names.exports,
            "plugin_bytes_max": self.plugin_bytes_max,
            "native_bytes": self.admitted.native_bytes,
            "admission_ms": self.admission_ms,
        })
    }

    fn roles(&self) -> Vec<&'static str> {
        let roles = self.admitted.roles;
        let named = [(roles.resolver, "resolver"), (roles.validator, "validator")];
        let held = named.into_iter().filter(|(held, _)| *held);
        held.map(|(_, name)| name).collect()
    }

    fn print(&self, out: &Path) {
        let said = &self.admitted.description;
        let shown = out.display();
        let claims = match said.laws.names() {
            none if none.is_empty() => "no laws".to_owned(),
            laws => laws.join(", "),
        };
        println!("{shown}");
        println!(
            "  plugin   {} {}, {}; claims {claims}",
            said.name,
            said.version,
            self.roles().join("+")
        );
        println!("  size     {} bytes", self.component.len());
        println!("  sha256   {}", self.admitted.digest);
        println!("  imports  {}", listed(&self.names.imports));
        println!("  exports  {}", listed(&self.names.exports));
        println!("  ready    after {} ms on this machine", self.admission_ms);
        if self.plugin_bytes_max > PLUGIN_BYTES_DEFAULT {
            println!(
                "  limits   nodes need plugin_bytes_max = {} (the default is {PLUGIN_BYTES_DEFAULT})",
                self.plugin_bytes_max
            );
        }
        eprintln!("next: rejoin plugin push {shown}");
    }
}

fn listed(names: &[String]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
