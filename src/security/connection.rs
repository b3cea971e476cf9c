//! What is known of a connection before its first request.
//!
//! Every request that arrives on the connection carries it in its extensions.
//!
//! Invariant: `certificate` is a name that a trusted authority has signed.

use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionInfo {
    pub remote: Option<SocketAddr>,
    /// The name in the client's certificate; none where it showed no certificate.
    pub certificate: Option<String>,
}
