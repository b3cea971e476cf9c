//! A plugin that is loaded: linked once, with the places of its functions found and their shapes checked.
//!
//! Compiles nothing and keeps no instance: each call makes its own.
//!
//! Invariant: a loaded plugin has described itself sanely, and its functions are those of the contract.

use super::engine::GuestEngine;
use super::guest::{
    self, Caller, Description, DescriptionTaken, Host, RefusalTaken, ResolutionTaken, ResolveGiven,
    ValidateGiven,
};
use super::upload_error::UploadError;
use crate::dynamo::names::Digest;
use crate::limits::PLUGIN_NAME_BYTES_MAX;
use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker, Lower,
};

/// What a node says of a plugin that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    pub digest: Digest,
    pub description: Description,
    pub roles: Roles,
    /// Bytes as uploaded.
    pub size_bytes: usize,
    /// Bytes of native code on this node.
    pub native_bytes: usize,
}

/// What a plugin can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub resolver: bool,
    pub validator: bool,
}

/// Compiled code, ready to be called.
pub(super) struct Plugin {
    pub(super) digest: Digest,
    pub(super) pre: InstancePre<Host>,
    pub(super) describe: ComponentExportIndex,
    pub(super) check_params: ComponentExportIndex,
    pub(super) resolve: Option<ComponentExportIndex>,
    pub(super) validate: Option<ComponentExportIndex>,
}

impl Plugin {
    pub(super) fn link(
        engine: &GuestEngine,
        digest: Digest,
        component: &Component,
    ) -> Result<Self, UploadError> {
        let mut linker = Linker::new(engine.wasmtime());
        let pre = guest::link(&mut linker).and_then(|()| linker.instantiate_pre(component));
        let pre = pre.map_err(|error| UploadError::WrongShape {
            function: "log.emit",
            message: format!("{error:#}"),
        })?;
        let find = |interface: &str, function: &str| {
            let interface = format!("rejoin:plugin/{interface}@1.0.0");
            let interface = component.get_export_index(None, &interface)?;
            component.get_export_index(Some(&interface), function)
        };
        Ok(Self {
            digest,
            pre,
            describe: find("about", "describe").ok_or(UploadError::NoAbout)?,
            check_params: find("about", "check-params").ok_or(UploadError::NoAbout)?,
            resolve: find("resolver", "resolve"),
            validate: find("validator", "validate"),
        })
    }

    pub(super) fn roles(&self) -> Roles {
        Roles {
            resolver: self.resolve.is_some(),
            validator: self.validate.is_some(),
        }
    }

    /// Compares the functions with the contract and asks the plugin what it is.
    pub(super) fn introduce(
        &self,
        engine: &GuestEngine,
        wall_ms: u64,
    ) -> Result<Description, UploadError> {
        let plugin = self;
        let roles = self.roles();
        if !roles.resolver && !roles.validator {
            return Err(UploadError::NoRole);
        }
        let caller = Caller {
            engine,
            plugin,
            wall_ms,
        };
        let description = caller.describe()?;
        check_name(&description.name)?;
        check_version(&description.version)?;
        Ok(description)
    }

    /// Whether each function has the parameters and results of the contract.
    pub(super) fn check_shapes(
        &self,
        store: &mut Store<Host>,
        instance: &Instance,
    ) -> Result<(), UploadError> {
        type Checked = (Result<(), String>,);
        type Judged = (Result<(), RefusalTaken>,);
        let at = (store, instance);
        let at = shape::<(), (DescriptionTaken,)>(at, &self.describe, "about.describe")?;
        let mut at = shape::<(&[u8],), Checked>(at, &self.check_params, "about.check-params")?;
        if let Some(resolve) = &self.resolve {
            at = shape::<ResolveGiven, (ResolutionTaken,)>(at, resolve, "resolver.resolve")?;
        }
        if let Some(validate) = &self.validate {
            shape::<ValidateGiven, Judged>(at, validate, "validator.validate")?;
        }
        Ok(())
    }
}

type At<'a> = (&'a mut Store<Host>, &'a Instance);

fn shape<'a, P, R>(
    (store, instance): At<'a>,
    index: &ComponentExportIndex,
    function: &'static str,
) -> Result<At<'a>, UploadError>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    match instance.get_typed_func::<P, R>(&mut *store, index) {
        Ok(_) => Ok((store, instance)),
        Err(error) => Err(UploadError::WrongShape {
            function,
            message: error.root_cause().to_string(),
        }),
    }
}

/// Names stand in listings, metric labels and command lines.
fn check_name(name: &str) -> Result<(), UploadError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let sane = (1..=PLUGIN_NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(allowed);
    let wanted = "lower-case letters, digits and `-`, starting with a letter";
    check(sane, "name", name, wanted)
}

/// As in semantic versioning: three numbers, and what may follow them.
fn check_version(version: &str) -> Result<(), UploadError> {
    let (numbers, rest) = match version.find(['-', '+']) {
        Some(at) => version.split_at(at),
        None => (version, ""),
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-+.".contains(c);
    let sane = version.len() <= PLUGIN_NAME_BYTES_MAX
        && numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && rest.chars().all(allowed);
    check(sane, "version", version, "three numbers, like 1.2.0")
}

fn check(sane: bool, what: &str, found: &str, wanted: &str) -> Result<(), UploadError> {
    if sane {
        return Ok(());
    }
    let found: String = found.chars().take(PLUGIN_NAME_BYTES_MAX).collect();
    let message =
        format!("its {what} is {found:?}; use {wanted}, at most {PLUGIN_NAME_BYTES_MAX} bytes");
    Err(UploadError::Description { message })
}
