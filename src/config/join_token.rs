//! The secret that admits nodes, as it lies in its file.
//!
//! Compares it with nothing.
//!
//! Invariant: a token that others than its owner may read is not used.

use crate::dynamo::names::JoinToken;
use crate::limits::TOKEN_BYTES_MAX;
use crate::security::secret::Secret;
use bytes::Bytes;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The fewest bytes that cannot be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Of the file: a token, and white space around it.
const FILE_BYTES_MAX: usize = 16 * TOKEN_BYTES_MAX;

/// The token without the white space around it, or why it is not used, and the fix.
pub fn read(file: &Path) -> Result<JoinToken, String> {
    let facts = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if facts.permissions().mode() & 0o077 != 0 {
        return Err("others than its owner may read it; use `chmod 600`".to_owned());
    }
    let open = std::fs::File::open(file).map_err(|error| error.to_string())?;
    let secret = Secret::read(open, FILE_BYTES_MAX).map_err(|error| error.to_string())?;
    let token = secret.trim_ascii();
    if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()) {
        let found = token.len();
        return Err(format!(
            "the token has {found} bytes; give {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX}"
        ));
    }
    let token = Secret::from(token.to_vec());
    Ok(Bytes::from_owner(token).into())
}
