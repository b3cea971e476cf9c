//! The one configuration under which guests are compiled and run, and the clock that interrupts them.
//!
//! Decides which WebAssembly proposals exist for guests and how instances are allocated; runs nothing
//! itself. `docs/decisions/0004-sandbox.md` says why each is so.
//!
//! Invariant: the compiler's child process and the node use the same `tunables`, so native code made by
//! one loads in the other; and two nodes of a release give the same fuel and bytes (law 7).

use super::features::FEATURES;
use crate::limits::{
    GUEST_INSTANCES_MAX, GUEST_MEMORIES_MAX, GUEST_MEMORY_BYTES_MAX, GUEST_STACK_BYTES_MAX,
    GUEST_TABLE_ELEMENTS_MAX, GUEST_TABLES_MAX,
};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy,
    WasmFeatures,
};
use xxhash_rust::xxh3::Xxh3;

/// How often the wall clock is looked at; a guest is interrupted at most this much too late.
pub const TICK_MS: u64 = 10;

/// What a slot of the pool keeps in memory after a call; the rest is given back to the kernel.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;

/// What Wasmtime itself emits between the parts of a plugin that stubs WASI: code that copies from the memory of one to
/// that of the other. The inspection refuses it in what is uploaded.
const BETWEEN_PARTS: WasmFeatures = WasmFeatures::MULTI_MEMORY;

/// Why the engine could not be set up. Nothing was started; the node cannot run guests.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "the Wasm engine cannot be set up for {concurrency} guests at a time: {message}; allow more address space (ulimit -v) or fewer workers"
    )]
    Engine { concurrency: usize, message: String },
    #[error("the clock thread of the Wasm engine cannot be started: {0}; allow more threads")]
    Ticker(std::io::Error),
}

/// The engine of a node: compiled code belongs to it, and it ticks until it is dropped.
pub struct GuestEngine {
    engine: Engine,
    slots: Slots,
    _ticker: Ticker,
}

impl GuestEngine {
    /// Sets the engine up for so many guests at a time.
    pub fn start(concurrency: usize) -> Result<Self, EngineError> {
        let concurrency = concurrency.max(1);
        let mut config = tunables();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(concurrency)));
        let engine = Engine::new(&config).map_err(|error| EngineError::Engine {
            concurrency,
            message: format!("{error:#}"),
        })?;
        let ticker = Ticker::start(&engine).map_err(EngineError::Ticker)?;
        let slots = Slots::new(concurrency);
        Ok(Self {
            engine,
            slots,
            _ticker: ticker,
        })
    }

    pub fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    /// Waits until one more guest fits into the pool. Held for one call, which is bounded in time.
    pub fn slot(&self) -> Slot<'_> {
        self.slots.take()
    }

    /// Names the compiler, its settings and this CPU: native code of another name is of no use.
    pub fn compatibility(&self) -> u64 {
        let mut hasher = Xxh3::new();
        self.engine
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        hasher.finish()
    }
}

/// Everything that native code depends on. The child adds nothing, the node adds its pool.
pub fn tunables() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES.union(BETWEEN_PARTS), true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES_MAX)
        .memory_reservation(4 << 30)
        .relaxed_simd_deterministic(true);
    config
}

fn pool(concurrency: usize) -> PoolingAllocationConfig {
    let per_call = |each: usize| u32::try_from(concurrency * each).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(per_call(1))
        .total_core_instances(per_call(GUEST_INSTANCES_MAX))
        .total_memories(per_call(GUEST_MEMORIES_MAX))
        .total_tables(per_call(GUEST_TABLES_MAX))
        .max_core_instances_per_component(GUEST_INSTANCES_MAX as u32)
        .max_memories_per_component(GUEST_MEMORIES_MAX as u32)
        .max_tables_per_component(GUEST_TABLES_MAX as u32)
        .max_tables_per_module(GUEST_TABLES_MAX as u32)
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(16 << 20)
        .max_memory_size(GUEST_MEMORY_BYTES_MAX)
        .table_elements(GUEST_TABLE_ELEMENTS_MAX)
        .total_gc_heaps(0)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(64 * 1024)
        .pagemap_scan(wasmtime::Enabled::Auto);
    pool
}

/// Counts the guests that run, since a full pool would be an error and not a queue.
struct Slots {
    /// Guests that may still start. No other lock is taken while this one is held.
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    fn take(&self) -> Slot<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }
}

/// The right to run one guest.
pub struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// Raises the engine's epoch every `TICK_MS`.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, stopped) = (engine.clone(), Arc::clone(&stop));
        let tick = move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(TICK_MS));
                engine.increment_epoch();
            }
        };
        let thread = std::thread::Builder::new().name("guest-clock".to_owned());
        let thread = Some(thread.spawn(tick)?);
        Ok(Self { stop, thread })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A clock that panicked has nothing left to say; the engine goes down with it either way.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_and_compiler_agree_on_native_code() {
        let node = GuestEngine::start(1).unwrap();
        let child = Engine::new(&tunables()).unwrap();
        let mut hasher = Xxh3::new();
        child.precompile_compatibility_hash().hash(&mut hasher);
        assert_eq!(node.compatibility(), hasher.finish());
    }
}
