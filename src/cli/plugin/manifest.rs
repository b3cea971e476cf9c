//! `rejoin-plugin.toml`: what a plugin is called, what it is written in, and how else it may be built.
//!
//! Runs nothing.
//!
//! Invariant: a manifest that is read has a good name and a known language.

use super::super::author_arguments::Language;
use super::new::check_name;
use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The file that makes a folder a plugin's.
pub const FILE: &str = "rejoin-plugin.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: String,
    /// The plugin's `describe` has to say the same.
    pub version: String,
    lang: String,
    /// World of the contract, for the tools that ask for it.
    #[serde(default = "resolver_plugin")]
    pub world: String,
    /// What runs in place of the language's own command.
    pub build: Option<Command>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    pub command: Vec<String>,
    /// The core module or component that the command leaves, from the folder on.
    pub output: PathBuf,
}

fn resolver_plugin() -> String {
    "resolver-plugin".to_owned()
}

impl Manifest {
    /// Reads the manifest of a folder.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let shown = path.display();
        if !path.is_file() {
            bail!("there is no {shown}; start with `rejoin plugin new NAME --lang LANGUAGE`");
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {shown}"))?;
        let manifest: Self = toml::from_str(&text).with_context(|| format!("reading {shown}"))?;
        manifest.check().with_context(|| format!("{shown}"))?;
        Ok(manifest)
    }

    fn check(&self) -> anyhow::Result<()> {
        check_name(&self.name)?;
        let worlds = ["resolver-plugin", "validator-plugin", "full-plugin"];
        let world = &self.world;
        ensure!(
            worlds.contains(&world.as_str()),
            "there is no world {world:?}; wit/plugin.wit has {}",
            worlds.join(", ")
        );
        if let Some(build) = &self.build {
            ensure!(
                !build.command.is_empty(),
                "the command of [build] is empty; name a program, or leave the table out"
            );
        }
        self.language().map(|_| ())
    }

    pub fn language(&self) -> anyhow::Result<Language> {
        let lang = &self.lang;
        Language::of(lang).with_context(|| {
            format!("{lang:?} is no language here; see `rejoin plugin new --help`, or name one of them and a [build] of your own")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Manifest> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(FILE), text)?;
        Manifest::read(folder.path())
    }

    #[test]
    fn what_a_manifest_says_is_checked_and_what_it_does_not_know_is_refused() {
        let good = "name = \"cart\"\nversion = \"1.0.0\"\nlang = \"js\"\n";
        let manifest = read(good).expect("it is good");
        assert_eq!(manifest.world, "resolver-plugin");
        assert_eq!(manifest.language().ok(), Some(Language::JavaScript));
        for (added, part) in [
            ("typo = 1\n", "typo"),
            ("world = \"plugin\"\n", "there is no world"),
            ("[build]\ncommand = []\noutput = \"x\"\n", "is empty"),
        ] {
            let error = format!("{:#}", read(&format!("{good}{added}")).expect_err(added));
            assert!(error.contains(part), "{error}");
        }
        let error = format!(
            "{:#}",
            read(&good.replace("\"js\"", "\"cobol\"")).expect_err("cobol")
        );
        assert!(error.contains("no language here"), "{error}");
    }
}
