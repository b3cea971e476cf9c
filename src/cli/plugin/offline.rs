//! A library of plugins in a temporary folder, for commands that need no server.
//!
//! The code is the node's own: inspection, the compiling child, the sandbox.
//!
//! Invariant: what passes here passes a node of this release with the same limits.

use crate::wasm::library::{Admitted, Library, Settings};
use anyhow::Context as _;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

/// Plugins that are tried on this machine.
pub struct Bench {
    pub library: Arc<Library>,
    // Dropped after the library that lies in it.
    _folder: tempfile::TempDir,
}

impl Bench {
    /// Takes uploads of so many bytes, as a node does whose operator set that limit.
    pub fn open(plugin_bytes_max: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let compiler = std::env::current_exe().context("finding the compiler of plugins")?;
        let settings = Settings::new(compiler, 1, plugin_bytes_max);
        Ok(Self {
            library: Arc::new(Library::open(folder.path(), settings)?),
            _folder: folder,
        })
    }

    pub async fn admit(&self, file: &Path) -> anyhow::Result<Admitted> {
        Ok(self.library.admit(read(file)?).await?)
    }
}

pub fn read(file: &Path) -> anyhow::Result<Bytes> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(bytes.into())
}
