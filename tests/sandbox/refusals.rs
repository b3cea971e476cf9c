//! What is refused at the door, by which code; and that no bytes are worse than a refusal.
//!
//! Invariant: asks the inspection alone, which compiles and runs nothing.

use super::plugins::{PICK_FIRST, Text};
use proptest::prelude::*;
use rejoin::wasm::inspection::{StructureLimits, inspect};
use rejoin::wasm::upload_error::UploadError;

fn refusal(bytes: &[u8]) -> UploadError {
    match inspect(bytes, &StructureLimits::default()) {
        Ok(_) => panic!("{} bytes were let in", bytes.len()),
        Err(error) => error,
    }
}

fn good() -> Text {
    Text::resolver(PICK_FIRST)
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A good module with something more in it.
fn with(more: &str) -> Vec<u8> {
    good().with("more", more).core()
}

fn with_function(body: &str) -> Vec<u8> {
    with(&format!("(func {body})"))
}

fn with_memory(memory: &str) -> Vec<u8> {
    good().with("memory", memory).core()
}

/// A good module whose text was changed in one place.
fn changed(from: &str, to: &str) -> Vec<u8> {
    let text = good().wat();
    assert!(text.contains(from), "{from}");
    wat(&text.replace(from, to))
}

/// A component that asks for one function of one interface.
fn importing(interface: &str, function: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component (import "{interface}" (instance (export "{function}" (func)))))"#
    ))
}

/// A type section of one type, so many levels deep, by hand: no encoder would write it.
fn nested_types(levels: usize) -> Vec<u8> {
    let mut types = vec![1];
    types.extend([0x42, 0x01, 0x01].repeat(levels));
    types.extend([0x42, 0x00]);
    let mut component = b"\0asm\x0d\0\x01\0\x07".to_vec();
    let mut size = types.len();
    while size >= 0x80 {
        component.push(size as u8 & 0x7f | 0x80);
        size >>= 7;
    }
    component.push(size as u8);
    component.extend(types);
    component
}

fn times(count: usize, text: &str) -> String {
    text.repeat(count)
}

fn tar() -> Vec<u8> {
    let mut archive = vec![0; 512];
    archive[..9].copy_from_slice(b"plug.wasm");
    archive[257..262].copy_from_slice(b"ustar");
    archive
}

/// What `wasmtime compile` writes, as a user might send it.
fn precompiled() -> Vec<u8> {
    let engine = wasmtime::Engine::default();
    engine
        .precompile_module(&wat("(module)"))
        .expect("it compiles")
}

#[test]
fn each_mistake_has_its_own_code_and_says_what_to_do() {
    let nested = format!("{} {}", times(300, "(block"), times(300, ")"));
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (vec![], "P001", "empty"),
        (vec![0; 2 << 20], "P007", "wasm"),
        (
            [&b"\0asm\x0d\0\x01\0"[..], &[0; 2 << 20]].concat(),
            "P002",
            "this node takes 1048576",
        ),
        (b"(module)".to_vec(), "P003", "wasm-tools parse"),
        (b"fn main() {}\n".to_vec(), "P003", "build it"),
        (b"\x7fELF\x02\x01\x01\0".to_vec(), "P004", "ELF"),
        (b"MZ\x90\0".to_vec(), "P004", "Windows"),
        (precompiled(), "P005", ".wasm"),
        (b"\x1f\x8b\x08\0\0\0".to_vec(), "P006", "gzip"),
        (b"PK\x03\x04\0\0".to_vec(), "P006", "zip"),
        (tar(), "P006", "tar"),
        (vec![1, 2, 3], "P007", "wasm"),
        (b"\0asm\x07\0\0\0".to_vec(), "P008", "version"),
        (b"\0as".to_vec(), "P007", "wasm"),
        (b"\0asm".to_vec(), "P008", "ends after 4"),
        (
            with_function(&times(70_000, "nop ")),
            "P010",
            "bytes in one function",
        ),
        (
            with_function(&format!("(local {})", times(1_001, "i64 "))),
            "P010",
            "locals",
        ),
        (with_function(&nested), "P010", "blocks within blocks"),
        (
            with_function(&format!("(br_table {} (i32.const 0))", times(5_000, "0 "))),
            "P010",
            "branch table",
        ),
        (with(&times(5_001, "(func)")), "P010", "functions"),
        (
            with(&times(1_001, "(global i32 (i32.const 0))")),
            "P010",
            "globals",
        ),
        (with("(table 20000 funcref)"), "P010", "table elements"),
        (with_memory("2000"), "P010", "bytes of memory"),
        (
            wat(&format!(
                "(component {} {})",
                times(9, "(component"),
                times(9, ")")
            )),
            "P010",
            "levels",
        ),
        (
            wat(&format!("(component {})", times(70, "(core module)"))),
            "P010",
            "modules",
        ),
        (nested_types(300_000), "P010", "types within types"),
        (with_memory("i64 2"), "P011", "memory64"),
        (with_memory("2 2 shared"), "P011", "threads"),
        (
            with_function("(drop (i32x4.relaxed_trunc_f32x4_s (v128.const i64x2 0 0)))"),
            "P011",
            "relaxed",
        ),
        (
            with_function("(result i32) (return_call $grow (i32.const 0))"),
            "P011",
            "tail call",
        ),
        (with("(tag)"), "P011", "exceptions"),
        (with("(type (struct))"), "P011", "gc"),
        (with("(memory 1)"), "P008", "multiple memories"),
        (wat("(component (type (stream u8)))"), "P011", "async"),
        (
            importing("wasi:random/random@0.2.0", "get-random-bytes"),
            "P020",
            "wasi:random/random (get-random-bytes)",
        ),
        (
            importing("rejoin:plugin/clock@1.0.0", "now"),
            "P020",
            "rejoin:plugin/clock (now)",
        ),
        (
            importing("rejoin:plugin/log@1.0.0", "read"),
            "P020",
            "rejoin:plugin/log (read)",
        ),
        (
            importing("rejoin:plugin/types@1.0.0", "now"),
            "P020",
            "rejoin:plugin/types (now)",
        ),
        (
            wat(r#"(component (import "now" (func)))"#),
            "P020",
            "asks for now",
        ),
        (
            wat("(component (type (resource (rep i32))))"),
            "P021",
            "resource",
        ),
        (
            importing("rejoin:plugin/log@2.0.0", "emit"),
            "P022",
            "rejoin:plugin/log@2.0.0",
        ),
        (
            good().component_for("plugin@1.1.0", "resolver-plugin"),
            "P022",
            "@1.1.0",
        ),
        (
            good().component_for("plugin@1.0.0", "about-plugin"),
            "P024",
            "resolver",
        ),
        (wat("(component)"), "P023", "about"),
        (changed("@1|", "@2|"), "P022", "@2|"),
        (Text::bare().core(), "P024", "resolver"),
        (
            wat("(module)"),
            "P030",
            "cm32p2|rejoin:plugin/about@1|describe",
        ),
        (
            wat(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#),
            "P030",
            "canonical-ABI",
        ),
        (
            changed(
                "(memory (",
                r#"(import "wasi_snapshot_preview1" "random_get" (func)) (memory ("#,
            ),
            "P020",
            "wasi_snapshot_preview1 (random_get)",
        ),
        (
            changed(r#"(export "cm32p2_realloc")"#, ""),
            "P031",
            "realloc",
        ),
    ];
    for (number, (bytes, code, hint)) in cases.iter().enumerate() {
        let error = refusal(bytes);
        let message = error.to_string();
        assert_eq!(error.code(), *code, "case {number}: {message}");
        assert!(message.starts_with(code), "case {number}: {message}");
        assert!(message.contains(hint), "case {number}, {hint:?}: {message}");
    }
}

#[test]
fn a_good_plugin_is_let_in_as_module_and_as_component() {
    let limits = StructureLimits::default();
    for bytes in [good().core(), good().component()] {
        inspect(&bytes, &limits).unwrap_or_else(|error| panic!("{error}"));
    }
    // A patch of the contract is the same contract.
    let patched = good().component_for("plugin@1.0.7", "resolver-plugin");
    inspect(&patched, &limits).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn raised_limits_let_in_what_the_plain_ones_refuse() {
    let large = with(&times(8_000, "(func)"));
    assert_eq!(refusal(&large).code(), "P010");
    let raised = StructureLimits::raised(16 << 20);
    inspect(&large, &raised).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_truncated_plugin_is_refused_at_every_byte() {
    for bytes in [good().core(), good().component()] {
        for length in 0..bytes.len() {
            // A module may end between two sections; then it is whole, and lacks something.
            let _ = inspect(&bytes[..length], &StructureLimits::default());
        }
        assert!(inspect(&bytes[..bytes.len() - 1], &StructureLimits::default()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_plugins_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        core in any::<bool>(),
    ) {
        let mut bytes = if core { good().core() } else { good().component() };
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = inspect(&bytes, &StructureLimits::default());
    }

    #[test]
    fn arbitrary_bytes_after_a_good_header_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        core in any::<bool>(),
    ) {
        let header: &[u8] = if core { b"\0asm\x01\0\0\0" } else { b"\0asm\x0d\0\x01\0" };
        let _ = inspect(&[header, &bytes[..]].concat(), &StructureLimits::default());
    }
}
