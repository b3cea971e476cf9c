//! Uploads, up to the point where they would be compiled: form, structure, imports, contract.

use rejoin::wasm::inspection::{StructureLimits, inspect};

pub fn run(bytes: &[u8]) {
    let limits = StructureLimits::default();
    let first = inspect(bytes, &limits);
    assert_eq!(
        first,
        inspect(bytes, &limits),
        "the same bytes get the same word"
    );
    match first {
        Ok(component) => {
            assert!(
                inspect(&component, &limits).is_ok(),
                "what is compiled is let in"
            );
        }
        Err(refusal) => assert!(refusal.to_string().starts_with('P'), "{refusal}"),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../plugins/bin/last-writer.core.wasm").to_vec(),
        include_bytes!("../../plugins/bin/last-writer.wasm").to_vec(),
        include_bytes!("../../plugins/bin/max.wasm").to_vec(),
        b"\0asm\x01\0\0\0".to_vec(),
        b"\0asm\x0d\0\x01\0".to_vec(),
        b"(module)".to_vec(),
    ]
}
