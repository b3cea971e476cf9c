//! Writes the documents of the samples to `samples/`, which is only needed when they change.

#[path = "../src/samples.rs"]
mod samples;

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for (name, bytes) in samples::all() {
        std::fs::write(folder.join(name).with_extension("automerge"), bytes)?;
    }
    Ok(())
}
