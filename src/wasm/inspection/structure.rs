//! Counts what an upload is made of, before anything that could be expensive looks at it.
//!
//! Compiling is not linear in the bytes: 83 KiB of loops over locals were measured to take 27 s and
//! 1.3 GiB. So functions, locals, nesting and branch tables are counted, over all nested modules
//! together. Knows nothing of types or of the contract.
//!
//! Invariant: takes time proportional to the bytes and a fixed amount of memory and stack.

use super::super::upload_error::UploadError;
use crate::limits::{
    GUEST_INSTANCES_MAX, GUEST_MEMORY_BYTES_MAX, GUEST_TABLE_ELEMENTS_MAX, PLUGIN_BYTES_DEFAULT,
};
use std::ops::Range;
use wasmparser::{FunctionBody, MemoryType, Operator, Parser, Payload, TableType};

/// How large and intricate an upload may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructureLimits {
    /// Bytes of the whole upload.
    pub plugin_bytes: usize,
    /// Functions of all modules.
    pub functions: u64,
    /// Bytes of one function body.
    pub function_bytes: u64,
    /// Locals of one function.
    pub locals: u64,
    /// Blocks within blocks of one function.
    pub nesting: u64,
    /// Targets of all `br_table`s of one function.
    pub branch_targets: u64,
    /// Types, imports, exports, globals, segments and other items, of each kind.
    pub items: u64,
    /// Modules and components within the upload, itself included.
    pub modules: u64,
}

/// Modules within components within components; tools emit three levels.
const MODULE_DEPTH_MAX: u64 = 8;
/// Component types within component types. Reading them recurses, so it is bounded beforehand.
const TYPE_DEPTH_MAX: u64 = 256;

impl Default for StructureLimits {
    /// Ample for Rust, C and Zig; bombs beyond it were measured to cost minutes.
    fn default() -> Self {
        Self {
            plugin_bytes: PLUGIN_BYTES_DEFAULT,
            functions: 5_000,
            function_bytes: 64 * 1024,
            locals: 1_000,
            nesting: 256,
            branch_targets: 4_096,
            items: 1_000,
            modules: 64,
        }
    }
}

impl StructureLimits {
    /// Limits for uploads of so many bytes, as JavaScript and Python need them; the compile budget has
    /// to grow with them.
    pub fn raised(plugin_bytes: usize) -> Self {
        let plain = Self::default();
        let factor = plugin_bytes.div_ceil(plain.plugin_bytes).max(1) as u64;
        Self {
            plugin_bytes,
            functions: plain.functions * factor,
            function_bytes: plain.function_bytes * factor,
            locals: plain.locals * factor,
            nesting: plain.nesting * factor.min(8),
            branch_targets: plain.branch_targets * factor,
            items: plain.items * factor,
            modules: plain.modules,
        }
    }
}

/// Refuses an upload with more of anything than the limits allow.
pub(super) fn check(bytes: &[u8], limits: &StructureLimits) -> Result<(), UploadError> {
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        counts.add(&payload.map_err(super::refusal)?, bytes, limits)?;
    }
    Ok(())
}

/// What was seen so far, in all modules together.
#[derive(Default)]
struct Counts {
    depth: u64,
    modules: u64,
    functions: u64,
    types: u64,
    imports: u64,
    exports: u64,
    globals: u64,
    segments: u64,
    wiring: u64,
    instances: u64,
    memory_bytes: u64,
    table_elements: u64,
    type_depth: u64,
}

impl Counts {
    fn add(
        &mut self,
        payload: &Payload,
        bytes: &[u8],
        limits: &StructureLimits,
    ) -> Result<(), UploadError> {
        let items = limits.items;
        match payload {
            Payload::Version { .. } => self.enter(limits),
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::FunctionSection(r) => count(
                &mut self.functions,
                r.count(),
                "functions",
                limits.functions,
            ),
            Payload::CodeSectionEntry(body) => check_function(body, limits),
            Payload::TypeSection(r) => count(&mut self.types, r.count(), "types", items),
            Payload::CoreTypeSection(r) => count(&mut self.types, r.count(), "types", items),
            Payload::ComponentTypeSection(r) => {
                count(&mut self.types, r.count(), "types", items)?;
                self.add_type_depth(&bytes[r.range()])
            }
            Payload::ImportSection(r) => count(&mut self.imports, r.count(), "imports", items),
            Payload::ComponentImportSection(r) => {
                count(&mut self.imports, r.count(), "imports", items)
            }
            Payload::ExportSection(r) => count(&mut self.exports, r.count(), "exports", items),
            Payload::ComponentExportSection(r) => {
                count(&mut self.exports, r.count(), "exports", items)
            }
            Payload::GlobalSection(r) => count(&mut self.globals, r.count(), "globals", items),
            Payload::DataSection(r) => count(&mut self.segments, r.count(), "segments", items),
            Payload::ElementSection(r) => count(&mut self.segments, r.count(), "segments", items),
            Payload::InstanceSection(r) => {
                let limit = GUEST_INSTANCES_MAX as u64 * 4;
                count(&mut self.instances, r.count(), "core instances", limit)
            }
            Payload::ComponentInstanceSection(r) => {
                count(&mut self.wiring, r.count(), "instances and aliases", items)
            }
            Payload::ComponentAliasSection(r) => {
                count(&mut self.wiring, r.count(), "instances and aliases", items)
            }
            Payload::ComponentCanonicalSection(r) => {
                count(&mut self.wiring, r.count(), "instances and aliases", items)
            }
            Payload::MemorySection(r) => {
                let memories = r.clone().into_iter();
                memories
                    .map(read)
                    .try_for_each(|memory| self.add_memory(&memory?))
            }
            Payload::TableSection(r) => {
                let tables = r.clone().into_iter();
                tables
                    .map(read)
                    .try_for_each(|table| self.add_table(&table?.ty))
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, limits: &StructureLimits) -> Result<(), UploadError> {
        self.depth += 1;
        if self.depth > MODULE_DEPTH_MAX {
            return Err(too_many("levels of modules", self.depth, MODULE_DEPTH_MAX));
        }
        count(
            &mut self.modules,
            1,
            "modules and components",
            limits.modules,
        )
    }

    fn add_memory(&mut self, memory: &MemoryType) -> Result<(), UploadError> {
        let bytes = memory.initial.saturating_mul(65_536);
        let limit = GUEST_MEMORY_BYTES_MAX as u64;
        add(
            &mut self.memory_bytes,
            bytes,
            "bytes of memory at its start",
            limit,
        )
    }

    fn add_table(&mut self, table: &TableType) -> Result<(), UploadError> {
        let limit = GUEST_TABLE_ELEMENTS_MAX as u64;
        add(
            &mut self.table_elements,
            table.initial,
            "table elements at its start",
            limit,
        )
    }

    /// A type within a type is announced by 0x01 (a type follows) and 0x41 or 0x42 (a component, an
    /// instance). The pairs that occur bound the depth from above, whatever else they may be.
    fn add_type_depth(&mut self, section: &[u8]) -> Result<(), UploadError> {
        let announces = |pair: &&[u8]| pair[0] == 0x01 && matches!(pair[1], 0x41 | 0x42);
        let found = section.windows(2).filter(announces).count() as u64;
        add(
            &mut self.type_depth,
            found,
            "component types within types",
            TYPE_DEPTH_MAX,
        )
    }
}

fn check_function(body: &FunctionBody, limits: &StructureLimits) -> Result<(), UploadError> {
    let Range { start, end } = body.range();
    let mut size = 0;
    let bytes = (end - start) as u64;
    add(
        &mut size,
        bytes,
        "bytes in one function",
        limits.function_bytes,
    )?;
    let mut locals = 0;
    for group in body.get_locals_reader().map_err(super::refusal)? {
        let (more, _) = read(group)?;
        count(&mut locals, more, "locals in one function", limits.locals)?;
    }
    check_operators(body, limits)
}

fn check_operators(body: &FunctionBody, limits: &StructureLimits) -> Result<(), UploadError> {
    let (mut depth, mut targets) = (0u64, 0u64);
    for operator in body.get_operators_reader().map_err(super::refusal)? {
        match read(operator)? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                count(&mut depth, 1, "blocks within blocks", limits.nesting)?;
            }
            Operator::End => depth = depth.saturating_sub(1),
            Operator::BrTable { targets: table } => {
                let what = "branch table targets in one function";
                count(&mut targets, table.len(), what, limits.branch_targets)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn read<T>(item: wasmparser::Result<T>) -> Result<T, UploadError> {
    item.map_err(super::refusal)
}

fn count(sum: &mut u64, more: u32, what: &'static str, limit: u64) -> Result<(), UploadError> {
    add(sum, u64::from(more), what, limit)
}

fn add(sum: &mut u64, more: u64, what: &'static str, limit: u64) -> Result<(), UploadError> {
    *sum = sum.saturating_add(more);
    match *sum > limit {
        true => Err(too_many(what, *sum, limit)),
        false => Ok(()),
    }
}

fn too_many(what: &'static str, found: u64, limit: u64) -> UploadError {
    UploadError::Structure { what, found, limit }
}
