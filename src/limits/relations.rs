//! What must hold between the bounds of guests at work and all others, checked by the compiler.
//!
//! Defines nothing.
//!
//! Invariant: it compiles.

use super::running::*;
use super::{
    DEADLINE_DEFAULT_MS, GUEST_LOG_LINES_MAX, GUEST_MEMORY_BYTES_MAX, GUEST_WALL_MS,
    OBJECT_BYTES_MAX, VALUE_BYTES_MAX,
};

const _: () = assert!(GUEST_WALL_MS_MIN <= GUEST_WALL_MS && GUEST_WALL_MS <= GUEST_WALL_MS_MAX);
const _: () = assert!(GUEST_WALL_MS_MAX < DEADLINE_DEFAULT_MS);
const _: () = assert!(GUEST_MEMORY_BYTES_MIN <= GUEST_MEMORY_BYTES_MAX);
const _: () = assert!(GUEST_OUTPUT_BYTES_MIN <= VALUE_BYTES_MAX);
const _: () = assert!(GUEST_LOG_LINES_MAX <= GUEST_LOG_LINES_SET_MAX);
const _: () = assert!(GUEST_FUEL_PER_SECOND_DEFAULT <= GUEST_FUEL_PER_SECOND_MAX);
const _: () = assert!(VALUE_BYTES_MAX < MEMO_BYTES_MAX);
const _: () = assert!(MEMO_QUESTION_BYTES_MAX < OBJECT_BYTES_MAX);
const _: () = assert!(CONVERGE_RETRY_MS <= CONVERGE_RETRY_MS_MAX);
const _: () = assert!(DRY_RUN_KEYS_DEFAULT <= DRY_RUN_KEYS_MAX);
