//! The bounds of connections: their handshakes, certificates, how often key files are looked at, and what they leave unread.
//!
//! Apart from the others because only listeners, dialling nodes and `rejoin cert` need them.
//!
//! Invariant: as of `limits`.

use super::{
    BATCHES_MAX, GET_BYTES_MAX, NODE_NAME_BYTES_MAX, PEER_QUEUE_BYTES_MAX, VALUE_BYTES_MAX,
};

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

/// Requests of one connection that are under way; more are shed at once instead of queued.
pub const REQUESTS_PER_CONNECTION_MAX: usize = 64;
/// Bytes of answers that a client's connection may leave unread before its further requests are turned away: what a
/// gigabit carries in a tenth of a second, so that one who reads is not held up.
pub const UNREAD_BYTES: usize = 16 * 1024 * 1024;
/// What a request under way counts for until its answer is known: a full load of them fits on a connection that has read
/// everything, and no more on one that has not.
pub const UNREAD_PROMISED_BYTES: usize = UNREAD_BYTES / REQUESTS_PER_CONNECTION_MAX;
/// Bytes that the answers to requests which were let in together may come to; beyond it a reading one is turned away
/// with its answer made. Room for a largest value each. A single answer has no bound but its own.
pub const UNREAD_BYTES_MAX: usize = REQUESTS_PER_CONNECTION_MAX * VALUE_BYTES_MAX;
/// Unread bytes of all clients of a node beyond which a connection gets its share of what is left and no more.
pub const UNREAD_NODE_BYTES: usize = 256 * 1024 * 1024;
/// Unread bytes of all clients of a node beyond which nobody gets an answer to read: four of the largest.
pub const UNREAD_NODE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Unread bytes of another node's connection: as many as may wait to be sent to it.
pub const PEER_UNREAD_BYTES: usize = PEER_QUEUE_BYTES_MAX;
/// Unread bytes of the connections of all other nodes; those of four that stand still.
pub const PEER_UNREAD_NODE_BYTES: usize = 4 * PEER_UNREAD_BYTES;
/// An answer is written in pieces of so many bytes; whoever takes one has read something. Two of HTTP/2's frames.
pub const ANSWER_PIECE_BYTES: usize = 32 * 1024;
/// Bytes of the replies to the requests of one batch that are under way, as far as its largest reply so far can tell: all
/// batches of a node together have what all connections may leave unread.
pub const BATCH_WINDOW_BYTES: usize = UNREAD_NODE_BYTES / BATCHES_MAX;
/// Requests of a batch that are under way before its first reply: of the largest value each, twice the window.
pub const BATCH_ITEMS_FIRST: usize = 8;
/// How often a connection with unread bytes is looked at. Looks are counted, not time, so that a node that stood still
/// itself does not blame its clients.
pub const UNREAD_LOOK_MS: u64 = 5_000;
/// Looks without a piece taken after which a client's connection is closed: 30 s, as long as keep-alive waits.
pub const UNREAD_LOOKS_MAX: u32 = 6;
/// The same for another node's connection: a minute, longer than keep-alive has patience with one that stands still.
pub const PEER_UNREAD_LOOKS_MAX: u32 = 12;

const _: () = assert!(AUTHORITY_DAYS_DEFAULT <= CERTIFICATE_DAYS_MAX);
const _: () = assert!(CERTIFICATE_DAYS_DEFAULT <= AUTHORITY_DAYS_DEFAULT);
const _: () = assert!(UNREAD_BYTES < UNREAD_BYTES_MAX && UNREAD_BYTES_MAX < UNREAD_NODE_BYTES);
const _: () = assert!(BATCH_ITEMS_FIRST * VALUE_BYTES_MAX == 2 * BATCH_WINDOW_BYTES);
const _: () = assert!(UNREAD_NODE_BYTES + GET_BYTES_MAX < UNREAD_NODE_BYTES_MAX);
