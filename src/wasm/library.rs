//! The plugins of this node: admitted, kept, loaded and asked.
//!
//! Puts the rooms together: `inspection`, `compiler`, `shelf`, `artefact`, `plugin`, `guest`. Fetches
//! nothing from peers and knows no buckets; the node does and does.
//!
//! Invariant: what is listed has passed every check, under the digest of the bytes as uploaded; what was
//! refused has left nothing behind.

use super::artefact;
use super::compiler::{CompileBudget, Compiler};
use super::engine::{EngineError, GuestEngine};
use super::guest::{Caller, ParamsError, Report};
use super::inspection::{StructureLimits, inspect};
use super::plugin::Plugin;
use super::shelf::Shelf;
use super::upload_error::UploadError;
use crate::dynamo::names::Digest;
use crate::dynamo::reconcile::answer::GuestFailure;
use crate::dynamo::reconcile::question::Question;
use crate::limits::{DEADLINE_DEFAULT_MS, GUEST_WALL_MS_MAX, PLUGIN_BYTES_DEFAULT, PLUGINS_MAX};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::Mutex;

pub use super::plugin::{Admitted, Roles};

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct Settings {
    pub structure: StructureLimits,
    pub compile: CompileBudget,
    /// The `rejoin` binary that compiles; as a rule the running one.
    pub compiler: PathBuf,
    /// Guests that may run at a time.
    pub concurrency: usize,
    /// Wall-clock backstop of one call, whatever its bucket grants.
    pub guest_wall_ms: u64,
}

impl Settings {
    /// For uploads of up to so many bytes, with limits and compile budget to match.
    pub fn new(compiler: PathBuf, concurrency: usize, plugin_bytes: usize) -> Self {
        let (structure, compile) = match plugin_bytes > PLUGIN_BYTES_DEFAULT {
            true => (
                StructureLimits::raised(plugin_bytes),
                CompileBudget::raised(plugin_bytes),
            ),
            false => (
                StructureLimits {
                    plugin_bytes,
                    ..StructureLimits::default()
                },
                CompileBudget::default(),
            ),
        };
        Self {
            structure,
            compile,
            compiler,
            concurrency,
            guest_wall_ms: GUEST_WALL_MS_MAX,
        }
    }
}

/// Why a library could not be opened. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the folder {folder} cannot hold plugins: {error}; check its owner and the disk")]
    Folder {
        folder: PathBuf,
        error: std::io::Error,
    },
}

/// The plugins of one node.
pub struct Library {
    // Dropped in this order: compiled code before the engine that it belongs to.
    /// Loaded plugins. No other lock is taken and nothing is awaited while it is held.
    loaded: RwLock<BTreeMap<Digest, Arc<Loaded>>>,
    engine: GuestEngine,
    shelf: Shelf,
    compiler: Compiler,
    settings: Settings,
    /// One admission at a time, so that the count of plugins is believed. Held across compilation.
    door: Mutex<()>,
}

struct Loaded {
    plugin: Plugin,
    admitted: Admitted,
}

/// The name of a plugin: the SHA-256 of its bytes as uploaded.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl Library {
    /// Opens the plugins under a folder. They are loaded when they are first asked for, or by `prepare`.
    pub fn open(folder: &Path, settings: Settings) -> Result<Self, OpenError> {
        let shelf = Shelf::open(folder).map_err(|error| OpenError::Folder {
            folder: folder.to_owned(),
            error,
        })?;
        // Two more than the workers, for admissions and checks of params beside them.
        let engine = GuestEngine::start(settings.concurrency + 2)?;
        let compiler = Compiler::new(settings.compiler.clone(), settings.compile.clone());
        Ok(Self {
            loaded: RwLock::default(),
            engine,
            shelf,
            compiler,
            settings,
            door: Mutex::default(),
        })
    }

    /// Checks, compiles, loads and keeps a plugin. The same bytes again are welcome and change nothing.
    pub async fn admit(self: &Arc<Self>, bytes: Bytes) -> Result<Admitted, UploadError> {
        let digest = digest_of(&bytes);
        if let Some(loaded) = self.loaded(digest) {
            return Ok(loaded.admitted.clone());
        }
        let _door = self.door.lock().await;
        if self.shelf.contains(digest) {
            return self.restore(digest).await;
        }
        let count = self.list()?.len();
        if count >= PLUGINS_MAX {
            return Err(UploadError::LibraryFull { limit: PLUGINS_MAX });
        }
        let (loaded, native) = self.build(digest, bytes.clone()).await?;
        let sealed = artefact::seal(&native, digest, &self.engine);
        let library = Arc::clone(self);
        apart(move || library.keep(digest, &bytes, &sealed)).await?;
        Ok(self.insert(loaded))
    }

    /// Makes a plugin that is on disk ready for `answer`, compiling it again if need be.
    pub async fn prepare(self: &Arc<Self>, digest: Digest) -> Result<Admitted, UploadError> {
        if let Some(loaded) = self.loaded(digest) {
            return Ok(loaded.admitted.clone());
        }
        let _door = self.door.lock().await;
        self.restore(digest).await
    }

    /// Answers a question on this thread; at most the wall limit, and the wait for a slot, from now.
    pub fn answer(&self, question: &Question) -> Report {
        self.answer_by(question, None)
    }

    /// The same, and not beyond a deadline: what is left of it bounds the call like the wall limit does.
    pub fn answer_by(&self, question: &Question, deadline: Option<Instant>) -> Report {
        let loaded = match self.ready(question.binding.digest) {
            Ok(loaded) => loaded,
            Err(failure) => return Report::failed(failure),
        };
        let mut caller = self.caller(&loaded.plugin);
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            caller.wall_ms = caller.wall_ms.min(left.as_millis() as u64);
        }
        caller.answer(question)
    }

    /// The same with a wall limit of its own, for checks that a busy node must not decide.
    pub fn answer_within(&self, question: &Question, wall_ms: u64) -> Report {
        match self.ready(question.binding.digest) {
            Ok(loaded) => {
                let mut caller = self.caller(&loaded.plugin);
                caller.wall_ms = wall_ms;
                caller.answer(question)
            }
            Err(failure) => Report::failed(failure),
        }
    }

    /// Asks a plugin whether it accepts params, on this thread.
    pub fn check_params(&self, digest: Digest, params: &[u8]) -> Result<(), ParamsError> {
        let loaded = self.ready(digest)?;
        self.caller(&loaded.plugin).check_params(params)
    }

    fn caller<'a>(&'a self, plugin: &'a Plugin) -> Caller<'a> {
        Caller {
            engine: &self.engine,
            plugin,
            wall_ms: self.settings.guest_wall_ms,
        }
    }

    /// Whether it is ready in memory; asks no disk.
    pub fn is_loaded(&self, digest: Digest) -> bool {
        self.loaded(digest).is_some()
    }

    pub fn contains(&self, digest: Digest) -> bool {
        self.shelf.contains(digest)
    }

    /// Digests of all plugins on disk.
    pub fn list(&self) -> Result<Vec<Digest>, UploadError> {
        self.shelf.list().map_err(disk)
    }

    /// A plugin's bytes as uploaded, for a peer. Bytes that have rotted are forgotten, not sent.
    pub fn bytes(&self, digest: Digest) -> Result<Bytes, UploadError> {
        if !self.shelf.contains(digest) {
            return Err(UploadError::Missing { digest });
        }
        let bytes = self.shelf.wasm(digest).map_err(disk)?;
        if digest_of(&bytes) != digest {
            self.remove(digest)?;
            return Err(UploadError::Missing { digest });
        }
        Ok(bytes.into())
    }

    /// What is known of a plugin; loads it if that needs no compilation.
    pub fn admitted(&self, digest: Digest) -> Result<Admitted, GuestFailure> {
        Ok(self.ready(digest)?.admitted.clone())
    }

    /// Forgets a plugin. Calls that run finish; the caller has made sure that no bucket uses it.
    pub fn remove(&self, digest: Digest) -> Result<(), UploadError> {
        self.shelf.remove(digest).map_err(disk)?;
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        loaded.remove(&digest);
        Ok(())
    }

    fn loaded(&self, digest: Digest) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.get(&digest).cloned()
    }

    fn insert(&self, new: Loaded) -> Admitted {
        let admitted = new.admitted.clone();
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(admitted.digest, Arc::new(new));
        admitted
    }

    /// The loaded plugin; if it only lies on disk, from its native code.
    fn ready(&self, digest: Digest) -> Result<Arc<Loaded>, GuestFailure> {
        if let Some(loaded) = self.loaded(digest) {
            return Ok(loaded);
        }
        if !self.shelf.contains(digest) {
            return Err(GuestFailure::Missing { digest });
        }
        if let Some(loaded) = self.load_native(digest) {
            self.insert(loaded);
        }
        self.loaded(digest).ok_or_else(|| GuestFailure::Host {
            digest,
            message: "it has to be compiled again, which is under way".to_owned(),
        })
    }

    /// From disk: the native code if it is sound, else by compiling what was uploaded.
    async fn restore(self: &Arc<Self>, digest: Digest) -> Result<Admitted, UploadError> {
        let library = Arc::clone(self);
        let loaded = apart(move || Ok(library.load_native(digest))).await?;
        if let Some(loaded) = loaded {
            return Ok(self.insert(loaded));
        }
        let bytes = self.bytes(digest)?;
        let (loaded, native) = self.build(digest, bytes).await?;
        let sealed = artefact::seal(&native, digest, &self.engine);
        let engine = self.engine.compatibility();
        self.shelf
            .put_native(digest, engine, &sealed)
            .map_err(disk)?;
        Ok(self.insert(loaded))
    }

    fn load_native(&self, digest: Digest) -> Option<Loaded> {
        let sealed = self
            .shelf
            .native(digest, self.engine.compatibility())
            .ok()?;
        let native = artefact::unseal(&sealed, digest, &self.engine)?;
        let size_bytes = self.shelf.wasm(digest).ok()?.len();
        self.load(digest, native, size_bytes).ok()
    }

    /// Everything from bytes to a plugin that has introduced itself; touches no disk.
    async fn build(
        self: &Arc<Self>,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<(Loaded, Vec<u8>), UploadError> {
        let size_bytes = bytes.len();
        let limits = self.settings.structure.clone();
        let inspected = move || Ok(inspect(&bytes, &limits)?.into_owned());
        let component = apart(inspected).await?;
        let native = self.compiler.compile(&component).await?;
        let library = Arc::clone(self);
        apart(move || Ok((library.load(digest, &native, size_bytes)?, native))).await
    }

    fn load(
        &self,
        digest: Digest,
        native: &[u8],
        size_bytes: usize,
    ) -> Result<Loaded, UploadError> {
        let component = artefact::load(native, &self.engine);
        // Sound native code that does not load wants more instances or tables than the pool has.
        let component = component.map_err(|message| UploadError::CompileRefused { message })?;
        let plugin = Plugin::link(&self.engine, digest, &component)?;
        // Admission is rare, and a first call has to fault everything in: it gets more time.
        let description = plugin.introduce(&self.engine, DEADLINE_DEFAULT_MS)?;
        let admitted = Admitted {
            digest,
            description,
            roles: plugin.roles(),
            size_bytes,
            native_bytes: native.len(),
        };
        Ok(Loaded { plugin, admitted })
    }

    /// The upload last: native code without it is never looked at.
    fn keep(&self, digest: Digest, bytes: &[u8], sealed: &[u8]) -> Result<(), UploadError> {
        let engine = self.engine.compatibility();
        let kept = self.shelf.put_native(digest, engine, sealed);
        let kept = kept.and_then(|()| self.shelf.put_wasm(digest, bytes));
        kept.map_err(|error| {
            // Already failing; what stays of the native code is harmless and replaced by a retry.
            let _ = self.shelf.remove_native(digest);
            disk(error)
        })
    }
}

fn disk(error: std::io::Error) -> UploadError {
    let message = error.to_string();
    UploadError::Disk { message }
}

/// Runs blocking work off the async workers.
async fn apart<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, UploadError> + Send + 'static,
) -> Result<R, UploadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(UploadError::CompilerBroken {
            message: format!("an inspection ended early: {error}"),
        }),
    }
}
