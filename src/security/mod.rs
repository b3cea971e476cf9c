//! Who is at the other end of a connection, and what they may do.
//!
//! Certificates, tokens, roles and the audit log; not what a request does. Knows nothing of nodes.
//!
//! Invariant: a name that stands here was proven by a certificate or a token, never only claimed.

pub mod authority;
pub mod connection;
pub mod files;
pub mod names;
pub mod rotation;
pub mod tls;
pub mod transport;
pub mod verifier;
