//! Tells by the first bytes what was uploaded instead of WebAssembly, to name the mistake.
//!
//! Parses nothing beyond them.
//!
//! Invariant: what passes starts with the header of a core module or of a component.

use super::super::upload_error::UploadError;
use wasmparser::Parser;

/// A beginning, and what it is the beginning of.
type Magic = (&'static [u8], &'static str);

const NATIVE: [Magic; 4] = [
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "Mach-O"),
    (b"\xca\xfe\xba\xbe", "Mach-O or Java"),
    (b"!<arch>\n", "a static library"),
];

const ARCHIVES: [Magic; 7] = [
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
];

/// Refuses everything but the two headers of WebAssembly.
pub(super) fn check(bytes: &[u8]) -> Result<(), UploadError> {
    if bytes.is_empty() {
        return Err(UploadError::Empty);
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(elf(bytes));
    }
    if let Some(format) = find(&NATIVE, bytes) {
        return Err(UploadError::Native { format });
    }
    if let Some(format) = find(&ARCHIVES, bytes) {
        return Err(UploadError::Archive { format });
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Err(UploadError::Archive { format: "tar" });
    }
    if bytes.starts_with(b"\0asm") {
        return check_version(bytes);
    }
    Err(match looks_like_text(bytes) {
        true => UploadError::Text,
        false => UploadError::NotWasm,
    })
}

fn find(magics: &[Magic], bytes: &[u8]) -> Option<&'static str> {
    let mut found = magics.iter().filter(|(magic, _)| bytes.starts_with(magic));
    found.next().map(|(_, format)| *format)
}

/// Wasmtime's native code is an ELF file too, and says so in its header.
fn elf(bytes: &[u8]) -> UploadError {
    match wasmtime::Engine::detect_precompiled(bytes) {
        Some(_) => UploadError::Precompiled,
        None => UploadError::Native { format: "ELF" },
    }
}

fn check_version(bytes: &[u8]) -> Result<(), UploadError> {
    if Parser::is_core_wasm(bytes) || Parser::is_component(bytes) {
        return Ok(());
    }
    let message = match bytes.get(4..8) {
        Some(version) => format!("its version is {}", hex::encode(version)),
        None => format!("it ends after {} bytes", bytes.len()),
    };
    Err(UploadError::Malformed { message })
}

fn looks_like_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(512)];
    let printable = |b: &u8| *b >= b' ' || matches!(b, b'\n' | b'\r' | b'\t');
    start.iter().all(printable)
}
