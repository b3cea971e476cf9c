//! What one guest call may use, and the only thing that it may ask of us: to log a line.
//!
//! Lives in the `Store` of one call and dies with it. Logged lines are collected, not printed: they are
//! the author's, and go to whoever asks for the plugin's log.
//!
//! Invariant: every refusal here is the same on every node for the same call, except the one that
//! `host_trouble` reports.

use super::words::Level;
use crate::limits::{
    GUEST_INSTANCES_MAX, GUEST_LOG_FUEL, GUEST_LOG_LINE_BYTES_MAX, GUEST_MEMORIES_MAX,
    GUEST_TABLE_ELEMENTS_MAX, GUEST_TABLES_MAX,
};
use wasmtime::component::{Linker, WasmStr};
use wasmtime::{ResourceLimiter, Result, StoreContextMut, Trap};

/// A line that a guest logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub level: Level,
    pub text: String,
}

/// What a guest said during one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestLog {
    pub lines: Vec<LogLine>,
    /// Lines beyond the limit.
    pub dropped: u64,
}

/// The state of one call.
pub(in crate::wasm) struct Host {
    pub(super) log: GuestLog,
    /// Kept even when the log is full: a panic is announced by the last line.
    pub(super) last_error: Option<String>,
    /// Set once the guest was refused memory or table space.
    pub(super) refused: Option<&'static str>,
    /// The machine could not give what the bounds allow: not the guest's doing, nor any node's.
    pub(super) host_trouble: Option<String>,
    memory_bytes: usize,
    table_elements: usize,
    memory_bytes_max: usize,
    log_lines_max: usize,
}

/// How Wasmtime says so; a test holds it to it.
const BEYOND_OWN_MAXIMUM: &str = "exceeds memory type's limits";

/// Gives guests `log`, and nothing else.
pub(in crate::wasm) fn link(linker: &mut Linker<Host>) -> Result<()> {
    linker
        .instance("rejoin:plugin/log@1.0.0")?
        .func_wrap("emit", emit)
}

fn emit(mut store: StoreContextMut<Host>, (level, text): (Level, WasmStr)) -> Result<()> {
    let (line, bytes) = {
        let text = text.to_str(&store)?;
        (cut(&text, GUEST_LOG_LINE_BYTES_MAX), text.len() as u64)
    };
    let price = GUEST_LOG_FUEL + bytes;
    match store.get_fuel()?.checked_sub(price) {
        Some(rest) => store.set_fuel(rest)?,
        None => {
            store.set_fuel(0)?;
            return Err(Trap::OutOfFuel.into());
        }
    }
    store.data_mut().note(level, line);
    Ok(())
}

impl Host {
    /// For a call that may have so much memory, and of which so many lines are kept.
    pub(super) fn new(memory_bytes_max: usize, log_lines_max: usize) -> Self {
        Self {
            log: GuestLog::default(),
            last_error: None,
            refused: None,
            host_trouble: None,
            memory_bytes: 0,
            table_elements: 0,
            memory_bytes_max,
            log_lines_max,
        }
    }

    /// Linear memory, which never shrinks.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn note(&mut self, level: Level, text: String) {
        if level == Level::Error {
            self.last_error = Some(text.clone());
        }
        match self.log.lines.len() < self.log_lines_max {
            true => self.log.lines.push(LogLine { level, text }),
            false => self.log.dropped += 1,
        }
    }

    fn refuse(&mut self, what: &'static str) -> Result<bool> {
        self.refused = Some(what);
        Ok(false)
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

impl ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let total = self
            .memory_bytes
            .saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max || maximum.is_some_and(|most| desired > most) {
            return self.refuse("memory");
        }
        self.memory_bytes = total;
        Ok(true)
    }

    /// Growth beyond the module's own maximum is the guest's affair. Any other failure, after the bounds
    /// allowed it, is the machine's doing: the call must end in an error that no other node is expected
    /// to give (law 7).
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        if error.to_string().contains(BEYOND_OWN_MAXIMUM) {
            return Ok(());
        }
        self.host_trouble = Some(format!("{error:#}"));
        Err(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let total = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if total > GUEST_TABLE_ELEMENTS_MAX || maximum.is_some_and(|most| desired > most) {
            return self.refuse("table space");
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        // Besides the guest's own, Wasmtime makes instances for what the component model connects.
        GUEST_INSTANCES_MAX * 2
    }

    fn tables(&self) -> usize {
        GUEST_TABLES_MAX
    }

    fn memories(&self) -> usize {
        GUEST_MEMORIES_MAX
    }
}
