//! The bounds of connections: their handshakes, certificates, and how often key files are looked at.
//!
//! Apart from the others because only listeners, dialling nodes and `rejoin cert` need them.
//!
//! Invariant: as of `limits`.

use super::NODE_NAME_BYTES_MAX;

/// From the first packet to the head of the first HTTP/2 frame. Some hundred times what a busy machine needs.
pub const OPENING_TIMEOUT_MS: u64 = 5_000;
/// Connections of one listener that are being opened; the one that takes longest makes room for the next, so that
/// silent ones stop nobody.
pub const OPENING_MAX: usize = 256;
/// Between two looks at the files of certificates and keys; a rotation need not wait for long, and they are small.
pub const KEYS_INTERVAL_MS: u64 = 5_000;
/// Bytes of one such file: a chain, or a bundle of authorities, of some hundred certificates.
pub const KEY_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How long a certificate is valid unless `rejoin cert` is told otherwise.
pub const CERTIFICATE_DAYS_DEFAULT: u32 = 365;
/// How long an authority is valid unless `rejoin cert` is told otherwise.
pub const AUTHORITY_DAYS_DEFAULT: u32 = 3_650;
/// Bytes of the register of what an authority has signed: some 60,000 certificates.
pub const ISSUED_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The longest validity of either.
pub const CERTIFICATE_DAYS_MAX: u32 = 36_500;
/// After which a list of revoked certificates says that it should be replaced. Nodes go on with an older one: what was
/// revoked stays so, and nobody is locked out because a list was not renewed.
pub const REVOCATION_DAYS: u32 = 3_650;
/// A certificate is valid from so long before it was made: clocks differ.
pub const CERTIFICATE_SKEW_S: u64 = 60 * 60;
/// The names and addresses of one node.
pub const CERTIFICATE_HOSTS_MAX: usize = 64;
/// A client's name stands in log lines and policies, as a node's does.
pub const CLIENT_NAME_BYTES_MAX: usize = NODE_NAME_BYTES_MAX;

const _: () = assert!(AUTHORITY_DAYS_DEFAULT <= CERTIFICATE_DAYS_MAX);
const _: () = assert!(CERTIFICATE_DAYS_DEFAULT <= AUTHORITY_DAYS_DEFAULT);
