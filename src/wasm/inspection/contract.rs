//! Checks a valid component against the contract: what it imports, exports and uses.
//!
//! Imports are an allow-list; exports are looked up, and more of them than needed do no harm, since
//! tools add their own. The shapes of the functions are checked later, by loading them.
//!
//! Tools that stub WASI leave a component within the component that makes resources for another, so there
//! they are let in; how many there can be is bounded when the guest runs.
//!
//! Invariant: a component that passes can call nothing but `log.emit`, and exchanges no handle with the host.

use super::super::upload_error::UploadError;
use wasmparser::component_types::{ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::Types;
use wasmparser::{
    CanonicalFunction, ComponentDefinedType, ComponentType, ComponentTypeDeclaration,
    InstanceTypeDeclaration, Parser, Payload,
};

const PACKAGE: &str = "rejoin:plugin/";
/// The contract that this server speaks.
pub(super) const OURS: &str = "1.0.0";

/// Checks a validated component.
pub(super) fn check(component: &[u8], types: &Types) -> Result<(), UploadError> {
    let names = Names::read(component)?;
    for import in &names.imports {
        check_import(import, types)?;
    }
    check_types(component)?;
    check_exports(&names.exports)
}

/// What a component imports and exports, by name; the names at its own level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

impl Names {
    /// Reads the names of a component.
    pub fn read(component: &[u8]) -> Result<Self, UploadError> {
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(super::refusal)? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        imports.push(import.map_err(super::refusal)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        exports.push(export.map_err(super::refusal)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(Self { imports, exports })
    }
}

/// An interface of our package, with the version that it was built against.
fn ours(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?;
    Some(rest.split_once('@').unwrap_or((rest, "no version")))
}

/// Patches of 1.0 are the same contract; everything else is another one.
fn is_spoken(version: &str) -> bool {
    let patch = version.strip_prefix("1.0.");
    patch.is_some_and(|patch| patch.bytes().all(|b| b.is_ascii_digit()))
}

fn check_version(name: &str) -> Result<(), UploadError> {
    match ours(name) {
        Some((_, version)) if !is_spoken(version) => Err(UploadError::ContractVersion {
            found: name.to_owned(),
            ours: OURS,
        }),
        _ => Ok(()),
    }
}

fn check_import(name: &str, types: &Types) -> Result<(), UploadError> {
    let item = types.as_ref().component_item_for_import(name);
    let functions = match item.map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => given_by(id, types),
        _ => return Err(foreign(name, &[])),
    };
    let allowed: &[&str] = match ours(name) {
        Some(("log", _)) => &["emit"],
        Some(("types", _)) => &[],
        _ => return Err(foreign(name, &functions)),
    };
    check_version(name)?;
    match functions
        .iter()
        .all(|function| allowed.contains(&function.as_str()))
    {
        true => Ok(()),
        false => Err(foreign(name, &functions)),
    }
}

/// What an imported instance would have to provide, except for plain types.
fn given_by(id: ComponentInstanceTypeId, types: &Types) -> Vec<String> {
    let exports = types[id].exports.iter();
    let things = exports.filter(|(_, item)| !matches!(item.ty, ComponentEntityType::Type { .. }));
    things.map(|(name, _)| name.clone()).collect()
}

fn foreign(import: &str, functions: &[String]) -> UploadError {
    let shown: Vec<&str> = functions.iter().take(4).map(String::as_str).collect();
    let more = if functions.len() > shown.len() {
        ", ..."
    } else {
        ""
    };
    UploadError::ForeignImport {
        import: import.split('@').next().unwrap_or(import).to_owned(),
        functions: match shown.is_empty() {
            true => String::new(),
            false => format!(" ({}{more})", shown.join(", ")),
        },
    }
}

fn check_exports(exports: &[String]) -> Result<(), UploadError> {
    let has = |interface: &str| {
        let mut names = exports.iter().filter_map(|name| ours(name));
        names.any(|(name, version)| name == interface && is_spoken(version))
    };
    let about = has("about");
    let role = has("resolver") || has("validator");
    if about && role {
        return Ok(());
    }
    // A newer contract is a better explanation than a missing export.
    exports.iter().try_for_each(|name| check_version(name))?;
    Err(match about {
        true => UploadError::NoRole,
        false => UploadError::NoAbout,
    })
}

/// Where a type stands: what is outermost meets the host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outermost,
    Within,
}

/// Handles and asynchronous types live outside a call, or outside the guest: nothing here may.
fn check_types(component: &[u8]) -> Result<(), UploadError> {
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        let place = match depth {
            1 => Place::Outermost,
            _ => Place::Within,
        };
        match payload.map_err(super::refusal)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentTypeSection(section) => {
                for ty in section {
                    check_type(&ty.map_err(super::refusal)?, place)?;
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    check_canonical(&function.map_err(super::refusal)?, place)?;
                }
            }
            Payload::ComponentStartSection { .. } => {
                return Err(UploadError::ForeignType {
                    what: "a component start function",
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Recurses at most as deep as `structure` allows types to nest.
fn check_type(ty: &ComponentType, place: Place) -> Result<(), UploadError> {
    match ty {
        ComponentType::Resource { .. } if place == Place::Within => Ok(()),
        ComponentType::Resource { .. } => Err(UploadError::ForeignType { what: "a resource" }),
        ComponentType::Func(function) if function.async_ => Err(UploadError::ForeignType {
            what: "an async function",
        }),
        ComponentType::Func(_) => Ok(()),
        ComponentType::Defined(defined) => check_defined(defined, place),
        ComponentType::Instance(declarations) => declarations.iter().try_for_each(|d| match d {
            InstanceTypeDeclaration::Type(ty) => check_type(ty, place),
            _ => Ok(()),
        }),
        ComponentType::Component(declarations) => declarations.iter().try_for_each(|d| match d {
            ComponentTypeDeclaration::Type(ty) => check_type(ty, place),
            _ => Ok(()),
        }),
    }
}

fn check_defined(defined: &ComponentDefinedType, place: Place) -> Result<(), UploadError> {
    let what = match defined {
        ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => match place {
            Place::Within => return Ok(()),
            Place::Outermost => "a resource handle",
        },
        ComponentDefinedType::Future(_) => "a future",
        ComponentDefinedType::Stream(_) => "a stream",
        _ => return Ok(()),
    };
    Err(UploadError::ForeignType { what })
}

fn check_canonical(function: &CanonicalFunction, place: Place) -> Result<(), UploadError> {
    match function {
        CanonicalFunction::Lift { .. } | CanonicalFunction::Lower { .. } => Ok(()),
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => match place {
            Place::Within => Ok(()),
            Place::Outermost => Err(UploadError::ForeignType { what: "a resource" }),
        },
        _ => Err(UploadError::ForeignType {
            what: "an asynchronous built-in",
        }),
    }
}
