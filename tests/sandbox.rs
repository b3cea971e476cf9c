//! The sandbox from outside: what is refused at the door, what calls come to, what compiling may cost.
//!
//! Uses only the public API, and real child processes of the `rejoin` binary.
//!
//! Invariant: no upload and no guest takes the process down or holds it up.

#[path = "sandbox/admissions.rs"]
mod admissions;
#[path = "sandbox/calls.rs"]
mod calls;
#[path = "sandbox/compiling.rs"]
mod compiling;
#[path = "sandbox/determinism.rs"]
mod determinism;
#[path = "sandbox/generated.rs"]
mod generated;
#[path = "sandbox/plugins.rs"]
mod plugins;
#[path = "sandbox/refusals.rs"]
mod refusals;
#[path = "sandbox/running.rs"]
mod running;
