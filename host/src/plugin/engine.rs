//! The wasmtime engines: a pool of instances, a clock for deadlines, and everything off that no policy needs.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy, WasmBacktraceDetails};

use super::idle::{IdleCount, IdlePool};
use super::lane::Lane;
use super::sandbox::Sandbox;
use crate::telemetry::Metrics;

/// Compiles and runs policies. Cheap to clone.
#[derive(Clone)]
pub struct Engine(pub(super) wasmtime::Engine, IdleCount, Lane);

/// Instances at once. A policy that never waits holds one only while its worker runs it.
const INSTANCES: u32 = 512;
/// Instances of components at once, all upstreams together.
#[cfg(feature = "wasi-http")]
const COMPONENT_INSTANCES: u32 = 256;
/// Some components are many core modules: Python's is 38.
const CORE_INSTANCES_EACH: u32 = 40;
/// Instances that are kept between calls, all policies together: the other half is for calls that need a fresh one.
const KEPT_MAX: usize = INSTANCES as usize / 2;
/// The largest memory that an operator can allow.
pub(super) const MEMORY_MAX: usize = 128 << 20;
/// Memory up to this size is cleared in place, which is cheaper than giving it back.
const KEEP_RESIDENT: usize = 512 << 10;
const WASM_STACK: usize = 512 << 10;
/// The unit of deadlines.
pub(super) const TICK: Duration = Duration::from_millis(1);

impl Engine {
    /// An engine that serves, and the thread that ticks for its deadlines as long as it lives.
    ///
    /// # Errors
    /// Where the machine gives no memory or no thread.
    pub fn start() -> anyhow::Result<Self> {
        let mut pool = pool(INSTANCES);
        pool.total_memories(INSTANCES * 3).max_memory_size(MEMORY_MAX).max_unused_warm_slots(INSTANCES);
        Self::with(InstanceAllocationStrategy::Pooling(pool))
    }

    /// An engine that serves components, apart from the one of the policies: an instance of these may wait for minutes, and
    /// must not keep one of those from its place. What is compiled for one fits the other.
    ///
    /// # Errors
    /// Where the machine gives no memory or no thread.
    #[cfg(feature = "wasi-http")]
    pub(super) fn for_components() -> anyhow::Result<Self> {
        let mut pool = pool(COMPONENT_INSTANCES);
        pool.total_memories(COMPONENT_INSTANCES * 2)
            .max_memory_size(super::component::COMPONENT_MEMORY_MAX)
            .max_unused_warm_slots(COMPONENT_INSTANCES / 4);
        Self::with(InstanceAllocationStrategy::Pooling(pool))
    }

    /// An engine that compiles for one that serves: the same code, and memory only for the few instances it needs.
    ///
    /// # Errors
    /// Where the machine gives no memory or no thread.
    pub fn for_preparing() -> anyhow::Result<Self> {
        Self::with(InstanceAllocationStrategy::OnDemand)
    }

    fn with(strategy: InstanceAllocationStrategy) -> anyhow::Result<Self> {
        let mut config = Config::new();
        // `gc` and `threads` are compiled in (two advisories hit builds without them) and off here.
        config
            .allocation_strategy(strategy)
            .strategy(Strategy::Cranelift)
            .cranelift_opt_level(OptLevel::Speed)
            .concurrency_support(false)
            .epoch_interruption(true)
            .memory_init_cow(true)
            .max_wasm_stack(WASM_STACK)
            .async_stack_size(2 * WASM_STACK)
            .wasm_backtrace_details(WasmBacktraceDetails::Disable)
            .wasm_memory64(false)
            .wasm_threads(false)
            .wasm_gc(false)
            .wasm_function_references(false)
            .wasm_exceptions(false)
            .gc_support(false);
        let engine = wasmtime::Engine::new(&config).map_err(anyhow::Error::from).context("start the engine")?;
        let weak = engine.weak();
        std::thread::Builder::new().name("deadlines".to_owned()).spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })?;
        Ok(Self(engine, IdleCount::default(), Lane::default()))
    }

    /// What compiled code must have been made for to run here.
    pub(super) fn compatibility(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    /// Prepares this thread for calls, which the first one would else pay for.
    pub fn enter_thread() {
        wasmtime::Engine::tls_eager_initialize();
    }

    /// Keeps an instance for the next call, if there is room.
    pub(super) fn keep(&self, pool: &IdlePool, sandbox: Sandbox) {
        pool.put(sandbox, &self.1, KEPT_MAX);
    }

    /// Where slow policies run.
    pub(super) const fn lane(&self) -> &Lane {
        &self.2
    }

    /// Writes the pool's figures to the metrics.
    pub fn observe(&self, metrics: &Arc<Metrics>) {
        if let Some(pool) = self.0.pooling_allocator_metrics() {
            metrics.instances.set(i64::try_from(pool.component_instances()).unwrap_or(i64::MAX));
            metrics.instance_memories.set(i64::try_from(pool.memories()).unwrap_or(i64::MAX));
            let bytes = u32::try_from(pool.unused_memory_bytes_resident()).unwrap_or(u32::MAX);
            metrics.kept_instances.set(i64::try_from(self.1.now()).unwrap_or(i64::MAX));
            metrics.pool_bytes.set(f64::from(bytes));
        }
    }

    /// Ticks until a deadline is certainly past.
    pub(super) fn ticks(deadline: Duration) -> u64 {
        u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX / 2).saturating_add(1)
    }
}

/// A pool of so many instances, but for their memories.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_EACH)
        .total_tables(instances * 4)
        .total_stacks(instances)
        .max_memories_per_component(4)
        .max_core_instances_per_component(64)
        .max_tables_per_component(16)
        .table_elements(20_000)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(32 << 10);
    pool
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Engine")
    }
}
