//! What an upload must be before anything is compiled: WebAssembly, small, simple, pure and ours.
//!
//! A pure function of the bytes and the limits: first bytes, then counts, then validity, then the
//! contract. A core module that exports the contract's functions becomes a component here.
//!
//! Invariant: any bytes give `Ok` or `Err`, in time and memory proportional to their number; nothing is
//! parsed before it is known to be bounded.

mod contract;
mod first_bytes;
mod structure;
mod wrapping;

pub use contract::Names;
pub use structure::StructureLimits;

use super::features::FEATURES;
use super::upload_error::UploadError;
use std::borrow::Cow;
use wasmparser::types::Types;
use wasmparser::{Parser, Validator};

/// Checks an upload and returns the component that is to be compiled: the bytes themselves, or the
/// wrapping of a core module.
pub fn inspect<'a>(
    bytes: &'a [u8],
    limits: &StructureLimits,
) -> Result<Cow<'a, [u8]>, UploadError> {
    first_bytes::check(bytes)?;
    if bytes.len() > limits.plugin_bytes {
        let (found, limit) = (bytes.len(), limits.plugin_bytes);
        return Err(UploadError::TooLarge { found, limit });
    }
    structure::check(bytes, limits)?;
    if Parser::is_component(bytes) {
        contract::check(bytes, &validate(bytes)?)?;
        return Ok(Cow::Borrowed(bytes));
    }
    validate(bytes)?;
    let component = wrapping::wrap(bytes)?;
    contract::check(&component, &validate(&component)?)?;
    Ok(Cow::Owned(component))
}

fn validate(bytes: &[u8]) -> Result<Types, UploadError> {
    let mut validator = Validator::new_with_features(FEATURES);
    validator.validate_all(bytes).map_err(refusal)
}

fn refusal(error: wasmparser::Error) -> UploadError {
    let message = error.to_string();
    match error.missing_wasm_feature() {
        Some(_) => UploadError::Feature { message },
        None => UploadError::Malformed { message },
    }
}
