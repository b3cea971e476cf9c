//! The rooms of `../src` that read bytes from outside, and what those need, as a small crate.
//!
//! Nothing is copied: these are the files of the crate itself, in its module tree. Left out is what needs Wasmtime, an
//! engine or a socket.
#![allow(dead_code, reason = "only some of what the rooms offer is asked")]

// The inspection asks Wasmtime one question, below.
extern crate self as wasmtime;

#[path = "../src"]
mod house {
    pub mod dynamo;
    pub mod limits;
    pub mod wire;

    pub mod cli {
        pub mod backup {
            pub mod block;
            pub mod file;
        }
    }
    pub mod storage {
        pub mod envelope;
    }
    pub mod wasm {
        pub mod features;
        pub mod inspection;
        pub mod upload_error;

        pub mod laws {
            pub mod base64;
            pub mod bounds;
            pub mod case;
            mod convergence;
            mod dice;
            pub mod evidence;
            pub mod examiner;
            pub mod law;
            pub mod outcome;
            pub mod report;
            mod trial;
            pub mod written;
        }
    }
}

pub use house::*;

/// In place of Wasmtime's, which would have to be compiled for it: no native code is told from other native code. Both are
/// refused; `tests/fuzz_corpus.rs` asks the real one.
pub struct Engine;

impl Engine {
    pub fn detect_precompiled(_: &[u8]) -> Option<()> {
        None
    }
}
