//! The bounds of what operators do: backups, upgrades, traces.
//!
//! Apart from the others because nothing else needs them.
//!
//! Invariant: as of `limits`.

use super::{
    EXCHANGE_RETAINED_BYTES_MAX, KEY_BYTES_MAX, OBJECT_BYTES_MAX, PEER_MESSAGE_BYTES_MAX,
    PLUGIN_BYTES_MAX, VALUE_BYTES_MAX,
};

/// One record of a backup, encoded: the largest object that replicas exchange, and what merges replaced in it.
pub const SAVED_BYTES_MAX: usize = PEER_MESSAGE_BYTES_MAX;
/// Bytes of one message of a backup; a longer record is sent in pieces.
pub const BACKUP_PIECE_BYTES: usize = 1024 * 1024;
/// Backups that are read from one node at a time, and restores that it coordinates: each may hold a record of
/// `SAVED_BYTES_MAX`.
pub const BACKUP_STREAMS_MAX: usize = 4;
/// Records of one restore that are on their way to their owners at a time, so that they share a sync of the disk.
pub const RESTORE_WINDOW: usize = 64;
/// Bytes of those, beyond which no further record is sent.
pub const RESTORE_WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// Records of one request of a restore; it has to end within the deadline of a request of a minute.
pub const RESTORE_RECORDS_MAX: usize = 512;
/// Bytes of one block of a backup file: a record or a plugin, and its frame.
pub const BACKUP_BLOCK_BYTES_MAX: usize = SAVED_BYTES_MAX + 1024;
/// Records are gathered in one block of a backup file until they have so many bytes.
pub const BACKUP_BLOCK_BYTES: usize = 256 * 1024;
/// Buckets that one backup may be limited to by name.
pub const BACKUP_BUCKETS_MAX: usize = 256;

/// Rows of a later release that a node keeps and passes on.
pub const UNKNOWN_ROWS_MAX: usize = 4096;
/// Bytes of a row that a later release says and this one does not know.
pub const UNKNOWN_ROW_BYTES_MAX: usize = 128 * 1024;
/// Steps of one traced request; with their names they fit into the headers of a reply.
pub const TRACE_STEPS_MAX: usize = 48;
/// Bytes of a step: two node names and some words. All steps together stay below 8 KiB, half of what clients take as headers.
pub const TRACE_STEP_BYTES_MAX: usize = 160;
/// A name that a client gives to its request; a UUID, or a few words.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

const _: () = assert!(
    OBJECT_BYTES_MAX + EXCHANGE_RETAINED_BYTES_MAX + 16 * VALUE_BYTES_MAX + KEY_BYTES_MAX
        < SAVED_BYTES_MAX
);
const _: () = assert!(PLUGIN_BYTES_MAX < BACKUP_BLOCK_BYTES_MAX);
const _: () = assert!(BACKUP_BLOCK_BYTES < BACKUP_BLOCK_BYTES_MAX);
const _: () = assert!(TRACE_STEPS_MAX * TRACE_STEP_BYTES_MAX < 8 * 1024);

/// How long a new connection may take for its first words before its place goes to another. Over half the world it needs
/// less than one second; whoever is silent for longer has nothing to say.
pub const FIRST_WORDS_MS: u64 = 10_000;
