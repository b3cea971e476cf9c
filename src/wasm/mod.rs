//! The sandbox: uploaded WebAssembly, from the first byte at the door to the answer of one call.
//!
//! An upload is inspected as bytes (`inspection`), compiled in a process of its own (`compiler`), kept
//! by its digest (`shelf`, `library`) and called with fuel and bounds (`guest`) on threads of its own
//! (`workers`). Knows nothing of the network, of storage engines or of the law check.
//!
//! Invariant: no byte from outside is compiled in this process, and no native code is accepted from
//! outside at all.

mod artefact;
pub mod compiler;
pub mod engine;
pub mod guest;
pub mod inspection;
pub mod library;
mod plugin;
pub mod rehearsal;
mod shelf;
pub mod upload_error;
pub mod workers;
