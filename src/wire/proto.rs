//! The generated types of `proto/`. Documented there.

/// For clients and operators.
#[allow(missing_docs)]
#[allow(clippy::large_enum_variant)] // A reply that is good is large, and nearly all are good.
pub mod v1 {
    tonic::include_proto!("rejoin.v1");
}

/// Between nodes.
#[allow(missing_docs)]
pub mod peer {
    tonic::include_proto!("rejoin.peer.v1");
}

/// The compiled descriptors of all files, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rejoin.descriptors"));
