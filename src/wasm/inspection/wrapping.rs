//! Makes a component of a core module that exports the contract's functions by their canonical names.
//!
//! For languages without component tooling, and for what `cargo build` leaves behind. The description
//! of a world that a module may carry is dropped and ours is put in: the contract is not negotiable.
//!
//! Invariant: same module, same component; whatever the module says of types is not read.

use super::super::upload_error::UploadError;
use super::contract::OURS;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../wit/v1/plugin.wit");
/// The contract's mangled names, and those that wit-bindgen's Rust emits today.
const MANGLED: [&str; 2] = ["cm32p2|rejoin:plugin/", "rejoin:plugin/"];

/// Wraps a valid core module.
pub(super) fn wrap(module: &[u8]) -> Result<Vec<u8>, UploadError> {
    let exports = exports(module)?;
    check_imports(module, &exports)?;
    let world = world(&exports)?;
    let plain = without_world(module)?;
    // The encoder is a build tool and was not written for hostile input; what it asserts must not
    // take the node down. It keeps no state that a panic could spoil.
    let encoded = catch_unwind(AssertUnwindSafe(|| encode(plain, world)));
    match encoded {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(message)) => Err(UploadError::Wrapping { message }),
        Err(_) => Err(UploadError::Wrapping {
            message: "the encoder gave up on it".to_owned(),
        }),
    }
}

fn encode(mut module: Vec<u8>, world: &str) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("plugin.wit", CONTRACT);
    let package = package.map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some(world));
    let world = world.map_err(|error| format!("{error:#}"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .and_then(|()| ComponentEncoder::default().module(&module))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
}

fn exports(module: &[u8]) -> Result<Vec<String>, UploadError> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ExportSection(section) = payload.map_err(super::refusal)? {
            for export in section {
                names.push(export.map_err(super::refusal)?.name.to_owned());
            }
        }
    }
    Ok(names)
}

fn is_ours(name: &str) -> bool {
    MANGLED.iter().any(|prefix| name.starts_with(prefix))
}

fn world(exports: &[String]) -> Result<&'static str, UploadError> {
    let ours = exports.iter().filter(|name| is_ours(name));
    ours.clone().try_for_each(|name| check_version(name))?;
    let has = |interface: &str| {
        let mut names = ours.clone().filter_map(|name| name.split_once('/'));
        names.any(|(_, rest)| rest.starts_with(interface))
    };
    match (has("resolver@"), has("validator@")) {
        (true, true) => Ok("full-plugin"),
        (true, false) => Ok("resolver-plugin"),
        (false, true) => Ok("validator-plugin"),
        (false, false) if has("about@") => Err(UploadError::NoRole),
        (false, false) => Err(UploadError::PlainCore),
    }
}

/// Canonical names carry the major version only, wit-bindgen's all of it.
fn check_version(name: &str) -> Result<(), UploadError> {
    let version = name.split_once('@').map_or("", |(_, rest)| rest);
    let version = version.split(['|', '#']).next().unwrap_or("");
    match version == "1" || version.starts_with("1.0.") {
        true => Ok(()),
        false => Err(UploadError::ContractVersion {
            found: name.to_owned(),
            ours: OURS,
        }),
    }
}

/// A module without our exports is the wrong file; one with them that asks for more is not pure.
fn check_imports(module: &[u8], exports: &[String]) -> Result<(), UploadError> {
    if !exports.iter().any(|name| is_ours(name)) {
        return Err(UploadError::PlainCore);
    }
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(section) = payload.map_err(super::refusal)? {
            for import in section.into_imports() {
                let import = import.map_err(super::refusal)?;
                if !is_ours(import.module) {
                    return Err(UploadError::ForeignImport {
                        import: import.module.to_owned(),
                        functions: format!(" ({})", import.name),
                    });
                }
            }
        }
    }
    Ok(())
}

/// The module without the custom sections in which tools describe a world.
fn without_world(module: &[u8]) -> Result<Vec<u8>, UploadError> {
    let mut plain = module[..8].to_vec();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(super::refusal)?;
        let describes =
            matches!(&payload, Payload::CustomSection(c) if c.name().starts_with("component-type"));
        if let (Some((id, range)), false) = (payload.as_section(), describes) {
            plain.push(id);
            write_number(&mut plain, range.len());
            plain.extend_from_slice(&module[range]);
        }
    }
    Ok(plain)
}

/// LEB128, as WebAssembly writes the sizes of its sections.
fn write_number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
