//! The compilers that are not ours: where they are, and what to do where they are not.
//!
//! A tool is a command of the author's, from the environment, or the first candidate that answers. Knows
//! nothing of what is compiled.
//!
//! Invariant: a tool that is missing is named, with the way to get it and the variable that replaces it.

use anyhow::{Context as _, bail, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// A program of some toolchain.
pub struct Tool {
    /// Environment variable with a command that stands for it.
    pub variable: &'static str,
    /// Commands, the first that answers is taken. One with a `/` is looked for in the project.
    pub candidates: &'static [&'static [&'static str]],
    /// What every candidate answers with exit status 0.
    pub probe: &'static str,
    pub how_to_get: &'static str,
}

pub const ZIG: Tool = Tool {
    variable: "REJOIN_ZIG",
    candidates: &[&["zig"], &["python3", "-m", "ziglang"]],
    probe: "version",
    how_to_get: "python3 -m pip install ziglang, or https://ziglang.org/download",
};

pub const ASC: Tool = Tool {
    variable: "REJOIN_ASC",
    candidates: &[&["node_modules/.bin/asc"], &["asc"]],
    probe: "--version",
    how_to_get: "npm install -g assemblyscript",
};

pub const JCO: Tool = Tool {
    variable: "REJOIN_JCO",
    candidates: &[&["node_modules/.bin/jco"], &["jco"]],
    probe: "--version",
    how_to_get: "npm install -g @bytecodealliance/jco",
};

pub const TSC: Tool = Tool {
    variable: "REJOIN_TSC",
    candidates: &[&["node_modules/.bin/tsc"], &["tsc"]],
    probe: "--version",
    how_to_get: "npm install -g typescript",
};

pub const COMPONENTIZE_PY: Tool = Tool {
    variable: "REJOIN_COMPONENTIZE_PY",
    candidates: &[&[".venv/bin/componentize-py"], &["componentize-py"]],
    probe: "--version",
    how_to_get: "python3 -m pip install componentize-py",
};

pub const GO: Tool = Tool {
    variable: "REJOIN_GO",
    candidates: &[&["go"]],
    probe: "version",
    how_to_get: "https://go.dev/dl",
};

pub const WASM_MERGE: Tool = Tool {
    variable: "REJOIN_WASM_MERGE",
    candidates: &[&["node_modules/.bin/wasm-merge"], &["wasm-merge"]],
    probe: "--version",
    how_to_get: "the package binaryen, or npm install -g binaryen",
};

/// Called as `COMMAND IN -o OUT`, which all three understand.
pub const WAT: Tool = Tool {
    variable: "REJOIN_WAT",
    candidates: &[
        &["wasm-tools", "parse"],
        &["wat2wasm"],
        &["node_modules/.bin/jco", "parse"],
        &["jco", "parse"],
    ],
    probe: "--help",
    how_to_get: "cargo install wasm-tools, or the package wabt, or npm install -g @bytecodealliance/jco",
};

/// Chooses the target by itself when the author replaces it.
pub const WASM_CARGO: Tool = Tool {
    variable: "REJOIN_WASM_CARGO",
    candidates: &[&["cargo", "build", "--target", "wasm32-unknown-unknown"]],
    probe: "--help",
    how_to_get: "https://rustup.rs, then rustup target add wasm32-unknown-unknown",
};

/// A command, as far as its own words go.
pub struct Found {
    words: Vec<String>,
}

impl Tool {
    /// The command for a project, which is asked whether it is there.
    pub fn find(&self, project: &Path) -> anyhow::Result<Found> {
        if let Some(own) = self.replaced() {
            ensure!(
                !own.words.is_empty(),
                "{} is empty; unset it, or name a command",
                self.variable
            );
            return Ok(own);
        }
        for candidate in self.candidates {
            let mut words: Vec<String> = candidate.iter().map(|word| (*word).to_owned()).collect();
            if words[0].contains('/') {
                words[0] = project.join(&words[0]).display().to_string();
            }
            let found = Found { words };
            if found.answers(self.probe) {
                return Ok(found);
            }
        }
        let candidates: Vec<String> = self
            .candidates
            .iter()
            .map(|words| words.join(" "))
            .collect();
        bail!(
            "there is no {} here; get it with {}, or name a command of yours in {}",
            candidates.join(" and no "),
            self.how_to_get,
            self.variable
        )
    }

    /// The author's own command.
    pub fn replaced(&self) -> Option<Found> {
        let text = std::env::var(self.variable).ok()?;
        let words = text.split_whitespace().map(str::to_owned).collect();
        Some(Found { words })
    }
}

impl Found {
    /// A command that the manifest names.
    pub fn named(words: &[String]) -> Self {
        Self {
            words: words.to_vec(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null());
        command
    }

    fn answers(&self, probe: &str) -> bool {
        let mut command = self.command();
        command
            .arg(probe)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Runs it in a folder with these arguments. What it prints goes to standard error.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        self.run_with(folder, arguments, &[])
    }

    /// The same, with these variables set.
    pub fn run_with(
        &self,
        folder: &Path,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let mut command = self.command();
        command.args(arguments).current_dir(folder);
        for (variable, value) in settings {
            command.env(variable, value);
        }
        let shown = self.words.join(" ");
        let status = command
            .stdout(std::io::stderr())
            .status()
            .with_context(|| format!("starting `{shown}`"))?;
        ensure!(
            status.success(),
            "`{shown} {}` failed ({status}); its own words are above",
            arguments.join(" ")
        );
        Ok(())
    }
}
