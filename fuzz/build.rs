//! Compiles the protobuf files as the crate does, without clients and servers.

use std::path::PathBuf;

const FILES: [&str; 6] = [
    "rejoin/v1/kv.proto",
    "rejoin/v1/buckets.proto",
    "rejoin/v1/plugins.proto",
    "rejoin/v1/cluster.proto",
    "rejoin/v1/backups.proto",
    "rejoin/peer/v1/peer.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../proto");
    let descriptors = protox::compile(FILES, ["../proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let bytes = prost::Message::encode_to_vec(&descriptors);
    std::fs::write(out.join("rejoin.descriptors"), bytes)?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
