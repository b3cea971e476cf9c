//! The bounds of who may do what: the access file, tokens, and the audit log.
//!
//! Part of `limits`; changes nothing by itself.
//!
//! Invariant: the relations between bounds are checked by the compiler, at the foot of the file.

use super::BUCKET_BYTES_MAX;

/// Bytes of an access file: all callers with some tokens and grants each; it is read again every few seconds.
pub const ACCESS_FILE_BYTES_MAX: usize = 1024 * 1024;
/// Callers of one access file: applications and people, not their users.
pub const CALLERS_MAX: usize = 4_096;
/// Bytes of a caller's name; the subject of a certificate fits.
pub const CALLER_BYTES_MAX: usize = 128;
/// Tokens of one caller: the old and the new one of a rotation, for a few places that change at different times.
pub const TOKENS_PER_CALLER_MAX: usize = 8;
/// Grants of one caller.
pub const GRANTS_PER_CALLER_MAX: usize = 64;
/// Random bytes of a token: 256 bits, beyond any search, so that a fast hash of it is enough.
pub const TOKEN_RANDOM_BYTES: usize = 32;
/// Bytes of an `authorization` header that is looked at; a token of ours has 71.
pub const CREDENTIAL_BYTES_MAX: usize = 512;
/// Between two looks at the access file: how long a revoked token may go on being taken.
pub const ACCESS_LOOK_MS: u64 = 2_000;
/// Bytes of the audit log before it is set aside and another one begun.
pub const AUDIT_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Audit logs that were set aside and are kept; the oldest goes.
pub const AUDIT_FILES_MAX: usize = 16;
/// Lines that wait to be written. Beyond it what needs a line is refused, and a refusal has none.
pub const AUDIT_QUEUE_MAX: usize = 4_096;
/// Refusals of strangers, in one second, that have a line of their own in the audit log; the others are counted in the
/// next line.
pub const AUDIT_REFUSALS_PER_SECOND_MAX: u32 = 20;
/// The same of callers who are known. More: somebody has to answer for each; bounded all the same, because a program
/// that has lost a role goes on asking.
pub const AUDIT_KNOWN_REFUSALS_PER_SECOND_MAX: u32 = 200;
/// Connections of strangers, in one second, that have a line of their own in the log of the node.
pub const STRANGERS_PER_SECOND_MAX: u32 = 10;
/// Bytes of a text in an audit line that a caller has chosen; the rest is cut off.
pub const AUDIT_TEXT_BYTES_MAX: usize = 256;
/// Names of callers whose change of roles one audit line tells.
pub const AUDIT_NAMES_MAX: usize = 32;

const _: () = assert!(AUDIT_REFUSALS_PER_SECOND_MAX <= AUDIT_KNOWN_REFUSALS_PER_SECOND_MAX);
const _: () = assert!(BUCKET_BYTES_MAX <= AUDIT_TEXT_BYTES_MAX);
const _: () = assert!(CALLER_BYTES_MAX <= AUDIT_TEXT_BYTES_MAX);
const _: () = assert!(2 * TOKEN_RANDOM_BYTES + "Bearer rejoin-".len() <= CREDENTIAL_BYTES_MAX);
