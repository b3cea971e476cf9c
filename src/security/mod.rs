//! Who is at the other end of a connection, and what they may do.
//!
//! Certificates, tokens, roles and the audit log; not what a request does. Knows nothing of nodes.
//!
//! Invariant: a name that stands here was proven by a certificate or a token, never only claimed.

pub mod access;
pub mod audit;
pub mod authority;
pub mod book;
pub mod caller;
pub mod connection;
pub mod cryptography;
pub mod files;
pub mod moment;
pub mod names;
pub mod pace;
pub mod policy;
pub mod revocation;
pub mod roles;
pub mod rotation;
pub mod secret;
pub mod strangers;
mod tables;
pub mod tethers;
pub mod tls;
pub mod tokens;
pub mod transport;
pub mod trust;
pub mod verifier;
