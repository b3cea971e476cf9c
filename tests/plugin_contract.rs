//! `docs/plugin-contract.md` against `wit/`: nothing is left out, and a released contract does not change.
//!
//! Reads the contract with the parser that wraps uploads.
//!
//! Invariant: a name is documented when it stands in the document in back-quotes.

use rejoin::wasm::library::digest_of;
use std::fs;
use std::path::Path;
use wit_parser::{Resolve, TypeDefKind};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parsed(version: &str) -> Resolve {
    let mut resolve = Resolve::default();
    let pushed = resolve.push_source("plugin.wit", &read(&format!("wit/{version}/plugin.wit")));
    pushed.unwrap_or_else(|error| panic!("{version}: {error:#}"));
    resolve
}

/// Every name that an author meets: interfaces, functions and their parameters, types and their parts, worlds.
fn names(contract: &Resolve) -> Vec<String> {
    let mut names = Vec::new();
    for (_, interface) in &contract.interfaces {
        names.extend(interface.name.clone());
        for (name, function) in &interface.functions {
            names.push(name.clone());
            names.extend(function.params.iter().map(|param| param.name.clone()));
        }
    }
    for (_, ty) in &contract.types {
        names.extend(ty.name.clone());
        match &ty.kind {
            TypeDefKind::Record(record) => {
                names.extend(record.fields.iter().map(|f| f.name.clone()))
            }
            TypeDefKind::Variant(variant) => {
                names.extend(variant.cases.iter().map(|c| c.name.clone()))
            }
            TypeDefKind::Enum(cases) => names.extend(cases.cases.iter().map(|c| c.name.clone())),
            TypeDefKind::Flags(flags) => names.extend(flags.flags.iter().map(|f| f.name.clone())),
            _ => {}
        }
    }
    names.extend(contract.worlds.iter().map(|(_, world)| world.name.clone()));
    names
}

#[test]
fn every_name_of_the_contract_is_documented() {
    let document = read("docs/plugin-contract.md");
    let names = names(&parsed("v1"));
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(
            document.contains(&format!("`{name}`")),
            "`{name}` is not in docs/plugin-contract.md"
        );
    }
}

#[test]
fn a_released_contract_keeps_its_bytes_and_its_package() {
    let document = read("docs/plugin-contract.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
    for entry in fs::read_dir(folder).expect("the contracts are there") {
        let name = entry.expect("an entry").file_name();
        let version = name.to_string_lossy().into_owned();
        let text = read(&format!("wit/{version}/plugin.wit"));
        let digest = digest_of(text.as_bytes()).to_string();
        let row = format!(
            "| `{version}` | `rejoin:plugin@{}.0.0` | `{digest}` |",
            &version[1..]
        );
        assert!(
            document.contains(&row),
            "docs/plugin-contract.md lacks the row\n{row}"
        );
        assert!(
            text.contains(&format!("package rejoin:plugin@{}.0.0;", &version[1..])),
            "{version}"
        );
    }
}
