//! The one implementation of cryptography that certificates and connections use.
//!
//! Invariant: nobody asks the process for a default: that could be another one.

use rustls::crypto::{CryptoProvider, ring};
use std::sync::Arc;

/// ring, which builds everywhere with a C compiler.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
