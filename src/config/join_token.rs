//! The secret that admits nodes, as it lies in its file.
//!
//! Compares it with nothing.
//!
//! Invariant: a token that others than its owner may read is not used.

use crate::limits::TOKEN_BYTES_MAX;
use bytes::Bytes;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The fewest bytes that cannot be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// The token without the white space around it, or why it is not used, and the fix.
pub fn read(file: &Path) -> Result<Bytes, String> {
    let facts = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if facts.permissions().mode() & 0o077 != 0 {
        return Err("others than its owner may read it; use `chmod 600`".to_owned());
    }
    let token = std::fs::read(file).map_err(|error| error.to_string())?;
    let token = token.trim_ascii();
    if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()) {
        let found = token.len();
        return Err(format!(
            "the token has {found} bytes; give {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX}"
        ));
    }
    Ok(Bytes::copy_from_slice(token))
}
