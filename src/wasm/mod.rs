//! The sandbox: uploaded WebAssembly, from the first byte at the door to the answer of one call.
//!
//! An upload is inspected as bytes (`inspection`), compiled in a process of its own (`compiler`), kept
//! by its digest (`shelf`, `library`) and called with fuel and bounds (`guest`) on threads of its own
//! (`workers`). Whether it keeps the laws of merging is tried before it is believed (`laws`). Knows nothing of the
//! network or of storage engines.
//!
//! Invariant: no byte from outside is compiled in this process, and no native code is accepted from
//! outside at all.

mod artefact;
pub mod compiler;
pub mod engine;
mod features;
pub mod guest;
pub mod inspection;
pub mod laws;
pub mod library;
mod plugin;
pub mod rehearsal;
mod shelf;
pub mod upload_error;
pub mod workers;
