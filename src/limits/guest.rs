//! The bounds of one call of a guest.
//!
//! Invariant: whatever decides an outcome is the same on every node (law 7).

/// Fuel of one guest call, refilled after instantiation; the same number on every node (law 7).
pub const FUEL_DEFAULT: u64 = 50_000_000;
/// The most fuel that a bucket may grant.
pub const FUEL_MAX: u64 = 10_000_000_000;
/// Wall-clock backstop of one guest call; it yields an error, never a result (law 7).
pub const GUEST_WALL_MS: u64 = 250;
/// Linear memory of a guest.
pub const GUEST_MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Tables of a guest, all together; a table of functions is 16 bytes per entry.
pub const GUEST_TABLE_ELEMENTS_MAX: usize = 10_000;
/// Core modules instantiated for one call; tools emit three, Python's about twenty.
pub const GUEST_INSTANCES_MAX: usize = 64;
/// Linear memories of one call; they share `GUEST_MEMORY_BYTES_MAX`.
pub const GUEST_MEMORIES_MAX: usize = 4;
/// Tables of one call; they share `GUEST_TABLE_ELEMENTS_MAX`.
pub const GUEST_TABLES_MAX: usize = 32;
/// Handles that the components within a guest may hold for each other; stubs of WASI were seen to make none.
pub const GUEST_HANDLES_MAX: usize = 256;
/// Native stack of a guest; far below the 2 MiB of the thread that it runs on.
pub const GUEST_STACK_BYTES_MAX: usize = 512 * 1024;
/// Fuel for bringing an instance up, before the call's own; the same on every node (law 7).
pub const GUEST_INIT_FUEL: u64 = 50_000_000;
/// Lines that one call may log; the rest is dropped and counted.
pub const GUEST_LOG_LINES_MAX: usize = 16;
/// Bytes of one logged line; the rest is cut off.
pub const GUEST_LOG_LINE_BYTES_MAX: usize = 256;
/// Fuel that a logged line costs, besides one unit per byte.
pub const GUEST_LOG_FUEL: u64 = 1_000;
