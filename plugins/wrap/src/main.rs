//! Wraps a core WebAssembly module into a component of one world of the plugin contract.
//!
//! Does not compile anything and does not run the guest. A module that already carries the
//! description of its world (wit-bindgen leaves one) and one that only exports the canonical-ABI
//! names (`cm32p2|rejoin:plugin/resolver@1|resolve`, ...) are both accepted.
//!
//! Invariant: what is written imports nothing but the contract's `log` and its `types`, and the
//! same module always gives the same bytes.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldKey};

/// `types` holds only types: the server has nothing to provide for it.
const IMPORTS_ALLOWED: [&str; 2] = ["rejoin:plugin/log@1.0.0", "rejoin:plugin/types@1.0.0"];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [wit, world, core, component] = arguments.as_slice() else {
        bail!("usage: wrap WIT_FOLDER WORLD CORE_MODULE COMPONENT");
    };
    let module = fs::read(core).with_context(|| format!("cannot read {core}"))?;
    let wrapped = wrap(Path::new(wit), world, module)
        .with_context(|| format!("{core} is not a module of the world {world}"))?;
    check_imports(&wrapped).with_context(|| format!("{core} asks for too much"))?;
    fs::write(component, wrapped).with_context(|| format!("cannot write {component}"))
}

fn wrap(wit: &Path, world: &str, mut module: Vec<u8>) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .encode()
}

fn check_imports(component: &[u8]) -> Result<()> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("it is a WIT package, not a component");
    };
    for import in resolve.worlds[world].imports.keys() {
        let name = match import {
            WorldKey::Name(name) => name.clone(),
            WorldKey::Interface(id) => resolve.id_of(*id).context("an unnamed interface")?,
        };
        ensure!(
            IMPORTS_ALLOWED.contains(&name.as_str()),
            "the import {name} is not given to plugins, only {} is",
            IMPORTS_ALLOWED[0]
        );
    }
    Ok(())
}
