//! Which proposals of WebAssembly a plugin may use.
//!
//! One list for the inspection and for the engine, so that what is let in is what can run.
//!
//! Invariant: nothing in it differs between machines.

use wasmparser::WasmFeatures;

/// What rustc and clang emit by default, and nothing that is not the same on every machine.
pub const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);
