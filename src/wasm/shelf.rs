//! The folder in which a node keeps plugins: what was uploaded, and the native code made of it.
//!
//! ```text
//! plugins/<digest>.wasm                         as uploaded, named by its SHA-256
//! plugins/native/<digest>.<engine>.native       sealed by `artefact`, mode 0700, never leaves the node
//! ```
//! Blocking file access; interprets nothing.
//!
//! Invariant: a file under its final name is complete and was synced, or it is not there.

use crate::dynamo::names::Digest;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Plugins on disk.
pub(super) struct Shelf {
    wasm: PathBuf,
    native: PathBuf,
}

impl Shelf {
    /// Opens or creates the folders, and removes what an earlier process left half written.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let wasm = folder.join("plugins");
        let native = wasm.join("native");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&native)?;
        fs::set_permissions(&native, fs::Permissions::from_mode(0o700))?;
        for folder in [&wasm, &native] {
            remove_leftovers(folder)?;
        }
        sync_folder(folder)?;
        let shelf = Self { wasm, native };
        shelf.remove_orphans()?;
        Ok(shelf)
    }

    /// Native code whose upload is not there: an admission ended between the two, or a removal did.
    fn remove_orphans(&self) -> io::Result<()> {
        let kept = self.list()?;
        for entry in fs::read_dir(&self.native)? {
            let entry = entry?;
            let name = entry.file_name();
            let digest = name
                .to_str()
                .and_then(|name| Digest::parse(name.split('.').next()?));
            if digest.is_some_and(|digest| kept.binary_search(&digest).is_err()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Digests of the plugins on disk, in order.
    pub(super) fn list(&self) -> io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.wasm)? {
            let name = entry?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".wasm"));
            digests.extend(stem.and_then(Digest::parse));
        }
        digests.sort();
        Ok(digests)
    }

    pub(super) fn contains(&self, digest: Digest) -> bool {
        self.wasm_path(digest).exists()
    }

    pub(super) fn wasm(&self, digest: Digest) -> io::Result<Vec<u8>> {
        fs::read(self.wasm_path(digest))
    }

    pub(super) fn put_wasm(&self, digest: Digest, bytes: &[u8]) -> io::Result<()> {
        write_whole(&self.wasm, &self.wasm_path(digest), bytes)
    }

    pub(super) fn native(&self, digest: Digest, engine: u64) -> io::Result<Vec<u8>> {
        fs::read(self.native_path(digest, engine))
    }

    /// Keeps native code, in place of what other engines made of the plugin.
    pub(super) fn put_native(&self, digest: Digest, engine: u64, bytes: &[u8]) -> io::Result<()> {
        self.remove_native(digest)?;
        write_whole(&self.native, &self.native_path(digest, engine), bytes)
    }

    pub(super) fn remove_native(&self, digest: Digest) -> io::Result<()> {
        let prefix = digest.to_string();
        for entry in fs::read_dir(&self.native)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Forgets a plugin, its bytes first: native code alone is never looked at.
    pub(super) fn remove(&self, digest: Digest) -> io::Result<()> {
        match fs::remove_file(self.wasm_path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => sync_folder(&self.wasm)?,
        }
        self.remove_native(digest)
    }

    fn wasm_path(&self, digest: Digest) -> PathBuf {
        self.wasm.join(format!("{digest}.wasm"))
    }

    fn native_path(&self, digest: Digest, engine: u64) -> PathBuf {
        self.native.join(format!("{digest}.{engine:016x}.native"))
    }
}

/// Writes beside the final name, syncs, renames, and syncs the folder that holds the name.
fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .suffix(LEFTOVER)
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

const LEFTOVER: &str = ".tmp";

fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(LEFTOVER) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
