//! Native code as it lies on disk, and the one place where it becomes runnable.
//!
//! Knows nothing of folders: `shelf` reads and writes the bytes.
//!
//! Invariant: code is loaded only if this node sealed it for this plugin and this engine; anything else
//! is not an error but a reason to compile again.

use super::engine::GuestEngine;
use crate::dynamo::names::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

const MAGIC: &[u8; 8] = b"rejoin1\n";
const SEAL_BYTES: usize = 32;

/// Frames freshly compiled code for the disk.
pub(super) fn seal(native: &[u8], digest: Digest, engine: &GuestEngine) -> Vec<u8> {
    let mut framed = Vec::with_capacity(MAGIC.len() + SEAL_BYTES + native.len());
    framed.extend_from_slice(MAGIC);
    framed.extend_from_slice(&checksum(native, digest, engine));
    framed.extend_from_slice(native);
    framed
}

/// The native code within, if it is what was sealed for this plugin and this engine.
pub(super) fn unseal<'a>(
    framed: &'a [u8],
    digest: Digest,
    engine: &GuestEngine,
) -> Option<&'a [u8]> {
    let rest = framed.strip_prefix(MAGIC)?;
    let (seal, native) = rest.split_at_checked(SEAL_BYTES)?;
    (seal == checksum(native, digest, engine)).then_some(native)
}

fn checksum(native: &[u8], digest: Digest, engine: &GuestEngine) -> [u8; SEAL_BYTES] {
    let mut hasher = Sha256::new();
    hasher.update(digest.0);
    hasher.update(engine.compatibility().to_le_bytes());
    hasher.update(native);
    hasher.finalize().into()
}

/// Makes native code runnable.
///
/// `native` comes from our own compiler's child process, directly or through `seal` and `unseal`.
#[allow(unsafe_code)]
pub(super) fn load(native: &[u8], engine: &GuestEngine) -> Result<Component, String> {
    // SAFETY: `deserialize` runs whatever it is given as machine code, so it must be given only what
    // `precompile_component` returned. Both callers guarantee that: one hands over what the child
    // process just wrote to a pipe that only this process can read, the other what `unseal` accepted,
    // which is byte for byte what an earlier compilation sealed in a folder that only our user can
    // write (mode 0700). Nothing that a client or a peer sends reaches this function; peers exchange
    // Wasm and compile it themselves. Wasmtime itself refuses code of another version or CPU.
    let component = unsafe { Component::deserialize(engine.wasmtime(), native) };
    component.map_err(|error| format!("{error:#}"))
}
